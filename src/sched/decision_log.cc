#include "sched/decision_log.h"

#include <fmt/format.h>

namespace medley::sched {
namespace {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

// ,"name":value for a figure that is there.
template <typename T>
std::string field(std::string_view name, const std::optional<T>& value) {
  return value ? fmt::format(",\"{}\":{}", name, *value) : "";
}

std::string seconds_field(std::string_view name, const std::optional<Duration>& value) {
  return value ? fmt::format(",\"{}\":{}", name, to_seconds(*value).value()) : "";
}

}  // namespace

std::string log_header(const Fleet& fleet, std::string_view driver) {
  std::string pools;
  for (const Pool& pool : fleet.pools) {
    if (!pools.empty())
      pools += ',';
    pools += fmt::format(
        R"({{"name":{},"device":{},"model":{},"zone":{},"engine":"{}","emulated":{},"priced_by":"{}"}})",
        quoted(pool.name), quoted(pool.device), quoted(pool.model.id), quoted(pool.zone),
        name_of(pool.engine.type), pool.emulated(),
        pool.metered                                 ? "token"
        : !pool.table && pool.statically_scheduled() ? "lane_s"
                                                     : "replica_s");
  }
  return fmt::format(
      R"({{"type":"header","schema":1,"driver":"{}","placement":"{}","currency":{},"pools":[{}]}})",
      driver, name_of(fleet.placement), quoted(fleet.site.currency), pools);
}

std::string log_line(const Explanation& explanation, const Fleet& fleet) {
  const Request& request = explanation.request;
  static constexpr std::string_view kOutcomes[] = {"dispatched", "queued", "rejected", "preempted"};
  std::string line = fmt::format(
      R"({{"type":"decision","request":"{}","at_s":{},"outcome":"{}","class":"{}","label":{},"model":{},"prompt_tokens":{})",
      name_of(request.id), to_seconds(explanation.at).value(),
      kOutcomes[static_cast<std::size_t>(explanation.outcome)], name_of(request.service_class),
      quoted(fleet.labels.at(request.label.number()).name),
      quoted(fleet.offers.at(request.model.number()).name), request.prompt_tokens.count());
  line += fmt::format(",\"arrived_s\":{}", to_seconds(request.arrived_at).value());
  if (fleet.tenants.size() > 1)
    line += fmt::format(",\"tenant\":{}", quoted(fleet.tenants.at(request.tenant.number()).name));
  if (request.priority != 0)
    line += fmt::format(",\"priority\":{}", request.priority);
  line += seconds_field("ttft_target_s", request.targets.ttft);
  line += seconds_field("tpot_target_s", request.targets.tpot);
  line += seconds_field("deadline_s", request.targets.deadline);
  if (explanation.chosen)
    line += fmt::format(",\"replica\":{}", explanation.chosen->number());
  if (explanation.reason)
    line += fmt::format(",\"reason\":\"{}\"", name_of(*explanation.reason));
  if (explanation.priced)
    line += fmt::format(",\"priced\":{}", *explanation.priced);
  if (explanation.behind != Ahead::kNothing)
    line += fmt::format(",\"behind\":\"{}\"", name_of(explanation.behind));
  if (explanation.left_free_s > 0)
    line += fmt::format(",\"left_free_s\":{}", explanation.left_free_s);
  line += ",\"candidates\":[";
  bool first = true;
  for (const Candidate& candidate : explanation.candidates) {
    if (!first)
      line += ',';
    first = false;
    line += fmt::format("{{\"pool\":{}", quoted(fleet.pool(candidate.pool).name));
    if (candidate.forbidden != Forbidden::kNo) {
      line += fmt::format(",\"forbidden\":\"{}\"", name_of(candidate.forbidden));
    }
    if (candidate.replica)
      line += fmt::format(",\"replica\":{}", candidate.replica->number());
    line += field("ttft_s", candidate.ttft_s) + field("tpot_s", candidate.tpot_s) +
            field("probability", candidate.probability) + field("money", candidate.money) +
            field("joules", candidate.joules) + field("cached_tokens", candidate.cached_tokens) +
            field("score", candidate.score) +
            field("ttft_probability", candidate.ttft_probability) +
            field("tpot_probability", candidate.tpot_probability) +
            field("worth", candidate.worth) + field("residents", candidate.residents) +
            field("later", candidate.later) + field("toll", candidate.toll) +
            field("power", candidate.power) + (candidate.tried ? ",\"tried\":true" : "") +
            field("unit_price", candidate.unit_price) + field("full_price", candidate.full_price) +
            field("lacks", candidate.lacks) + field("wins_at_ttft_s", candidate.wins_at_ttft_s) +
            field("wins_at_tpot_s", candidate.wins_at_tpot_s) +
            field("wins_at_unit_price", candidate.wins_at_unit_price) +
            field("wins_at_power", candidate.wins_at_power) + "}";
  }
  return line + "]}";
}

std::string log_line(const LoggedResult& result) {
  return fmt::format(R"({{"type":"result","request":"{}","outcome":"{}"{}{}{}{}{}{}{}}})",
                     name_of(result.request), result.outcome, field("ttft_s", result.ttft_s),
                     field("tpot_s", result.tpot_s), field("e2e_s", result.e2e_s),
                     field("output_tokens", result.output_tokens), field("joules", result.joules),
                     field("money", result.money), field("handed_over", result.handed_over));
}

}  // namespace medley::sched
