#include "cli/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <fstream>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "cli/table.h"
#include "domain/ids.h"

namespace medley::cli {
namespace {

namespace json = boost::json;

constexpr int kAnswered = 0, kUnusable = 2, kNotFound = 4;

struct Story {
  json::object header;
  std::vector<json::object> decisions;
  std::optional<json::object> result;
};

std::string text_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? printable(std::string(value->as_string())) : "";
}

std::optional<double> number_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || !value->is_number())
    return std::nullopt;
  return value->to_number<double>();
}

std::string milliseconds(std::optional<double> seconds) {
  if (!seconds)
    return "";
  return *seconds < 10 ? fmt::format("{:.1f} ms", *seconds * 1000)
                       : fmt::format("{:.2f} s", *seconds);
}

std::string figure(std::optional<double> value, std::string_view format) {
  return value ? fmt::format(fmt::runtime(format), *value) : "";
}

// What each verdict of the log means to a person.
std::string reason_text(const std::string& reason) {
  static const std::map<std::string, std::string> kTexts = {
      {"model", "does not serve this model to this class"},
      {"zone", "the label may not be processed in its zone"},
      {"context", "prompt or answer do not fit its context or quota"},
      {"lost", "no live replica"},
      {"quota", "its quota is spent"},
      {"full", "no room: sequences or KV cache taken, or kept for dearer work"},
      {"in_the_way",
       "prompts wait there already for longer than dearer work could wait behind them"},
      {"dearer", "others would lose more by it than it is worth"},
      {"not_asked", "not weighed this time"},
      {"costly", "costs more than it offers so far, and busy hardware may come free"},
      {"slow", "its targets would be missed"},
      {"no_lawful_pool", "no pool may have it: model, class and label leave none"},
      {"too_long", "its prompt fits no lawful pool's context or quota"},
      {"no_replica", "every lawful replica is lost or failed it"},
      {"saturated", "its targets cannot be kept now and the backlog could only break them later"},
      {"timed_out", "it waited until its targets were out of reach"},
  };
  const auto found = kTexts.find(reason);
  return found == kTexts.end() ? reason : found->second;
}

const json::object* pool_facts(const Story& story, const std::string& name) {
  const json::value* pools = story.header.if_contains("pools");
  if (pools == nullptr || !pools->is_array())
    return nullptr;
  for (const json::value& pool : pools->as_array()) {
    if (pool.is_object() && text_of(pool.as_object(), "name") == name)
      return &pool.as_object();
  }
  return nullptr;
}

std::string place_text(const Story& story, const std::string& pool) {
  const json::object* facts = pool_facts(story, pool);
  if (facts == nullptr)
    return pool;
  const json::value* emulated = facts->if_contains("emulated");
  const bool is_emulated = emulated != nullptr && emulated->is_bool() && emulated->as_bool();
  const bool simulated = text_of(story.header, "driver") == "simulate";
  return fmt::format("{} ({}, {}{})", pool, text_of(*facts, "device"), text_of(*facts, "zone"),
                     simulated     ? ", simulated"
                     : is_emulated ? ", emulated"
                                   : ", real");
}

const json::array& candidates_of(const json::object& decision) {
  static const json::array kNone;
  const json::value* candidates = decision.if_contains("candidates");
  return candidates != nullptr && candidates->is_array() ? candidates->as_array() : kNone;
}

bool is_chosen(const json::object& decision, const json::object& candidate) {
  const json::value* replica = decision.if_contains("replica");
  const json::value* here = candidate.if_contains("replica");
  return replica != nullptr && here != nullptr && *here == *replica;
}

// "a second of its prompt lane", for prices.
std::string unit_text(const Story& story, const std::string& pool) {
  const json::object* facts = pool_facts(story, pool);
  const std::string unit = facts == nullptr ? "" : text_of(*facts, "priced_by");
  return unit == "token"    ? "a token"
         : unit == "lane_s" ? "a second of its prompt lane"
                            : "a second of a replica";
}

