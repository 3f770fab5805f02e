// Matrices as tiles: placed, installed, multiplied with, summed.
#include "base/check.h"
#include "lpu/chip/builder.h"

namespace medley::lpu::chip {

Access Builder::tile_of(const Planes& planes, int set, int rows, bool expert) {
  auto& next = expert ? next_expert_tile_ : next_tile_;
  const auto banks = static_cast<std::size_t>(target_.banks);
  const auto first =
      next.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(set) * banks);
  const auto least = std::min_element(first, first + target_.banks);
  Access access = stripe(planes, static_cast<int>(least - first));
  access.area = expert ? Area::kExperts : Area::kWeights;
  access.indirect = expert;
  access.row = static_cast<std::int32_t>(*least);
  access.rows = rows;
  if (planted(ScheduleBug::kChunkElsewhere) && tokens_ > 1)
    access.bank = static_cast<std::uint8_t>((access.bank + 1) % target_.banks);
  *least += rows - (planted(ScheduleBug::kTilesOverlap) && rows > 1 ? 1 : 0);
  return access;
}

Access Builder::stripe(const Planes& planes, int bank) const {
  return {.hemisphere = static_cast<std::uint8_t>(planes.hemisphere),
          .bank = static_cast<std::uint8_t>(bank),
          .slice = static_cast<std::int16_t>(planes.slice),
          .slices = static_cast<std::int16_t>(planes.slices),
          .streams = static_cast<std::int16_t>(planes.slices),
          .lanes = static_cast<std::int16_t>(target_.lanes)};
}

Unit Builder::unit_of(const Planes& planes, UnitKind kind) {
  return {.kind = kind,
          .hemisphere = static_cast<std::uint8_t>(planes.hemisphere),
          .index = static_cast<std::int16_t>(planes.first),
          .count = static_cast<std::int16_t>(planes.count)};
}

int Builder::install(const Planes& planes, Instruction in, const Access& tile, std::int64_t ready) {
  in.op = Op::kInstall;
  in.unit = unit_of(planes, UnitKind::kInstall);
  in.accesses.push_back(tile);
  in.busy = tile.rows;
  if (planted(ScheduleBug::kTileTooShort) && tile.rows > 1) {
    in.accesses.back().rows -= 1;
    in.busy -= 1;
  }
  if (planted(ScheduleBug::kWeightsTooSlow))
    in.accesses.back().period = 2;
  for (int i = 0; i < planes.count && !planted(ScheduleBug::kTileReplacedEarly); ++i)
    ready = std::max(ready, multiplied(planes, i).first);
  emit(std::move(in), ready);
  return static_cast<int>(segment_.instructions.size()) - 1;
}

std::pair<std::int64_t, std::int64_t>& Builder::multiplied(const Planes& planes, int i) {
  return multiplied_[static_cast<std::size_t>(planes.hemisphere * target_.planes + planes.first +
                                              i)];
}

void Builder::multiply(const Planes& planes, const NumberFormat& format, int tile,
                       const Operand& from, const Operand& to, bool first, bool last, int detail) {
  const Instruction& installed = segment_.instructions[static_cast<std::size_t>(tile)];
  Instruction in{.op = Op::kMultiply, .unit = unit_of(planes, UnitKind::kMultiply)};
  in.weight = installed.weight;
  in.n = installed.n;
  in.columns = installed.columns;
  in.k = installed.k;
  in.lanes = installed.lanes;
  in.chosen = installed.chosen;
  in.head = installed.head;
  in.tile = tile;
  in.first = first;
  in.last = last;
  in.detail = detail;
  const int cycles = format.cycles_per_vector;
  const int period = planted(ScheduleBug::kVectorsTooFast) ? 1 : cycles;
  Operand read = from;
  read.period = period;
  add_read(in, read);
  in.accesses.back().lanes = static_cast<std::int16_t>(in.lanes);
  in.busy = std::int64_t{from.rows} * cycles;
  if (last) {
    Operand write = to;
    write.period = period;
    add_write(in, write, target_.matrix_latency);
  }
  const std::int64_t ready = installed.start + installed.busy;
  segment_.macs += std::int64_t{in.columns} * in.lanes * from.rows;
  // On the streams that the weights came on: they are free now, and those of other planes stay
  // so.
  const Instruction& placed = emit(std::move(in), ready, installed.accesses.front().stream[0]);
  for (int i = 0; i < planes.count; ++i) {
    auto& times = multiplied(planes, i);
    times = {std::max(times.first, placed.start),
             std::max(times.second, placed.start + placed.busy)};
  }
}

