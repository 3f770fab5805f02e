#include "data/catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <set>

#include "base/nearest.h"
#include "data/yaml.h"

namespace medley::data {
namespace {

// Names that differ only in case or in '-' and '_' are one.
std::string folded(std::string_view name) {
  std::string out(name);
  for (char& c : out) {
    c = c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return out;
}

// For the look-up of constants, bf16 and fp16 are one.
Precision sixteen_bit_as_one(Precision precision) {
  return precision == Precision::kFp16 ? Precision::kBf16 : precision;
}

const std::vector<std::string>& kind_names() {
  static const std::vector<std::string> names = {"gpu",      "lpu",    "npu",   "tpu",
                                                 "dataflow", "custom", "wafer", "cpu"};
  return names;
}

// A pair [low, high], or one number for both.
Result<Range> read_range(const Node& node, double unit = 1) {
  if (!node.is_list()) {
    MEDLEY_TRY(const double value, node.number());
    return Range{value * unit, value * unit};
  }
  MEDLEY_TRY(const std::vector<Node> ends, node.items());
  if (ends.size() != 2)
    return node.error("expected two numbers [low, high]");
  MEDLEY_TRY(const double low, ends[0].number());
  MEDLEY_TRY(const double high, ends[1].number());
  if (low > high)
    return node.error("expected [low, high], got the higher number first");
  return Range{low * unit, high * unit};
}

std::optional<Range> range(Fields& fields, std::string_view key) {
  std::optional<Range> value;
  if (const auto node = fields.child(key))
    fields.take(value, read_range(*node));
  return value;
}

void flatten(const Node& node, std::string prefix, Facts& facts) {
  if (node.is_map()) {
    const auto entries = node.entries();
    for (const auto& [key, value] : *entries) {
      flatten(value, prefix.empty() ? key : prefix + "." + key, facts);
    }
    return;
  }
  if (node.is_list()) {
    const auto items = node.items();
    const bool plain = std::all_of(items->begin(), items->end(),
                                   [](const Node& item) { return item.is_scalar(); });
    if (plain) {
      facts.emplace_back(std::move(prefix), fmt::format("{}", fmt::join(*node.texts(), ", ")));
      return;
    }
    for (std::size_t i = 0; i < items->size(); ++i) {
      flatten((*items)[i], fmt::format("{}[{}]", prefix, i), facts);
    }
    return;
  }
  facts.emplace_back(std::move(prefix), node.is_null() ? "unknown" : *node.text());
}

// The nearest of our formats to one that is not among them.
Precision nearest_precision(const std::string& id, double bytes_per_parameter) {
  if (const auto same = precision_named(id))
    return *same;
  if (id.find("fp4") != std::string::npos)
    return Precision::kFp4;
  if (bytes_per_parameter < 0.8)
    return Precision::kInt4;
  if (bytes_per_parameter < 1.5)
    return Precision::kInt8;
  return bytes_per_parameter < 3 ? Precision::kFp16 : Precision::kFp32;
}

Result<Precision> read_kv_precision(const Node& node) {
  MEDLEY_TRY(const double bytes, node.number(kPositive));
  if (bytes == 4)
    return Precision::kFp32;
  if (bytes == 2)
    return Precision::kFp16;
  if (bytes == 1)
    return Precision::kFp8;
  if (bytes == 0.5)
    return Precision::kFp4;
  return node.error(fmt::format("expected 4, 2, 1 or 0.5 bytes, got '{}'", bytes));
}

}  // namespace

// Fills a Catalog from the files; a friend so that a Catalog stays read-only to everyone else.
class CatalogReader {
 public:
  Result<Catalog> read(const std::string& folder) {
    const std::filesystem::path root(folder);
    catalog_.folder_ = folder;
    MEDLEY_TRY(const Node accelerators, read_yaml((root / "accelerators.yaml").string()));
    MEDLEY_TRY_STATUS(read_accelerators(accelerators));
    MEDLEY_TRY(const Node models, read_yaml((root / "models.yaml").string()));
    MEDLEY_TRY_STATUS(read_models(models));
    MEDLEY_TRY(const Node constants, read_yaml((root / "step_constants.yaml").string()));
    MEDLEY_TRY_STATUS(read_constants(constants));
    // Fits of the user's own go before all that came with the catalogue.
    std::set<std::string> fits;
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator(root / "fits", none)) {
      if (entry.path().extension() == ".yaml")
        fits.insert(entry.path().string());
    }
    for (const std::string& path : fits) {
      MEDLEY_TRY(const Node fit, read_yaml(path));
      MEDLEY_TRY_STATUS(read_fit(fit));
    }
    return std::move(catalog_);
  }

