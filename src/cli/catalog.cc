#include "cli/catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <optional>
#include <string_view>
#include <vector>

#include "cli/sources.h"
#include "cli/table.h"
#include "data/catalog.h"
#include "data/json.h"

namespace medley::cli {
namespace {

namespace json = boost::json;

constexpr int kExitUnusable = 2;
constexpr int kExitNotFound = 4;
constexpr std::string_view kUnknown = "-";

std::string_view name_of(DeterminismClass determinism) {
  constexpr std::string_view kNames[] = {"D0", "D1", "D2", "D3"};
  return kNames[static_cast<std::size_t>(determinism)];
}
std::string_view name_of(Availability availability) {
  constexpr std::string_view kNames[] = {"buy", "vendor", "cloud"};
  return kNames[static_cast<std::size_t>(availability)];
}
using medley::name_of;

std::string number(std::optional<double> value) {
  return value ? fmt::format("{:.10g}", *value) : std::string(kUnknown);
}

std::string range(const std::optional<Range>& range) {
  if (!range)
    return std::string(kUnknown);
  if (range->low == range->high)
    return number(range->low);
  return fmt::format("{}-{}", number(range->low), number(range->high));
}

template <typename Quantity>
std::optional<double> in(const std::optional<Quantity>& quantity, double unit) {
  if (!quantity)
    return std::nullopt;
  return quantity->value() / unit;
}

// The best of the formats that are stated.
std::optional<double> peak_tflops(const Accelerator& accelerator,
                                  std::initializer_list<Precision> formats) {
  std::optional<double> best;
  for (const Precision format : formats) {
    const auto found = accelerator.peak.find(format);
    if (found != accelerator.peak.end())
      best = std::max(best.value_or(0), found->second.value() / 1e12);
  }
  return best;
}

// Over all offers and terms.
std::optional<Range> rent(const Accelerator& accelerator) {
  std::optional<Range> all;
  for (const Rent& offer : accelerator.rents) {
    if (!all)
      all = offer.per_hour;
    all->low = std::min(all->low, offer.per_hour.low);
    all->high = std::max(all->high, offer.per_hour.high);
  }
  return all;
}

void print(std::FILE* file, const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), file);
}

// What an unknown figure looks like in JSON.
json::value value_of(std::optional<double> number) {
  return number ? json::value(*number) : json::value();
}
json::value value_of(const std::optional<Range>& range) {
  return range ? json::value(json::array{range->low, range->high}) : json::value();
}
json::value text_or_null(std::string_view text) {
  return text.empty() ? json::value() : json::value(json::string_view(text.data(), text.size()));
}
json::array texts(const std::vector<std::string>& list) {
  return json::array(list.begin(), list.end());
}

json::object sources_of(const std::vector<std::string>& keys, const data::SourceTable& table) {
  json::object sources;
  for (const std::string& key : keys) {
    const auto found = table.find(key);
    sources[key] = found == table.end() ? json::value() : json::value(found->second);
  }
  return sources;
}

