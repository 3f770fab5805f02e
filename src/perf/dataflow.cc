#include "perf/dataflow.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace medley::perf {
namespace {

// 64 streams × 320 B × 0.9 GHz of 80 TB/s quoted: what of the SRAM bandwidth reaches the matrix
// units of Groq's first chip (hardware.md 1.1). For chips whose feed rate nobody has published.
constexpr double kFeedShareOfSram = 18.432 / 80;

}  // namespace

int chips_needed(const Accelerator& accelerator, const Model& model, Precision precision,
                 const DataflowConstants& constants) {
  const MemoryTier* sram = accelerator.serving_memory();
  MEDLEY_CHECK(sram != nullptr && sram->capacity, accelerator.id);
  const Bytes for_weights = *sram->capacity * constants.sram_share_for_weights;
  return std::max(1, static_cast<int>(std::ceil(weight_bytes(model, precision) / for_weights)));
}

Result<DataflowModel> DataflowModel::make(const Setup& setup) {
  const auto& [accelerator, model, precision, chips, constants, prefill_tokens_per_s] = setup;
  const auto invalid = [](std::string message) {
    return Error{ErrorCode::kInvalid, std::move(message)};
  };
  const MemoryTier* sram = accelerator.serving_memory();
  if (sram == nullptr || !sram->capacity) {
    return invalid(fmt::format("the memory size of {} is unknown", accelerator.id));
  }
  if (model.layers <= 0 || model.parameters <= 0) {
    return invalid(fmt::format("layers or parameters of model {} are unknown", model.id));
  }
  if (constants.t_layer_s <= 0 || constants.tokens_per_pass < 1 || constants.group_chips < 1 ||
      constants.sram_share_for_weights <= 0) {
    return invalid(fmt::format("no time per layer is known for {}", accelerator.id));
  }
  BytesPerSecond feed;
  if (accelerator.weight_feed) {
    feed = *accelerator.weight_feed;
  } else if (sram->bandwidth) {
    feed = *sram->bandwidth * kFeedShareOfSram;
  } else {
    return invalid(fmt::format("the weight feed rate of {} is unknown", accelerator.id));
  }

  DataflowModel result;
  result.chips_ = chips > 0 ? chips : chips_needed(accelerator, model, precision, constants);
  const int group = std::min(constants.group_chips, result.chips_);
  result.stages_ = std::max(1, result.chips_ / group);
  result.tokens_per_pass_ = constants.tokens_per_pass;

  const Bytes weights = weight_bytes(model, precision);
  const Bytes sram_of_all = *sram->capacity * static_cast<double>(result.chips_);
  const Bytes per_token = kv_bytes_per_token(model, constants.kv_precision);
  const Bytes left = sram_of_all - weights;
  if (per_token.value() <= 0) {
    return invalid(fmt::format("the KV cache per token of model {} is unknown", model.id));
  }
  if (left < per_token) {
    return invalid(fmt::format(
        "{} at {} needs {:.1f} GB, {} x {} gives {:.1f} GB; chips {} would fit with room for KV "
        "cache",
        model.id, name_of(precision), weights.value() / 1e9, result.chips_, accelerator.id,
        sram_of_all.value() / 1e9, chips_needed(accelerator, model, precision, constants)));
  }
  result.kv_tokens_ = static_cast<long long>(left / per_token);

  const double active_share =
      model.active_parameters > 0 ? model.active_parameters / model.parameters : 1;
  const double per_layer =
      constants.t_layer_s + (model.is_mixture() ? constants.moe_extra_layer_s : 0);
  result.token_time_ = Seconds(model.layers * per_layer + constants.t_head_s) +
                       weights * active_share / (feed * static_cast<double>(group));
  result.power_ = Watts(constants.chip_w * result.chips_);
  result.prefill_tokens_per_s_ = prefill_tokens_per_s;
  return result;
}

int DataflowModel::slots(long long context) const {
  MEDLEY_CHECK(context > 0);
  const long long by_sram = kv_tokens_ / context;
  const long long by_pipeline = static_cast<long long>(stages_) * tokens_per_pass_;
  return static_cast<int>(std::min(by_sram, by_pipeline));
}

StepCost DataflowModel::step(const StepShape& shape) const {
  MEDLEY_CHECK(shape.decodes > 0 || !shape.chunks.empty());
  Seconds time = token_time_;
  if (!shape.chunks.empty() && prefill_tokens_per_s_) {
    time = Seconds(static_cast<double>(shape.prefill_tokens()) / *prefill_tokens_per_s_);
  } else if (!shape.chunks.empty()) {
    long long passes = 0;
    for (const PrefillChunk& chunk : shape.chunks) {
      passes += (chunk.tokens + tokens_per_pass_ - 1) / tokens_per_pass_;
    }
    time = token_time_ * (static_cast<double>(passes) / stages_);
  }
  return {time, power_ * time};
}

}  // namespace medley::perf