 private:
  // What all three files begin with.
  void read_head(Fields& fields, SourceTable& sources) {
    if (const auto version = fields.child("schema_version")) {
      long long number = 0;
      fields.take(number, version->whole());
      if (!fields.failed() && number != 1) {
        fields.fail(
            version->error(fmt::format("schema version {} is not known here, expected 1", number)));
      }
    }
    catalog_.as_of_ = std::max(catalog_.as_of_, fields.text("as_of"));
    if (const auto table = fields.child("sources"))
      fields.take(sources, read_sources(*table));
  }

  static Result<SourceTable> read_sources(const Node& node) {
    SourceTable sources;
    MEDLEY_TRY(const auto entries, node.entries());
    for (const auto& [key, value] : entries) {
      MEDLEY_TRY(sources[key], value.text());
    }
    return sources;
  }

  static std::vector<std::string> named_sources(Fields& fields, const SourceTable& known) {
    std::vector<std::string> keys = fields.texts("sources");
    std::vector<std::string> names;
    for (const auto& [key, text] : known)
      names.push_back(key);
    for (const std::string& key : keys) {
      if (known.count(key) > 0)
        continue;
      fields.fail(fields.child("sources")->error(
          fmt::format("unknown source '{}'{}", key, suggestion(key, names))));
    }
    return keys;
  }

  // Enters an id and its aliases; a name may belong to one entry only.
  static void enter(Fields& fields, Catalog::Names& names, std::size_t place, const std::string& id,
                    const std::vector<std::string>& aliases) {
    const auto add = [&](const std::string& name, const char* key) {
      if (name.empty())
        return;
      const auto [position, fresh] = names.index.emplace(folded(name), place);
      if (!fresh && position->second != place) {
        fields.fail(fields.child(key)->error(
            fmt::format("the name '{}' is taken by an earlier entry", name)));
      }
      if (fresh)
        names.all.push_back(name);
    };
    add(id, "id");
    names.ids.push_back(id);
    for (const std::string& alias : aliases)
      add(alias, "aliases");
  }

  // Reads each item of a list with `read(fields)` and closes it.
  template <typename Read>
  static Status each(Fields& parent, std::string_view key, const Read& read) {
    const auto list = parent.required(key);
    if (!list)
      return Done{};
    MEDLEY_TRY(const std::vector<Node> nodes, list->items());
    for (const Node& node : nodes) {
      Fields fields(node);
      read(fields);
      MEDLEY_TRY_STATUS(fields.finish());
    }
    return Done{};
  }

  Status read_accelerators(const Node& node) {
    Fields fields(node);
    read_head(fields, catalog_.accelerator_sources_);
    MEDLEY_TRY_STATUS(fields.status());
    if (const auto partial = fields.child("partial_sources"))
      MEDLEY_TRY_STATUS(read_partial_sources(*partial));
    Status each_read =
        each(fields, "accelerators", [&](Fields& entry) { read_accelerator(entry); });
    if (!each_read.ok())
      return each_read;
    return fields.finish();
  }

  Status read_partial_sources(const Node& node) {
    static const std::vector<std::string> groups = {"memory", "compute", "link", "power",
                                                    "price",  "engines", "speed"};
    Fields fields(node);
    for (const auto& [key, citation] : catalog_.accelerator_sources_) {
      if (!fields.has(key))
        continue;
      for (const std::string& group : catalog_.partial_sources_[key] = fields.texts(key)) {
        if (std::find(groups.begin(), groups.end(), group) == groups.end()) {
          fields.fail(fields.child(key)->error(
              fmt::format("unknown group '{}'{}", group, suggestion(group, groups))));
        }
      }
    }
    return fields.finish();
  }

