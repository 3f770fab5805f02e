#include "engine/static_schedule/kv_copy.h"

#include <fmt/format.h>

namespace medley::engine::static_schedule {
namespace {

using lpu::cpu::Machine;

int row_of(const Machine& machine) { return machine.kv_heads() * machine.program().head_size; }

// Of each layer, position from `from` to `to` and KV head, and where its numbers stand in `state`.
template <typename F>
void each_head(const Machine& machine, const KvState& state, int from, int to, F&& f) {
  for (int layer = 0; layer < state.layers; ++layer) {
    for (int position = from; position < to; ++position) {
      auto at = (static_cast<std::size_t>(layer) * static_cast<std::size_t>(state.positions) +
                 static_cast<std::size_t>(position)) *
                static_cast<std::size_t>(state.row);
      for (int head = 0; head < machine.kv_heads(); ++head) {
        f(layer, head, position, at);
        at += static_cast<std::size_t>(machine.program().head_size);
      }
    }
  }
}

}  // namespace

Status fits(const KvState& state, const Machine& machine) {
  if (state.layers == machine.layers() && state.row == row_of(machine) &&
      state.positions <= machine.context()) {
    return Done{};
  }
  return Error{ErrorCode::kInvalid,
               fmt::format("a cache of {} layers, {} numbers, {} positions does not fit one of "
                           "{} layers, {} numbers, {} positions",
                           state.layers, state.row, state.positions, machine.layers(),
                           row_of(machine), machine.context()),
               {}};
}

void write_kv(Machine& machine, int slot, const KvState& state, int from, int to) {
  each_head(machine, state, from, to, [&](int layer, int head, int position, std::size_t at) {
    machine.write_kv(slot, layer, head, position, &state.keys[at], &state.values[at]);
  });
}

KvState read_kv(const Machine& machine, int slot, int positions) {
  KvState state{.layers = machine.layers(), .positions = positions, .row = row_of(machine)};
  const auto size = static_cast<std::size_t>(state.layers) * static_cast<std::size_t>(positions) *
                    static_cast<std::size_t>(state.row);
  state.keys.resize(size);
  state.values.resize(size);
  each_head(machine, state, 0, positions, [&](int layer, int head, int position, std::size_t at) {
    machine.read_kv(slot, layer, head, position, &state.keys[at], &state.values[at]);
  });
  return state;
}

}  // namespace medley::engine::static_schedule
