// Attention: positions, the cache, scores and values.
#include "base/check.h"
#include "lpu/chip/builder.h"

namespace medley::lpu::chip {

int Builder::angles() {
  Instruction in{.op = Op::kAngles, .unit = {.kind = UnitKind::kVector}};
  const int out = allocate(tokens_, kWide);
  in.busy = tokens_;
  add_write(in, {out, 0, tokens_}, target_.vector_latency);
  emit(std::move(in));
  return out;
}

int Builder::rotate(int buffer, int heads, int angles, int bytes) {
  const Operand all{buffer, 0, heads * tokens_};
  const int swapped = allocate(heads * tokens_, kWide, {all, {angles, 0, tokens_}});
  switch_into(Op::kSwap, all, {swapped, 0, heads * tokens_}, 0, target_.lanes);
  return vector(Op::kRotate, {all, {swapped, 0, heads * tokens_}, {angles, 0, tokens_}},
                heads * tokens_, bytes);
}

Access Builder::cache_access(const Planes& planes, const CachePart& part, bool write) const {
  Access access = stripe(planes, part.bank);
  access.write = write;
  access.indirect = write;
  access.area = Area::kCache;
  access.row = part.row;
  access.range = write ? part.rows : 0;
  return access;
}

int Builder::attend(int q, int k, int v, int kv, int per_kv, long long seen) {
  const NumberFormat& format = o_.cache;
  const int size = shape_.head_size, lanes = target_.lanes;
  const int sets = plane_sets(target_, format);
  const int blocks = lanes / size;         // keys side by side in a vector
  const int spans = divided(seen, lanes);  // positions of a row of scores
  const int key_tiles = divided(spans, blocks);
  const int key_rows = tile_rows(target_, format, lanes),
            value_rows = tile_rows(target_, format, size);
  // Keys of even heads in bank 0 and values in bank 1; of odd heads the other way round.
  std::array<int, 2> next{0, 0};
  std::vector<CachePart> keys, values;
  for (int head = 0; head < kv; ++head) {
    const int bank = head % 2;
    keys.push_back(
        {bank, next[static_cast<std::size_t>(bank)], divided(key_tiles, sets) * key_rows});
    next[static_cast<std::size_t>(bank)] += keys.back().rows;
    values.push_back(
        {1 - bank, next[static_cast<std::size_t>(1 - bank)], divided(spans, sets) * value_rows});
    next[static_cast<std::size_t>(1 - bank)] += values.back().rows;
  }
  segment_.rows[static_cast<int>(Area::kCache)] = std::max(next[0], next[1]);
  use(Area::kCache, 2LL * kv * size * seen * format.bytes);

  // The token's own keys and values come first: its attention sees them.
  std::vector<std::int64_t> key_ready, value_ready;
  for (int head = 0; head < kv; ++head) {
    key_ready.push_back(append(Op::kAppendKey, k, head, keys[static_cast<std::size_t>(head)], 1));
    value_ready.push_back(
        append(Op::kAppendValue, v, head, values[static_cast<std::size_t>(head)], value_rows));
  }
  // Queries once more for each place of keys in a vector, zeros elsewhere.
  std::vector<int> queries{q};
  const int query_rows = kv * per_kv * tokens_;
  for (int block = 1; block < std::min(blocks, spans); ++block) {
    queries.push_back(allocate(query_rows, format.activation_bytes, {{q, 0, query_rows}}));
    switch_into(Op::kShift, {q, 0, query_rows}, {queries.back(), 0, query_rows}, 0, lanes).detail =
        -block * size;
  }

  const int rows = per_kv * tokens_;  // of a KV head
  std::vector<int> scores, shares, sums, outs;
  for (int head = 0; head < kv; ++head) {
    scores.push_back(allocate(spans * rows, kWide));
    for (int tile = 0; tile < key_tiles; ++tile) {
      const int set = (head + tile) % sets;
      const Planes planes = planes_of(target_, format, set);
      Access place = cache_access(planes, keys[static_cast<std::size_t>(head)], false);
      place.row += tile / sets * key_rows;
      place.rows = key_rows;
      Instruction in{.weight = Weight::kKey};
      in.n = tile;
      in.columns = lanes;
      in.lanes = lanes;
      in.head = head;
      const int installed = install(
          planes, std::move(in), place,
          planted(ScheduleBug::kCacheTooEarly) ? 0 : key_ready[static_cast<std::size_t>(head)] + 1);
      for (int block = 0; block < blocks && tile * blocks + block < spans; ++block) {
        multiply(planes, format, installed,
                 {queries[static_cast<std::size_t>(block)], head * rows, rows},
                 {scores.back(), (tile * blocks + block) * rows, rows}, true, true, block);
      }
    }
  }
  for (int head = 0; head < kv; ++head) {
    const auto [share, sum] = softmax(scores[static_cast<std::size_t>(head)], spans, rows);
    shares.push_back(share);
    sums.push_back(sum);
  }
  const int out = allocate(kv * rows, o_.weights.activation_bytes);
  for (int head = 0; head < kv; ++head) {
    std::vector<Operand> partial;
    for (int first = 0; first < std::min(sets, spans); ++first)
      partial.push_back({allocate(rows, kWide), 0, rows});
    for (int span = 0; span < spans; ++span) {
      const int set = (head + span) % sets;
      const Planes planes = planes_of(target_, format, set);
      Access place = cache_access(planes, values[static_cast<std::size_t>(head)], false);
      place.row += span / sets * value_rows;
      place.rows = value_rows;
      Instruction in{.weight = Weight::kValue};
      in.n = span;
      in.columns = size;
      in.lanes = lanes;
      in.head = head;
      const int installed =
          install(planes, std::move(in), place, value_ready[static_cast<std::size_t>(head)] + 1);
      multiply(planes, format, installed,
               {shares[static_cast<std::size_t>(head)], span * rows, rows},
               partial[static_cast<std::size_t>(span % sets)], span < sets, span + sets >= spans);
    }
    std::vector<Operand> operands{{sums[static_cast<std::size_t>(head)], 0, rows}};
    if (planted(ScheduleBug::kPartialForgotten) && partial.size() > 1)
      partial.pop_back();
    operands.insert(operands.end(), partial.begin(), partial.end());
    vector_into(Op::kScale, operands, out, head * rows, rows);
  }
  return pack(out, kv * per_kv);
}

std::int64_t Builder::append(Op op, int buffer, int head, const CachePart& part, int rows) {
  std::int64_t written = 0;
  for (int hemisphere = 0; hemisphere < target_.hemispheres; ++hemisphere) {
    Instruction in{
        .op = op,
        .unit = {.kind = UnitKind::kSwitch, .hemisphere = static_cast<std::uint8_t>(hemisphere)}};
    in.head = head;
    add_read(in, {buffer, head * tokens_, tokens_, rows});
    in.busy = std::int64_t{tokens_} * rows;
    for (int set = 0; set < plane_sets(target_, o_.cache); ++set) {
      const Planes planes = planes_of(target_, o_.cache, set);
      if (planes.hemisphere != hemisphere)
        continue;
      Access access = cache_access(planes, part, true);
      access.rows = tokens_ * rows;
      access.cycle = target_.switch_latency;
      // Transposed values fill the stripe, a row of it a cycle.
      if (op == Op::kAppendKey)
        access.streams = static_cast<std::int16_t>(o_.cache.bytes);
      in.accesses.push_back(access);
    }
    const Instruction& placed = emit(std::move(in));
    written = std::max(written, placed.start + last_cycle(placed.accesses.back()));
  }
  return written;
}

std::pair<int, int> Builder::softmax(int scores, int spans, int rows) {
  const Operand all{scores, 0, spans * rows};
  const int share = allocate(spans * rows, o_.cache.activation_bytes, {all});
  const int sum = allocate(rows, kWide, {all, {share, 0, 1}});
  Instruction in{.op = Op::kSoftmax, .unit = {.kind = UnitKind::kVector}};
  in.detail = spans;
  const std::int64_t second = spans * rows + target_.vector_latency + target_.reduce_cycles;
  add_read(in, all);
  add_read(in, all, second);
  in.busy = second + spans * rows;
  add_write(in, {share, 0, spans * rows}, second + target_.vector_latency);
  add_write(in, {sum, 0, rows},
            second + spans * rows + target_.vector_latency + target_.reduce_cycles);
  emit(std::move(in));
  return {share, sum};
}

int Builder::pack(int heads_buffer, int heads) {
  const int size = shape_.head_size, lanes = target_.lanes;
  const int bytes = o_.weights.activation_bytes;
  const int rows = divided(heads * size, lanes);
  const int out = allocate(rows * tokens_, bytes, {{heads_buffer, 0, heads * tokens_}});
  for (int head = 0; head < heads; ++head) {
    for (int from = 0; from < size;) {
      const int at = head * size + from;
      const int count = std::min(size - from, lanes - at % lanes);
      Instruction& moved = switch_into(Op::kShift, {heads_buffer, head * tokens_, tokens_},
                                       {out, at / lanes * tokens_, tokens_}, at % lanes, count);
      moved.detail = from - at % lanes;  // how far down numbers are moved
      from += count;
    }
  }
  return out;
}

}  // namespace medley::lpu::chip
