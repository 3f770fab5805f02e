// Between chips, and the norms before and the sums after.
#include "base/check.h"
#include "lpu/chip/builder.h"

namespace medley::lpu::chip {

void Builder::send(int distance, Access from, Access to, int bytes) {
  int cycles = target_.link_cycles(bytes * target_.lanes);
  const bool far = distance >= target_.node_chips;
  const int link = far ? target_.node_chips + distance % target_.far_links : distance;
  const int turn = planted(ScheduleBug::kLinkTwice) ? turn_++ : 0;
  Instruction in{
      .op = Op::kSend,
      .unit = {.kind = UnitKind::kLink,
               .hemisphere = static_cast<std::uint8_t>((link + turn) % target_.hemispheres),
               .index = static_cast<std::int16_t>(link)}};
  in.detail = distance;
  if (planted(ScheduleBug::kLinkTooFast) && cycles > 1)
    --cycles;
  from.period = cycles;
  to.period = cycles;
  to.write = true;
  to.remote = true;
  to.cycle = cycles + (far ? target_.far_latency : target_.link_latency) -
             (planted(ScheduleBug::kHopTooEarly) ? 1 : 0);
  in.busy = std::int64_t{cycles} * from.rows;
  in.accesses = {from, to};
  emit(std::move(in));
}

void Builder::send_next(int buffer, int rows, bool other_node) {
  const int cycles =
      target_.link_cycles(buffers_[static_cast<std::size_t>(buffer)].bytes * target_.lanes);
  Instruction in{.op = Op::kHandOn, .unit = {.kind = UnitKind::kNext}};
  in.detail = other_node ? 1 : 0;
  Access from = read_of({buffer, 0, rows, cycles});
  Access to = access_of({buffer, 0, rows, cycles});
  to.write = true;
  to.remote = true;
  to.cycle = cycles + (other_node ? target_.far_latency : target_.link_latency);
  if (planted(ScheduleBug::kHalfHandedOn))
    to.lanes /= 2;
  in.busy = std::int64_t{cycles} * rows;
  in.accesses = {from, to};
  emit(std::move(in));
}

int Builder::exchange(int mine, int rows, int bytes) {
  const Operand own{mine, 0, rows};
  const int all = allocate(o_.group * rows, bytes, {own});
  const auto slot = [&](int peer) {
    Access access = access_of({all, 0, rows});
    access.peer = static_cast<std::int16_t>(peer);
    access.peer_rows = rows;
    return access;
  };
  for (int distance = 1; distance < o_.group; ++distance)
    send(distance, read_of(own), slot(0), bytes);
  Instruction copy{.op = Op::kShift,
                   .unit = {.kind = UnitKind::kSwitch, .hemisphere = slot(0).hemisphere}};
  add_read(copy, own);
  copy.busy = rows;
  Access to = slot(0);
  to.write = true;
  to.cycle = target_.switch_latency;
  copy.accesses.push_back(to);
  emit(std::move(copy));
  return all;
}

int Builder::norm_of_all(int shard, Weight weight) {
  const int rows = static_cast<int>(width_lanes().size());
  const int weights = constant(rows);
  use(Area::kConstants, 1LL * shape_.width * kWide);
  if (o_.group == 1)
    return norm(shard, rows, rows * tokens_, weights, weight, tokens_);
  const int mine = vector(Op::kCopy, {{shard, 0, shard_ * tokens_}}, shard_ * tokens_, exchange_);
  const int all = exchange(mine, shard_ * tokens_, exchange_);
  return norm(all, rows, rows * tokens_, weights, weight, tokens_);
}

int Builder::norm(int in_buffer, int per_token, int rows, int weights, Weight weight,
                  int weight_period) {
  const Operand all{in_buffer, 0, rows};
  const bool heads = weight == Weight::kQueryNorm || weight == Weight::kKeyNorm;
  const int out = allocate(rows, heads ? kWide : o_.weights.activation_bytes, {all});
  Instruction in{.op = Op::kNorm, .unit = {.kind = UnitKind::kVector}, .weight = weight};
  in.detail = per_token;
  const std::int64_t second = rows + target_.vector_latency + target_.reduce_cycles;
  add_read(in, all);
  add_read(in, all, second);
  add_read(in, {weights, 0, buffers_[static_cast<std::size_t>(weights)].rows, weight_period},
           second);
  in.busy = second + rows;
  add_write(in, {out, 0, rows}, second + target_.vector_latency);
  emit(std::move(in));
  return out;
}

int Builder::norm_heads(int buffer, int heads, Weight weight) {
  const int weights = constant(1);
  use(Area::kConstants, 1LL * shape_.head_size * kWide);
  return norm(buffer, 1, heads * tokens_, weights, weight, 1);
}

int Builder::add_bias(int buffer, int heads, Weight weight) {
  const int rows = heads * tokens_;
  const int bias = constant(heads);
  use(Area::kConstants, 1LL * heads * shape_.head_size * kWide);
  return vector(Op::kSum, {{buffer, 0, rows}, {bias, 0, heads, tokens_}}, rows, kWide, 0, weight);
}

int Builder::scatter(int summands, int residual, bool hand_on) {
  const int rows = shard_ * tokens_;
  const auto slot = [&](int peer) {
    Access access = access_of({summands, 0, rows});
    access.peer = static_cast<std::int16_t>(peer);
    access.peer_rows = rows;
    return access;
  };
  std::vector<Operand> operands{{residual, 0, rows}};
  std::vector<int> received;
  for (int distance = 1; distance < o_.group; ++distance) {
    received.push_back(allocate(rows, exchange_, {{summands, 0, rows}}));
    send(distance, slot(distance), access_of({received.back(), 0, rows}), exchange_);
    if (!(planted(ScheduleBug::kChipForgotten) && distance > 1))
      operands.push_back({received.back(), 0, rows});
  }
  const int out = hand_on ? duplicate_place(residual_) : allocate(rows, kWide, operands);
  Instruction in{.op = Op::kSum, .unit = {.kind = UnitKind::kVector}};
  in.accesses.push_back(slot(0));
  for (const Operand& operand : operands)
    add_read(in, operand);
  std::int64_t lag = 0;
  for (const Access& access : in.accesses) {
    lag = std::max(lag, access.cycle);
    in.busy = std::max(in.busy, last_cycle(access) + 1);
  }
  add_write(in, {out, 0, rows}, lag + target_.vector_latency);
  emit(std::move(in));
  return out;
}

}  // namespace medley::lpu::chip