json::object to_json(const Accelerator& a, const data::Catalog& catalog) {
  json::object object;
  object["id"] = a.id;
  object["name"] = a.name;
  object["aliases"] = texts(a.aliases);
  object["vendor"] = text_or_null(a.vendor);
  object["kind"] = std::string(name_of(a.kind));
  object["year"] = a.year ? json::value(*a.year) : json::value();
  json::array memory;
  for (const MemoryTier& tier : a.memory) {
    memory.push_back(json::object{{"tier", tier.tier},
                                  {"capacity_gb", value_of(in(tier.capacity, 1e9))},
                                  {"bandwidth_gb_per_s", value_of(in(tier.bandwidth, 1e9))},
                                  {"shared_with_host", tier.shared_with_host}});
  }
  object["memory"] = std::move(memory);
  object["serving_tier"] =
      a.serving_memory() != nullptr ? json::value(a.serving_memory()->tier) : json::value();
  json::object peak;
  for (const auto& [format, rate] : a.peak)
    peak[std::string(name_of(format))] = rate.value() / 1e12;
  object["peak_tflops"] = std::move(peak);
  object["link_gb_per_s_per_direction"] = value_of(in(a.link, 1e9));
  object["weight_feed_gb_per_s"] = value_of(in(a.weight_feed, 1e9));
  object["power_w"] = json::object{{"tdp", value_of(a.tdp_w)},
                                   {"typical", value_of(a.typical_w)},
                                   {"idle", value_of(a.idle_w)},
                                   {"context_extra", value_of(a.context_extra_w)},
                                   {"draw", value_of(a.draw_w)}};
  object["price_usd"] = value_of(a.price_usd);
  json::array rents;
  for (const Rent& offer : a.rents) {
    rents.push_back(json::object{{"provider", offer.provider},
                                 {"usd_per_hour", value_of(std::optional(offer.per_hour))},
                                 {"terms", text_or_null(offer.terms)},
                                 {"date", text_or_null(offer.date)}});
  }
  object["rent"] = std::move(rents);
  object["determinism"] = std::string(name_of(a.determinism));
  object["availability"] = a.availability ? text_or_null(name_of(*a.availability)) : json::value();
  object["jurisdiction"] = a.jurisdiction ? json::value(*a.jurisdiction) : json::value();
  object["engines"] = texts(a.engines);
  json::object confidence;
  for (const auto& [group, letter] : a.confidence)
    confidence[group] = letter;
  object["confidence"] = std::move(confidence);
  object["sources"] = sources_of(a.sources, catalog.accelerator_sources());
  object["note"] = text_or_null(a.note);
  return object;
}

json::object to_json(const Model& m, const data::Catalog& catalog) {
  json::object object;
  const auto known = [](double value) { return value > 0 ? std::optional(value) : std::nullopt; };
  object["id"] = m.id;
  object["name"] = m.name;
  object["aliases"] = texts(m.aliases);
  object["family"] = text_or_null(m.family);
  object["year"] = m.year ? json::value(*m.year) : json::value();
  object["license"] = text_or_null(m.license);
  object["parameters"] = m.parameters;
  object["active_parameters"] = m.active_parameters;
  object["layers"] = m.layers;
  object["hidden_size"] = m.hidden_size;
  object["heads"] = m.heads;
  object["kv_heads"] = m.kv_heads;
  object["head_size"] = m.head_size;
  object["kv_numbers_per_token_and_layer"] = m.kv_numbers_per_token_and_layer;
  object["sliding_window_tokens"] = value_of(known(static_cast<double>(m.sliding_window)));
  object["sliding_layers"] = m.sliding_layers;
  object["intermediate_size"] = value_of(known(m.intermediate_size));
  object["vocabulary"] = value_of(known(m.vocabulary));
  object["max_context_tokens"] = m.max_context ? json::value(*m.max_context) : json::value();
  object["experts"] = m.experts;
  object["experts_per_token"] = m.experts_per_token;
  object["expert_layers"] = m.expert_layers;
  object["native_precision"] =
      m.native_precision ? text_or_null(name_of(*m.native_precision)) : json::value();
  object["confidence"] = text_or_null(m.confidence);
  object["sources"] = sources_of(split_sources(m.source), catalog.model_sources());
  object["note"] = text_or_null(m.note);
  return object;
}

// How sure a figure is, and the keys of its sources.
struct Grade {
  std::string letter, from;
};

// One entry's figures, each with how sure it is and where it is from.
class Details {
 public:
  Details() : table_({{"field"}, {"confidence"}, {"from"}, {"value"}}) {}
  void add(std::string field, std::string value, Grade grade = {}) {
    if (value.empty() || value == kUnknown)
      value = "unknown";
    if (value == "unknown")
      grade = {};
    table_.add_row({std::move(field), grade.letter, grade.from, printable(value)});
  }
  std::string text() const { return table_.text(); }

 private:
  Table table_;
};

