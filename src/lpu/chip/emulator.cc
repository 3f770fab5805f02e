#include "lpu/chip/emulator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "lpu/chip/build.h"
#include "lpu/chip/layout.h"

namespace medley::lpu::chip {
namespace {

constexpr int kBytes = 4;

std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }

bool norms_heads(const Instruction& in) {
  return in.weight == Weight::kQueryNorm || in.weight == Weight::kKeyNorm;
}

// Of an embedding: the read of the tokens' numbers, which stand where a choice has its own.
int number_access(const Instruction& in) {
  const auto found = std::find_if(in.accesses.begin(), in.accesses.end(),
                                  [](const Access& access) { return !access.indirect; });
  return static_cast<int>(found - in.accesses.begin());
}

float activate(bool gelu, float x) {
  if (!gelu)
    return x / (1 + std::exp(-x));
  // The tanh approximation that models are trained with.
  return 0.5F * x * (1 + std::tanh(0.79788456F * (x + 0.044715F * x * x * x)));
}

}  // namespace

Result<Emulator> Emulator::make(const Schedule& schedule, const Target& target, const Shape& shape,
                                ModelNumbers numbers) {
  const auto fail = [&](const std::string& message) {
    return Error{ErrorCode::kInvalid,
                 fmt::format("emulator: {} on {}: {}", shape.name, target.id, message),
                 {}};
  };
  const NumberFormat* format = target.format(Precision::kFp32);
  if (schedule.weights != Precision::kFp32 || schedule.cache != Precision::kFp32 ||
      format == nullptr || format->bytes != kBytes || target.install_streams % kBytes != 0) {
    return fail("only numbers of 32 bits are emulated; compile with precision fp32");
  }
  if (schedule.chips() * target.sram_bytes() > (2LL << 30))
    return fail("more than 2 GiB of SRAM; the emulator is for small models");
  Emulator emulator(schedule, target, shape, std::move(numbers));
  emulator.format_ = format;
  emulator.load();
  return emulator;
}

float* Emulator::cells(int stage, int chip, int hemisphere, int slice, int bank, std::int64_t row) {
  const std::int64_t place =
      ((std::int64_t{hemisphere} * (target_.slices / kBytes) + slice / kBytes) * target_.banks +
       bank) *
          target_.rows_per_bank +
      row;
  return &sram_[at(stage * schedule_.group + chip)][at(place * target_.lanes)];
}

std::int64_t Emulator::row_of(const Run& run, int chip, const Access& access, int row) const {
  std::int64_t from = run.base[static_cast<int>(access.area)] + access.row + row;
  if (access.peer != kNoPeer)
    from += std::int64_t{chip_at(chip, access.peer, schedule_.group, schedule_.node)} *
            access.peer_rows;
  return from;
}

const LayerKind& Emulator::kind_of(const Run& run) const {
  return shape_.kinds[at(shape_.kind_of_layer[at(run.layer)])];
}

long long Emulator::kept(const Run& run) const {
  return positions_kept(kind_of(run), schedule_.context);
}

void Emulator::load() {
  sram_.resize(at(schedule_.chips()));
  for (std::vector<float>& sram : sram_) {
    sram.resize(at(std::int64_t{target_.hemispheres} * (target_.slices / kBytes) * target_.banks *
                   target_.rows_per_bank * target_.lanes));
  }
  embed_parts_ = 0;
  for (const Segment& segment : schedule_.segments) {
    embed_parts_ += segment.kind == SegmentKind::kEmbed && segment.tokens == 1 ? 1 : 0;
    std::vector<Moment>& moments = moments_.emplace_back();
    for (std::size_t i = 0; i < segment.instructions.size(); ++i) {
      const Instruction& in = segment.instructions[i];
      for (std::size_t a = 0; a < in.accesses.size(); ++a) {
        const Access& access = in.accesses[a];
        for (int row = 0; row < access.rows; ++row) {
          moments.push_back({in.start + access.cycle + std::int64_t{row} * access.period,
                             access.write, static_cast<int>(i), static_cast<int>(a), row});
        }
      }
    }
    // What is written in a cycle is seen from the next on: reads go first.
    std::sort(moments.begin(), moments.end(), [](const Moment& a, const Moment& b) {
      return std::tie(a.cycle, a.write, a.instruction, a.access, a.row) <
             std::tie(b.cycle, b.write, b.instruction, b.access, b.row);
    });
  }
  for (std::size_t stage = 0; stage < schedule_.stages.size(); ++stage) {
    for (const Run& run : schedule_.stages[stage].runs)
      load_run(static_cast<int>(stage), run);
  }
}