  void read_accelerator(Fields& fields) {
    static const std::vector<std::string> determinism = {"D0", "D1", "D2", "D3"};
    static const std::vector<std::string> availability = {"buy", "vendor", "cloud"};
    Accelerator accelerator;
    accelerator.id = fields.required_text("id");
    accelerator.name = fields.text("name", accelerator.id);
    accelerator.aliases = fields.texts("aliases");
    accelerator.vendor = fields.text("vendor");
    accelerator.kind =
        static_cast<AcceleratorKind>(fields.required_choice("kind", kind_names()).value_or(0));
    if (const auto year = fields.whole("year", Whole{1950, 2100}))
      accelerator.year = static_cast<int>(*year);

    if (const auto memory = fields.child("memory"))
      fields.take(accelerator.memory, read_memory(*memory));
    const std::string tier = fields.text("serving_tier");
    const auto serving = std::find_if(accelerator.memory.begin(), accelerator.memory.end(),
                                      [&](const MemoryTier& t) { return t.tier == tier; });
    accelerator.serving_tier = static_cast<std::size_t>(serving - accelerator.memory.begin());
    if (!tier.empty() && serving == accelerator.memory.end()) {
      std::vector<std::string> tiers;
      for (const MemoryTier& known : accelerator.memory)
        tiers.push_back(known.tier);
      fields.fail(fields.child("serving_tier")
                      ->error(fmt::format("no memory tier '{}'{}", tier, suggestion(tier, tiers))));
    }
    if (const auto peak = fields.child("peak_tflops"))
      fields.take(accelerator.peak, read_peak(*peak));
    fields.ignore("claimed_peak_tflops");  // not to be computed with
    if (const auto link = fields.number("link_gb_per_s_per_direction")) {
      accelerator.link = BytesPerSecond(*link * 1e9);
    }
    fields.ignore("link_note");
    if (const auto power = fields.child("power_w")) {
      Fields watts(*power);
      accelerator.tdp_w = range(watts, "tdp");
      accelerator.typical_w = range(watts, "typical");
      accelerator.idle_w = range(watts, "idle");
      accelerator.context_extra_w = range(watts, "context_extra");
      accelerator.draw_w = range(watts, "draw");
      close(fields, watts);
    }
    fields.ignore("system");
    if (const auto lpu = fields.child("lpu")) {
      if (const auto feed = lpu->find("weight_feed_gb_per_s")) {
        double gb = 0;
        fields.take(gb, feed->number(kPositive));
        accelerator.weight_feed = BytesPerSecond(gb * 1e9);
      }
    }
    accelerator.price_usd = range(fields, "price_usd");
    if (const auto rents = fields.child("rent"))
      fields.take(accelerator.rents, read_rents(*rents));
    accelerator.determinism =
        static_cast<DeterminismClass>(fields.choice("determinism", determinism).value_or(2));
    if (const auto how = fields.choice("availability", availability)) {
      accelerator.availability = static_cast<Availability>(*how);
    }
    if (fields.has("jurisdiction"))
      accelerator.jurisdiction = fields.text("jurisdiction");
    fields.ignore("jurisdiction");
    accelerator.engines = fields.texts("engines");
    if (const auto letters = fields.child("confidence")) {
      fields.take(accelerator.confidence, read_sources(*letters));
    }
    accelerator.sources = named_sources(fields, catalog_.accelerator_sources_);
    accelerator.note = fields.text("note");

    enter(fields, catalog_.accelerator_names_, catalog_.accelerators_.size(), accelerator.id,
          accelerator.aliases);
    flatten(fields.node(), "", catalog_.accelerator_facts_[accelerator.id]);
    catalog_.accelerators_.push_back(std::move(accelerator));
  }

  static void close(Fields& parent, Fields& child) {
    Status status = child.finish();
    if (!status.ok())
      parent.fail(std::move(status).error());
  }

  static Result<std::vector<MemoryTier>> read_memory(const Node& node) {
    MEDLEY_TRY(const std::vector<Node> nodes, node.items());
    std::vector<MemoryTier> tiers;
    for (const Node& item : nodes) {
      Fields fields(item);
      MemoryTier tier;
      tier.tier = fields.required_text("tier");
      if (const auto gb = fields.number("capacity_gb", kPositive))
        tier.capacity = Bytes(*gb * 1e9);
      if (const auto gb = fields.number("bandwidth_gb_per_s", kPositive)) {
        tier.bandwidth = BytesPerSecond(*gb * 1e9);
      }
      tier.shared_with_host = fields.flag("shared_with_host", false);
      MEDLEY_TRY_STATUS(fields.finish());
      tiers.push_back(std::move(tier));
    }
    return tiers;
  }

