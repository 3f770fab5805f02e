#include "data/usage_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <cmath>

#include "data/file.h"
#include "data/json.h"
#include "data/json_fields.h"
#include "domain/service_class.h"

namespace medley::data {
namespace {

namespace json = boost::json;

constexpr int kSchema = 1;
constexpr std::size_t kMaxBytes = std::size_t{1} << 30;  // some years of lines
constexpr double kMostCount = 1e15, kMostSum = 1e18;

// The longest length of each range: 2^(i/4), rounded up.
const std::vector<long long>& edges() {
  static const std::vector<long long> all = [] {
    std::vector<long long> made;
    for (int i = 0; i <= 4 * 24; ++i) {
      const auto edge = static_cast<long long>(std::ceil(std::exp2(i / 4.0) - 1e-9));
      if (made.empty() || edge > made.back())
        made.push_back(edge);
    }
    return made;
  }();
  return all;
}

json::value or_null(const std::optional<double>& value) {
  return value ? json::value(*value) : json::value();
}

json::object to_json(const LengthCounts& lengths) {
  json::object up_to;
  for (const auto& [edge, count] : lengths.up_to)
    up_to[std::to_string(edge)] = count;
  return {{"sum", lengths.sum}, {"up_to", std::move(up_to)}};
}

// Reads the members of one object; remembers the first error.
class Members {
 public:
  explicit Members(const JsonField& field) : field_(field) {}

  template <typename T, typename Get>
  void take(std::string_view name, T& target, const Get& get) {
    if (!status_.ok())
      return;
    const auto member = field_.member(name);
    if (!member.ok()) {
      status_ = member.error();
      return;
    }
    auto got = get(*member);
    if (got.ok())
      target = static_cast<T>(*std::move(got));
    else
      status_ = std::move(got).error();
  }
  void count(std::string_view name, long long& target, double most = kMostCount) {
    take(name, target,
         [&](const JsonField& of) { return of.whole(0, static_cast<std::int64_t>(most)); });
  }
  void number(std::string_view name, double& target, double most = kMostSum) {
    take(name, target, [&](const JsonField& of) { return of.number(0, most); });
  }
  void maybe(std::string_view name, std::optional<double>& target) {
    take(name, target, [](const JsonField& of) -> Result<std::optional<double>> {
      if (of.is_null())
        return std::optional<double>();
      MEDLEY_TRY(const double value, of.number(0, kMostSum));
      return std::optional(value);
    });
  }
  void text(std::string_view name, std::string& target) {
    take(name, target, [](const JsonField& of) { return of.text(); });
  }
  Status status() const { return status_; }