// The number of a chip's part of a matrix: zero where the part is padded.
float Emulator::local_weight(const Instruction& in, const Run& run, int chip, int expert, int n,
                             int k) const {
  const int group = schedule_.group, size = shape_.head_size;
  const int kv = divided(shape_.kv_heads, group);
  const auto head = [&](int number, int heads_here, int heads) {
    const int global = chip * heads_here + number / size;
    return global < heads ? global * size + number % size : -1;
  };
  const int per_kv = shape_.heads_per_kv_head();
  const auto slice = [&](int number, int all) {
    const int here = divided(all, group);
    const int global = chip * here + number;
    return number < here && global < all ? global : -1;
  };
  switch (in.weight) {
    case Weight::kQuery:
    case Weight::kQueryBias:
      n = head(n, kv * per_kv, shape_.heads);
      break;
    case Weight::kKey:
    case Weight::kValue:
    case Weight::kKeyBias:
    case Weight::kValueBias:
      n = head(n, kv, shape_.kv_heads);
      break;
    case Weight::kAttnOut:
      k = head(k, kv * per_kv, shape_.heads);
      break;
    case Weight::kGate:
    case Weight::kUp:
      n = slice(n, expert >= 0 ? shape_.expert_inner : shape_.inner);
      break;
    case Weight::kDown:
      k = slice(k, expert >= 0 ? shape_.expert_inner : shape_.inner);
      break;
    case Weight::kHead: {
      const int part = divided(shape_.vocabulary, embed_parts_);
      const int here = divided(part, group);
      const int in_part = chip * here + n;
      const int number = schedule_.segments[at(run.segment)].part;
      n = n < here && in_part < part && number * part + in_part < shape_.vocabulary
              ? number * part + in_part
              : -1;
      break;
    }
    default:
      break;
  }
  return n < 0 || k < 0 ? 0 : numbers_.weight(in.weight, run.layer, expert, n, k);
}

void Emulator::load_run(int stage, const Run& run) {
  const Segment& segment = schedule_.segments[at(run.segment)];
  const int side = tile_outputs(target_, *format_);
  for (const Instruction& in : segment.instructions) {
    for (int chip = 0; chip < schedule_.group; ++chip) {
      if (in.op == Op::kEmbed) {
        for (int v = 0; v < in.columns && in.n + v < shape_.vocabulary; ++v) {
          const TablePlace place = table_place(target_, *format_, schedule_.shard_rows, v);
          const Access& access = in.accesses[at(place.set * target_.banks + place.bank)];
          for (int row = 0; row < schedule_.shard_rows; ++row) {
            float* to = cells(stage, chip, access.hemisphere, access.slice + place.slice,
                              access.bank, row_of(run, chip, access, 0) + place.row + row);
            const int from = (chip * schedule_.shard_rows + row) * target_.lanes;
            for (int lane = 0; lane < target_.lanes && from + lane < shape_.width; ++lane)
              to[lane] = numbers_.weight(Weight::kEmbedding, -1, -1, in.n + v, from + lane);
          }
        }
      }
      for (const Access& access : in.accesses) {
        if (access.write)
          continue;
        if (access.area == Area::kConstants) {
          for (int row = 0; row < access.rows; ++row) {
            float* to = cells(stage, chip, access.hemisphere, access.slice, access.bank,
                              row_of(run, chip, access, row));
            // Biases and norms of heads have a row a head, those of the stream one row after the
            // other.
            const bool by_head = in.op == Op::kSum || norms_heads(in);
            const int count = by_head ? shape_.head_size
                                      : std::min(target_.lanes, shape_.width - row * target_.lanes);
            for (int lane = 0; lane < count; ++lane)
              to[lane] = local_weight(in, run, chip, -1,
                                      row * (by_head ? count : target_.lanes) + lane, 0);
          }
        }
        if (in.op != Op::kInstall || access.area == Area::kCache || in.chosen > 0)
          continue;
        const int experts = in.chosen < 0 ? 1 : shape_.experts;
        for (int expert = 0; expert < experts; ++expert) {
          for (int n = 0; n < in.columns; ++n) {
            float* to =
                cells(stage, chip, access.hemisphere, access.slice + n % side * kBytes, access.bank,
                      row_of(run, chip, access, n / side) +
                          expert * segment.rows[static_cast<int>(Area::kExperts)]);
            for (int lane = 0; lane < in.lanes; ++lane) {
              to[lane] =
                  local_weight(in, run, chip, in.chosen < 0 ? -1 : expert, in.n + n, in.k + lane);
            }
          }
        }
      }
    }
  }
}