  static Result<std::map<Precision, FlopsPerSecond>> read_peak(const Node& node) {
    std::map<Precision, FlopsPerSecond> peaks;
    Fields fields(node);
    for (const char* name : {"fp32", "bf16", "fp16", "fp8", "int8", "fp4", "int4"}) {
      if (const auto teraflops = fields.number(name, kPositive)) {
        peaks[*precision_named(name)] = FlopsPerSecond(*teraflops * 1e12);
      }
    }
    fields.ignore("blockfp8");  // formats that are none of ours
    fields.ignore("fp64");
    fields.ignore("tf32");
    MEDLEY_TRY_STATUS(fields.finish());
    return peaks;
  }

  static Result<std::vector<Rent>> read_rents(const Node& node) {
    MEDLEY_TRY(const std::vector<Node> nodes, node.items());
    std::vector<Rent> rents;
    for (const Node& item : nodes) {
      Fields fields(item);
      Rent rent;
      rent.provider = fields.required_text("provider");
      rent.date = fields.text("date");
      rent.terms = fields.text("terms");
      if (const auto price = fields.required("usd_per_hour"))
        fields.take(rent.per_hour, read_range(*price));
      MEDLEY_TRY_STATUS(fields.finish());
      rents.push_back(std::move(rent));
    }
    return rents;
  }

  Status read_models(const Node& node) {
    Fields fields(node);
    read_head(fields, catalog_.model_sources_);
    MEDLEY_TRY_STATUS(fields.status());
    Status each_read = each(fields, "models", [&](Fields& entry) { read_model(entry); });
    if (!each_read.ok())
      return each_read;
    return fields.finish();
  }

  void read_model(Fields& fields) {
    constexpr Whole kCount{1, 1LL << 40};
    constexpr Whole kSmall{1, 1 << 30};
    Model model;
    model.id = fields.required_text("id");
    model.name = fields.text("name", model.id);
    model.aliases = fields.texts("aliases");
    model.family = fields.text("family");
    if (const auto year = fields.whole("year", Whole{1950, 2100}))
      model.year = static_cast<int>(*year);
    model.license = fields.text("licence");
    model.parameters = fields.required_number("parameters", kPositive);
    model.active_parameters = fields.number("active_parameters", model.parameters, kPositive);
    model.layers = static_cast<int>(fields.required_whole("layers", kSmall));
    model.hidden_size = static_cast<int>(fields.required_whole("hidden_size", kSmall));
    model.vocabulary = static_cast<int>(fields.whole("vocabulary", 0, kSmall));
    model.max_context = fields.whole("max_context_tokens", kCount);
    fields.ignore("tied_embeddings");
    if (const auto node = fields.required("attention")) {
      Fields attention(*node);
      attention.ignore("kind");
      model.heads = static_cast<int>(attention.required_whole("heads", kSmall));
      model.kv_heads = static_cast<int>(attention.whole("kv_heads", model.heads, kSmall));
      model.head_size = static_cast<int>(
          attention.whole("head_size", model.hidden_size / std::max(1, model.heads), kSmall));
      model.kv_numbers_per_token_and_layer = attention.number(
          "kv_elements_per_token_per_layer", 2.0 * model.kv_heads * model.head_size, kPositive);
      model.sliding_window = attention.whole("sliding_window_tokens", 0, kCount);
      model.sliding_layers =
          static_cast<int>(attention.whole("sliding_window_layers", 0, {0, 1 << 30}));
      close(fields, attention);
    }
    fields.ignore("mla");
    int matrices = 3;
    if (const auto node = fields.child("feed_forward")) {
      Fields feed_forward(*node);
      model.intermediate_size = static_cast<int>(feed_forward.whole("size", 0, {0, 1 << 30}));
      matrices = static_cast<int>(feed_forward.whole("matrices", 3, {1, 16}));
      feed_forward.ignore("dense_layers");
      close(fields, feed_forward);
    }
    if (const auto node = fields.child("experts")) {
      Fields experts(*node);
      model.experts = static_cast<int>(experts.required_whole("count", kSmall));
      model.experts_per_token = static_cast<int>(experts.required_whole("per_token", kSmall));
      experts.ignore("shared");
      const double size = static_cast<double>(experts.required_whole("size", kSmall));
      model.expert_parameters = static_cast<double>(matrices) * model.hidden_size * size;
      model.expert_layers = static_cast<int>(experts.whole("layers", model.layers, kSmall));
      close(fields, experts);
    }
    if (const auto node = fields.child("precision")) {
      Fields precision(*node);
      const std::string native = precision.text("native");
      const std::string outside = precision.text("outside_experts");
      if (!native.empty())
        model.native_precision = nearest_precision(native, 0.5);
      if (!outside.empty() && outside != native)
        model.outside_experts_precision = nearest_precision(outside, 2);
      close(fields, precision);
    }
    model.confidence = fields.text("confidence");
    model.source =
        fmt::format("{}", fmt::join(named_sources(fields, catalog_.model_sources_), ", "));
    model.note = fields.text("note");

    enter(fields, catalog_.model_names_, catalog_.models_.size(), model.id, model.aliases);
    flatten(fields.node(), "", catalog_.model_facts_[model.id]);
    catalog_.models_.push_back(std::move(model));
  }