std::string with_unit(std::string value, std::string_view unit) {
  return value == kUnknown ? value : fmt::format("{} {}", value, unit);
}

std::string constants_text(const Accelerator& a, const data::Catalog& catalog) {
  std::string text = "\nstep constants\n";
  for (const Precision precision : {Precision::kBf16, Precision::kFp8, Precision::kInt8}) {
    const StepConstants constants = catalog.constants_for(a, "", precision);
    if (constants.law == StepLaw::kNone) {
      text += fmt::format("  {}: none, so nothing is predicted\n", name_of(precision));
      continue;
    }
    std::string measured = constants.class_default && constants.device != a.id
                               ? fmt::format("default of all devices of kind {}", constants.device)
                           : constants.class_default ? "chosen for this device"
                                                     : "fitted or borrowed for this device";
    if (!constants.engine.empty())
      measured += fmt::format(", {} {}", constants.engine, constants.engine_version);
    text += fmt::format("  {}: {} model, {}, predictions within {:.0f} % or so, confidence {}\n",
                        name_of(precision),
                        constants.law == StepLaw::kDataflow ? "pipeline" : "roofline", measured,
                        constants.error_bar * 100, constants.confidence);
  }
  return text;
}

std::string details(const Accelerator& a, const data::Catalog& catalog) {
  const auto sure = [&](std::string_view group, std::string_view finer = {}) {
    const std::string letter = confidence_of(a, group, finer);
    return Grade{letter.empty() ? "ungraded" : letter,
                 fmt::format("{}", fmt::join(catalog.sources_of(a, group), ", "))};
  };
  Details rows;
  rows.add("id", a.id);
  rows.add("name", a.name);
  rows.add("aliases", a.aliases.empty() ? "none" : fmt::format("{}", fmt::join(a.aliases, ", ")));
  rows.add("vendor", a.vendor);
  rows.add("kind", std::string(name_of(a.kind)));
  rows.add("year", a.year ? std::to_string(*a.year) : "");
  for (const MemoryTier& tier : a.memory) {
    const bool serves = &tier == a.serving_memory();
    const std::string label = fmt::format("memory {}{}", tier.tier, serves ? " (serves)" : "");
    rows.add(
        label,
        with_unit(number(in(tier.capacity, 1e9)), tier.shared_with_host ? "GB, the host's" : "GB"),
        sure("memory"));
    rows.add(label + " bandwidth", with_unit(number(in(tier.bandwidth, 1e9)), "GB/s"),
             sure("memory", "memory_bandwidth"));
  }
  if (a.peak.empty())
    rows.add("peak, dense", "");
  for (const auto& [format, rate] : a.peak) {
    rows.add(fmt::format("peak {}, dense", name_of(format)),
             fmt::format("{:.6g} TFLOP/s", rate.value() / 1e12), sure("compute"));
  }
  rows.add("link, per direction", with_unit(number(in(a.link, 1e9)), "GB/s"), sure("link"));
  if (a.weight_feed)
    rows.add("weight feed", with_unit(number(in(a.weight_feed, 1e9)), "GB/s"), sure("compute"));
  rows.add("power limit", with_unit(range(a.tdp_w), "W"), sure("power"));
  rows.add("power, typical", with_unit(range(a.typical_w), "W"), sure("power"));
  rows.add("power, range of draw", with_unit(range(a.draw_w), "W"), sure("power"));
  rows.add("power, idle", with_unit(range(a.idle_w), "W"), sure("power", "idle"));
  rows.add("power, added by a context", with_unit(range(a.context_extra_w), "W"),
           sure("power", "idle"));
  rows.add("price", with_unit(range(a.price_usd), "USD"), sure("price"));
  if (a.rents.empty())
    rows.add("rent", "none found");
  for (const Rent& offer : a.rents) {
    rows.add(fmt::format("rent {}", offer.provider),
             fmt::format("{} USD/h, {}, {}", range(offer.per_hour), offer.terms,
                         offer.date.empty() ? "no date" : offer.date),
             sure("price"));
  }
  rows.add("determinism", std::string(name_of(a.determinism)));
  rows.add("availability", a.availability ? std::string(name_of(*a.availability)) : "");
  rows.add("jurisdiction of the vendor", a.jurisdiction.value_or(""));
  rows.add("engines",
           a.engines.empty() ? "none found" : fmt::format("{}", fmt::join(a.engines, ", ")));
  // What the file knows beyond our figures.
  for (const auto& [field, value] : catalog.accelerator_facts(a.id)) {
    for (const std::string_view more : {"system.", "lpu.", "link_note", "claimed_peak_tflops."}) {
      if (field.starts_with(more))
        rows.add(field, value);
    }
  }
  std::string text = rows.text();
  text += constants_text(a, catalog);
  text += "\nsources\n" + sources_text(a.sources, catalog.accelerator_sources());
  if (!a.note.empty())
    text += fmt::format("\nnote\n  {}\n", printable(a.note));
  return text;
}

