// A token drawn by its probability.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "base/prng.h"

namespace medley::engine::static_schedule {

// By temperature, then top_p (the likeliest tokens that together have this probability), then a
// draw. `room` is for reuse: nothing is allocated once it has grown. Preconditions: temperature >
// 0, logits not empty.
int draw(std::span<const float> logits, double temperature, double top_p, Prng& prng,
         std::vector<std::pair<float, int>>& room);

}  // namespace medley::engine::static_schedule
