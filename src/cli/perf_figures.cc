#include "cli/perf_figures.h"

#include <fmt/format.h>

#include "cli/sources.h"
#include "perf/roofline.h"

namespace medley::cli {
namespace {

constexpr double kMicro = 1e6;  // seconds shown as microseconds

struct Constant {
  const char* name;
  double RooflineConstants::*member;
};
constexpr Constant kShares[] = {{"e_mem", &RooflineConstants::e_mem},
                                {"e_kv", &RooflineConstants::e_kv},
                                {"e_comp", &RooflineConstants::e_comp},
                                {"e_pre", &RooflineConstants::e_pre},
                                {"e_expert", &RooflineConstants::e_expert},
                                {"memory_utilisation", &RooflineConstants::memory_share}};
constexpr Constant kTimes[] = {{"t_fix", &RooflineConstants::t_fix_s},
                               {"t_layer", &RooflineConstants::t_layer_s},
                               {"t_moe_layer", &RooflineConstants::t_moe_layer_s},
                               {"t_expert_exchange", &RooflineConstants::t_expert_exchange_s},
                               {"t_allreduce", &RooflineConstants::t_allreduce_s},
                               {"t_seq", &RooflineConstants::t_seq_s},
                               {"t_seq_layer", &RooflineConstants::t_seq_layer_s},
                               {"t_prefill", &RooflineConstants::t_prefill_s},
                               {"t_prefill_layer", &RooflineConstants::t_prefill_layer_s},
                               {"t_prefill_moe_layer", &RooflineConstants::t_prefill_moe_layer_s}};

class Figures {
 public:
  Figures(const data::Catalog& catalog, const Accelerator& accelerator)
      : catalog_(catalog), accelerator_(accelerator) {}

  void add(std::string_view group, std::string name, std::string value, std::string confidence,
           std::vector<std::string> from) {
    if (value == "unknown")
      confidence.clear(), from.clear();
    rows_.push_back(
        {group, std::move(name), std::move(value), std::move(confidence), std::move(from)});
  }
  // Of the device: the letter and the sources are those of a group of its figures.
  void add_device(std::string name, std::string value, std::string_view of,
                  std::string_view finer = {}) {
    add("device", std::move(name), std::move(value), confidence_of(accelerator_, of, finer),
        catalog_.sources_of(accelerator_, of));
  }
  std::vector<Figure> take() { return std::move(rows_); }

