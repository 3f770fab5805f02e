// A pool of chips that run a compiled schedule: the rotation that its streams and prompts go round
// in.
//
// With t a token's time through all stages, i the interval at which a stage takes the next stream,
// c the same for chunks of prompts, each with what layers take beyond the schedule, S slots:
//
//   W = max(t, S·i + c)                    the token window: every stream has a token in each
//   n = ⌊(W − S·i) / c⌋                    chunks of prompts in each, one at least
//   lane: k chunks take k·W/n; the first token comes W after the lane, and no earlier than the
//         last chunk is through
//
// So a token waits neither for other streams nor for a prompt, and nothing is promised that the
// stages have no time for. Unless the pool says how many slots it has, they are as many as leave W
// at t and fit the SRAM.
#pragma once

#include "domain/compiled_schedule.h"
#include "perf/step_model.h"

namespace medley::perf {

class ScheduledModel final : public StepModel {
 public:
  // `slots` 0: as above. Precondition: 0 <= slots <= schedule.streams, all times above 0.
  ScheduledModel(const CompiledSchedule& schedule, int slots);

  // A step of decodes takes W; one with chunks, what they keep the lane for.
  StepCost step(const StepShape& shape) const override;
  Watts idle_power() const override { return schedule_.power; }

  int slots() const { return slots_; }
  Seconds token_window() const { return Seconds(window_s_); }
  int chunks_a_window() const { return chunks_; }

 private:
  CompiledSchedule schedule_;
  int slots_ = 1, chunks_ = 1;
  double window_s_ = 0;
  double chunk_s_ = 0;  // a chunk through all stages
};

}  // namespace medley::perf
