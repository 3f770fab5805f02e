#include "engine/openai_http/load_metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>

#include "base/check.h"

namespace medley::engine {
namespace {

constexpr double kMostRequests = 1e9;

// The names a figure goes by, newest first; empty where the server has no such figure.
using Names = std::array<std::string_view, 2>;

struct Page {
  std::string_view server, path;
  Names running, waiting, kv_fraction, kv_capacity;
};

// Read in the servers' sources, 2026-11-24: vLLM vllm/v1/metrics, SGLang srt/metrics, TensorRT-LLM
// trtllm-serve, TGI router, llama.cpp tools/server. vLLM's older name of the KV gauge was served
// beside the newer one until 0.11.
constexpr Page kPages[] = {
    {"vllm",
     "/metrics",
     {"vllm:num_requests_running"},
     {"vllm:num_requests_waiting"},
     {"vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"},
     {}},
    {"sglang",
     "/metrics",
     {"sglang:num_running_reqs"},
     {"sglang:num_queue_reqs"},
     {"sglang:token_usage"},
     {"sglang:max_total_num_tokens"}},
    {"tensorrt_llm",
     "/prometheus/metrics",
     {"trtllm_num_requests_running"},
     {"trtllm_num_requests_waiting"},
     {"trtllm_kv_cache_utilization"},
     {}},
    {"tgi", "/metrics", {"tgi_batch_current_size"}, {"tgi_queue_size"}, {}, {}},
    {"llama_cpp",
     "/metrics",
     {"llamacpp:requests_processing"},
     {"llamacpp:requests_deferred"},
     {},
     {}},
};

const Page& page_of(std::string_view server) {
  for (const Page& page : kPages) {
    if (page.server == server)
      return page;
  }
  MEDLEY_CHECK(false, "a server whose metrics nobody knows");
}

// Sum and largest of a metric's series.
struct Series {
  double sum = 0, most = 0;
};

// A line of the text format is `name{label="value",…} value [timestamp]`; '#' begins a comment. A
// quoted label value may hold anything, '}' and ' ' as well.
std::string_view without_labels(std::string_view rest) {
  if (!rest.starts_with('{'))
    return rest;
  bool quoted = false;
  for (std::size_t i = 1; i < rest.size(); ++i) {
    if (quoted && rest[i] == '\\') {
      ++i;
    } else if (rest[i] == '"') {
      quoted = !quoted;
    } else if (!quoted && rest[i] == '}') {
      return rest.substr(i + 1);
    }
  }
  return {};
}

// Empty: no series of that name, or one whose value is not a number from 0 on.
std::optional<Series> find_series(std::string_view page, std::string_view name) {
  std::optional<Series> found;
  while (!page.empty()) {
    const std::size_t end = page.find('\n');
    std::string_view line = page.substr(0, end);
    page.remove_prefix(end == std::string_view::npos ? page.size() : end + 1);
    if (!line.starts_with(name))
      continue;
    line.remove_prefix(name.size());
    if (line.empty() || (line[0] != '{' && line[0] != ' ' && line[0] != '\t'))
      continue;  // a longer name
    line = without_labels(line);
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
    double value = 0;
    const auto read = std::from_chars(line.data(), line.data() + line.size(), value);
    if (read.ec != std::errc{} || !std::isfinite(value) || value < 0)
      return std::nullopt;
    if (!found)
      found.emplace();
    found->sum += value;
    found->most = std::max(found->most, value);
  }
  return found;
}

std::optional<Series> find_any(std::string_view page, const Names& names) {
  for (const std::string_view name : names) {
    if (name.empty())
      break;
    if (const auto series = find_series(page, name))
      return series;
  }
  return std::nullopt;
}

Result<int> count_of(std::string_view page, const Names& names) {
  const std::optional<Series> series = find_any(page, names);
  if (!series || series->sum > kMostRequests) {
    return Error{ErrorCode::kGarbled,
                 fmt::format("expected a count of requests in {}, found {}", names[0],
                             series ? fmt::format("{:g}", series->sum) : "none"),
                 {}};
  }
  return static_cast<int>(std::lround(series->sum));
}

}  // namespace

std::string_view load_metrics_path(std::string_view server) { return page_of(server).path; }

Result<LoadSignal> read_load_metrics(std::string_view server, std::string_view text) {
  const Page& page = page_of(server);
  LoadSignal signal;
  MEDLEY_TRY(signal.running, count_of(text, page.running));
  MEDLEY_TRY(signal.waiting, count_of(text, page.waiting));
  if (const auto kv = find_any(text, page.kv_fraction); kv && kv->most <= 1)
    signal.kv_fraction = kv->most;
  if (const auto capacity = find_any(text, page.kv_capacity); capacity && capacity->sum < 1e15)
    signal.kv_capacity_tokens = std::llround(capacity->sum);
  return signal;
}

}  // namespace medley::engine
