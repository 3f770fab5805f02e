// `this_machine`: a machine without a catalogue entry, timed by three measured numbers.
//
//   time   = t_fix + t_seq·decodes + prompt tokens / prefill_rate
//   energy = intercept watts · time
//
// The engine of such a pool measures the numbers when it starts (one long prompt, one decode,
// several decodes together) and replaces the guess below.
#pragma once

#include "base/quantity.h"
#include "domain/model.h"
#include "domain/step_constants.h"
#include "perf/step_model.h"

namespace medley::perf {

class LinearModel final : public StepModel {
 public:
  struct Setup {
    Seconds per_step;    // t_fix: what a step costs whatever is in it
    Seconds per_decode;  // t_seq
    double prefill_tokens_per_s = 0;
    PowerLaw power;
  };
  // Preconditions: no negative time, prefill_tokens_per_s > 0.
  explicit LinearModel(const Setup& setup);

  StepCost step(const StepShape& shape) const override;
  std::optional<StepCost> run(const StepShape& first, long long steps) const override;
  Watts idle_power() const override;

 private:
  Setup setup_;
};

// The constants where they are known (constants.roofline t_fix_s, t_seq_s, prefill_tokens_per_s);
// what is 0 is guessed for two cores of a server of 2025: weights read at 25 GB/s, arithmetic at
// 100 GFLOP/s (static-schedule.md, "Limits of the machine", measured one core at 27 to 37 GB/s).
LinearModel::Setup machine_setup(const Model& model, Precision precision,
                                 const StepConstants& constants);

}  // namespace medley::perf