// What the scores were made of; empty where the policy has no such parts.
void print_terms(const Story& story, const json::object& decision, std::FILE* out) {
  const json::value* priced = decision.if_contains("priced");
  const bool has_prices = priced != nullptr && priced->is_bool() && priced->as_bool();
  const Align right = Align::kRight;
  std::vector<Column> columns = {{"score of"},           {"worth", right},   {"- money", right},
                                 {"- residents", right}, {"- later", right}, {"- toll", right},
                                 {"= score", right}};
  if (has_prices) {
    columns.push_back({"toll if full", right});
    columns.push_back({"price"});
  }
  Table table(std::move(columns));
  for (const json::value& value : candidates_of(decision)) {
    if (!value.is_object() || !number_of(value.as_object(), "worth"))
      continue;
    const json::object& candidate = value.as_object();
    const std::string pool = text_of(candidate, "pool");
    std::vector<std::string> row = {pool};
    for (const char* key : {"worth", "money", "residents", "later", "toll", "score"})
      row.push_back(figure(number_of(candidate, key), "{:.4g}"));
    if (has_prices) {
      row.push_back(figure(number_of(candidate, "full_price"), "{:.4g}"));
      const std::optional<double> price = number_of(candidate, "unit_price");
      const std::optional<double> power = number_of(candidate, "power");
      std::string scarce =
          price && *price > 0 ? fmt::format("{:.3g} {}", *price, unit_text(story, pool)) : "";
      if (power)
        scarce += fmt::format("{}{:.3g} of the toll for power", scarce.empty() ? "" : "; ", *power);
      row.push_back(scarce.empty() ? "nothing is scarce" : std::move(scarce));
    }
    table.add_row(std::move(row));
  }
  if (table.rows() == 0)
    return;
  fmt::print(out, "\n{}", table.text());
  for (const json::value& value : candidates_of(decision)) {
    const json::value* tried = value.is_object() ? value.as_object().if_contains("tried") : nullptr;
    if (tried != nullptr && tried->is_bool() && tried->as_bool()) {
      fmt::print(
          out, "{} is idle and not known yet: tried, as if what it is likely to keep were sure.\n",
          text_of(value.as_object(), "pool"));
    }
  }
  if (priced != nullptr && !has_prices)
    fmt::print(out, "There were no prices at that moment: the rest of the score decided.\n");
}

// The one that came second, or nearest where none was chosen, and what would have changed that.
void print_runner_up(const Story& story, const json::object& decision, std::FILE* out) {
  const json::object* best = nullptr;
  bool any_chosen = false;
  const auto rank = [](const json::object& candidate) {
    return std::tuple(text_of(candidate, "forbidden").empty(),
                      number_of(candidate, "probability").value_or(0) >= 0.5,
                      -number_of(candidate, "lacks").value_or(0));
  };
  for (const json::value& value : candidates_of(decision)) {
    if (!value.is_object())
      continue;
    const json::object& candidate = value.as_object();
    if (is_chosen(decision, candidate))
      any_chosen = true;
    else if (number_of(candidate, "lacks") && (best == nullptr || rank(candidate) > rank(*best)))
      best = &candidate;
  }
  if (best == nullptr)
    return;
  const std::string pool = text_of(*best, "pool");
  const std::string why_not = text_of(*best, "forbidden");
  const double lacks = number_of(*best, "lacks").value_or(0);
  const double probability = number_of(*best, "probability").value_or(0);
  std::string text =
      any_chosen ? fmt::format("Runner-up: {}", pool) : fmt::format("Nearest to it came {}", pool);
  if (probability < 0.5)
    text += fmt::format(", where its targets were lost (P {:.3f})", probability);
  if (any_chosen && lacks > 0)
    text += fmt::format(", {:.3g} less", lacks);
  else if (why_not == "dearer" && lacks > 0)
    text += fmt::format(", where others would lose {:.3g} more than it was worth", lacks);
  else if (why_not == "costly" && lacks > 0)
    text += fmt::format(", where it would cost {:.3g} more than it was worth", lacks);
  else if (why_not == "costly") {
    fmt::print(out, "{}, where it is worth its cost but offers only a part of that so far.\n",
               text);
    return;
  }
  std::vector<std::string> ways;
  const auto way = [&](const char* key, const std::string& name) {
    if (const std::optional<double> target = number_of(*best, key))
      ways.push_back(fmt::format("a {} target of {}", name, milliseconds(target)));
  };
  way("wins_at_ttft_s", "TTFT");
  way("wins_at_tpot_s", "TPOT");
  if (const std::optional<double> price = number_of(*best, "wins_at_unit_price"))
    ways.push_back(fmt::format("a price of {:.3g} {} there", *price, unit_text(story, pool)));
  if (const std::optional<double> power = number_of(*best, "wins_at_power"))
    ways.push_back(
        fmt::format("a price of the site's power at which it is {:.3g} of the toll", *power));
  const std::string verb = any_chosen ? "chosen" : "taken";
  if (ways.empty()) {
    text += fmt::format(". No looser target and no lower price alone would have had it {}", verb);
  } else {
    text += fmt::format(". It would have been {} with ", verb);
    for (std::size_t i = 0; i < ways.size(); ++i)
      text += (i > 0 ? ", or " : "") + ways[i];
  }
  fmt::print(out, "{}.\n", text);
}

