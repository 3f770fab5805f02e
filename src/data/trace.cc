#include "data/trace.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "data/csv.h"
#include "data/file.h"

namespace medley::data {
namespace {

constexpr std::array<std::string_view, 5> kNames = {"azure", "mooncake", "servegen",
                                                    "vllm_workload", "medley"};
constexpr double kLatest = 1e9;                  // seconds, some 31 years
constexpr long long kMostTokens = 1 << 30;       // of one request
constexpr long long kMooncakeBlockTokens = 512;  // of one hash id

std::string shown(std::string_view text) {
  std::string clean;
  for (const char c : text.substr(0, 40))
    clean += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c;
  return text.size() > 40 ? clean + "..." : clean;
}

// Takes `count` digits off the front, nothing else.
std::optional<int> take_digits(std::string_view& text, std::size_t count) {
  if (text.size() < count)
    return std::nullopt;
  int value = 0;
  for (const char c : text.substr(0, count)) {
    if (c < '0' || c > '9')
      return std::nullopt;
    value = value * 10 + (c - '0');
  }
  text.remove_prefix(count);
  return value;
}

bool take(std::string_view& text, char c) {
  if (!text.starts_with(c))
    return false;
  text.remove_prefix(1);
  return true;
}

// "2023-11-16 18:15:46.6805900" as nanoseconds since 1970, exactly. A 'T' may stand for the space,
// and the time be marked as UTC.
std::optional<std::int64_t> parse_timestamp(std::string_view text) {
  using namespace std::chrono;
  const auto year = take_digits(text, 4);
  if (!year || !take(text, '-'))
    return std::nullopt;
  const auto month = take_digits(text, 2);
  if (!month || !take(text, '-'))
    return std::nullopt;
  const auto day = take_digits(text, 2);
  if (!day || (!take(text, ' ') && !take(text, 'T')))
    return std::nullopt;
  const auto hour = take_digits(text, 2);
  if (!hour || !take(text, ':'))
    return std::nullopt;
  const auto minute = take_digits(text, 2);
  if (!minute || !take(text, ':'))
    return std::nullopt;
  const auto second = take_digits(text, 2);
  if (!second || *hour > 23 || *minute > 59 || *second > 60)
    return std::nullopt;
  std::int64_t fraction_ns = 0;
  if (take(text, '.')) {
    std::int64_t unit = 1'000'000'000;
    bool any = false;
    while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
      if (unit == 1)
        return std::nullopt;  // finer than a nanosecond
      unit /= 10;
      fraction_ns += unit * (text.front() - '0');
      text.remove_prefix(1);
      any = true;
    }
    if (!any)
      return std::nullopt;
  }
  if (!text.empty() && text != "Z" && text != "+00:00")
    return std::nullopt;
  const year_month_day date{std::chrono::year(*year),
                            std::chrono::month(static_cast<unsigned>(*month)),
                            std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok() || *year < 1970 || *year > 2200)
    return std::nullopt;
  const auto whole =
      sys_days(date).time_since_epoch() + hours(*hour) + minutes(*minute) + seconds(*second);
  return duration_cast<nanoseconds>(whole).count() + fraction_ns;
}

// A trace's own figures, before scaling and cutting.
struct Row {
  double arrived_s = 0;
  long long prompt = 0, output = 0;
};

// Applies the spec row by row and watches the order.
class Collector {
 public:
  explicit Collector(const TraceSpec& spec) : spec_(spec) {}