// Where the first stage looks for the token.
void Emulator::put(const std::vector<int>& tokens, const Segment& first) {
  const Instruction& embed = first.instructions.front();
  const Access& access = embed.accesses[at(number_access(embed))];
  for (int chip = 0; chip < schedule_.group; ++chip) {
    for (std::size_t i = 0; i < tokens.size(); ++i)
      cells(0, chip, access.hemisphere, access.slice, access.bank,
            access.row + static_cast<std::int64_t>(i))[1] = static_cast<float>(tokens[i]);
  }
}

int Emulator::step(int token) {
  MEDLEY_CHECK(token >= 0 && token < shape_.vocabulary);
  put({token}, schedule_.segments[at(schedule_.stages.front().runs.front().segment)]);
  return step();
}

int Emulator::step() {
  MEDLEY_CHECK(position_ < schedule_.context);
  count_ = 1;
  for (std::size_t stage = 0; stage < schedule_.stages.size(); ++stage) {
    for (const Run& run : schedule_.stages[stage].runs)
      run_segment(static_cast<int>(stage), run);
  }
  ++position_;
  return choice_;
}

void Emulator::prefill(const std::vector<int>& tokens) {
  count_ = static_cast<int>(tokens.size());
  const auto count = static_cast<long long>(tokens.size());
  MEDLEY_CHECK(position_ + count <= schedule_.context);
  bool first = true;
  for (std::size_t stage = 0; stage < schedule_.stages.size(); ++stage) {
    for (Run run : schedule_.stages[stage].runs) {
      if (schedule_.segments[at(run.segment)].kind == SegmentKind::kHead) {
        position_ += count;
        return;
      }
      const auto chunk = std::find_if(
          schedule_.segments.begin(), schedule_.segments.end(), [&](const Segment& segment) {
            return segment.chunk_of == run.segment && segment.tokens == static_cast<int>(count);
          });
      MEDLEY_CHECK(chunk != schedule_.segments.end(), "emulator: no schedule for the chunk");
      run.segment = static_cast<int>(chunk - schedule_.segments.begin());
      if (std::exchange(first, false))
        put(tokens, *chunk);
      run_segment(static_cast<int>(stage), run);
    }
  }
}

void Emulator::run_segment(int stage, const Run& run) {
  const Segment& segment = schedule_.segments[at(run.segment)];
  pending_.assign(at(schedule_.group), {});
  for (std::vector<Pending>& of_chip : pending_) {
    of_chip.resize(segment.instructions.size());
    for (std::size_t i = 0; i < segment.instructions.size(); ++i) {
      const Instruction& in = segment.instructions[i];
      of_chip[i].read.resize(in.accesses.size());
      const int vectors = in.op == Op::kInstall ? tile_outputs(target_, *format_) : 1;
      for (std::size_t a = 0; a < in.accesses.size(); ++a) {
        if (!in.accesses[a].write)
          of_chip[i].read[a].resize(at(in.accesses[a].rows) * at(vectors));
      }
    }
  }
  for (const Moment& moment : moments_[at(run.segment)]) {
    for (int chip = 0; chip < schedule_.group; ++chip) {
      if (moment.write)
        write(stage, run, chip, moment);
      else
        read(stage, run, chip, moment);
    }
  }
}

const Emulator::Row& Emulator::operand(int chip, int instruction, int access, int row) const {
  const Row& found = pending_[at(chip)][at(instruction)].read[at(access)][at(row)];
  // A result before its operand was read: nothing the schedule may ask for.
  MEDLEY_CHECK(!found.empty(), "emulator");
  return found;
}