 private:
  const JsonField& field_;
  Status status_ = Done{};
};

Result<LengthCounts> lengths_of(const JsonField& field) {
  LengthCounts lengths;
  Members members(field);
  members.number("sum", lengths.sum);
  MEDLEY_TRY_STATUS(members.status());
  MEDLEY_TRY(const JsonField up_to, field.member("up_to"));
  MEDLEY_TRY(const auto entries, up_to.members());
  for (const auto& [key, count] : entries) {
    long long edge = 0;
    const auto [end, failure] = std::from_chars(key.data(), key.data() + key.size(), edge);
    if (failure != std::errc() || end != key.data() + key.size() ||
        !std::binary_search(edges().begin(), edges().end(), edge)) {
      return count.wrong("a length as key, one that `medley serve --usage` writes");
    }
    MEDLEY_TRY(lengths.up_to[edge], count.whole(1, static_cast<std::int64_t>(kMostCount)));
  }
  return lengths;
}

Result<UsageKind> kind_of(const JsonField& field) {
  UsageKind kind;
  Members members(field);
  members.take("class", kind.service_class, [](const JsonField& of) -> Result<std::string> {
    MEDLEY_TRY(std::string name, of.text());
    if (!service_class_named(name))
      return of.wrong("guaranteed, standard, flex or batch");
    return name;
  });
  members.text("label", kind.label);
  members.text("model", kind.model);
  members.count("arrived", kind.arrived);
  members.count("completed", kind.completed);
  members.count("kept", kind.kept);
  members.count("rejected", kind.rejected);
  members.count("failed", kind.failed);
  members.count("cancelled", kind.cancelled);
  members.count("own_targets", kind.own_targets);
  members.take("prompt_tokens", kind.prompt_tokens, lengths_of);
  members.take("output_tokens", kind.output_tokens, lengths_of);
  members.number("gaps", kind.gaps);
  members.number("gap_sum_s", kind.gap_sum_s);
  members.number("gap_sum_s2", kind.gap_sum_s2);
  MEDLEY_TRY_STATUS(members.status());
  if (kind.kept > kind.completed) {
    MEDLEY_TRY(const JsonField kept, field.member("kept"));
    return kept.wrong("at most `completed`");
  }
  return kind;
}

Result<UsagePool> pool_of(const JsonField& field) {
  UsagePool pool;
  Members members(field);
  members.text("pool", pool.name);
  members.text("device", pool.device);
  members.text("model", pool.model);
  const auto replicas = [](const JsonField& of) { return of.whole(0, 1'000'000); };
  members.take("replicas", pool.replicas, replicas);
  members.take("up", pool.up, replicas);
  members.count("completed", pool.completed);
  members.maybe("joules", pool.joules);
  members.maybe("money", pool.money);
  members.maybe("ttft_ratio", pool.ttft_ratio);
  members.maybe("tpot_ratio", pool.tpot_ratio);
  MEDLEY_TRY_STATUS(members.status());
  return pool;
}

Result<UsageSpan> span_of(const JsonField& field) {
  UsageSpan span;
  Members members(field);
  long long schema = 0;
  members.take("schema", schema, [](const JsonField& of) -> Result<std::int64_t> {
    MEDLEY_TRY(const std::int64_t value, of.whole(0, 1'000'000));
    if (value != kSchema)
      return of.wrong("1, what this version of medley reads");
    return value;
  });
  members.count("from_unix_s", span.from_unix_s);
  members.take("hour", span.hour, [](const JsonField& of) { return of.whole(0, 23); });
  members.number("seconds", span.seconds, 86400);
  MEDLEY_TRY_STATUS(members.status());
  MEDLEY_TRY(const JsonField kinds, field.member("kinds"));
  MEDLEY_TRY(const std::vector<JsonField> kind_items, kinds.items());
  for (const JsonField& item : kind_items) {
    MEDLEY_TRY(UsageKind kind, kind_of(item));
    span.kinds.push_back(std::move(kind));
  }
  MEDLEY_TRY(const JsonField pools, field.member("pools"));
  MEDLEY_TRY(const std::vector<JsonField> pool_items, pools.items());
  for (const JsonField& item : pool_items) {
    MEDLEY_TRY(UsagePool pool, pool_of(item));
    span.pools.push_back(std::move(pool));
  }
  return span;
}

}  // namespace

long long LengthCounts::count() const {
  long long all = 0;
  for (const auto& [edge, count] : up_to)
    all += count;
  return all;
}

void LengthCounts::add(long long tokens) {
  const auto edge = std::lower_bound(edges().begin(), edges().end(), tokens);
  ++up_to[edge == edges().end() ? edges().back() : *edge];
  sum += static_cast<double>(tokens);
}

void LengthCounts::add(const LengthCounts& more) {
  for (const auto& [edge, count] : more.up_to)
    up_to[edge] += count;
  sum += more.sum;
}

LengthLaw LengthCounts::law() const {
  LengthLaw law;
  const double all = static_cast<double>(count());
  double before = 0;
  for (const auto& [edge, count] : up_to) {
    const auto place = std::lower_bound(edges().begin(), edges().end(), edge);
    const double shortest =
        place == edges().begin() ? 1 : static_cast<double>(*std::prev(place)) + 1;
    // Where ranges between are empty the law steps over them.
    law.quantiles.points.emplace_back(before, shortest);
    before = std::min(1.0, before + static_cast<double>(count) / all);
    law.quantiles.points.emplace_back(before, static_cast<double>(edge));
  }
  law.quantiles.points.back().first = 1;
  law.max = up_to.rbegin()->first;
  return law;
}

void UsageKind::add(const UsageKind& more) {
  arrived += more.arrived;
  completed += more.completed;
  kept += more.kept;
  rejected += more.rejected;
  failed += more.failed;
  cancelled += more.cancelled;
  own_targets += more.own_targets;
  prompt_tokens.add(more.prompt_tokens);
  output_tokens.add(more.output_tokens);
  gaps += more.gaps;
  gap_sum_s += more.gap_sum_s;
  gap_sum_s2 += more.gap_sum_s2;
}

std::string usage_line(const UsageSpan& span) {
  json::array kinds, pools;
  for (const UsageKind& kind : span.kinds) {
    kinds.push_back(json::object{{"class", kind.service_class},
                                 {"label", kind.label},
                                 {"model", kind.model},
                                 {"arrived", kind.arrived},
                                 {"completed", kind.completed},
                                 {"kept", kind.kept},
                                 {"rejected", kind.rejected},
                                 {"failed", kind.failed},
                                 {"cancelled", kind.cancelled},
                                 {"own_targets", kind.own_targets},
                                 {"prompt_tokens", to_json(kind.prompt_tokens)},
                                 {"output_tokens", to_json(kind.output_tokens)},
                                 {"gaps", kind.gaps},
                                 {"gap_sum_s", kind.gap_sum_s},
                                 {"gap_sum_s2", kind.gap_sum_s2}});
  }
  for (const UsagePool& pool : span.pools) {
    pools.push_back(json::object{{"pool", pool.name},
                                 {"device", pool.device},
                                 {"model", pool.model},
                                 {"replicas", pool.replicas},
                                 {"up", pool.up},
                                 {"completed", pool.completed},
                                 {"joules", or_null(pool.joules)},
                                 {"money", or_null(pool.money)},
                                 {"ttft_ratio", or_null(pool.ttft_ratio)},
                                 {"tpot_ratio", or_null(pool.tpot_ratio)}});
  }
  return json_text(json::object{{"schema", kSchema},
                                {"from_unix_s", span.from_unix_s},
                                {"hour", span.hour},
                                {"seconds", span.seconds},
                                {"kinds", std::move(kinds)},
                                {"pools", std::move(pools)}});
}

Result<std::vector<UsageSpan>> parse_usage(std::string_view text, const std::string& name) {
  std::vector<UsageSpan> spans;
  int line = 0;
  while (!text.empty()) {
    ++line;
    const std::size_t end = text.find('\n');
    const bool cut_off = end == std::string_view::npos;
    const std::string_view one = text.substr(0, end);
    text.remove_prefix(cut_off ? text.size() : end + 1);
    if (one.find_first_not_of(" \t\r") == std::string_view::npos)
      continue;
    json::error_code failure;
    const json::value value = json::parse({one.data(), one.size()}, failure);
    if (failure && cut_off && !spans.empty())
      break;
    const std::string where = fmt::format("{}:{}", name, line);
    if (failure) {
      return Error{ErrorCode::kInvalid,
                   fmt::format("{}: expected a line that `medley serve --usage` wrote, but it is "
                               "not JSON: {}",
                               where, failure.message()),
                   {}};
    }
    MEDLEY_TRY(UsageSpan span, span_of(JsonField(value, where)));
    spans.push_back(std::move(span));
  }
  if (spans.empty()) {
    return Error{ErrorCode::kInvalid,
                 fmt::format("{}: nothing is recorded in it: expected lines that `medley serve "
                             "--usage` wrote",
                             name),
                 {}};
  }
  return spans;
}

Result<std::vector<UsageSpan>> read_usage(const std::string& path) {
  MEDLEY_TRY(const std::string text, read_file(path, kMaxBytes));
  return parse_usage(text, path);
}

}  // namespace medley::data
