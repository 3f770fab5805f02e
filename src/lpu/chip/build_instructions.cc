// An instruction: what it reads and writes when, and the first cycles in which it can.
#include "base/check.h"
#include "lpu/chip/builder.h"

namespace medley::lpu::chip {

Access Builder::access_of(const Operand& operand) const {
  const Buffer& b = buffers_[static_cast<std::size_t>(operand.buffer)];
  MEDLEY_CHECK(operand.row + operand.rows <= b.rows, segment_.name);
  return {.area = b.area,
          .hemisphere = static_cast<std::uint8_t>(b.hemisphere),
          .bank = static_cast<std::uint8_t>(b.bank),
          .slice = static_cast<std::int16_t>(b.slice),
          .slices = static_cast<std::int16_t>(b.bytes),
          .row = b.row + operand.row,
          .rows = operand.rows,
          .period = operand.period,
          .streams = static_cast<std::int16_t>(b.bytes),
          .lanes = static_cast<std::int16_t>(target_.lanes),
          .value = b.area == Area::kScratch ? operand.buffer : kNoValue};
}

void Builder::add_read(Instruction& in, const Operand& operand, std::int64_t earliest) const {
  Access access = read_of(operand);
  access.cycle = earliest;
  for (bool again = true; again;) {
    again = false;
    for (const Access& other : in.accesses) {
      if (!other.write && meet(access, other, true)) {
        access.cycle = last_cycle(other) + 1;
        again = true;
      }
    }
  }
  in.accesses.push_back(access);
}

Access& Builder::add_write(Instruction& in, const Operand& operand, std::int64_t cycle) const {
  Access access = access_of(operand);
  access.write = true;
  access.cycle = cycle;
  for (const Access& other : in.accesses) {
    if (meet(access, other, other.write))
      access.cycle = last_cycle(other) + 1;
  }
  if (planted(ScheduleBug::kResultTooEarly))
    access.cycle = std::max<std::int64_t>(0, access.cycle - 1);
  in.accesses.push_back(access);
  return in.accesses.back();
}

std::int64_t Builder::ready_for(const Instruction& in) const {
  std::int64_t ready = 0;
  int reads = 0;
  for (const Access& access : in.accesses) {
    if (access.write || access.value == kNoValue)
      continue;
    if (planted(ScheduleBug::kOperandForgotten) && ++reads == 2)
      continue;
    const Buffer& b = buffers_[static_cast<std::size_t>(access.value)];
    const int turns = access.peer == kNoPeer ? 1 : o_.group;
    for (int peer = 0; peer < turns; ++peer) {
      for (int i = 0; i < access.rows; ++i) {
        const int row = access.row - b.row + i + peer * access.peer_rows;
        if (row >= b.rows)
          continue;
        const std::int64_t written = b.ready[static_cast<std::size_t>(row)];
        MEDLEY_CHECK(written != kNever, segment_.name);
        ready = std::max(ready, written + (planted(ScheduleBug::kReadTooEarly) ? -1 : 1) -
                                    access.cycle - std::int64_t{i} * access.period);
      }
    }
  }
  return ready;
}

Instruction& Builder::emit(Instruction in, std::int64_t ready, int preferred) {
  if (planted(ScheduleBug::kUnitOfNone) && in.unit.kind == UnitKind::kVector)
    in.unit.count = 0;
  resources_.place(in, std::max(ready, ready_for(in)), preferred);
  for (const Access& access : in.accesses) {
    if (!access.write || access.value == kNoValue)
      continue;
    Buffer& b = buffers_[static_cast<std::size_t>(access.value)];
    const int turns = access.peer == kNoPeer ? 1 : o_.group;
    for (int peer = 0; peer < turns; ++peer) {
      for (int i = 0; i < access.rows; ++i) {
        const int row = access.row - b.row + i + peer * access.peer_rows;
        auto& written = b.ready[static_cast<std::size_t>(row)];
        written = std::max(written, in.start + access.cycle + std::int64_t{i} * access.period);
      }
    }
  }
  segment_.instructions.push_back(std::move(in));
  return segment_.instructions.back();
}

Instruction& Builder::vector_into(Op op, const std::vector<Operand>& operands, int out, int out_row,
                                  int rows, int after, Weight weight) {
  Instruction in{.op = op, .unit = {.kind = UnitKind::kVector}, .weight = weight};
  for (const Operand& operand : operands)
    add_read(in, operand);
  std::int64_t lag = 0;  // of the last operand's first row
  for (const Access& access : in.accesses) {
    lag = std::max(lag, access.cycle);
    in.busy = std::max(in.busy, last_cycle(access) + 1);
  }
  in.busy = std::max<std::int64_t>(in.busy, lag + rows);
  // What is one number for all rows needs all rows.
  if (after > 0)
    lag = in.busy - rows;
  add_write(in, {out, out_row, rows}, lag + target_.vector_latency + after);
  return emit(std::move(in));
}

int Builder::vector(Op op, const std::vector<Operand>& operands, int rows, int bytes, int after,
                    Weight weight) {
  const int out = allocate(rows, bytes, operands);
  vector_into(op, operands, out, 0, rows, after, weight);
  return out;
}

void Builder::vector_zero(int buffer, int row, int rows) {
  Instruction in{.op = Op::kZero, .unit = {.kind = UnitKind::kVector}};
  in.busy = rows;
  add_write(in, {buffer, row, rows}, target_.vector_latency);
  emit(std::move(in));
}

Instruction& Builder::switch_into(Op op, const Operand& from, const Operand& to, int lane,
                                  int lanes) {
  const int hemisphere = buffers_[static_cast<std::size_t>(from.buffer)].hemisphere;
  Instruction in{
      .op = op,
      .unit = {.kind = UnitKind::kSwitch, .hemisphere = static_cast<std::uint8_t>(hemisphere)}};
  add_read(in, from);
  in.busy = from.rows;
  int latency = target_.switch_latency;
  if (planted(ScheduleBug::kWrongUnit)) {
    in.unit = {.kind = UnitKind::kVector};
    latency = target_.vector_latency;
  }
  Access& written = add_write(in, to, latency);
  written.lane = static_cast<std::int16_t>(lane);
  written.lanes = static_cast<std::int16_t>(lanes);
  return emit(std::move(in));
}

}  // namespace medley::lpu::chip