void Emulator::read(int stage, const Run& run, int chip, const Moment& moment) {
  const Segment& segment = schedule_.segments[at(run.segment)];
  const Instruction& in = segment.instructions[at(moment.instruction)];
  const Access& access = in.accesses[at(moment.access)];
  Pending& pending = pending_[at(chip)][at(moment.instruction)];
  const int lanes = target_.lanes;
  const auto vector_at = [&](int slice, std::int64_t row) {
    const float* from = cells(stage, chip, access.hemisphere, slice, access.bank, row);
    return Row(from, from + lanes);
  };
  std::int64_t row = row_of(run, chip, access, moment.row);
  if (in.op == Op::kEmbed && access.indirect) {
    const int count = segment.tokens;
    const int number = number_access(in);
    const int v =
        static_cast<int>(operand(chip, moment.instruction, number, moment.row % count)[1]) - in.n;
    if (v < 0 || v >= in.columns)
      return;
    const TablePlace place = table_place(target_, *format_, schedule_.shard_rows, v);
    if (place.set * target_.banks + place.bank == moment.access)
      pending.read[at(moment.access)][at(moment.row)] =
          vector_at(access.slice + place.slice, row - moment.row + place.row + moment.row / count);
    return;
  }
  if (in.op == Op::kInstall) {
    if (in.chosen >= 0)
      row += chosen_[at(in.chosen)] * segment.rows[static_cast<int>(Area::kExperts)];
    const int side = tile_outputs(target_, *format_);
    for (int j = 0; j < side; ++j) {
      pending.read[at(moment.access)][at(moment.row * side + j)] =
          vector_at(access.slice + j * kBytes, row);
    }
    return;
  }
  Row values = vector_at(access.slice, row);
  if (in.op == Op::kMultiply) {
    // The sums so far are in the planes: those of the product before, where this is not the first.
    Row sum(at(lanes), 0);
    for (int n = 0; n < in.columns; ++n) {
      const Row& weights = operand(chip, in.tile, 0, n);
      for (int lane = 0; lane < in.lanes; ++lane)
        sum[at(n)] += weights[at(lane)] * values[at(lane)];
    }
    if (pending.sums.empty())
      pending.sums.resize(at(access.rows));
    if (!in.first) {
      for (int before = moment.instruction - 1; before >= 0; --before) {
        const Instruction& other = segment.instructions[at(before)];
        if (other.op != Op::kMultiply || !(other.unit == in.unit))
          continue;
        const Row& partial = pending_[at(chip)][at(before)].sums[at(moment.row)];
        for (int n = 0; n < in.columns; ++n)
          sum[at(n)] += partial[at(n)];
        break;
      }
    }
    pending.sums[at(moment.row)] = std::move(sum);
  }
  pending.read[at(moment.access)][at(moment.row)] = std::move(values);
}

void Emulator::write(int stage, const Run& run, int chip, const Moment& moment) {
  const Segment& segment = schedule_.segments[at(run.segment)];
  const Instruction& in = segment.instructions[at(moment.instruction)];
  const Access& access = in.accesses[at(moment.access)];
  const int lanes = target_.lanes, size = shape_.head_size;
  std::int64_t row = row_of(run, chip, access, moment.row);
  if (in.op == Op::kAppendKey || in.op == Op::kAppendValue) {
    const int rows = access.rows / count_;  // of a token
    const Row& from = operand(chip, moment.instruction, 0, moment.row / rows);
    // Attention with a window keeps its last positions, each in the place of one it has left.
    const long long place_of = (position_ + moment.row / rows) % kept(run);
    const auto put = [&](const CachePlace& place, int lane, int first, int count) {
      const Planes planes = planes_of(target_, *format_, place.set);
      if (planes.hemisphere != access.hemisphere || planes.slice != access.slice)
        return;
      float* to = cells(stage, chip, access.hemisphere, access.slice + place.slice, access.bank,
                        row - moment.row + place.row);
      std::copy_n(&from[at(first)], count, to + lane);
    };
    if (in.op == Op::kAppendKey) {
      const int block = static_cast<int>(place_of / lanes) % (lanes / size);
      put(key_place(target_, *format_, in.head, size, place_of), block * size, 0, size);
      return;
    }
    const int side = tile_outputs(target_, *format_);
    for (int d = moment.row % rows * side; d < std::min(size, (moment.row % rows + 1) * side); ++d)
      put(value_place(target_, *format_, in.head, size, place_of, d),
          static_cast<int>(place_of % lanes), d, 1);
    return;
  }
  const Row values = result(run, chip, in, moment.access, moment.row);
  int to_stage = stage, to_chip = chip;
  if (in.op == Op::kSend)
    to_chip = chip_at(chip, in.detail, schedule_.group, schedule_.node);
  if (in.op == Op::kHandOn)
    to_stage = (stage + 1) % static_cast<int>(schedule_.stages.size());
  float* to = cells(to_stage, to_chip, access.hemisphere, access.slice, access.bank, row);
  std::copy_n(&values[at(access.lane)], access.lanes, to + access.lane);
}