  Status read_constants(const Node& node) {
    Fields fields(node);
    read_head(fields, catalog_.constant_sources_);
    MEDLEY_TRY_STATUS(fields.status());
    MEDLEY_TRY_STATUS(each(fields, "precisions", [&](Fields& entry) { read_format(entry); }));
    MEDLEY_TRY_STATUS(each(fields, "roofline", [&](Fields& entry) { read_roofline(entry); }));
    MEDLEY_TRY_STATUS(each(fields, "dataflow", [&](Fields& entry) { read_dataflow(entry); }));
    MEDLEY_TRY_STATUS(each(fields, "power", [&](Fields& entry) { read_power(entry); }));
    fields.ignore("hosts");
    return fields.finish();
  }

  // A file of `medley perf fit`: some of the lists of step_constants.yaml.
  Status read_fit(const Node& node) {
    Fields fields(node);
    read_head(fields, catalog_.constant_sources_);
    MEDLEY_TRY_STATUS(fields.status());
    const auto in_front = [&](const char* key, auto& list, const auto& read) -> Status {
      const auto before = static_cast<std::ptrdiff_t>(list.size());
      if (fields.child(key))
        MEDLEY_TRY_STATUS(each(fields, key, read));
      std::rotate(list.begin(), list.begin() + before, list.end());
      return Done{};
    };
    MEDLEY_TRY_STATUS(
        in_front("roofline", catalog_.roofline_, [&](Fields& entry) { read_roofline(entry); }));
    MEDLEY_TRY_STATUS(
        in_front("dataflow", catalog_.dataflow_, [&](Fields& entry) { read_dataflow(entry); }));
    MEDLEY_TRY_STATUS(
        in_front("power", catalog_.power_, [&](Fields& entry) { read_power(entry); }));
    return fields.finish();
  }

  void read_format(Fields& fields) {
    NumberFormat format;
    format.id = fields.required_text("id");
    format.aliases = fields.texts("aliases");
    format.weight_bytes_per_parameter =
        fields.required_number("weight_bytes_per_parameter", kPositive);
    format.precision = nearest_precision(format.id, format.weight_bytes_per_parameter);
    for (const std::string& name : fields.texts("computes_as")) {
      const auto precision = precision_named(name);  // blockfp8 is none of ours
      if (precision)
        format.computes_as.push_back(*precision);
    }
    format.confidence = fields.text("confidence");
    fields.ignore("note");
    format.sources = named_sources(fields, catalog_.constant_sources_);
    enter(fields, catalog_.format_names_, catalog_.formats_.size(), format.id, format.aliases);
    catalog_.formats_.push_back(std::move(format));
  }

  // The keys that say what an entry is for, and where it is from.
  Catalog::Key read_key(Fields& fields, StepConstants& constants) {
    Catalog::Key key;
    key.device = fields.text("device");
    if (!key.device.empty() && catalog_.accelerator_names_.index.count(folded(key.device)) == 0) {
      fields.fail(fields.child("device")->error(
          fmt::format("no accelerator '{}' in the catalogue{}", key.device,
                      suggestion(key.device, catalog_.accelerator_names_.all))));
    }
    key.kind =
        static_cast<AcceleratorKind>(fields.required_choice("kind", kind_names()).value_or(0));
    key.engine = fields.text("engine");
    key.engine_version = constants.engine_version = fields.text("engine_version");
    key.only_if_asked = fields.flag("only_if_asked", false);
    const std::string precision = fields.text("precision");
    if (!precision.empty()) {
      const auto found = catalog_.format_names_.index.find(folded(precision));
      if (found != catalog_.format_names_.index.end()) {
        key.precision = catalog_.formats_[found->second].precision;
      } else {
        fields.fail(fields.child("precision")
                        ->error(fmt::format("unknown value '{}'{}", precision,
                                            suggestion(precision, catalog_.format_names_.all))));
      }
    }
    const std::string origin = fields.text("origin");
    constants.device = key.device.empty() ? std::string(name_of(key.kind)) : key.device;
    constants.engine = key.engine;
    constants.precision = key.precision;
    constants.class_default = key.device.empty() || origin == "class_default";
    constants.error_bar = fields.number("error_bar", constants.error_bar);
    fields.ignore("fit");
    constants.date = fields.text("date");
    constants.confidence = fields.text("confidence");
    constants.source =
        fmt::format("{}", fmt::join(named_sources(fields, catalog_.constant_sources_), ", "));
    fields.ignore("note");
    return key;
  }

