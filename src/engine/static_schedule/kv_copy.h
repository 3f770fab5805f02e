// A sequence's cache from and to a machine's slot.
#pragma once

#include "base/result.h"
#include "engine/kv_state.h"
#include "lpu/cpu/machine.h"

namespace medley::engine::static_schedule {

// Whether the state is of the machine's model, and not longer than its context.
Status fits(const KvState& state, const lpu::cpu::Machine& machine);
// Positions [from, to) of the state into the slot, whose earlier ones must be there. Precondition:
// it fits.
void write_kv(lpu::cpu::Machine& machine, int slot, const KvState& state, int from, int to);
// The first `positions` of the slot.
KvState read_kv(const lpu::cpu::Machine& machine, int slot, int positions);

}  // namespace medley::engine::static_schedule
