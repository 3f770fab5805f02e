// Statically scheduled devices (LPU): a pipeline of slots, no roofline.
//
// Symbols and formulas: hardware.md 1.3 (docs/step-models.md). N chips in P = ⌊N/g⌋ stages of g:
//
//   T = L·(t_layer + δ_MoE) + W_active / (g·weight_feed) + t_head      time per token of every
//   stream prefill lane: ⌈prompt / tokens_per_pass⌉ · T/P                     the first token comes
//   T after it energy = N · chip watts · time: a slot burns power whether or not it is filled
//
// T does not depend on how many streams are there as long as there are at most slots(): up to
// tokens_per_pass streams share one weight pass of a stage for free.
// The prefill law was never validated: no published prefill data with chip counts was found.
#pragma once

#include <optional>

#include "base/quantity.h"
#include "base/result.h"
#include "domain/accelerator.h"
#include "domain/model.h"
#include "domain/step_constants.h"
#include "perf/step_model.h"

namespace medley::perf {

class DataflowModel final : public StepModel {
 public:
  struct Setup {
    const Accelerator& accelerator;
    const Model& model;
    Precision precision;
    int chips = 0;  // of one replica; 0: chips_needed()
    const DataflowConstants& constants;
    // Where somebody knows or assumes what the prefill lane takes: goes before the law above.
    std::optional<double> prefill_tokens_per_s{};
  };
  // Fails when SRAM size, feed rate or the constants are unknown, or when the weights leave no room
  // for one token of context. Where the feed rate is not known the share of the SRAM bandwidth that
  // Groq's first chip can feed is assumed (18.4 of 80 TB/s).
  static Result<DataflowModel> make(const Setup& setup);

  // A step of decodes takes T; one with chunks, what they keep the prefill lane busy for.
  StepCost step(const StepShape& shape) const override;
  Watts idle_power() const override { return power_; }

  int chips() const { return chips_; }
  int stages() const { return stages_; }
  Seconds token_time() const { return token_time_; }
  // Tokens of context that the SRAM beside the weights holds, all streams.
  long long kv_tokens() const { return kv_tokens_; }
  // Streams at once when each may hold `context` tokens; at most tokens_per_pass per stage.
  int slots(long long context) const;

  // The context that slots are counted for unless the model ends earlier (hardware.md 1.3, KV
  // arithmetic).
  static constexpr long long kTypicalContext = 4096;

 private:
  DataflowModel() = default;

  int chips_ = 0, stages_ = 1, tokens_per_pass_ = 1;
  Seconds token_time_;
  long long kv_tokens_ = 0;
  Watts power_;
  std::optional<double> prefill_tokens_per_s_;
};

// ⌈W / (u·S)⌉ with u the share of the SRAM meant for weights. Precondition: the SRAM size is known.
int chips_needed(const Accelerator& accelerator, const Model& model, Precision precision,
                 const DataflowConstants& constants);

}  // namespace medley::perf