void Builder::multiply_all(const std::vector<Product>& products, int input,
                           const std::vector<int>& lanes) {
  struct Row {
    const Product* product;
    int row, n;
  };
  const int sets = plane_sets(target_, o_.weights);
  std::vector<std::vector<Row>> rows(static_cast<std::size_t>(sets));
  std::vector<int> load(static_cast<std::size_t>(sets), 0);
  for (const Product& product : products) {
    int n = 0;
    for (std::size_t row = 0; row < product.columns.size(); ++row) {
      const auto least = std::min_element(load.begin(), load.end()) - load.begin();
      rows[static_cast<std::size_t>(least)].push_back({&product, static_cast<int>(row), n});
      load[static_cast<std::size_t>(least)] += tile_rows(target_, o_.weights, product.columns[row]);
      n += product.columns[row];
    }
  }
  std::size_t longest = 0;
  for (const auto& of_set : rows)
    longest = std::max(longest, of_set.size());
  for (std::size_t i = 0; i < longest; ++i) {
    int k = 0;
    for (std::size_t chunk = 0; chunk < lanes.size(); ++chunk) {
      for (int set = 0; set < sets; ++set) {
        if (i >= rows[static_cast<std::size_t>(set)].size())
          continue;
        const Row& row = rows[static_cast<std::size_t>(set)][i];
        tile_product(set, *row.product, row.row, row.n, static_cast<int>(chunk), k, lanes[chunk],
                     input, chunk == 0, chunk + 1 == lanes.size());
      }
      k += lanes[chunk];
    }
  }
}

void Builder::tile_product(int set, const Product& product, int row, int n, int chunk, int k,
                           int lanes, int input, bool first, bool last) {
  if (planted(ScheduleBug::kTileForgotten) && chunk < 2 && !(first && last)) {
    if (first)
      return;
    first = true;
  }
  if (planted(ScheduleBug::kSumRestarted))
    first = true;
  if (planted(ScheduleBug::kWrongPlane) && chunk == 1)
    set = (set + 1) % plane_sets(target_, o_.weights);
  const Planes planes = planes_of(target_, o_.weights, set);
  const int columns = product.columns[static_cast<std::size_t>(row)];
  Instruction in{.weight = product.weight};
  in.n = n;
  in.columns = columns;
  in.k = k;
  in.lanes = lanes;
  in.chosen = product.chosen;
  // The experts of a token share their places in the block of the one that was chosen.
  const bool expert = product.chosen >= 0;
  const auto key = std::array<int, 4>{static_cast<int>(product.weight), n, k, 0};
  Access place;
  if (expert) {
    const auto known = std::find_if(expert_tiles_.begin(), expert_tiles_.end(),
                                    [&](const auto& entry) { return entry.first == key; });
    if (known == expert_tiles_.end()) {
      place = tile_of(planes, set, tile_rows(target_, o_.weights, columns), true);
      expert_tiles_.emplace_back(key, place);
      use(Area::kExperts, 1LL * columns * lanes * o_.weights.bytes);
    } else {
      place = known->second;
    }
  } else {
    place = tile_of(planes, set, tile_rows(target_, o_.weights, columns), false);
    use(Area::kWeights, 1LL * columns * lanes * o_.weights.bytes);
  }
  const int tile = install(planes, std::move(in), place, expert ? routed_ : 0);
  if (planted(ScheduleBug::kWrongOperand))
    chunk = 0;
  multiply(planes, o_.weights, tile, {input, chunk * tokens_, tokens_},
           {product.out, row * tokens_, tokens_}, first, last);
}

