#include "perf/scheduled.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace medley::perf {
namespace {

// How many of `each` fit, whatever the last digit says.
int whole(double seconds, double each) {
  return static_cast<int>(std::floor(seconds / each + 1e-9));
}

}  // namespace

ScheduledModel::ScheduledModel(const CompiledSchedule& schedule, int slots) : schedule_(schedule) {
  MEDLEY_CHECK(schedule.token_s > 0 && schedule.interval_s > 0 && schedule.chunk_interval_s > 0 &&
               slots <= schedule.streams);
  const double beyond_stage_s = schedule.layers_a_stage * schedule.beyond_layer_s;
  const double token_s = schedule.token_s + schedule.beyond_s();
  const double interval_s = schedule.interval_s + beyond_stage_s;
  const double chunk_interval_s = schedule.chunk_interval_s + beyond_stage_s;
  chunk_s_ = schedule.chunk_s + schedule.beyond_s();
  slots_ = slots;
  if (slots_ == 0)
    slots_ = std::clamp(whole(token_s - chunk_interval_s, interval_s), 1, schedule.streams);
  window_s_ = std::max(token_s, slots_ * interval_s + chunk_interval_s);
  chunks_ = whole(window_s_ - slots_ * interval_s, chunk_interval_s);
}

StepCost ScheduledModel::step(const StepShape& shape) const {
  MEDLEY_CHECK(shape.decodes > 0 || !shape.chunks.empty());
  double time_s = window_s_;
  if (!shape.chunks.empty()) {
    double chunks = 0;
    for (const PrefillChunk& chunk : shape.chunks) {
      chunks +=
          static_cast<double>((chunk.tokens + schedule_.chunk_tokens - 1) / schedule_.chunk_tokens);
    }
    const double each_s = window_s_ / chunks_;
    time_s = std::max(chunks * each_s, (chunks - 1) * each_s + chunk_s_ - window_s_);
  }
  const Seconds time(time_s);
  return {time, schedule_.power * time};
}

}  // namespace medley::perf