  // `where` is asked only when something is wrong.
  template <typename Where>
  Status add(const Row& row, const Where& where) {
    const auto fail = [&](const std::string& message) {
      return Error{ErrorCode::kInvalid, fmt::format("{}: {}", where(), message), {}};
    };
    if (!(row.arrived_s >= 0 && row.arrived_s <= kLatest)) {
      return fail(
          fmt::format("expected an arrival from 0 to {:.0f} s, got {}", kLatest, row.arrived_s));
    }
    if (row.arrived_s < last_s_) {
      return fail(fmt::format("arrival at {} s after one at {} s: rows must be in order of arrival",
                              row.arrived_s, last_s_));
    }
    if (row.prompt > kMostTokens || row.output > kMostTokens) {
      return fail(fmt::format("expected at most {} tokens", kMostTokens));
    }
    last_s_ = row.arrived_s;
    long long prompt = std::max(1LL, row.prompt);
    const long long output = std::max(1LL, row.output);
    if (spec_.max_request_tokens) {
      prompt = std::max(1LL, std::min(prompt, *spec_.max_request_tokens - output));
    }
    const double arrived_s = row.arrived_s * spec_.time_scale + spec_.start_s;
    if (arrived_s > kLatest) {
      return fail(
          fmt::format("time_scale and start_s move its arrival to {} s, expected at most "
                      "{:.0f}",
                      arrived_s, kLatest));
    }
    requests_.push_back({round_to_instant(Seconds(arrived_s)),
                         arrived_s,
                         Tokens(prompt),
                         Tokens(output),
                         {},
                         {},
                         {},
                         0,
                         {}});
    return Done{};
  }

  // Of the request just added. What the cut took away is not in common.
  void set_prefix(std::uint32_t row, long long tokens) {
    TraceRequest& request = requests_.back();
    const long long most = std::min(request.prompt.count(),
                                    row < requests_.size() ? requests_[row].prompt.count() : 0);
    request.prefix_of = row;
    request.prefix = Tokens(std::clamp(tokens, 0LL, most));
  }
  std::size_t size() const { return requests_.size(); }

  // Precondition: add() succeeded just before.
  TraceRequest& last() { return requests_.back(); }
  std::vector<TraceRequest> take() { return std::move(requests_); }