  void read_roofline(Fields& fields) {
    Catalog::ConstantsEntry entry;
    entry.key = read_key(fields, entry.constants);
    RooflineConstants& r = entry.constants.roofline;
    constexpr Bounds kEfficiency{.max = 1, .above_min = true};
    const auto us = [&](std::string_view key) { return fields.number(key, 0) / 1e6; };
    r.e_mem = fields.number("e_mem", r.e_mem, kEfficiency);
    r.e_comp = fields.number("e_comp", r.e_comp, kEfficiency);
    r.e_pre = fields.number("e_pre", r.e_pre, kEfficiency);
    r.t_fix_s = us("t_fix_us");
    r.t_layer_s = us("t_layer_us");
    r.t_moe_layer_s = us("t_moe_layer_us");
    r.t_expert_exchange_s = us("t_expert_exchange_us");
    r.t_allreduce_s = us("t_allreduce_us");
    r.t_seq_s = us("t_seq_us");
    r.t_prefill_s = us("t_prefill_us");
    r.t_seq_layer_s = us("t_seq_layer_us");
    r.t_prefill_layer_s = us("t_prefill_layer_us");
    r.t_prefill_moe_layer_s = us("t_prefill_moe_layer_us");
    r.e_kv = fields.number("e_kv", r.e_kv, kShare);
    r.e_expert = fields.number("e_expert", r.e_expert, kEfficiency);
    if (const auto kv = fields.child("kv_bytes_per_element")) {
      fields.take(r.kv_precision, read_kv_precision(*kv));
    }
    r.memory_share = fields.number("memory_utilisation", r.memory_share, kEfficiency);
    r.memory_reserve_bytes = fields.number("memory_reserve_gb", 0) * 1e9;
    catalog_.roofline_.push_back(std::move(entry));
  }

  void read_dataflow(Fields& fields) {
    Catalog::ConstantsEntry entry;
    entry.key = read_key(fields, entry.constants);
    DataflowConstants& d = entry.constants.dataflow;
    d.t_layer_s = fields.number("t_layer_us", 0) / 1e6;
    d.moe_extra_layer_s = fields.number("t_moe_layer_us", 0) / 1e6;
    d.t_head_s = fields.number("t_head_us", 0) / 1e6;
    d.group_chips = static_cast<int>(fields.whole("group_chips", d.group_chips, {1, 1 << 20}));
    if (const auto feed = fields.number("weight_feed_gb_per_s", kPositive)) {
      d.weight_feed = BytesPerSecond(*feed * 1e9);
    }
    d.weight_bytes_per_parameter =
        fields.number("weight_bytes_per_parameter", d.weight_bytes_per_parameter, kPositive);
    if (const auto kv = fields.child("kv_bytes_per_element")) {
      fields.take(d.kv_precision, read_kv_precision(*kv));
    }
    d.sram_share_for_weights = fields.number("sram_share_for_weights", d.sram_share_for_weights,
                                             {.max = 1, .above_min = true});
    d.free_sequences_per_stage = static_cast<int>(
        fields.whole("free_sequences_per_stage", d.free_sequences_per_stage, {1, 1 << 20}));
    d.tokens_per_pass =
        static_cast<int>(fields.whole("prefill_tokens_per_stage", d.tokens_per_pass, {1, 1 << 20}));
    d.throughput_error_bar = fields.number("throughput_error_bar", d.throughput_error_bar);
    if (const auto beyond = fields.number("beyond_schedule_layer_us", Bounds{}))
      d.beyond_schedule_layer_s = *beyond / 1e6;
    catalog_.dataflow_.push_back(std::move(entry));
  }

