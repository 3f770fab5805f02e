// The compiled schedule behind a pool of a fleet: what times it in `plan`, `simulate` and `serve`.
//
// A pool of chips that catalog/targets describes is compiled as `medley compile` does it, for its
// model and precision, as many streams as it has slots (one where it does not say; then as many as
// fit), its max_context (4096 tokens, or what the model can) and its chips (as few as hold it).
#pragma once

#include <string>

#include "base/result.h"
#include "domain/fleet.h"
#include "lpu/chip/compile.h"

namespace medley::lpu::chip {

// What a compiled schedule says of a pool, in plain numbers: with what published speeds show of
// these chips beyond it, and what they draw.
CompiledSchedule in_fleets(const Compiled& compiled, const Target& target, const Shape& shape,
                           double beyond_layer_s, double chip_w);

// `catalog` is the folder of the catalogue. Sets pool.schedule, or says in pool.no_schedule why
// there is none: the file asks for published speeds, or states the rate of the prompts' lane, which
// is a schedule's own; there is no target, no constant for what published speeds show beyond a
// schedule; the model does not fit. Each of these is an error where the pool asks for a compiled
// schedule. Other pools stay as they are.
Status schedule_pool(Pool& pool, const std::string& catalog);
// All pools of a fleet. Errors name the pool.
Status schedule_pools(Fleet& fleet, const std::string& catalog);

}  // namespace medley::lpu::chip
