#include "plan/interview.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/nearest.h"
#include "data/fleet_file.h"
#include "data/requirements_file.h"
#include "data/trace.h"
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

// "30000" or "[20000, 45000]"; empty where it is neither.
std::optional<std::vector<double>> price_of(std::string_view text) {
  const bool range = text.size() > 2 && text.front() == '[' && text.back() == ']';
  std::vector<double> ends;
  for (const std::string& item :
       list_of(std::string(range ? text.substr(1, text.size() - 2) : text))) {
    const std::optional<double> number = data::parse_number(item);
    if (!number || !(*number >= 0) || *number > 1e12)
      return std::nullopt;
    ends.push_back(*number);
  }
  if (ends.size() != (range ? 2u : 1u) || ends.front() > ends.back())
    return std::nullopt;
  return ends;
}

bool answered(const Answers& answers, const std::string& key) {
  const auto given = answers.find(key);
  return given != answers.end() && !given->second.empty();
}

constexpr std::string_view kExample = "an example: yours will be another";

}  // namespace

std::vector<Question> questions(const Answers& so_far, const data::Catalog& catalog) {
  using Form = Question::Form;
  const data::Bounds positive{.max = 1e9, .above_min = true};
  std::vector<Question> all;
  const auto ask = [&](Question question) { all.push_back(std::move(question)); };
  const auto so = [&](const std::string& key, const std::string& fallback) {
    return answered(so_far, key) ? so_far.at(key) : fallback;
  };
  ask({.key = "name", .text = "What shall the plan be called?", .fallback = "plan"});
  ask({.key = "zone",
       .text = "A name for the place where the devices will stand; labels and fleets use it.",
       .fallback = "site"});
  ask({.key = "currency",
       .text = "In which currency do you count? All money below is in it.",
       .form = Form::kCurrency,
       .fallback = "EUR",
       .source = "that of the default tariff"});
  const bool euros = so("currency", "EUR") == "EUR";
  ask({.key = "tariff_per_kwh",
       .text = "What does a kWh cost you?",
       .form = Form::kNumber,
       .fallback = euros ? "0.19" : "",
       .source = euros ? "mean of non-household electricity in the EU, first half of 2025, EUR "
                         "(Eurostat)"
                       : "no default: the one known is in EUR",
       .bounds = {.max = 1000},
       .required = !euros});
  ask({.key = "pue",
       .text = "Energy at the meter over energy of the devices (PUE)?",
       .form = Form::kNumber,
       .fallback = "1.54",
       .source = "world average of 2025 (Uptime Institute survey)",
       .bounds = {.min = 1, .max = 10}});
  ask({.key = "power_limit_kw",
       .text = "How many kW may all of it draw at the meter, cooling included? Empty: no limit.",
       .form = Form::kNumber,
       .bounds = positive});
  ask({.key = "model",
       .text = "Which model shall answer? (medley catalog models)",
       .form = Form::kModel,
       .fallback = "llama-3.1-8b",
       .source = std::string(kExample)});
  ask({.key = "class",
       .text = "How urgent are its requests? The more urgent go first when it is full.",
       .form = Form::kChoice,
       .fallback = "standard",
       .source = "what the API calls default",
       .choices = {"guaranteed", "standard", "flex", "batch"}});
  ask({.key = "tokens_per_s",
       .text = "How many tokens a second must one user get? This decides more than anything else: "
               "GPUs are cheap at 20 and out of reach at some hundreds.",
       .form = Form::kNumber,
       .fallback = "20",
       .source = "faster than people read",
       .bounds = {.max = 1e6, .above_min = true}});
  ask({.key = "ttft_s",
       .text = "Seconds until the first token, at most?",
       .form = Form::kNumber,
       .fallback = "1",
       .source = "the class standard of docs/fleet.md",
       .bounds = {.min = 1e-6, .max = 1e9}});
  ask({.key = "trace",
       .text = "A trace of your requests (a file that medley trace info reads)? It says how many "
               "come, when, and how long they are. Empty: none.",
       .form = Form::kTrace});
  const data::Bounds rate{.min = 0.0001, .max = 1e6}, length{.min = 1, .max = 1e7};
  if (!answered(so_far, "trace")) {
    ask({.key = "rate_per_s",
         .text = "Requests a second by day, 8 to 18 h?",
         .form = Form::kNumber,
         .fallback = "1",
         .source = std::string(kExample),
         .bounds = rate});
    ask({.key = "rate_by_night",
         .text = "Requests a second in the other hours?",
         .form = Form::kNumber,
         .fallback = "0.1",
         .source = std::string(kExample),
         .bounds = {.max = 1e6}});
    ask({.key = "prompt_tokens",
         .text = "Tokens of a middling prompt? A token is about four letters of English.",
         .form = Form::kNumber,
         .fallback = "600",
         .source = std::string(kExample),
         .bounds = length});
    ask({.key = "output_tokens",
         .text = "Tokens of a middling answer?",
         .form = Form::kNumber,
         .fallback = "200",
         .source = std::string(kExample),
         .bounds = length});
  } else {
    ask({.key = "scale",
         .text = "How many times the traffic of the trace?",
         .form = Form::kNumber,
         .fallback = "1",
         .source = "as it was",
         .bounds = {.max = 1e6, .above_min = true}});
  }
  ask({.key = "devices",
       .text = "Which devices could you buy? Several with commas. (medley catalog accelerators)",
       .form = Form::kDevices,
       .fallback = "h100_sxm",
       .source = std::string(kExample)});
  const bool dollars = so("currency", "EUR") == "USD";
  bool in_dollars = false;  // some price is the catalogue's
  for (const std::string& device : list_of(so("devices", "h100_sxm"))) {
    const auto known = catalog.accelerator(device);
    const bool priced = known.ok() && known->price_usd;
    const std::string usd = priced ? known->price_usd->low < known->price_usd->high
                                         ? fmt::format("{:g} to {:g} USD", known->price_usd->low,
                                                       known->price_usd->high)
                                         : fmt::format("{:g} USD", known->price_usd->low)
                                   : "";
    const std::string key = "price_" + device;
    ask({.key = key,
         .text = fmt::format("What does one {} cost you? One number, or a range as "
                             "[2000, 6000].{}",
                             device, priced ? " Empty: the catalogue's price." : ""),
         .form = Form::kPrice,
         .source = priced ? "the catalogue: " + usd : "no default: the catalogue knows none",
         .required = !priced});
    in_dollars = in_dollars || (priced && !answered(so_far, key));
  }
  if ((in_dollars && !dollars) || answered(so_far, "per_usd")) {
    ask({.key = "per_usd",
         .text = fmt::format("What is one dollar in {}? Prices of the catalogue are in USD.",
                             so("currency", "EUR")),
         .form = Form::kNumber,
         .source = "no default: rates change",
         .bounds = positive,
         .required = true});
  }
  ask({.key = "per_node",
       .text = "How many devices are there in a server?",
       .form = Form::kWhole,
       .fallback = "8",
       .source = "usual of servers with GPUs",
       .bounds = {.min = 1, .max = 100000}});
  ask({.key = "interest",
       .text = "Interest a year, as a share: what money tied up in devices costs.",
       .form = Form::kNumber,
       .fallback = "0.08",
       .source = "a usual figure, no advice",
       .bounds = data::kShare});
  ask({.key = "useful_life_years",
       .text = "Years until a device is written off?",
       .form = Form::kNumber,
       .fallback = "4",
       .source = "3 to 6 are in use (aidatacenterguide.com)",
       .bounds = {.min = 0.1, .max = 50}});
  ask({.key = "redundancy",
       .text = "What may fail at the peak with the promises kept?",
       .form = Form::kChoice,
       .fallback = "replica",
       .source = "one engine at a time: drivers, updates",
       .choices = {"none", "replica", "node", "zone"}});
  return all;
}