  void read_power(Fields& fields) {
    Catalog::PowerEntry entry;
    StepConstants unused;
    entry.key = read_key(fields, unused);
    entry.watts.known = !unused.class_default;
    entry.source = unused.source;
    entry.confidence = unused.confidence;
    const auto law = [&](const Node& node) {
      Fields watts(node);
      entry.watts.intercept_w = watts.required_number("intercept");
      entry.watts.per_mfu_w = watts.number("per_mfu", 0);
      entry.watts.per_mbu_w = watts.number("per_mbu", 0);
      entry.watts.cap_w = watts.required_number("cap", kPositive);
      entry.watts.idle_w = watts.number("idle", -1);
      entry.watts.context_extra_w = watts.number("context_extra", -1);
      close(fields, watts);
    };
    int given = 0;
    if (const auto node = fields.child("watts")) {
      law(*node);
      ++given;
    }
    if (const auto node = fields.child("tdp_share")) {
      law(*node);
      entry.of_tdp = true;
      ++given;
    }
    if (const auto node = fields.child("fixed_w")) {
      Fields fixed(*node);
      entry.fixed_typical_w = fixed.required_number("typical", kPositive);
      const double low = fixed.number("low", entry.fixed_typical_w);
      entry.fixed_w = Range{low, fixed.number("high", entry.fixed_typical_w)};
      close(fields, fixed);
      ++given;
    }
    if (given != 1)
      fields.fail(fields.node().error("expected exactly one of watts, tdp_share and fixed_w"));
    catalog_.power_.push_back(std::move(entry));
  }

