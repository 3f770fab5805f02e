#include "data/workload_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <numeric>

#include "base/check.h"

namespace medley::data {
namespace {

constexpr long long kMaxRequests = 100'000'000;
constexpr long long kMaxTokens = 1 << 30;
constexpr long long kNoBound = std::numeric_limits<long long>::max();
constexpr double kLatest = 1e9;  // seconds, some 31 years
constexpr double kMostRate = 1e6;
constexpr Bounds kSwingSeconds{.min = 0.01, .max = kLongestSwing};
constexpr double kShortestPart = 0.01;  // of a shape, seconds
constexpr int kMostFiles = 8;           // that name one another by `from`
constexpr std::size_t kMostParts = 10'000;

const std::vector<std::string> kArrivals = {"poisson", "constant"};
const std::vector<std::string> kClasses = {"guaranteed", "standard", "flex", "batch"};

Result<std::vector<Node>> some_items(const Node& node) {
  MEDLEY_TRY(std::vector<Node> items, node.items());
  if (items.empty() || items.size() > kMostParts)
    return node.error(fmt::format("expected 1 to {} items", kMostParts));
  return items;
}

double required_seconds(Fields& fields, std::string_view key, const Bounds& bounds) {
  double seconds = 0;
  if (const auto node = fields.required(key))
    fields.take(seconds, node->seconds(bounds));
  return seconds;
}

// [[0, 3], [0.5, 120], [1, 4000]]
Result<Quantiles> read_quantiles(const Node& node, const Bounds& bounds) {
  MEDLEY_TRY(const std::vector<Node> items, some_items(node));
  Quantiles law;
  for (const Node& item : items) {
    MEDLEY_TRY(const std::vector<Node> pair, item.items());
    if (pair.size() != 2)
      return item.error("expected a pair: the share of values at or below, the value");
    MEDLEY_TRY(const double share, pair[0].number(kShare));
    MEDLEY_TRY(const double value, pair[1].number(bounds));
    if (!law.points.empty() && share <= law.points.back().first)
      return pair[0].error("expected ascending shares");
    if (!law.points.empty() && value < law.points.back().second)
      return pair[1].error("expected values that do not fall");
    law.points.emplace_back(share, value);
  }
  if (law.points.front().first != 0 || law.points.back().first != 1)
    return node.error("expected shares from 0 to 1");
  return law;
}

// `up_to` of the ranges of a list: ascending, and the last one without.
class Ranges {
 public:
  Result<long long> next(Fields& fields, bool last) {
    const std::optional<long long> up_to = fields.whole("up_to", Whole{1, kMaxTokens});
    if (last) {
      if (up_to)
        return fields.node().error("the last range has no up_to: it holds for all longer prompts");
      return kNoBound;
    }
    if (!up_to)
      return fields.node().error("missing key 'up_to'");
    if (*up_to <= before_)
      return fields.node().error("expected ranges with ascending up_to");
    before_ = *up_to;
    return *up_to;
  }

