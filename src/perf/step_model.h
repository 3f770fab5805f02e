// How long one engine step takes and what it draws: the one interface of all step models.
#pragma once

#include <optional>
#include <span>

#include "base/quantity.h"

namespace medley::perf {

// Part of a prompt that a step processes: `tokens` new ones after `context` that were processed
// before.
struct PrefillChunk {
  long long tokens = 0;
  long long context = 0;
};

// What a step contains. The chunks are whole sequences' parts; the decodes are summed up, one new
// token each.
struct StepShape {
  std::span<const PrefillChunk> chunks;
  long long decodes = 0;
  // Tokens processed before, summed over the decodes. Under Vidur's and splitwise-sim's batching a
  // decode counts its newest token, which this step processes; under vLLM's it does not.
  long long decode_context = 0;
  long long decode_context_min = 0;  // of one decode; 0 without decodes
  long long decode_context_max = 0;

  long long prefill_tokens() const {
    long long sum = 0;
    for (const PrefillChunk& chunk : chunks)
      sum += chunk.tokens;
    return sum;
  }
};

// Of a step, or of several in a row.
struct StepCost {
  Seconds time;
  Joules energy;  // of the whole replica, idle share included; 0 where no power figure is known
  long long extrapolated = 0;  // steps that asked a measured table outside its range
};

// Pure: equal shapes cost the same. An implementation owns what it needs.
class StepModel {
 public:
  virtual ~StepModel() = default;
  // Precondition: the shape has at least one chunk or decode.
  virtual StepCost step(const StepShape& shape) const = 0;
  // The same step's time, for those who ask for nothing else: step(shape).time to the last bit.
  virtual Seconds step_time(const StepShape& shape) const { return step(shape).time; }
  // What `steps` steps in a row cost together: `first` has no chunks, and each step adds a token to
  // the context of every decode. Equal to the sum of step() over them within 1e-9 of it, and worked
  // out in a time that hardly grows with `steps`. Empty where the model knows no such shortcut:
  // then whoever asks goes step by step. Precondition: steps >= 1.
  virtual std::optional<StepCost> run(const StepShape& first, long long steps) const {
    (void)first, (void)steps;
    return std::nullopt;
  }
  // What the whole replica draws between steps, its model loaded.
  virtual Watts idle_power() const = 0;
};

}  // namespace medley::perf