std::vector<int> Builder::width_lanes() const {
  std::vector<int> lanes;
  for (int left = shape_.width; left > 0; left -= target_.lanes)
    lanes.push_back(std::min(left, target_.lanes));
  return lanes;
}

std::vector<int> Builder::packed_lanes(int heads) const {
  std::vector<int> lanes;
  for (int left = heads * shape_.head_size; left > 0; left -= target_.lanes)
    lanes.push_back(std::min(left, target_.lanes));
  return lanes;
}

int Builder::multiply_to_sum(const std::vector<Summand>& weights, const std::vector<int>& inputs,
                             const std::vector<std::vector<int>>& lanes) {
  const std::vector<int> columns = width_lanes();
  const int rows = static_cast<int>(columns.size());
  const int all = o_.group * shard_;
  const int out = allocate(all * tokens_, exchange_);
  if (all > rows)
    vector_zero(out, rows * tokens_, (all - rows) * tokens_);
  const int sets = plane_sets(target_, o_.weights);
  int chunks = 0, chunk_count = 0;
  for (const auto& of_input : lanes)
    chunk_count += static_cast<int>(of_input.size());
  for (int first = 0; first < rows; first += sets) {
    chunks = 0;
    for (std::size_t w = 0; w < weights.size(); ++w) {
      int k = 0;
      for (std::size_t chunk = 0; chunk < lanes[w].size(); ++chunk, ++chunks) {
        for (int row = first; row < std::min(rows, first + sets); ++row) {
          const Product product{weights[w].weight, out, columns, weights[w].chosen};
          tile_product(row - first, product, row, row * target_.lanes, static_cast<int>(chunk), k,
                       lanes[w][chunk], inputs[w], chunks == 0, chunks + 1 == chunk_count);
        }
        k += lanes[w][chunk];
      }
    }
  }
  return out;
}

int Builder::gate(int input, const std::vector<int>& inner, int chosen, int shares) {
  const int rows = static_cast<int>(inner.size()) * tokens_;
  const int gates = allocate(rows, kWide), ups = allocate(rows, kWide, {{gates, 0, rows}});
  multiply_all({{Weight::kGate, gates, inner, chosen}, {Weight::kUp, ups, inner, chosen}}, input,
               width_lanes());
  std::vector<Operand> operands{{gates, 0, rows}, {ups, 0, rows}};
  if (shares >= 0)
    operands.push_back({shares, chosen, 1});
  return vector(Op::kGate, operands, rows, o_.weights.activation_bytes);
}

int Builder::experts(int input) {
  const std::vector<int> scores_columns = parts_of(shape_.experts, target_.lanes);
  const int score_rows = static_cast<int>(scores_columns.size());
  const int scores = allocate(score_rows * tokens_, kWide);
  multiply_all({{Weight::kRouter, scores, scores_columns}}, input, width_lanes());
  // One after the other the largest is found and left out.
  const int chosen = shape_.experts_per_token;
  const int shares = vector(Op::kRoute, {{scores, 0, score_rows * tokens_}}, chosen, kWide,
                            chosen * target_.reduce_cycles);
  routed_ = planted(ScheduleBug::kExpertTooEarly)
                ? 0
                : buffers_[static_cast<std::size_t>(shares)].ready.back() + 1;
  const std::vector<int> inner = parts_of(divided(shape_.expert_inner, o_.group), target_.lanes);
  std::vector<Summand> weights;
  std::vector<int> inputs;
  std::vector<std::vector<int>> lanes;
  for (int i = 0; i < chosen; ++i) {
    inputs.push_back(gate(input, inner, i, shares));
    weights.push_back({Weight::kDown, i});
    lanes.push_back(inner);
  }
  return multiply_to_sum(weights, inputs, lanes);
}

}  // namespace medley::lpu::chip
