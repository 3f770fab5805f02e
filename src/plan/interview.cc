#include "plan/interview.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/nearest.h"
#include "data/requirements_file.h"
#include "data/yaml.h"
#include "plan/pool_types.h"

namespace medley::plan {
namespace {

std::string answer_to(const Question& question, const Answers& answers) {
  const auto given = answers.find(question.key);
  return given != answers.end() && !given->second.empty() ? given->second : question.fallback;
}

std::vector<std::string> list_of(const std::string& text) {
  std::vector<std::string> items;
  std::string item;
  for (const char c : text + ",") {
    if (c == ',') {
      if (!item.empty())
        items.push_back(item);
      item.clear();
    } else if (c != ' ') {
      item += c;
    }
  }
  return items;
}

}  // namespace

std::vector<Question> questions(const Answers& so_far, const data::Catalog& catalog) {
  std::vector<Question> all = {
      {"name", "What shall the plan be called?", "plan", ""},
      {"zone", "A name for the place where the devices will stand.", "site", ""},
      {"currency", "In which currency do you count?", "EUR", ""},
      {"tariff_per_kwh", "What does a kWh cost you?", "0.19",
       "mean of non-household electricity in the EU, first half of 2025, EUR (Eurostat)"},
      {"pue", "Energy at the meter over energy of the devices (PUE)?", "1.54",
       "world average of 2025 (Uptime Institute survey)"},
      {"power_limit_kw", "How many kW may all of it draw at the meter? Empty: no limit.", "", ""},
      {"model", "Which model shall answer? (medley catalog models)", "llama-3.1-8b", ""},
      {"class", "How urgent are its requests: guaranteed, standard, flex or batch?", "standard",
       "a class promises times to first token and per token: docs/fleet.md"},
      {"tokens_per_s",
       "How many tokens a second must one user get? This decides more than anything else: GPUs are "
       "cheap at 20 and out of reach at some hundreds.",
       "20", "faster than people read"},
      {"ttft_s", "Seconds until the first token, at most?", "1",
       "the class standard of docs/fleet.md"},
      {"trace", "A trace of your requests (a file that medley trace info reads)? Empty: none.", "",
       ""}};
  const auto trace = so_far.find("trace");
  if (trace == so_far.end() || trace->second.empty()) {
    all.push_back({"rate_per_s", "Requests a second by day, 8 to 18 h?", "1", ""});
    all.push_back({"rate_by_night", "Requests a second in the other hours?", "0.1", ""});
    all.push_back({"prompt_tokens", "Tokens of a middling prompt?", "600", ""});
    all.push_back({"output_tokens", "Tokens of a middling answer?", "200", ""});
  } else {
    all.push_back({"scale", "How many times the traffic of the trace?", "1", ""});
  }
  all.push_back(
      {"devices", "Which devices could you buy? (medley catalog accelerators)", "h100_sxm", ""});
  for (const std::string& device : list_of(answer_to(all.back(), so_far))) {
    const auto known = catalog.accelerator(device);
    const bool priced = known.ok() && known->price_usd;
    all.push_back({"price_" + device, fmt::format("What does one {} cost you?", device),
                   priced ? fmt::format("{:g}", known->price_usd->middle()) : "",
                   priced ? "the catalogue, in USD: check it"
                          : "the catalogue knows none; a range as [2000, 6000] will do"});
  }
  all.push_back({"per_node", "How many devices are there in a server?", "8", ""});
  all.push_back({"interest", "Interest a year?", "0.08", ""});
  all.push_back({"useful_life_years", "Years until a device is written off?", "4",
                 "3 to 6 are in use (aidatacenterguide.com)"});
  all.push_back({"redundancy",
                 "What may fail at the peak with the promises kept: none, replica, node or zone?",
                 "replica", ""});
  return all;
}

Result<std::string> requirements_text(const Answers& answers, const data::Catalog& catalog,
                                      const std::string& folder) {
  const std::vector<Question> asked = questions(answers, catalog);
  std::vector<std::string> keys;
  for (const Question& question : asked)
    keys.push_back(question.key);
  for (const auto& [key, value] : answers) {
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
      return Error{ErrorCode::kInvalid,
                   fmt::format("no question '{}'{}", key, suggestion(key, keys)), key};
    }
  }
  const auto of = [&](const std::string& key) {
    const auto at = std::find(keys.begin(), keys.end(), key);
    return at == keys.end()
               ? std::string()
               : answer_to(asked[static_cast<std::size_t>(at - keys.begin())], answers);
  };
  std::string out = "# Written by `medley plan init`; docs/plan.md tells of every key.\n";
  for (const Question& question : asked) {
    const bool taken = !answers.contains(question.key) || answers.at(question.key).empty();
    if (taken && !question.fallback.empty() && !question.source.empty())
      out += fmt::format("# {} {}: {}\n", question.key, question.fallback, question.source);
  }
  out += fmt::format(
      "name: {}\nsite:\n  zone: {}\n  tariff: {{currency: {}, per_kwh: {}}}\n  pue: {}\n",
      quoted(of("name")), quoted(of("zone")), quoted(of("currency")), of("tariff_per_kwh"),
      of("pue"));
  if (!of("power_limit_kw").empty())
    out += fmt::format("  power_limit_kw: {}\n", of("power_limit_kw"));
  const auto rate = data::parse_number(of("tokens_per_s"));
  if (!rate || !(*rate > 0)) {
    return Error{
        ErrorCode::kInvalid,
        fmt::format("tokens_per_s: expected a number above 0, got '{}'", of("tokens_per_s")),
        "tokens_per_s"};
  }
  out += fmt::format(
      "demands:\n  - name: requests\n    class: {}\n    model: {}\n    ttft_s: {}\n"
      "    tpot_s: {:.6g}\n",
      of("class"), of("model"), of("ttft_s"), 1 / *rate);
  if (!of("trace").empty()) {
    out +=
        fmt::format("    trace: {{path: {}}}\n    scale: {}\n", quoted(of("trace")), of("scale"));
  } else {
    std::string rates;
    for (int hour = 0; hour < 24; ++hour) {
      rates += fmt::format("{}{}", hour == 0 ? "" : ", ",
                           hour >= 8 && hour < 18 ? of("rate_per_s") : of("rate_by_night"));
    }
    // Lengths of chats spread about so: scenarios/azure-conversation.yaml fits a public trace.
    out += fmt::format(
        "    rate_per_s: [{}]\n    prompt_tokens: {{median: {}, sigma: 0.8}}\n"
        "    output_tokens: {{median: {}, sigma: 0.7}}\n",
        rates, of("prompt_tokens"), of("output_tokens"));
  }
  out += "devices:\n";
  for (const std::string& device : list_of(of("devices"))) {
    const std::string price = of("price_" + device);
    out += fmt::format("  - {{device: {}{}, per_node: {}}}\n", device,
                       price.empty() ? "" : ", price: " + price, of("per_node"));
  }
  out += fmt::format("money: {{interest: {}, useful_life_years: {}}}\nredundancy: {}\n",
                     of("interest"), of("useful_life_years"), of("redundancy"));
  const auto read = data::parse_requirements(out, folder + "/answers", catalog);
  if (!read.ok())
    return read.error();
  return out;
}

}  // namespace medley::plan