std::string details(const Model& m, const data::Catalog& catalog) {
  const auto count = [](double value) {
    return value > 0 ? fmt::format("{:.0f}", value) : std::string();
  };
  Details rows;
  rows.add("id", m.id);
  rows.add("name", m.name);
  rows.add("aliases", m.aliases.empty() ? "none" : fmt::format("{}", fmt::join(m.aliases, ", ")));
  rows.add("family", m.family);
  rows.add("year", m.year ? std::to_string(*m.year) : "");
  rows.add("licence", m.license);
  const Grade sure{m.confidence, m.source};
  rows.add("parameters", count(m.parameters), sure);
  rows.add("active parameters", count(m.active_parameters), sure);
  rows.add("layers", count(m.layers), sure);
  rows.add("hidden size", count(m.hidden_size), sure);
  rows.add("heads / key-value heads / head size",
           fmt::format("{} / {} / {}", m.heads, m.kv_heads, m.head_size), sure);
  rows.add("KV numbers per token and layer", count(m.kv_numbers_per_token_and_layer), sure);
  rows.add("KV cache per token at 16 bits",
           fmt::format("{:.0f} bytes", kv_bytes_per_token(m, Precision::kFp16).value()), sure);
  if (m.sliding_window > 0) {
    rows.add("sliding window",
             fmt::format("{} tokens in {} layers", m.sliding_window, m.sliding_layers), sure);
  }
  rows.add("feed-forward size", m.intermediate_size > 0 ? count(m.intermediate_size) : "none",
           sure);
  rows.add("vocabulary", count(m.vocabulary), sure);
  rows.add("context", m.max_context ? fmt::format("{} tokens", *m.max_context) : "", sure);
  rows.add("experts",
           m.is_mixture() ? fmt::format("{} in {} layers, {} a token", m.experts, m.expert_layers,
                                        m.experts_per_token)
                          : "none",
           sure);
  rows.add("native precision", m.native_precision ? std::string(name_of(*m.native_precision)) : "",
           sure);
  std::string text = rows.text();
  text += "\nsources\n" + sources_text(split_sources(m.source), catalog.model_sources());
  if (!m.note.empty())
    text += fmt::format("\nnote\n  {}\n", printable(m.note));
  return text;
}

std::string list(const std::vector<Accelerator>& accelerators) {
  Table table({{"id"},
               {"kind"},
               {"memory GB", Align::kRight},
               {"GB/s", Align::kRight},
               {"16-bit TFLOP/s", Align::kRight},
               {"8-bit", Align::kRight},
               {"limit W", Align::kRight},
               {"price USD", Align::kRight},
               {"rent USD/h", Align::kRight},
               {"class"},
               {"had by"}});
  for (const Accelerator& a : accelerators) {
    const MemoryTier* memory = a.serving_memory();
    table.add_row({a.id, std::string(name_of(a.kind)),
                   number(memory ? in(memory->capacity, 1e9) : std::nullopt),
                   number(memory ? in(memory->bandwidth, 1e9) : std::nullopt),
                   number(peak_tflops(a, {Precision::kBf16, Precision::kFp16})),
                   number(peak_tflops(a, {Precision::kFp8, Precision::kInt8})), range(a.tdp_w),
                   range(a.price_usd), range(rent(a)), std::string(name_of(a.determinism)),
                   a.availability ? std::string(name_of(*a.availability)) : std::string(kUnknown)});
  }
  return table.text();
}