 private:
  const TraceSpec& spec_;
  std::vector<TraceRequest> requests_;
  double last_s_ = 0;
};

Status read_columns(const CsvTable& table, const TraceSpec& spec, Collector& collector) {
  const bool azure = spec.format == TraceFormat::kAzure;
  MEDLEY_TRY(const auto prompts, table.wholes(azure ? "ContextTokens" : "input_tokens"));
  MEDLEY_TRY(const auto outputs, table.wholes(azure ? "GeneratedTokens" : "output_tokens"));
  std::vector<double> arrivals;
  if (azure) {
    MEDLEY_TRY(const auto stamps, table.texts("TIMESTAMP"));
    std::int64_t first = 0;
    for (std::size_t row = 0; row < stamps.size(); ++row) {
      const auto stamp = parse_timestamp(stamps[row]);
      if (!stamp) {
        return Error{
            ErrorCode::kInvalid,
            fmt::format("{}: TIMESTAMP: expected a time like 2023-11-16 18:15:46.6805900, got '{}'",
                        table.where(row), shown(stamps[row])),
            "TIMESTAMP"};
      }
      if (row == 0)
        first = *stamp;
      if (*stamp < first) {
        return Error{
            ErrorCode::kInvalid,
            fmt::format(
                "{}: TIMESTAMP: '{}' is before the first row's: rows must be in order of arrival",
                table.where(row), shown(stamps[row])),
            "TIMESTAMP"};
      }
      // The correctly rounded quotient, as a reader of 100 ns ticks would get it.
      arrivals.push_back(static_cast<double>(*stamp - first) / 1e9);
    }
  } else if (spec.format == TraceFormat::kServegen) {
    MEDLEY_TRY(arrivals, table.numbers("arrived_at"));
  } else {
    MEDLEY_TRY(const auto nanoseconds, table.wholes("arrival_ns"));
    for (const long long ns : nanoseconds)
      arrivals.push_back(static_cast<double>(ns) / 1e9);
  }
  for (std::size_t row = 0; row < arrivals.size(); ++row) {
    MEDLEY_TRY_STATUS(collector.add({arrivals[row], prompts[row], outputs[row]},
                                    [&] { return table.where(row); }));
  }
  return Done{};
}

Status read_own_format(const CsvTable& table, Collector& collector) {
  MEDLEY_TRY(const auto arrivals, table.numbers("arrived_s"));
  MEDLEY_TRY(const auto prompts, table.wholes("prompt_tokens"));
  MEDLEY_TRY(const auto outputs, table.wholes("output_tokens"));
  const bool shares = table.has_column("prefix_of") || table.has_column("prefix_tokens");
  MEDLEY_TRY(const auto prefix_tokens,
             shares ? table.wholes("prefix_tokens") : std::vector<long long>());
  MEDLEY_TRY(const auto parents,
             shares ? table.texts("prefix_of") : std::vector<std::string_view>());
  const auto texts = [&table](std::string_view column) -> Result<std::vector<std::string_view>> {
    if (!table.has_column(column))
      return std::vector<std::string_view>();
    return table.texts(column);
  };
  MEDLEY_TRY(const auto classes, texts("class"));
  MEDLEY_TRY(const auto labels, texts("label"));
  MEDLEY_TRY(const auto models, texts("model"));
  MEDLEY_TRY(const auto tenants, texts("tenant"));
  MEDLEY_TRY(const auto priorities,
             table.has_column("priority") ? table.wholes("priority") : std::vector<long long>());
  for (std::size_t row = 0; row < arrivals.size(); ++row) {
    MEDLEY_TRY_STATUS(collector.add({arrivals[row], prompts[row], outputs[row]},
                                    [&] { return table.where(row); }));
    TraceRequest& request = collector.last();
    if (!classes.empty() && !classes[row].empty()) {
      request.service_class = service_class_named(classes[row]);
      if (!request.service_class) {
        return Error{
            ErrorCode::kInvalid,
            fmt::format("{}: class: expected guaranteed, standard, flex or batch, got '{}'",
                        table.where(row), shown(classes[row])),
            "class"};
      }
    }
    if (!labels.empty())
      request.label = labels[row];
    if (!models.empty())
      request.model = models[row];
    if (!tenants.empty())
      request.tenant = tenants[row];
    if (!priorities.empty())
      request.priority = priorities[row];
    if (shares && prefix_tokens[row] != 0) {
      std::uint32_t parent = 0;
      const std::string_view cell = parents[row];
      const auto [end, failure] = std::from_chars(cell.data(), cell.data() + cell.size(), parent);
      if (failure != std::errc() || end != cell.data() + cell.size() || parent >= row) {
        return Error{ErrorCode::kInvalid,
                     fmt::format("{}: prefix_of: expected an earlier row, counted from 0, got '{}'",
                                 table.where(row), shown(cell)),
                     "prefix_of"};
      }
      if (prefix_tokens[row] < 0) {
        return Error{ErrorCode::kInvalid,
                     fmt::format("{}: prefix_tokens: expected 0 or more, got {}", table.where(row),
                                 prefix_tokens[row]),
                     "prefix_tokens"};
      }
      collector.set_prefix(parent, prefix_tokens[row]);
    }
  }
  return Done{};
}

Status read_json_lines(std::string text, const TraceSpec& spec, Collector& collector) {
  const std::size_t size = text.size();
  text.resize(size + simdjson::SIMDJSON_PADDING);  // the parser reads past the end of a line
  simdjson::dom::parser parser;
  std::unordered_map<std::int64_t, std::uint32_t> latest;  // the last row with this block
  std::size_t line_number = 0;
  for (std::size_t at = 0; at < size;) {
    ++line_number;
    const std::size_t end = std::min(text.find('\n', at), size);
    std::size_t stop = end;
    if (stop > at && text[stop - 1] == '\r')
      --stop;
    const std::size_t begin = at;
    at = end + 1;
    if (stop == begin)
      continue;
    const auto where = [&] { return fmt::format("{}:{}", spec.path, line_number); };
    const auto fail = [&](const std::string& message) {
      return Error{ErrorCode::kInvalid, fmt::format("{}: {}", where(), message), {}};
    };
    simdjson::dom::element line;
    if (const auto failure = parser.parse(text.data() + begin, stop - begin, false).get(line)) {
      return fail(fmt::format("not a JSON object: {}", simdjson::error_message(failure)));
    }
    Row row;
    double timestamp_ms = 0;
    if (line["timestamp"].get_double().get(timestamp_ms))
      return fail("timestamp: expected a number");
    row.arrived_s = timestamp_ms / 1000;
    std::int64_t count = 0;
    if (line["input_length"].get_int64().get(count))
      return fail("input_length: expected a whole number");
    row.prompt = count;
    if (line["output_length"].get_int64().get(count))
      return fail("output_length: expected a whole number");
    row.output = count;
    MEDLEY_TRY_STATUS(collector.add(row, where));
    simdjson::dom::array ids;
    if (const auto failure = line["hash_ids"].get_array().get(ids)) {
      if (failure == simdjson::NO_SUCH_FIELD)
        continue;
      return fail("hash_ids: expected a list of whole numbers");
    }
    // An id names a block together with all before it, so the first unknown one ends what the
    // prompt has in common with earlier ones.
    const auto this_row = static_cast<std::uint32_t>(collector.size() - 1);
    std::uint32_t parent = 0;
    long long blocks = 0;
    bool in_common = true;
    for (const simdjson::dom::element element : ids) {
      std::int64_t id = 0;
      if (element.get_int64().get(id))
        return fail("hash_ids: expected a list of whole numbers");
      const auto [place, is_new] = latest.try_emplace(id, this_row);
      in_common = in_common && !is_new && place->second != this_row;
      if (in_common) {
        parent = place->second;
        ++blocks;
      }
      place->second = this_row;
    }
    if (blocks > 0)
      collector.set_prefix(parent, blocks * kMooncakeBlockTokens);
  }
  return Done{};
}

}  // namespace