 private:
  const data::Catalog& catalog_;
  const Accelerator& accelerator_;
  std::vector<Figure> rows_;
};

template <typename Quantity>
std::string shown(const std::optional<Quantity>& value, double unit, const char* name) {
  return value ? fmt::format("{:.6g} {}", value->value() / unit, name) : "unknown";
}

void add_device(Figures& figures, const Accelerator& a, const StepConstants& constants) {
  const MemoryTier* memory = a.serving_memory();
  const std::string tier = memory ? " " + memory->tier : "";
  figures.add_device("memory" + tier, memory ? shown(memory->capacity, 1e9, "GB") : "unknown",
                     "memory");
  figures.add_device("bandwidth" + tier, memory ? shown(memory->bandwidth, 1e9, "GB/s") : "unknown",
                     "memory", "memory_bandwidth");
  if (a.weight_feed)
    figures.add_device("weight feed", shown(a.weight_feed, 1e9, "GB/s"), "compute");
  const auto peak = constants.computes_in ? a.peak.find(*constants.computes_in) : a.peak.end();
  figures.add_device(
      constants.computes_in ? fmt::format("peak {}, dense", name_of(*constants.computes_in))
                            : "peak, dense",
      peak == a.peak.end() ? "unknown" : fmt::format("{:.6g} TFLOP/s", peak->second.value() / 1e12),
      "compute");
  figures.add_device("link, per direction", shown(a.link, 1e9, "GB/s"), "link");
}

void add_roofline(Figures& figures, const StepConstants& constants) {
  const RooflineConstants& r = constants.roofline;
  const auto add = [&](std::string name, std::string value) {
    figures.add("constants", std::move(name), std::move(value), constants.confidence,
                split_sources(constants.source));
  };
  for (const Constant& share : kShares) {
    const double value = r.*share.member;
    add(share.name, value > 0 ? fmt::format("{:.4g}", value) : "as e_mem");
  }
  std::size_t shown = 0;
  for (const Constant& time : kTimes) {
    if (r.*time.member > 0) {
      add(time.name, fmt::format("{:.4g} us", r.*time.member * kMicro));
      ++shown;
    }
  }
  if (shown < std::size(kTimes))
    add(shown == 0 ? "all fixed times" : "all other times", "0");
  add("memory reserve", fmt::format("{:.4g} GB", r.memory_reserve_bytes / 1e9));
  add("KV cache", std::string(name_of(r.kv_precision)));
}

void add_dataflow(Figures& figures, const StepConstants& constants) {
  const DataflowConstants& d = constants.dataflow;
  const auto add = [&](std::string name, std::string value) {
    figures.add("constants", std::move(name), std::move(value), constants.confidence,
                split_sources(constants.source));
  };
  add("t_layer", fmt::format("{:.4g} us", d.t_layer_s * kMicro));
  add("t_moe_layer", fmt::format("{:.4g} us", d.moe_extra_layer_s * kMicro));
  add("t_head", fmt::format("{:.4g} us", d.t_head_s * kMicro));
  add("a layer beyond its compiled schedule",
      d.beyond_schedule_layer_s ? fmt::format("{:.4g} us", *d.beyond_schedule_layer_s * kMicro)
                                : std::string("unknown"));
  add("chips of a group", std::to_string(d.group_chips));
  if (d.weight_feed)
    add("weight feed", shown(d.weight_feed, 1e9, "GB/s"));
  add("bytes per weight", fmt::format("{:.4g}", d.weight_bytes_per_parameter));
  add("SRAM share for weights", fmt::format("{:.4g}", d.sram_share_for_weights));
  add("prompt tokens per pass", std::to_string(d.tokens_per_pass));
  add("free sequences per stage", std::to_string(d.free_sequences_per_stage));
  add("KV cache", std::string(name_of(d.kv_precision)));
}

void add_power(Figures& figures, const StepConstants& constants) {
  const PowerLaw& law = constants.power;
  const auto add = [&](std::string name, double watts, bool known) {
    figures.add("power", std::move(name), known ? fmt::format("{:.4g} W", watts) : "unknown",
                constants.power_confidence, split_sources(constants.power_source));
  };
  const bool any = law.cap_w > 0;
  add("watts: intercept", law.intercept_w, any);
  add("watts: at full arithmetic", law.per_mfu_w, any);
  add("watts: at full bandwidth", law.per_mbu_w, any);
  add("watts: at most", law.cap_w, any);
}

void add_model(Figures& figures, const Model& m) {
  const std::vector<std::string> from = split_sources(m.source);
  const auto add = [&](std::string name, double value) {
    figures.add("model", std::move(name), value > 0 ? fmt::format("{:.0f}", value) : "unknown",
                m.confidence, from);
  };
  add("parameters", m.parameters);
  add("active parameters", m.active_parameters);
  add("layers", m.layers);
  add("hidden size", m.hidden_size);
  add("attention heads", m.heads);
  add("key-value heads", m.kv_heads);
  add("head size", m.head_size);
  add("KV numbers per token and layer", m.kv_numbers_per_token_and_layer);
  if (m.sliding_window > 0) {
    add("sliding window, tokens", static_cast<double>(m.sliding_window));
    add("layers with it", m.sliding_layers);
  }
  if (m.is_mixture()) {
    add("experts", m.experts);
    add("experts per token", m.experts_per_token);
    add("layers with experts", m.expert_layers);
    add("parameters of an expert", m.expert_parameters);
  }
}

}  // namespace

std::vector<Figure> figures_behind(const data::Catalog& catalog, const Accelerator& accelerator,
                                   const Model& model, const data::NumberFormat& format,
                                   const StepConstants& constants) {
  Figures figures(catalog, accelerator);
  add_device(figures, accelerator, constants);
  if (constants.law == StepLaw::kDataflow)
    add_dataflow(figures, constants);
  else
    add_roofline(figures, constants);
  add_power(figures, constants);
  add_model(figures, model);
  if (constants.law == StepLaw::kRoofline)
    figures.add("format", fmt::format("{}, bytes per weight", format.id),
                fmt::format("{:.4g}", format.weight_bytes_per_parameter), format.confidence,
                format.sources);
  return figures.take();
}

const data::SourceTable& sources_of_group(const data::Catalog& catalog, std::string_view group) {
  return group == "device"  ? catalog.accelerator_sources()
         : group == "model" ? catalog.model_sources()
                            : catalog.constant_sources();
}

}  // namespace medley::cli