std::string list(const std::vector<Model>& models) {
  Table table({{"id"},
               {"family"},
               {"parameters 1e9", Align::kRight},
               {"active 1e9", Align::kRight},
               {"layers", Align::kRight},
               {"context", Align::kRight},
               {"KV bytes/token", Align::kRight},
               {"native"},
               {"licence"}});
  for (const Model& m : models) {
    table.add_row(
        {m.id, m.family, fmt::format("{:.2f}", m.parameters / 1e9),
         fmt::format("{:.2f}", m.active_parameters / 1e9), std::to_string(m.layers),
         m.max_context ? std::to_string(*m.max_context) : std::string(kUnknown),
         fmt::format("{:.0f}", kv_bytes_per_token(m, Precision::kFp16).value()),
         m.native_precision ? std::string(name_of(*m.native_precision)) : std::string(kUnknown),
         printable(m.license)});
  }
  return table.text();
}

template <typename Entry>
int show_all(const std::vector<Entry>& entries, const data::Catalog& catalog, bool as_json,
             std::FILE* out) {
  if (!as_json) {
    print(out, list(entries));
    return 0;
  }
  json::array array;
  for (const Entry& entry : entries)
    array.push_back(to_json(entry, catalog));
  print(out, data::json_pretty(array));
  return 0;
}

template <typename Entry>
int show_one(const Result<Entry>& entry, const data::Catalog& catalog, bool as_json,
             const std::string& elsewhere, std::FILE* out, std::FILE* err) {
  if (!entry.ok()) {
    print(err, fmt::format("medley catalog: {}\n", printable(entry.error().message)));
    if (!elsewhere.empty())
      print(err, elsewhere);
    return kExitNotFound;
  }
  print(out, as_json ? data::json_pretty(to_json(*entry, catalog)) : details(*entry, catalog));
  return 0;
}

}  // namespace

int run_catalog(const CatalogOptions& options, std::FILE* out, std::FILE* err) {
  const std::string folder =
      options.folder.empty() ? data::default_catalog_folder() : options.folder;
  const auto catalog = data::read_catalog(folder);
  if (!catalog.ok()) {
    print(err, fmt::format("medley catalog: {}\n", printable(catalog.error().message)));
    return kExitUnusable;
  }
  const std::string& name = options.name;
  if (options.subject == CatalogOptions::Subject::kAccelerators) {
    if (!name.empty()) {
      const std::string hint =
          catalog->has_model(name)
              ? fmt::format("There is a model of that name: medley catalog models {}\n", name)
              : "";
      return show_one(catalog->accelerator(name), *catalog, options.json, hint, out, err);
    }
    show_all(catalog->accelerators(), *catalog, options.json, out);
    if (!options.json) {
      print(err, fmt::format("{} devices as of {}. - is unknown. Memory and GB/s are those of the "
                             "tier that serves; "
                             "rates are dense; class D0 is cycle-exact, D3 a shared host.\n",
                             catalog->accelerators().size(), catalog->as_of()));
    }
    return 0;
  }
  if (!name.empty()) {
    const std::string hint =
        catalog->has_accelerator(name)
            ? fmt::format("There is a device of that name: medley catalog accelerators {}\n", name)
            : "";
    return show_one(catalog->model(name), *catalog, options.json, hint, out, err);
  }
  show_all(catalog->models(), *catalog, options.json, out);
  if (!options.json) {
    print(err,
          fmt::format(
              "{} models as of {}. - is unknown. KV bytes/token are those of 16-bit numbers.\n",
              catalog->models().size(), catalog->as_of()));
  }
  return 0;
}

}  // namespace medley::cli