 private:
  long long before_ = 0;
};

Status read_shape(const Node& node, ArrivalLaw& law) {
  Fields fields(node);
  law.shape_every_s = required_seconds(fields, "every_s", {.min = kShortestPart, .max = kLatest});
  law.shape.clear();
  if (const auto list = fields.required("factors")) {
    const auto items = some_items(*list);
    if (!items.ok()) {
      fields.fail(items.error());
    } else {
      for (const Node& item : *items) {
        double factor = 0;
        fields.take(factor, item.number({.max = 1e6}));
        law.shape.push_back(factor);
      }
      const double mean = std::accumulate(law.shape.begin(), law.shape.end(), 0.0) /
                          static_cast<double>(law.shape.size());
      if (!fields.failed() && !(mean > 0))
        fields.fail(list->error("expected a factor above 0"));
      const double period_s = law.shape_every_s * static_cast<double>(law.shape.size());
      if (!fields.failed() && period_s > kLatest) {
        fields.fail(list->error(
            fmt::format("the shape lasts {:.3g} s, expected at most {:.0f}", period_s, kLatest)));
      }
      for (double& factor : law.shape)
        factor /= mean;
    }
  }
  return fields.finish();
}

Result<std::vector<RateSwing>> read_swings(const Node& node) {
  MEDLEY_TRY(const std::vector<Node> items, node.items());
  std::vector<RateSwing> swings;
  if (items.size() > 32)
    return node.error("expected at most 32 swings");
  for (const Node& item : items) {
    Fields fields(item);
    RateSwing swing;
    swing.every_s = required_seconds(fields, "every_s", kSwingSeconds);
    swing.cv = fields.required_number("cv", {.max = kMostSwingCv});
    MEDLEY_TRY_STATUS(fields.finish());
    swings.push_back(swing);
  }
  return swings;
}

Result<ArrivalLaw> read_arrivals(const Node& node, ArrivalLaw law) {
  if (!node.is_map()) {
    MEDLEY_TRY(const std::size_t kind, node.choice(kArrivals));
    law = ArrivalLaw();
    law.gap_cv = kind == 0 ? 1 : 0;
    return law;
  }
  Fields fields(node);
  law.gap_cv = fields.number("gap_cv", law.gap_cv, {.max = 20});
  if (const auto swings = fields.child("swings"))
    fields.take(law.swings, read_swings(*swings));
  if (const auto shape = fields.child("shape")) {
    Status status = read_shape(*shape, law);
    if (!status.ok())
      fields.fail(std::move(status).error());
  }
  law.tick_s = fields.seconds("tick_s", law.tick_s, {.max = 1e6});
  MEDLEY_TRY_STATUS(fields.finish());
  return law;
}

Result<PrefixLaw> read_prefix(const Node& node) {
  Fields fields(node);
  PrefixLaw law;
  law.common_tokens = fields.whole("common_tokens", 0, {0, kMaxTokens});
  if (const auto turns = fields.child("turns")) {
    const auto items = some_items(*turns);
    if (!items.ok())
      return items.error();
    Ranges ranges;
    for (const Node& item : *items) {
      Fields range_fields(item);
      TurnRange range;
      range_fields.take(range.up_to, ranges.next(range_fields, &item == &items->back()));
      range.share = range_fields.required_number("share", kShare);
      if (const auto part = range_fields.child("part")) {
        range_fields.take(range.part, read_quantiles(*part, kShare));
      } else if (range.share > 0) {
        range_fields.required("part");
      }
      MEDLEY_TRY_STATUS(range_fields.finish());
      law.turns.push_back(std::move(range));
    }
    if (const auto age = fields.required("age_s"))
      fields.take(law.age_s, read_quantiles(*age, {.max = kLatest}));
  } else {
    fields.ignore("age_s");
  }
  MEDLEY_TRY_STATUS(fields.finish());
  return law;
}

Result<WorkloadSpec> read_any(const Node& node, int depth);

Result<WorkloadSpec> read_path(const Node& node, int depth) {
  MEDLEY_TRY(const std::string path, node.text());
  if (depth >= kMostFiles)
    return node.error(fmt::format("more than {} workload files that name one another", kMostFiles));
  Result<Node> document = read_yaml(node.resolve(path));
  if (!document.ok()) {
    if (document.error().code == ErrorCode::kNotFound)
      return node.error(document.error().message, ErrorCode::kNotFound);
    return std::move(document).error();
  }
  return read_any(*document, depth + 1);
}

Result<WorkloadStream> read_stream(const Node& node, int depth) {
  Fields fields(node);
  WorkloadStream stream;
  const auto from = fields.child("from");
  if (from) {
    MEDLEY_TRY(WorkloadSpec base, read_path(*from, depth));
    if (base.streams.size() != 1) {
      return from->error(
          "holds several workloads; name the whole file in place of a workload, or one of its "
          "workloads in a file of its own");
    }
    stream = std::move(base.streams.front());
  }
  const std::optional<long long> requests = fields.whole("requests", Whole{1, kMaxRequests});
  const std::optional<double> for_s =
      fields.seconds("for", Bounds{.max = kLatest, .above_min = true});
  if (requests || for_s) {  // a new limit, or both, replaces those of `from`
    stream.requests = requests;
    stream.for_s = for_s;
  }
  if (!stream.requests && !stream.for_s && !fields.failed())
    fields.fail(node.error("missing key 'requests' or 'for': how many, or for how long"));
  stream.start_s = fields.seconds("start_s", stream.start_s, {.max = kLatest});
  const Bounds rate{.max = kMostRate, .above_min = true};
  stream.rate_per_s = from ? fields.number("rate_per_s", stream.rate_per_s, rate)
                           : fields.required_number("rate_per_s", rate);
  stream.rate_per_s *= fields.number("scale", 1, rate);
  if (const auto arrivals = fields.child("arrivals"))
    fields.take(stream.arrivals, read_arrivals(*arrivals, stream.arrivals));
  const auto lengths = [&](const char* key) {
    return from ? fields.child(key) : fields.required(key);
  };
  if (const auto law = lengths("prompt_tokens"))
    fields.take(stream.prompt_tokens, read_lengths(*law));
  if (const auto law = lengths("output_tokens"))
    fields.take(stream.output_tokens, read_outputs(*law));
  if (const auto prefix = fields.child("prefix"))
    fields.take(stream.prefix, read_prefix(*prefix));
  if (const auto service_class = fields.choice("class", kClasses))
    stream.service_class = kServiceClasses[*service_class];
  stream.label = fields.text("label", stream.label);
  stream.model = fields.text("model", stream.model);
  stream.tenant = fields.text("tenant", stream.tenant);
  stream.priority =
      fields.whole("priority", stream.priority, {.min = std::numeric_limits<long long>::min()});
  MEDLEY_TRY_STATUS(fields.finish());

  if (const Status whole = within_bounds(stream); !whole.ok()) {
    return node.find(whole.error().param).value_or(node).error(whole.error().message);
  }
  return stream;
}

Result<WorkloadSpec> read_any(const Node& node, int depth) {
  WorkloadSpec spec;
  if (node.is_scalar())
    return read_path(node, depth);
  if (!node.is_list()) {
    MEDLEY_TRY(WorkloadStream stream, read_stream(node, depth));
    spec.streams.push_back(std::move(stream));
    return spec;
  }
  MEDLEY_TRY(const std::vector<Node> items, some_items(node));
  for (const Node& item : items) {
    MEDLEY_TRY(WorkloadSpec part,
               item.is_scalar() ? read_path(item, depth) : read_any(item, depth + 1));
    std::move(part.streams.begin(), part.streams.end(), std::back_inserter(spec.streams));
    if (spec.streams.size() > kMostParts || depth >= kMostFiles)
      return item.error("too many workloads");
  }
  return spec;
}

std::string yaml_of(const Quantiles& law) {
  std::string out = "[";
  for (const auto& [share, value] : law.points)
    out += fmt::format("{}[{:.6g}, {:.6g}]", out.size() > 1 ? ", " : "", share, value);
  return out + "]";
}

std::string yaml_of(const LengthLaw& law) {
  if (!law.quantiles.empty()) {
    // One length only, as ranges of prompts often have.
    if (law.quantiles.points.front().second == law.quantiles.points.back().second)
      return fmt::format("{:.0f}", law.quantiles.points.front().second);
    return fmt::format("{{quantiles: {}}}", yaml_of(law.quantiles));
  }
  if (law.sigma == 0)
    return fmt::format("{:.0f}",
                       std::clamp(std::round(law.median), 1.0, static_cast<double>(law.max)));
  return fmt::format("{{median: {:.6g}, sigma: {:.6g}, max: {}}}", law.median, law.sigma, law.max);
}

std::string bound(long long up_to) {
  return up_to == kNoBound ? "" : fmt::format("up_to: {}, ", up_to);
}

}  // namespace

Result<LengthLaw> read_lengths(const Node& node) {
  LengthLaw law;
  if (!node.is_map()) {
    MEDLEY_TRY(const long long length, node.whole({1, kMaxTokens}));
    law.median = static_cast<double>(length);
    law.max = length;
    return law;
  }
  Fields fields(node);
  if (const auto quantiles = fields.child("quantiles")) {
    fields.take(law.quantiles, read_quantiles(*quantiles, {.min = 1, .max = kMaxTokens}));
    law.max = kMaxTokens;
  } else {
    law.median = fields.required_number("median", {.min = 1, .max = kMaxTokens});
    law.sigma = fields.number("sigma", 0, {.max = 5});
  }
  law.max = fields.whole("max", law.max, {1, kMaxTokens});
  if (law.quantiles.empty() && law.median > static_cast<double>(law.max)) {
    if (const auto most = fields.child("max"))
      fields.fail(most->error(fmt::format(
          "half of all lengths are above the median of {:g}: expected a max of at least that",
          law.median)));
  }
  MEDLEY_TRY_STATUS(fields.finish());
  return law;
}

Result<std::vector<OutputRange>> read_outputs(const Node& node) {
  const auto list = node.find("by_prompt");
  if (!list) {
    MEDLEY_TRY(LengthLaw law, read_lengths(node));
    return std::vector<OutputRange>{{kNoBound, std::move(law)}};
  }
  Fields outer(node);
  outer.ignore("by_prompt");
  MEDLEY_TRY_STATUS(outer.finish());
  MEDLEY_TRY(const std::vector<Node> items, some_items(*list));
  std::vector<OutputRange> outputs;
  Ranges ranges;
  for (const Node& item : items) {
    Fields fields(item);
    OutputRange range;
    fields.take(range.up_to, ranges.next(fields, &item == &items.back()));
    if (const auto tokens = fields.required("tokens"))
      fields.take(range.tokens, read_lengths(*tokens));
    MEDLEY_TRY_STATUS(fields.finish());
    outputs.push_back(std::move(range));
  }
  return outputs;
}

std::string to_yaml(const LengthLaw& law) { return yaml_of(law); }

std::string to_yaml(const std::vector<OutputRange>& outputs) {
  if (outputs.size() == 1)
    return yaml_of(outputs.front().tokens);
  std::string out;
  for (const OutputRange& range : outputs) {
    out += fmt::format("{}{{{}tokens: {}}}", out.empty() ? "" : ", ", bound(range.up_to),
                       yaml_of(range.tokens));
  }
  return fmt::format("{{by_prompt: [{}]}}", out);
}

Status within_bounds(const WorkloadStream& stream) {
  const auto wrong = [](const char* key, std::string message) {
    return Error{ErrorCode::kInvalid, std::move(message), key};
  };
  const ArrivalLaw& arrivals = stream.arrivals;
  if (stream.rate_per_s > kMostRate)
    return wrong("rate_per_s", "expected at most a million requests a second, `scale` included");
  if (stream.requests && *stream.requests > kMaxRequests) {
    return wrong("requests",
                 fmt::format("{} requests; expected at most {}", *stream.requests, kMaxRequests));
  }
  if (stream.for_s && *stream.for_s > kLatest) {
    return wrong("for", fmt::format("{:.3g} s; expected at most {:.0f}", *stream.for_s, kLatest));
  }
  if (!stream.requests && stream.for_s && *stream.for_s * stream.rate_per_s > kMaxRequests) {
    return wrong("for", fmt::format("some {:.3g} requests; expected at most {}",
                                    *stream.for_s * stream.rate_per_s, kMaxRequests));
  }
  if (stream.requests && !stream.for_s) {
    const double span_s = static_cast<double>(*stream.requests) / stream.rate_per_s;
    if (span_s > kLatest) {
      return wrong("rate_per_s",
                   fmt::format("{} requests at {} a second take {:.2g} s, expected at most {:.0f}",
                               *stream.requests, stream.rate_per_s, span_s, kLatest));
    }
  }
  double variance = 0;  // of the swings' product
  for (const RateSwing& swing : arrivals.swings) {
    variance = (1 + variance) * (1 + swing.cv * swing.cv) - 1;
    // A generator walks from swing to swing: a bound on how many lie between two requests.
    if (swing.every_s * stream.rate_per_s < 1e-3)
      return wrong("arrivals", "swings: every_s is below a thousandth of the mean gap");
  }
  // Beyond that the rate is next to nothing nearly always.
  if (variance > kMostSwingCv * kMostSwingCv) {
    return wrong("arrivals",
                 fmt::format("swings: expected at most a cv of {} of all together, got {:.3g}",
                             kMostSwingCv, std::sqrt(variance)));
  }
  if (!arrivals.shape.empty() && (arrivals.shape_every_s < kShortestPart ||
                                  arrivals.shape_every_s * stream.rate_per_s < 1e-3)) {
    return wrong("arrivals",
                 fmt::format("shape: every_s is below a thousandth of the mean gap, or {} s",
                             kShortestPart));
  }
  return Done{};
}

double Quantiles::at(double share) const {
  MEDLEY_CHECK(!points.empty());
  auto high = std::lower_bound(points.begin(), points.end(), share,
                               [](const auto& point, double s) { return point.first < s; });
  if (high == points.begin())
    return high->second;
  if (high == points.end())
    return points.back().second;
  const auto low = std::prev(high);
  return low->second +
         (high->second - low->second) * (share - low->first) / (high->first - low->first);
}

Result<WorkloadSpec> read_workload(const Node& node) { return read_any(node, 0); }

Result<WorkloadSpec> read_workload_file(const std::string& path) {
  MEDLEY_TRY(const Node node, read_yaml(path));
  return read_any(node, 0);
}

Result<WorkloadSpec> parse_workload(std::string_view text, const std::string& name) {
  MEDLEY_TRY(const Node node, parse_yaml(text, name));
  return read_any(node, 0);
}

std::string to_yaml(const WorkloadStream& stream) {
  std::string out;
  const auto add = [&out](std::string_view form, const auto&... values) {
    out += fmt::format(fmt::runtime(form), values...);
    out += '\n';
  };
  if (stream.requests)
    add("requests: {}", *stream.requests);
  if (stream.for_s)
    add("for: {:.9g}", *stream.for_s);
  if (stream.start_s > 0)
    add("start_s: {:.9g}", stream.start_s);
  add("rate_per_s: {:.6g}", stream.rate_per_s);
  if (stream.service_class)
    add("class: {}", name_of(*stream.service_class));
  const ArrivalLaw& arrivals = stream.arrivals;
  add("arrivals:\n  gap_cv: {:.6g}", arrivals.gap_cv);
  if (!arrivals.swings.empty()) {
    add("  swings:");
    for (const RateSwing& swing : arrivals.swings)
      add("    - {{every_s: {:.6g}, cv: {:.6g}}}", swing.every_s, swing.cv);
  }
  if (!arrivals.shape.empty()) {
    std::string factors;
    for (const double factor : arrivals.shape)
      factors += fmt::format("{}{:.6g}", factors.empty() ? "" : ", ", factor);
    add("  shape: {{every_s: {:.9g}, factors: [{}]}}", arrivals.shape_every_s, factors);
  }
  if (arrivals.tick_s > 0)
    add("  tick_s: {:.6g}", arrivals.tick_s);
  add("prompt_tokens: {}", yaml_of(stream.prompt_tokens));
  if (stream.output_tokens.size() == 1) {
    add("output_tokens: {}", yaml_of(stream.output_tokens.front().tokens));
  } else {
    add("output_tokens:\n  by_prompt:");
    for (const OutputRange& range : stream.output_tokens)
      add("    - {{{}tokens: {}}}", bound(range.up_to), yaml_of(range.tokens));
  }
  if (stream.prefix) {
    add("prefix:\n  common_tokens: {}", stream.prefix->common_tokens);
    if (!stream.prefix->turns.empty()) {
      add("  turns:");
      for (const TurnRange& range : stream.prefix->turns) {
        const std::string part =
            range.part.empty() ? "" : fmt::format(", part: {}", yaml_of(range.part));
        add("    - {{{}share: {:.6g}{}}}", bound(range.up_to), range.share, part);
      }
      add("  age_s: {}", yaml_of(stream.prefix->age_s));
    }
  }
  return out;
}

}  // namespace medley::data