std::optional<std::string> wrong_with(const Question& question, const std::string& answer,
                                      const data::Catalog& catalog, const std::string& folder) {
  using Form = Question::Form;
  const auto expected = [&](const std::string& what) {
    return fmt::format("{}: expected {}, got '{}'", question.key, what, answer);
  };
  if (answer.empty()) {
    if (question.required) {
      return fmt::format("{}: needs an answer{}", question.key,
                         question.source.empty() ? "" : fmt::format(" ({})", question.source));
    }
    return std::nullopt;
  }
  switch (question.form) {
    case Form::kText:
      return std::nullopt;
    case Form::kNumber:
    case Form::kWhole: {
      const std::optional<double> number = data::parse_number(answer);
      const data::Bounds& of = question.bounds;
      const bool inside = number && *number >= of.min && *number <= of.max &&
                          !(of.above_min && *number == of.min) &&
                          (question.form == Form::kNumber || std::trunc(*number) == *number);
      if (inside)
        return std::nullopt;
      return expected(fmt::format("a {}number {} and at most {:g}",
                                  question.form == Form::kWhole ? "whole " : "",
                                  of.above_min ? fmt::format("above {:g}", of.min)
                                               : fmt::format("of at least {:g}", of.min),
                                  of.max));
    }
    case Form::kPrice:
      if (price_of(answer))
        return std::nullopt;
      return expected("a price as 30000, or the range it lies in as [20000, 45000]");
    case Form::kChoice:
      if (std::find(question.choices.begin(), question.choices.end(), answer) !=
          question.choices.end()) {
        return std::nullopt;
      }
      return expected(fmt::format("one of {}", fmt::join(question.choices, ", "))) +
             suggestion(answer, question.choices);
    case Form::kCurrency:
      if (data::is_currency(answer))
        return std::nullopt;
      return expected("the three capitals of a currency, as EUR or USD");
    case Form::kModel: {
      const auto model = catalog.model(answer);
      return model.ok() ? std::nullopt
                        : std::optional(fmt::format("{}: {}", question.key, model.error().message));
    }
    case Form::kDevices: {
      if (list_of(answer).empty())
        return expected("at least one device");
      for (const std::string& device : list_of(answer)) {
        const auto known = catalog.accelerator(device);
        if (!known.ok())
          return fmt::format("{}: {}", question.key, known.error().message);
      }
      return std::nullopt;
    }
    case Form::kTrace: {
      const std::filesystem::path path(answer);
      const auto rows = data::read_trace(
          {.path = (path.is_absolute() ? path : std::filesystem::path(folder) / path).string()});
      return rows.ok() ? std::nullopt
                       : std::optional(fmt::format("{}: {}", question.key, rows.error().message));
    }
  }
  return std::nullopt;
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
  for (const Question& question : asked) {
    const auto wrong = wrong_with(question, answer_to(question, answers), catalog, folder);
    if (wrong)
      return Error{ErrorCode::kInvalid, *wrong, question.key};
  }
  const auto of = [&](const std::string& key) {
    const auto at = std::find(keys.begin(), keys.end(), key);
    return at == keys.end()
               ? std::string()
               : answer_to(asked[static_cast<std::size_t>(at - keys.begin())], answers);
  };
  std::string out = "# Written by `medley plan init`; docs/plan.md tells of every key.\n";
  for (const Question& question : asked) {
    if (!answered(answers, question.key) && !question.fallback.empty() && !question.source.empty())
      out += fmt::format("# {} {}: {}\n", question.key, question.fallback, question.source);
  }
  out += fmt::format(
      "name: {}\nsite:\n  zone: {}\n  tariff: {{currency: {}, per_kwh: {}}}\n  pue: {}\n",
      plan::quoted(of("name")), plan::quoted(of("zone")), plan::quoted(of("currency")),
      of("tariff_per_kwh"), of("pue"));
  if (!of("power_limit_kw").empty())
    out += fmt::format("  power_limit_kw: {}\n", of("power_limit_kw"));
  out += fmt::format(
      "demands:\n  - name: requests\n    class: {}\n    model: {}\n    ttft_s: {}\n"
      "    tpot_s: {:.6g}\n",
      of("class"), catalog.model(of("model"))->id, of("ttft_s"),
      1 / *data::parse_number(of("tokens_per_s")));
  if (!of("trace").empty()) {
    out += fmt::format("    trace: {{path: {}}}\n    scale: {}\n", plan::quoted(of("trace")),
                       of("scale"));
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
    const Accelerator known = *catalog.accelerator(device);
    std::string price = of("price_" + device);
    if (const auto ends = price_of(price)) {
      price = ends->size() == 1 ? fmt::format("{:.15g}", ends->front())
                                : fmt::format("[{:.15g}, {:.15g}]", ends->front(), ends->back());
    }
    if (price.empty() && known.price_usd) {
      out += fmt::format("  # {}: the catalogue's price, {:g} to {:g} USD\n", known.id,
                         known.price_usd->low, known.price_usd->high);
    }
    out += fmt::format("  - {{device: {}{}, per_node: {}}}\n", known.id,
                       price.empty() ? "" : ", price: " + price, of("per_node"));
  }
  out += fmt::format("money: {{interest: {}, useful_life_years: {}{}}}\nredundancy: {}\n",
                     of("interest"), of("useful_life_years"),
                     of("per_usd").empty() ? "" : ", per_usd: " + of("per_usd"), of("redundancy"));
  const auto read = data::parse_requirements(out, folder + "/answers", catalog);
  if (!read.ok())
    return read.error();
  return out;
}

}  // namespace medley::plan