// Why it waits, from what the pools that could have had it were found to be.
std::string waits_text(const json::object& decision) {
  const std::string behind = text_of(decision, "behind");
  if (behind == "its_kind")
    return "waits behind others of its class, label, model and about its length; not weighed "
           "itself";
  if (behind == "anothers_turn")
    return "waits for its tenant's turn: another's comes first; not weighed itself";
  std::string text;
  for (const std::string_view verdict :
       {"costly", "slow", "dearer", "in_the_way", "full", "quota", "lost"}) {
    std::string pools;
    for (const json::value& candidate : candidates_of(decision)) {
      if (candidate.is_object() && text_of(candidate.as_object(), "forbidden") == verdict)
        pools += (pools.empty() ? "" : ", ") + text_of(candidate.as_object(), "pool");
    }
    if (!pools.empty())
      text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", pools,
                          reason_text(std::string(verdict)));
  }
  return "held back in the backlog" + (text.empty() ? "" : ". " + text);
}

void print_decision(const Story& story, const json::object& decision, std::FILE* out) {
  const double at = number_of(decision, "at_s").value_or(0);
  const std::string outcome = text_of(decision, "outcome");
  const json::value* replica = decision.if_contains("replica");
  const json::array& candidates = candidates_of(decision);
  // What replicas are believed to have of the prompt, where any has.
  const bool any_cached =
      std::any_of(candidates.begin(), candidates.end(), [](const json::value& value) {
        return value.is_object() && number_of(value.as_object(), "cached_tokens");
      });
  std::vector<Column> columns = {{"pool"},
                                 {"verdict"},
                                 {"TTFT", Align::kRight},
                                 {"P", Align::kRight},
                                 {"TPOT", Align::kRight},
                                 {"P", Align::kRight},
                                 {"P(kept)", Align::kRight},
                                 {"money", Align::kRight},
                                 {"J", Align::kRight},
                                 {"score", Align::kRight}};
  if (any_cached)
    columns.push_back({"cached", Align::kRight});
  Table table(std::move(columns));
  std::string chosen_pool;
  for (const json::value& value : candidates) {
    if (!value.is_object())
      continue;
    const json::object& candidate = value.as_object();
    const std::string pool = text_of(candidate, "pool");
    const bool chosen = is_chosen(decision, candidate);
    if (chosen)
      chosen_pool = pool;
    const std::string forbidden = text_of(candidate, "forbidden");
    std::vector<std::string> row = {place_text(story, pool),
                                    !forbidden.empty() ? reason_text(forbidden)
                                    : chosen           ? "CHOSEN"
                                                       : "possible",
                                    milliseconds(number_of(candidate, "ttft_s")),
                                    figure(number_of(candidate, "ttft_probability"), "{:.3f}"),
                                    milliseconds(number_of(candidate, "tpot_s")),
                                    figure(number_of(candidate, "tpot_probability"), "{:.3f}"),
                                    figure(number_of(candidate, "probability"), "{:.3f}"),
                                    figure(number_of(candidate, "money"), "{:.3g}"),
                                    figure(number_of(candidate, "joules"), "{:.3g}"),
                                    figure(number_of(candidate, "score"), "{:.4g}")};
    if (any_cached)
      row.push_back(figure(number_of(candidate, "cached_tokens"), "{:.0f} tokens"));
    table.add_row(std::move(row));
  }
  std::string headline = outcome;
  if (outcome == "dispatched" && replica != nullptr && replica->is_number()) {
    const std::string place =
        chosen_pool.empty() ? "replica" : place_text(story, chosen_pool) + ", replica";
    headline = fmt::format("dispatched to {} {}", place, replica->to_number<long long>());
  } else if (outcome == "rejected") {
    headline = "turned away: " + reason_text(text_of(decision, "reason"));
  } else if (outcome == "queued") {
    headline = waits_text(decision);
  } else if (outcome == "preempted" && replica != nullptr && replica->is_number()) {
    headline = fmt::format("taken off replica {} to make room for guaranteed work; it waits again",
                           replica->to_number<long long>());
  }
  fmt::print(out, "\nat {:.3f} s  {}\n", at, headline);
  if (const std::optional<double> left_free_s = number_of(decision, "left_free_s")) {
    fmt::print(
        out,
        "Its tenant had more than its share lately: it leaves {} of prompts free on replicas "
        "with work.\n",
        milliseconds(left_free_s));
  }
  if (table.rows() > 0)
    fmt::print(out, "{}", table.text());
  print_terms(story, decision, out);
  print_runner_up(story, decision, out);
}

