#include "perf/roofline.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <utility>

#include "base/check.h"
#include "perf/step_run.h"

namespace medley::perf {
namespace {

using enum Precision;

// Formats to multiply in, nearest first (the same lists as `computes_as` of
// catalog/step_constants.yaml). int4 is a weight-only format on most devices (activations stay at
// 16 bits), so 16 bits come first.
std::span<const Precision> arithmetic_choices(Precision stored) {
  static constexpr std::array kForFp32 = {kFp32};
  static constexpr std::array kForBf16 = {kBf16, kFp16, kFp32};
  static constexpr std::array kForFp16 = {kFp16, kBf16, kFp32};
  static constexpr std::array kForFp8 = {kFp8, kBf16, kFp16, kFp32};
  static constexpr std::array kForInt8 = {kInt8, kFp8, kBf16, kFp16, kFp32};
  static constexpr std::array kForFp4 = {kFp4, kFp8, kBf16, kFp16, kFp32};
  static constexpr std::array kForInt4 = {kInt4, kBf16, kFp16, kInt8, kFp32};
  switch (stored) {
    case kFp32:
      return kForFp32;
    case kBf16:
      return kForBf16;
    case kFp16:
      return kForFp16;
    case kFp8:
      return kForFp8;
    case kInt8:
      return kForInt8;
    case kFp4:
      return kForFp4;
    case kInt4:
      return kForInt4;
  }
  return {};
}

// Activations cross the links at 16 bits whatever the weights are stored at.
constexpr double kActivationBytes = 2;

}  // namespace

std::optional<FlopsPerSecond> arithmetic_peak(const Accelerator& accelerator, Precision precision) {
  for (const Precision choice : arithmetic_choices(precision)) {
    const auto found = accelerator.peak.find(choice);
    if (found != accelerator.peak.end())
      return found->second;
  }
  return std::nullopt;
}

Result<RooflineModel> RooflineModel::make(const Setup& setup) {
  const auto& [accelerator, model, precision, devices, constants, power, groups_asked,
               stages_asked] = setup;
  const auto invalid = [](std::string message) {
    return Error{ErrorCode::kInvalid, std::move(message)};
  };
  const MemoryTier* memory = accelerator.serving_memory();
  if (memory == nullptr || !memory->bandwidth) {
    return invalid(fmt::format("the memory bandwidth of {} is unknown", accelerator.id));
  }
  if (model.layers <= 0 || model.parameters <= 0 || model.hidden_size <= 0) {
    return invalid(fmt::format("layers, width or parameters of model {} are unknown", model.id));
  }
  if (devices < 1)
    return invalid(fmt::format("{} devices cannot serve a model", devices));
  if (constants.e_mem <= 0 || constants.e_comp <= 0 || constants.e_pre <= 0) {
    return invalid("e_mem, e_comp and e_pre must be positive");
  }

  if (groups_asked < 1 || stages_asked < 1)
    return invalid("attention groups and pipeline stages are at least 1");

  RooflineModel result;
  const double tp = devices, groups = groups_asked, n = tp * groups;
  const double layers = model.layers;
  result.constants_ = constants;
  if (result.constants_.e_kv <= 0)
    result.constants_.e_kv = constants.e_mem;
  result.devices_ = n * stages_asked;
  result.groups_ = groups;
  result.stages_ = stages_asked;
  result.bandwidth_ = *memory->bandwidth;
  if (const auto peak = arithmetic_peak(accelerator, precision))
    result.compute_ = *peak * n;

  const Bytes weights = weight_bytes(model, precision);
  const Bytes experts = expert_weight_bytes(model, precision);
  result.dense_weights_ = (weights - experts) / tp / result.bandwidth_;
  result.expert_weights_ = experts / n / result.bandwidth_;
  const double active = model.active_parameters > 0 ? model.active_parameters : model.parameters;
  result.per_token_ = Flops(2 * active);
  if (model.is_mixture()) {
    const double chosen = std::min(1.0, double{1} * model.experts_per_token / model.experts);
    result.expert_miss_ = 1 - chosen;
    result.per_token_experts_ =
        Flops(2 * std::min(active, double{1} * model.experts_per_token * model.expert_layers *
                                       model.expert_parameters));
    result.counts_.moe_layers = model.expert_layers;
    result.counts_.exchanges = groups > 1 ? model.expert_layers : 0;
  }
  result.kv_per_token_ = kv_bytes_per_token(model, constants.kv_precision);
  if (model.sliding_window > 0) {
    result.window_ = static_cast<double>(model.sliding_window);
    result.kv_per_sliding_ =
        result.kv_per_token_ * (std::min(model.layers, model.sliding_layers) / layers);
  }
  const bool latent = model.shares_kv_latent();
  result.kv_split_ = latent ? 1 : model.kv_heads > 0 ? std::min<double>(tp, model.kv_heads) : tp;
  if (memory->capacity && result.kv_per_token_.value() > 0) {
    const Bytes left = *memory->capacity * constants.memory_share -
                       Bytes(constants.memory_reserve_bytes) -
                       ((weights - experts) / tp + experts / n) / stages_asked;
    result.kv_tokens_ =
        groups * (left / (result.kv_per_token_ / (result.kv_split_ * stages_asked)));
  }
  const double attention_width = model.heads > 0 && model.head_size > 0
                                     ? double{1} * model.heads * model.head_size
                                     : model.hidden_size;
  result.per_token_and_attended_ = Flops(4.0 * layers * attention_width);

  result.counts_.layers = layers;
  result.counts_.collectives = tp > 1 ? 2 * layers : 0;
  const BytesPerSecond link = accelerator.link.value_or(kUnknownLink);
  const Bytes activations(model.hidden_size * kActivationBytes);
  if (tp > 1)
    result.link_per_token_ += activations * (2 * layers * 2 * (tp - 1) / tp / groups) / link;
  if (groups > 1) {
    result.link_per_token_ +=
        activations * (2.0 * result.counts_.exchanges * model.experts_per_token / n) / link;
  }
  result.send_per_token_ = activations * (stages_asked - 1) / link;
  result.power_ = power;
  return result;
}

StepSpent spent(const StepTerms& terms, const RooflineConstants& c) {
  StepSpent result;
  const Seconds memory = terms.weights / c.e_mem + terms.kv / (c.e_kv > 0 ? c.e_kv : c.e_mem);
  const Seconds compute = terms.decode / c.e_comp;
  (compute > memory ? result.compute : result.memory) = std::max(memory, compute);
  result.prompt = (terms.prompt + terms.prompt_experts / c.e_expert) / c.e_pre;
  result.link = terms.link;
  result.fixed =
      Seconds(c.t_fix_s + terms.layers * c.t_layer_s + terms.collectives * c.t_allreduce_s +
              terms.moe_layers * c.t_moe_layer_s + terms.exchanges * c.t_expert_exchange_s +
              terms.has_prompt * (c.t_prefill_s + terms.layers * c.t_prefill_layer_s +
                                  terms.moe_layers * c.t_prefill_moe_layer_s));
  result.sequences = Seconds(terms.sequences * c.t_seq_s + terms.sequence_layers * c.t_seq_layer_s);
  return result;
}

std::string_view StepSpent::binding() const {
  const std::pair<Seconds, std::string_view> parts[] = {
      {memory, "memory"}, {compute, "compute"}, {prompt, "prompt"},
      {link, "link"},     {fixed, "fixed"},     {sequences, "sequences"}};
  return std::max_element(std::begin(parts), std::end(parts),
                          [](const auto& a, const auto& b) { return a.first < b.first; })
      ->second;
}

StepTerms RooflineModel::terms(const StepShape& shape) const {
  MEDLEY_CHECK(shape.decodes > 0 || !shape.chunks.empty());
  double prompt_tokens = 0, attended = 0;  // attended: Σ q·(context + q/2)
  for (const PrefillChunk& chunk : shape.chunks) {
    const auto tokens = static_cast<double>(chunk.tokens);
    prompt_tokens += tokens;
    attended += tokens * (static_cast<double>(chunk.context) + tokens / 2);
  }
  auto decodes = static_cast<double>(shape.decodes);
  auto context = static_cast<double>(shape.decode_context);
  if (stages_ > 1) {
    const double micro = std::min(stages_, decodes + static_cast<double>(shape.chunks.size()));
    decodes /= micro;
    context /= micro;
    prompt_tokens /= micro;
    attended /= micro;
  }
  const double tokens = decodes + prompt_tokens;

  StepTerms terms = counts_;
  terms.weights = dense_weights_;
  if (expert_weights_.value() > 0)
    terms.weights += expert_weights_ * (1 - std::pow(expert_miss_, tokens));
  Bytes read = kv_per_token_ * (context + prompt_tokens);
  if (window_ > 0)
    read -= kv_per_sliding_ * std::max(0.0, context - decodes * window_);
  terms.kv = read / (bandwidth_ * (groups_ * kv_split_));
  if (compute_known()) {
    terms.decode = per_token_ * decodes / compute_;
    terms.prompt =
        ((per_token_ - per_token_experts_) * prompt_tokens + per_token_and_attended_ * attended) /
        compute_;
    terms.prompt_experts = per_token_experts_ * prompt_tokens / compute_;
  }
  terms.link = link_per_token_ * tokens + send_per_token_ * tokens;
  terms.sequences = decodes;
  terms.sequence_layers = decodes / groups_ * terms.layers;
  terms.has_prompt = prompt_tokens > 0 ? 1 : 0;
  return terms;
}

StepSpent RooflineModel::spent_on(const StepShape& shape) const {
  return spent(terms(shape), constants_);
}

// Of the whole replica: every stage moves and computes at the same time on its own micro-batch.
RooflineModel::Utilisation RooflineModel::utilisation(const StepTerms& terms,
                                                      const StepShape& shape, Seconds time) const {
  Utilisation utilisation;
  if (compute_known()) {
    const auto tokens = static_cast<double>(shape.decodes + shape.prefill_tokens());
    utilisation.mfu = per_token_ * tokens / (time * compute_ * stages_);
  }
  utilisation.mbu = (terms.weights + terms.kv) / time;
  return utilisation;
}

RooflineModel::Utilisation RooflineModel::utilisation(const StepShape& shape) const {
  const StepTerms step = terms(shape);
  return utilisation(step, shape, spent(step, constants_).time());
}

StepCost RooflineModel::step(const StepShape& shape) const {
  const StepTerms step = terms(shape);
  const Seconds time = spent(step, constants_).time();
  const Utilisation busy = utilisation(step, shape, time);
  double watts = power_.intercept_w + power_.per_mbu_w * busy.mbu + power_.per_mfu_w * busy.mfu;
  if (power_.cap_w > 0)
    watts = std::min(watts, power_.cap_w);
  return {time, Watts(watts * devices_) * time};
}

// Linear in the contexts on either side of where memory takes over from arithmetic, and of the cap.
std::optional<StepCost> RooflineModel::run(const StepShape& first, long long steps) const {
  return sum_of_linear_pieces(*this, first, steps);
}

Watts RooflineModel::idle_power() const {
  return Watts((power_.idle_w + power_.context_extra_w) * devices_);
}

}  // namespace medley::perf
