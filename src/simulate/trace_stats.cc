#include "simulate/trace_stats.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "base/check.h"

namespace medley::simulate {
namespace {

// The clock of a trace that notes arrivals in ticks: most requests come at the very time of the one
// before, and nearly all other gaps are multiples of the usual one.
double tick_of(std::span<const double> arrivals_s) {
  std::vector<double> gaps;
  for (std::size_t i = 1; i < arrivals_s.size(); ++i) {
    if (arrivals_s[i] > arrivals_s[i - 1])
      gaps.push_back(arrivals_s[i] - arrivals_s[i - 1]);
  }
  if (gaps.size() < 20 || gaps.size() * 2 > arrivals_s.size())
    return 0;
  std::vector<double> sorted = gaps;
  std::sort(sorted.begin(), sorted.end());
  const double tick = sorted[sorted.size() / 2];
  std::size_t fitting = 0;
  for (const double gap : gaps) {
    const double ticks = gap / tick;
    fitting += std::abs(ticks - std::round(ticks)) < 0.02 && ticks > 0.5;
  }
  // Three digits: traces write 3.001 s for 3 s now and then.
  return fitting * 10 >= gaps.size() * 9 ? std::stod(fmt::format("{:.3g}", tick)) : 0;
}

}  // namespace

std::vector<double> dispersion_windows(double span_s, double mean_gap_s, long long fewest) {
  std::vector<double> windows;
  if (!(span_s > 0 && mean_gap_s > 0))
    return windows;
  for (int power = -6; power <= 9; ++power) {
    for (const double factor : {1.0, 3.0}) {
      const double window_s = factor * std::pow(10, power);
      if (window_s >= mean_gap_s / 3 && window_s * static_cast<double>(fewest) <= span_s)
        windows.push_back(window_s);
    }
  }
  return windows;
}

Dispersion dispersion(std::span<const double> arrivals_s, double from_s, double to_s,
                      double window_s) {
  Dispersion result{.window_s = window_s};
  result.windows = static_cast<long long>((to_s - from_s) / window_s);
  if (result.windows < 1)
    return result;
  // One pass, without a list of counts: empty windows count 0.
  double sum = 0, squares = 0;
  long long current = -1;
  double count = 0;
  const auto close = [&] {
    sum += count;
    squares += count * count;
    count = 0;
  };
  for (const double at_s : arrivals_s) {
    const auto window = static_cast<long long>((at_s - from_s) / window_s);
    if (window >= result.windows)
      break;
    if (window != current) {
      close();
      current = window;
    }
    ++count;
  }
  close();
  const auto n = static_cast<double>(result.windows);
  const double mean = sum / n;
  result.index = mean > 0 ? (squares / n - mean * mean) / mean : 0;
  return result;
}

double gap_cv(std::span<const double> arrivals_s) {
  if (arrivals_s.size() < 3)
    return 0;
  const auto gaps = static_cast<double>(arrivals_s.size() - 1);
  const double mean = (arrivals_s.back() - arrivals_s.front()) / gaps;
  if (!(mean > 0))
    return 0;
  double squares = 0;
  for (std::size_t i = 1; i < arrivals_s.size(); ++i) {
    const double off = arrivals_s[i] - arrivals_s[i - 1] - mean;
    squares += off * off;
  }
  return std::sqrt(squares / gaps) / mean;
}

TraceStats trace_stats(std::span<const data::TraceRequest> requests, bool tells_prefixes,
                       std::size_t buckets) {
  MEDLEY_CHECK(!requests.empty() && buckets > 0);
  TraceStats stats;
  const std::size_t n = requests.size();
  std::vector<double> arrivals(n), prompts(n), outputs(n);
  for (std::size_t i = 0; i < n; ++i) {
    arrivals[i] = requests[i].arrived_s;
    prompts[i] = static_cast<double>(requests[i].prompt.count());
    outputs[i] = static_cast<double>(requests[i].output.count());
    stats.at_one_instant += i > 0 && arrivals[i] == arrivals[i - 1];
  }
  stats.requests = static_cast<long long>(n);
  stats.at_one_instant /= static_cast<double>(n);
  stats.first_s = arrivals.front();
  stats.last_s = arrivals.back();
  stats.tick_s = tick_of(arrivals);
  const double span_s = stats.span_s();
  stats.rate_per_s = span_s > 0 ? static_cast<double>(n) / span_s : 0;
  stats.gap_cv = gap_cv(arrivals);
  if (span_s > 0) {
    for (const double window_s : dispersion_windows(span_s, span_s / static_cast<double>(n)))
      stats.dispersion.push_back(dispersion(arrivals, stats.first_s, stats.last_s, window_s));
  }
  stats.prompt_sum = std::accumulate(prompts.begin(), prompts.end(), 0.0);
  stats.output_sum = std::accumulate(outputs.begin(), outputs.end(), 0.0);

  std::vector<std::uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0U);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return prompts[a] < prompts[b]; });
  constexpr std::size_t kParts = 5;
  for (std::size_t part = 0; part < kParts && n >= 10 * kParts; ++part) {
    const std::size_t begin = n * part / kParts, end = n * (part + 1) / kParts;
    std::vector<double> of_part;
    for (std::size_t i = begin; i < end; ++i)
      of_part.push_back(outputs[order[i]]);
    stats.outputs_by_prompt.push_back({requests[order[begin]].prompt.count(),
                                       requests[order[end - 1]].prompt.count(),
                                       summarise(std::move(of_part))});
  }

  if (tells_prefixes) {
    PrefixStats& prefix = stats.prefix.emplace();
    std::vector<double> ages;
    for (const data::TraceRequest& request : requests) {
      const auto tokens = static_cast<double>(request.prefix.count());
      if (tokens <= 0)
        continue;
      ++prefix.requests;
      const double age_s = request.arrived_s - arrivals[request.prefix_of];
      ages.push_back(age_s);
      prefix.tokens += tokens;
      prefix.tokens_in_minute += age_s <= 60 ? tokens : 0;
      prefix.tokens_in_ten_minutes += age_s <= 600 ? tokens : 0;
    }
    for (double* share : {&prefix.tokens, &prefix.tokens_in_minute, &prefix.tokens_in_ten_minutes})
      *share /= stats.prompt_sum;
    prefix.age_s = summarise(std::move(ages));
  }

  if (span_s > 0) {
    stats.bucket_s = span_s / static_cast<double>(buckets);
    stats.rate_by_bucket.assign(buckets, 0);
    stats.prompt_tokens_by_bucket = stats.output_tokens_by_bucket = stats.rate_by_bucket;
    for (std::size_t i = 0; i < n; ++i) {
      const auto bucket = std::min(
          buckets - 1, static_cast<std::size_t>((arrivals[i] - stats.first_s) / stats.bucket_s));
      stats.rate_by_bucket[bucket] += 1 / stats.bucket_s;
      stats.prompt_tokens_by_bucket[bucket] += prompts[i] / stats.bucket_s;
      stats.output_tokens_by_bucket[bucket] += outputs[i] / stats.bucket_s;
    }
  }
  stats.prompt_tokens = summarise(std::move(prompts));
  stats.output_tokens = summarise(std::move(outputs));
  return stats;
}

std::vector<std::pair<double, double>> distribution(std::vector<double> values,
                                                    std::size_t points) {
  std::vector<std::pair<double, double>> result;
  if (values.empty())
    return result;
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  const std::size_t count = std::min(points, n);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t place = count == 1 ? n - 1 : i * (n - 1) / (count - 1);
    result.emplace_back(values[place], static_cast<double>(place + 1) / static_cast<double>(n));
  }
  return result;
}

}  // namespace medley::simulate