void print_story(const Story& story, std::FILE* out) {
  const json::object& first = story.decisions.front();
  fmt::print(out, "{}  class {}, label {}, model {}, {:.0f} prompt tokens, arrived at {:.3f} s\n",
             text_of(first, "request"), text_of(first, "class"), text_of(first, "label"),
             text_of(first, "model"), number_of(first, "prompt_tokens").value_or(0),
             number_of(first, "arrived_s").value_or(0));
  std::string targets;
  const auto add_target = [&](std::string_view name, std::string_view key) {
    if (const auto value = number_of(first, key)) {
      targets += fmt::format("{}{} {}", targets.empty() ? "" : ", ", name, milliseconds(value));
    }
  };
  add_target("TTFT", "ttft_target_s");
  add_target("TPOT", "tpot_target_s");
  add_target("end to end", "deadline_s");
  const std::string tenant = text_of(first, "tenant");
  const std::optional<double> priority = number_of(first, "priority");
  fmt::print(out, "targets: {}; {}{}placement {}\n", targets.empty() ? "none" : targets,
             tenant.empty() ? "" : fmt::format("tenant {}; ", tenant),
             priority ? fmt::format("priority {:.0f}; ", *priority) : "",
             text_of(story.header, "placement"));
  for (const json::object& decision : story.decisions)
    print_decision(story, decision, out);
  if (!story.result) {
    fmt::print(out, "\nwhat happened: not in the log (still running, or the log ends before)\n");
    return;
  }
  const json::object& result = *story.result;
  fmt::print(out, "\nwhat happened: {}", text_of(result, "outcome"));
  const std::string currency = text_of(story.header, "currency");
  const auto add = [&](std::string_view name, const std::string& value) {
    if (!value.empty())
      fmt::print(out, ", {} {}", name, value);
  };
  add("TTFT", milliseconds(number_of(result, "ttft_s")));
  add("TPOT", milliseconds(number_of(result, "tpot_s")));
  add("end to end", milliseconds(number_of(result, "e2e_s")));
  add("output tokens", figure(number_of(result, "output_tokens"), "{:.0f}"));
  add("joules", figure(number_of(result, "joules"), "{:.3g}"));
  add(currency, figure(number_of(result, "money"), "{:.3g}"));
  add("prompt tokens handed over", figure(number_of(result, "handed_over"), "{:.0f}"));
  fmt::print(out, "\n");
}

}  // namespace

int run_explain(const ExplainOptions& options, std::FILE* out, std::FILE* err) {
  const std::optional<RequestId> wanted = request_named(options.request);
  if (!wanted) {
    fmt::print(err, "medley explain: '{}' is no request id: expected req-0000002a or a number\n",
               printable(options.request));
    return kUnusable;
  }
  std::ifstream file(options.decisions);
  if (!file) {
    fmt::print(
        err,
        "medley explain: cannot read '{}': write one with `medley serve --decisions FILE` or "
        "`medley simulate SCENARIO --decisions FILE`\n",
        options.decisions);
    return kUnusable;
  }
  const std::string name = name_of(*wanted);
  const std::string marker = fmt::format("\"request\":\"{}\"", name);
  Story story;
  std::string line;
  for (long long number = 1; std::getline(file, line); ++number) {
    // Only the header and this request's lines are parsed: a log may have millions of others.
    const bool header = number == 1;
    if (!header && line.find(marker) == std::string::npos)
      continue;
    boost::system::error_code failure;
    json::value value = json::parse(line, failure);
    if (failure || !value.is_object() ||
        (header && text_of(value.as_object(), "type") != "header")) {
      if (file.eof() && !header)
        break;  // a log that is being written may end in half a line
      fmt::print(
          err, "medley explain: {}:{}: not a line of a decision log (expected one JSON object{})\n",
          options.decisions, number, header ? " of type header" : "");
      return kUnusable;
    }
    json::object& object = value.as_object();
    const std::string type = text_of(object, "type");
    if (type == "header")
      story.header = std::move(object);
    if (type == "decision")
      story.decisions.push_back(std::move(object));
    if (type == "result")
      story.result = std::move(object);
  }
  if (story.decisions.empty()) {
    fmt::print(err, "medley explain: no request {} in {}\n", name, options.decisions);
    return kNotFound;
  }
  if (options.json) {
    json::object answer{{"header", story.header}};
    json::array decisions;
    for (json::object& decision : story.decisions)
      decisions.push_back(std::move(decision));
    answer["decisions"] = std::move(decisions);
    answer["result"] = story.result ? json::value(*story.result) : json::value();
    fmt::print(out, "{}\n", json::serialize(answer));
    return kAnswered;
  }
  print_story(story, out);
  return kAnswered;
}

}  // namespace medley::cli