  Catalog catalog_;
};

namespace {

// The nearest id or alias, else the ids.
std::string suggest(std::string_view name, const std::vector<std::string>& all,
                    const std::vector<std::string>& ids) {
  return suggestion(name, nearest_name(name, all).empty() ? ids : all);
}

template <typename T, typename Names>
Result<T> look_up(const std::vector<T>& all, const Names& names, std::string_view noun,
                  std::string_view name) {
  if (const auto found = names.index.find(folded(name)); found != names.index.end())
    return all[found->second];
  return Error{
      ErrorCode::kNotFound,
      fmt::format("no {} '{}' in the catalogue{}", noun, name, suggest(name, names.all, names.ids)),
      {}};
}

}  // namespace

Result<Accelerator> Catalog::accelerator(std::string_view name) const {
  return look_up(accelerators_, accelerator_names_, "accelerator", name);
}
Result<Model> Catalog::model(std::string_view name) const {
  return look_up(models_, model_names_, "model", name);
}
Result<NumberFormat> Catalog::number_format(std::string_view name) const {
  return look_up(formats_, format_names_, "number format", name);
}
bool Catalog::has_accelerator(std::string_view name) const {
  return accelerator_names_.index.count(folded(name)) > 0;
}
bool Catalog::has_model(std::string_view name) const {
  return model_names_.index.count(folded(name)) > 0;
}

const Facts& Catalog::accelerator_facts(const std::string& id) const {
  static const Facts none;
  const auto found = accelerator_facts_.find(id);
  return found == accelerator_facts_.end() ? none : found->second;
}
const Facts& Catalog::model_facts(const std::string& id) const {
  static const Facts none;
  const auto found = model_facts_.find(id);
  return found == model_facts_.end() ? none : found->second;
}

StepConstants Catalog::constants_for(const Accelerator& accelerator, std::string_view engine,
                                     Precision precision, std::string_view engine_version) const {
  const auto is_default = [&](const ConstantsEntry& entry) {
    return entry.key.device.empty() && entry.key.kind == accelerator.kind;
  };
  const bool dataflow = std::any_of(dataflow_.begin(), dataflow_.end(), is_default);
  const std::vector<ConstantsEntry>& entries = dataflow ? dataflow_ : roofline_;
  const auto first_fit = [&](const auto& fits) -> const ConstantsEntry* {
    const auto found = std::find_if(entries.begin(), entries.end(), fits);
    return found == entries.end() ? nullptr : &*found;
  };
  const auto fits = [&](const ConstantsEntry& entry, bool any_version) {
    const Key& key = entry.key;
    if (key.device != accelerator.id)
      return false;
    if (key.only_if_asked && (any_version || engine_version.empty()))
      return false;
    return (key.engine.empty() || engine.empty() || key.engine == engine) &&
           (!key.precision ||
            sixteen_bit_as_one(*key.precision) == sixteen_bit_as_one(precision)) &&
           (any_version || key.engine_version.empty() || engine_version.empty() ||
            key.engine_version == engine_version);
  };

  const ConstantsEntry* found =
      first_fit([&](const ConstantsEntry& entry) { return fits(entry, /*any_version=*/false); });
  if (found == nullptr) {
    found =
        first_fit([&](const ConstantsEntry& entry) { return fits(entry, /*any_version=*/true); });
  }
  if (found == nullptr)
    found = first_fit(is_default);

  StepConstants constants;
  if (found != nullptr) {
    constants = found->constants;
    constants.law = dataflow ? StepLaw::kDataflow : StepLaw::kRoofline;
  } else {
    constants.device = std::string(name_of(accelerator.kind));
    constants.class_default = true;
    constants.law = StepLaw::kNone;
  }

  const auto format = std::find_if(formats_.begin(), formats_.end(), [&](const NumberFormat& f) {
    return f.id == name_of(precision);
  });
  if (format != formats_.end()) {
    for (const Precision runs_in : format->computes_as) {
      if (accelerator.peak.count(runs_in) == 0)
        continue;
      constants.computes_in = runs_in;
      break;
    }
  }
  fill_power(constants, accelerator);
  return constants;
}

void Catalog::fill_power(StepConstants& constants, const Accelerator& accelerator) const {
  const PowerEntry* found = nullptr;
  for (const PowerEntry& entry : power_) {
    if (entry.key.device == accelerator.id) {
      found = &entry;
      break;
    }
    if (found == nullptr && entry.key.device.empty() && entry.key.kind == accelerator.kind)
      found = &entry;
  }
  if (found == nullptr)
    return;

  PowerLaw law = found->watts;
  if (found->fixed_w) {
    const double typical = found->fixed_typical_w;
    law = {.intercept_w = typical,
           .cap_w = found->fixed_w->high,
           .idle_w = -1,
           .context_extra_w = -1,
           .known = law.known};
    constants.dataflow.chip_w = typical;
    constants.dataflow.chip_w_low = found->fixed_w->low;
    constants.dataflow.chip_w_high = found->fixed_w->high;
  } else if (found->of_tdp) {
    const double tdp = accelerator.tdp_w ? accelerator.tdp_w->middle() : 0;
    law.intercept_w *= tdp;
    law.per_mfu_w *= tdp;
    law.per_mbu_w *= tdp;
    law.cap_w *= tdp;
    if (law.idle_w >= 0)
      law.idle_w *= tdp;
    if (law.context_extra_w >= 0)
      law.context_extra_w *= tdp;
    constants.dataflow.chip_w = constants.dataflow.chip_w_low = constants.dataflow.chip_w_high =
        tdp;
  }
  // What the law does not say, the accelerator may; a fixed draw goes on while the device is in
  // service.
  if (law.idle_w < 0) {
    law.idle_w = accelerator.idle_w ? accelerator.idle_w->middle()
                 : found->fixed_w   ? law.intercept_w
                                    : 0;
  }
  if (law.context_extra_w < 0) {
    law.context_extra_w = found->fixed_w ? std::max(0.0, law.intercept_w - law.idle_w)
                          : accelerator.context_extra_w ? accelerator.context_extra_w->middle()
                                                        : 0;
  }
  constants.power = law;
  constants.power_source = found->source;
  constants.power_confidence = found->confidence;
}

std::vector<std::string> Catalog::sources_of(const Accelerator& accelerator,
                                             std::string_view group) const {
  std::vector<std::string> keys;
  for (const std::string& key : accelerator.sources) {
    const auto partial = partial_sources_.find(key);
    if (partial == partial_sources_.end() ||
        std::find(partial->second.begin(), partial->second.end(), group) != partial->second.end())
      keys.push_back(key);
  }
  return keys;
}

Result<Catalog> read_catalog(const std::string& folder) {
  return CatalogReader().read(folder.empty() ? default_catalog_folder() : folder);
}

std::string default_catalog_folder() {
  if (const char* folder = std::getenv("MEDLEY_CATALOG"); folder != nullptr && *folder != '\0')
    return folder;
#ifdef MEDLEY_CATALOG_DIR
  return MEDLEY_CATALOG_DIR;
#else
  return "catalog";
#endif
}

}  // namespace medley::data