std::optional<TraceFormat> trace_format_named(std::string_view name) {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name)
      return static_cast<TraceFormat>(i);
  }
  return std::nullopt;
}

Result<TraceFormat> trace_format_of(std::string_view text, const std::string& name) {
  if (text.starts_with("\xEF\xBB\xBF"))
    text.remove_prefix(3);
  const std::string_view first = text.substr(0, text.find('\n'));
  if (first.starts_with('{'))
    return TraceFormat::kMooncake;
  constexpr std::pair<std::string_view, TraceFormat> kColumns[] = {
      {"TIMESTAMP", TraceFormat::kAzure},
      {"arrived_at", TraceFormat::kServegen},
      {"arrival_ns", TraceFormat::kVllmWorkload},
      {"arrived_s", TraceFormat::kMedley}};
  for (const auto& [column, format] : kColumns) {
    if (first.find(column) != std::string_view::npos)
      return format;
  }
  return Error{ErrorCode::kInvalid,
               fmt::format("{}:1: no trace that medley knows: expected a column TIMESTAMP (azure), "
                           "arrived_at (servegen), arrival_ns (vllm_workload) or arrived_s "
                           "(medley), or JSON objects (mooncake); got '{}'",
                           name, shown(first)),
               {}};
}

bool tells_prefixes(TraceFormat format, const std::vector<TraceRequest>& requests) {
  return (format == TraceFormat::kMooncake || format == TraceFormat::kMedley) &&
         std::any_of(requests.begin(), requests.end(),
                     [](const TraceRequest& request) { return request.prefix.count() > 0; });
}

std::string_view name_of(TraceFormat format) { return kNames[static_cast<std::size_t>(format)]; }

Result<std::vector<TraceRequest>> parse_trace(std::string text, const TraceSpec& stated) {
  TraceSpec spec = stated;
  if (!spec.format) {
    MEDLEY_TRY(spec.format, trace_format_of(text, spec.path));
  }
  Collector collector(spec);
  if (spec.format == TraceFormat::kMooncake) {
    MEDLEY_TRY_STATUS(read_json_lines(std::move(text), spec, collector));
  } else {
    MEDLEY_TRY(const CsvTable table, parse_csv(std::move(text), spec.path));
    MEDLEY_TRY_STATUS(spec.format == TraceFormat::kMedley ? read_own_format(table, collector)
                                                          : read_columns(table, spec, collector));
  }
  return collector.take();
}

Result<std::vector<TraceRequest>> read_trace(const TraceSpec& spec) {
  MEDLEY_TRY(std::string text, read_file_maybe_gzip(spec.path, kMaxTraceBytes));
  return parse_trace(std::move(text), spec);
}

}  // namespace medley::data
