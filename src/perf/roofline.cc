#include "perf/roofline.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

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
  const auto& [accelerator, model, precision, devices, constants, power] = setup;
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

  RooflineModel result;
  const double n = devices;
  result.devices_ = n;
  result.bandwidth_ = *memory->bandwidth * n;
  if (const auto peak = arithmetic_peak(accelerator, precision))
    result.compute_ = *peak * n;

  const Bytes weights = weight_bytes(model, precision);
  if (model.is_mixture()) {
    const double experts =
        double{1} * model.experts * model.expert_layers * model.expert_parameters;
    result.expert_weights_ = weights * std::min(1.0, experts / model.parameters);
    result.expert_miss_ = 1 - std::min(1.0, double{1} * model.experts_per_token / model.experts);
  }
  result.dense_weights_ = weights - result.expert_weights_;
  result.kv_per_token_ = kv_bytes_per_token(model, constants.kv_precision);

  const double active = model.active_parameters > 0 ? model.active_parameters : model.parameters;
  result.per_token_ = Flops(2 * active);
  const double attention_width = model.heads > 0 && model.head_size > 0
                                     ? double{1} * model.heads * model.head_size
                                     : model.hidden_size;
  result.per_token_and_attended_ = Flops(4.0 * model.layers * attention_width);

  result.fixed_ = Seconds(constants.t_fix_s + model.layers * constants.t_layer_s);
  if (devices > 1) {
    result.fixed_ += Seconds(2.0 * model.layers * constants.t_allreduce_s);
    const Bytes per_token(2.0 * model.layers * 2 * (n - 1) / n * model.hidden_size *
                          kActivationBytes);
    result.collective_per_token_ = per_token / accelerator.link.value_or(kUnknownLink);
  }
  result.per_decode_ = Seconds(constants.t_seq_s);
  result.e_mem_ = constants.e_mem;
  result.e_comp_ = constants.e_comp;
  result.e_pre_ = constants.e_pre;
  result.power_ = power;
  return result;
}

RooflineModel::Parts RooflineModel::parts(const StepShape& shape) const {
  MEDLEY_CHECK(shape.decodes > 0 || !shape.chunks.empty());
  double prompt_tokens = 0, attended = 0;  // attended: Σ q·(context + q/2)
  for (const PrefillChunk& chunk : shape.chunks) {
    const auto tokens = static_cast<double>(chunk.tokens);
    prompt_tokens += tokens;
    attended += tokens * (static_cast<double>(chunk.context) + tokens / 2);
  }
  const auto decodes = static_cast<double>(shape.decodes);
  const double tokens = decodes + prompt_tokens;

  Bytes touched = dense_weights_;
  if (expert_weights_.value() > 0) {
    touched += expert_weights_ * (1 - std::pow(expert_miss_, tokens));
  }
  Parts parts;
  parts.moved =
      touched + kv_per_token_ * (static_cast<double>(shape.decode_context) + prompt_tokens);
  parts.linear = per_token_ * tokens;
  const Seconds memory_bound = parts.moved / bandwidth_ / e_mem_;
  Seconds compute_bound, prefill;
  if (compute_known()) {
    compute_bound = per_token_ * decodes / compute_ / e_comp_;
    prefill = (per_token_ * prompt_tokens + per_token_and_attended_ * attended) / compute_ / e_pre_;
  }
  parts.time = fixed_ + collective_per_token_ * tokens + std::max(memory_bound, compute_bound) +
               prefill + per_decode_ * decodes;
  return parts;
}

RooflineModel::Utilisation RooflineModel::utilisation(const StepShape& shape) const {
  const Parts step = parts(shape);
  Utilisation utilisation;
  if (compute_known())
    utilisation.mfu = step.linear / (step.time * compute_);
  utilisation.mbu = step.moved / (step.time * bandwidth_);
  return utilisation;
}

StepCost RooflineModel::step(const StepShape& shape) const {
  const Parts step = parts(shape);
  double watts = power_.intercept_w + power_.per_mbu_w * (step.moved / (step.time * bandwidth_));
  if (compute_known())
    watts += power_.per_mfu_w * (step.linear / (step.time * compute_));
  if (power_.cap_w > 0)
    watts = std::min(watts, power_.cap_w);
  return {step.time, Watts(watts * devices_) * step.time};
}

// Linear in the contexts on either side of where memory takes over from arithmetic, and of the cap.
std::optional<StepCost> RooflineModel::run(const StepShape& first, long long steps) const {
  return sum_of_linear_pieces(*this, first, steps);
}

Watts RooflineModel::idle_power() const {
  return Watts((power_.idle_w + power_.context_extra_w) * devices_);
}

}  // namespace medley::perf