Emulator::Row Emulator::result(const Run& run, int chip, const Instruction& in, int access,
                               int row) {
  const Segment& segment = schedule_.segments[at(run.segment)];
  const int self = static_cast<int>(&in - segment.instructions.data());
  const int lanes = target_.lanes, size = shape_.head_size;
  const auto count = count_;
  const auto reads = static_cast<int>(std::count_if(in.accesses.begin(), in.accesses.end(),
                                                    [](const Access& a) { return !a.write; }));
  // Row i of an operand, or its only one.
  const auto of = [&](int number, int i) -> const Row& {
    return operand(chip, self, number, in.accesses[at(number)].rows == 1 ? 0 : i);
  };
  Row out(at(lanes), 0);
  switch (in.op) {
    case Op::kEmbed: {
      for (int i = 0; i < reads; ++i) {
        if (i == number_access(in))
          continue;
        const Row& found = pending_[at(chip)][at(self)].read[at(i)][at(row)];
        if (found.empty())
          continue;
        out = found;
        const bool here = in.accesses[at(i)].indirect;
        if (here) {
          for (float& number : out)
            number *= numbers_.embedding_factor;
          break;  // goes before what an earlier part had
        }
      }
      return out;
    }
    case Op::kInstall:
    case Op::kAppendKey:
    case Op::kAppendValue:
      return out;
    case Op::kMultiply:
      return pending_[at(chip)][at(self)].sums[at(row)];
    case Op::kCopy:
    case Op::kSend:
    case Op::kHandOn:
      return of(0, row);
    case Op::kZero:
      return out;
    case Op::kNorm: {
      const bool heads = norms_heads(in);
      double squares = 0;
      for (int i = heads ? row : row % count; i < (heads ? row + 1 : in.detail * count);
           i += heads ? 1 : count) {
        for (const float number : of(0, i))
          squares += static_cast<double>(number) * static_cast<double>(number);
      }
      const double mean = squares / (heads ? size : shape_.width);
      const auto scale =
          static_cast<float>(1 / std::sqrt(mean + static_cast<double>(numbers_.norm_epsilon)));
      const Row& from = of(1, row);
      const Row& weights = of(2, row / count);
      for (int i = 0; i < lanes; ++i)
        out[at(i)] = from[at(i)] * scale * weights[at(i)];
      return out;
    }
    case Op::kSum:
      for (int number = 0; number < reads; ++number) {
        // A bias has a row for all tokens.
        const bool bias = in.accesses[at(number)].area == Area::kConstants;
        const Row& from = of(number, bias ? row / count : row);
        for (int i = 0; i < lanes; ++i)
          out[at(i)] += from[at(i)];
      }
      return out;
    case Op::kAngles: {
      const std::vector<float> angles = numbers_.angles(position_ + row);
      std::copy_n(angles.begin(), std::min(angles.size(), out.size()), out.begin());
      return out;
    }
    case Op::kSwap: {
      const Row& from = of(0, row);
      const int pairs = numbers_.turned / 2;
      for (int i = 0; i < pairs; ++i) {
        const int a = numbers_.halves ? i : 2 * i, b = numbers_.halves ? i + pairs : 2 * i + 1;
        out[at(a)] = from[at(b)];
        out[at(b)] = from[at(a)];
      }
      return out;
    }
    case Op::kRotate: {
      const Row &from = of(0, row), &swapped = of(1, row), &angles = of(2, row % count);
      out = from;
      const int pairs = numbers_.turned / 2;
      for (int i = 0; i < pairs; ++i) {
        const int a = numbers_.halves ? i : 2 * i, b = numbers_.halves ? i + pairs : 2 * i + 1;
        const float cosine = angles[at(2 * i)], sine = angles[at(2 * i + 1)];
        out[at(a)] = from[at(a)] * cosine - swapped[at(a)] * sine;
        out[at(b)] = swapped[at(b)] * sine + from[at(b)] * cosine;
      }
      return out;
    }
    case Op::kShift: {
      const Row& from = of(0, row);
      for (int i = 0; i < lanes; ++i) {
        const int source = i + in.detail;
        if (source >= 0 && source < lanes)
          out[at(i)] = from[at(source)];
      }
      return out;
    }
    case Op::kSoftmax: {
      const int spans = in.detail;
      const int rows = in.accesses[0].rows / spans;
      // The place s of the cache holds the latest position that is s modulo what is kept.
      const long long room = kept(run), latest = position_ + count - 1;
      const long long self = position_ + row % rows % count, window = kind_of(run).window;
      const auto sees = [&](long long place) {
        const long long there = latest - ((latest - place) % room + room) % room;
        return there >= 0 && there <= self && (window == 0 || there > self - window);
      };
      const auto each = [&](int number, int query, const auto& use) {
        for (long long p = 0; p < room; ++p) {
          if (sees(p))
            use(of(number, static_cast<int>(p / lanes) * rows + query)[at(p % lanes)]);
        }
      };
      const float scale = 1 / std::sqrt(static_cast<float>(size));
      float most = -std::numeric_limits<float>::infinity();
      each(0, row % rows, [&](float score) { most = std::max(most, score); });
      if (access == 3) {
        float sum = 0;
        each(1, row, [&](float score) { sum += std::exp((score - most) * scale); });
        std::fill(out.begin(), out.end(), sum);
        return out;
      }
      const Row& scores = of(1, row);
      for (int i = 0; i < lanes; ++i) {
        const long long place = std::int64_t{row / rows} * lanes + i;
        if (place < room && sees(place))
          out[at(i)] = std::exp((scores[at(i)] - most) * scale);
      }
      return out;
    }
    case Op::kScale: {
      for (int number = 1; number < reads; ++number) {
        const Row& partial = of(number, row);
        for (int i = 0; i < lanes; ++i)
          out[at(i)] += partial[at(i)];
      }
      for (float& number : out)
        number /= of(0, row)[0];
      return out;
    }
    case Op::kGate: {
      const float share = reads > 2 ? of(2, 0)[0] : 1;
      const Row &gates = of(0, row), &ups = of(1, row);
      for (int i = 0; i < lanes; ++i)
        out[at(i)] = activate(numbers_.gelu, gates[at(i)]) * ups[at(i)] * share;
      return out;
    }
    case Op::kRoute: {
      std::vector<std::pair<float, int>> scores;
      const std::vector<int> columns = parts_of(shape_.experts, lanes);
      for (std::size_t part = 0; part < columns.size(); ++part) {
        for (int i = 0; i < columns[part]; ++i)
          scores.emplace_back(-of(0, static_cast<int>(part))[at(i)],
                              static_cast<int>(scores.size()));
      }
      std::sort(scores.begin(), scores.end());
      scores.resize(at(shape_.experts_per_token));
      float sum = 0;
      chosen_.clear();
      for (const auto& [score, expert] : scores) {
        chosen_.push_back(expert);
        sum += std::exp(scores.front().first - score);
      }
      const float share = std::exp(scores.front().first - scores[at(row)].first) / sum;
      std::fill(out.begin(), out.end(), share);
      return out;
    }
    case Op::kChoose: {
      float best = -std::numeric_limits<float>::infinity();
      int which = 0;
      if (in.first) {
        const int part = divided(shape_.vocabulary, embed_parts_);
        const int here = divided(part, schedule_.group);
        const std::vector<int> columns = parts_of(here, lanes);
        int n = 0;
        for (std::size_t r = 0; r < columns.size(); ++r) {
          for (int i = 0; i < columns[r]; ++i, ++n) {
            const int in_part = chip * here + n;
            const int id = segment.part * part + in_part;
            const float logit = of(0, static_cast<int>(r))[at(i)];
            if (in_part < part && id < shape_.vocabulary && logit > best) {
              best = logit;
              which = id;
            }
          }
        }
      } else {
        for (int number = 0; number < reads; ++number) {
          for (int r = 0; r < in.accesses[at(number)].rows; ++r) {
            const Row& from = of(number, r);
            const int id = static_cast<int>(from[1]);
            if (from[0] > best || (from[0] == best && id < which)) {
              best = from[0];
              which = id;
            }
          }
        }
        largest_ = best;
        choice_ = which;
      }
      out[0] = best;
      out[1] = static_cast<float>(which);
      return out;
    }
  }
  return out;
}

}  // namespace medley::lpu::chip
