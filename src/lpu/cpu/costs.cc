#include "lpu/cpu/costs.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "lpu/compile_cpu.h"
#include "lpu/cpu/memory.h"

namespace medley::lpu::cpu {
namespace {

using Clock = std::chrono::steady_clock;

// Beyond any cache, and little enough to be walked through in a moment.
constexpr std::int64_t kMostWalked = 192 << 20;
constexpr double kSecondsASize = 0.04;  // that a kernel of one size is watched for
constexpr int kLeastCalls = 15;

double seconds_between(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Between two readings of the clock with nothing in between. Once for all: it counts in steps of as
// much as the shortest operations take, and those are compared.
double clock_itself() {
  static const double between = [] {
    std::vector<double> times;
    for (int i = 0; i < 1000; ++i) {
      const Clock::time_point begin = Clock::now();
      times.push_back(seconds_between(begin, Clock::now()));
    }
    return median(std::move(times));
  }();
  return between;
}

double positive(double seconds) { return std::max(seconds, 1e-9); }

int blocks_of(int position) { return position / 16 + 1; }

// What an instruction's time goes with.
TimedWork work_of(const Instruction& in, const Program& program, int position) {
  switch (in.operation) {
    case Operation::kMatrix:
      return {static_cast<double>(in.rows) / kGroup, static_cast<double>(in.weights.size)};
    case Operation::kAttend: {
      const double number_bytes = program.layout.half_kv ? 2 : 4;
      return {static_cast<double>(in.heads) * blocks_of(position),
              2.0 * in.kv_heads * program.head_size * number_bytes * 16 * blocks_of(position)};
    }
    case Operation::kEmbed:
      return {static_cast<double>(program.width), 0};
    case Operation::kAdd:
      return {static_cast<double>(in.rows) * static_cast<double>(in.inputs.size()), 0};
    case Operation::kRotate:
      return {static_cast<double>(in.heads) * program.head_size, 0};
    default:
      return {static_cast<double>(in.rows), 0};
  }
}

// Memory for kernels to work on that stands for a model's: what is read is one and a half.
class Bench {
 public:
  static Result<Bench> make(const Graph& graph, const Program& program, Isa isa) {
    const UnitProgram& unit = program.units.front();
    Bench bench(graph, program, isa);
    bench.walked_ = std::min(unit.weight_bytes + unit.kv_bytes, kMostWalked);
    std::int64_t most = 0;
    for (const Instruction& in : unit.instructions)
      most = std::max(
          {most, in.weights.size, std::int64_t{4} * in.rows, std::int64_t{4} * in.columns});
    std::int64_t layer = 0, scratch = 0;
    for (const Instruction& in : unit.instructions) {
      if (in.operation != Operation::kAttend)
        continue;
      layer = layer_bytes(program, in);
      scratch = unit.slots[static_cast<std::size_t>(in.scratch)].size;
    }
    bench.layer_bytes_ = layer;
    const auto reading = std::count_if(
        unit.instructions.begin(), unit.instructions.end(), [](const Instruction& in) {
          return in.operation == Operation::kMatrix || in.operation == Operation::kAttend;
        });
    bench.between_ = rounded(bench.walked_ / reading);
    // Twice the walk: at half of the context attention reads half of what it passes.
    MEDLEY_TRY(bench.arena_,
               Memory::allocate(std::max({2 * bench.walked_, most, layer + bench.between_})));
    bench.vectors_bytes_ = 4096 + 4 * rounded(most_numbers(unit));
    MEDLEY_TRY(bench.vectors_,
               Memory::allocate(4 * bench.vectors_bytes_ + scratch + program.angle_bytes));
    bench.arena_.lock();
    bench.vectors_.lock();
    auto* numbers = reinterpret_cast<float*>(bench.vectors_.data());
    std::fill(numbers, numbers + bench.vectors_bytes_ / 4 * 2, 0.5F);
    // One that the instruction before has written, and others.
    bench.inputs_.fill(numbers + bench.vectors_bytes_ / 4);
    bench.inputs_.front() = numbers;
    return bench;
  }

  std::int64_t walked() const { return walked_; }
  // Bytes of weights that one call may have.
  std::int64_t room() const { return arena_.size(); }

  // The median of the calls of the instruction's kernel with these sizes. Before each the weights
  // of a matrix pass by, as they do within a token: what is read is at the next place of the walk,
  // and of the rest only the operand that the instruction before has written is at hand.
  double run(const Instruction& in, int position) {
    Step step = step_of(in);
    const bool cached = in.operation == Operation::kAttend || in.operation == Operation::kStore;
    const bool walks = in.operation == Operation::kAttend || in.operation == Operation::kMatrix;
    const std::int64_t stride = cached ? layer_bytes_ : rounded(in.weights.size);
    const std::int64_t between = walks ? 0 : between_;
    // Half of the positions read half of each layer's cache: twice as many layers.
    const double share = walks && cached ? (position + 1.0) / program_.context : 1;
    const std::int64_t reach = std::max(
        stride + between,
        std::min(arena_.size(), static_cast<std::int64_t>(static_cast<double>(walked_) / share)));
    std::int64_t at = 0;
    Moment moment{.position = position, .kv = arena_.data()};
    const auto call = [&] {
      if (at + between + stride > reach)
        at = 0;
      const std::int64_t place = at + between;
      if (cached)
        moment.kv = arena_.data() + place;
      else if (in.weights.size > 0)
        step.weights = arena_.data() + place;
      if (between > 0) {
        auto* operand = reinterpret_cast<float*>(vectors_.data());
        // Logits are written while the largest matrix is read.
        if (in.operation == Operation::kChoose)
          std::fill(operand, operand + in.rows, 0.5F);
        volatile float keep = kernels_.read(arena_.data() + at, between);
        static_cast<void>(keep);
        if (in.operation != Operation::kChoose)
          std::fill(operand, operand + in.rows, 0.5F);
      }
      at = place + stride;
      const Clock::time_point begin = Clock::now();
      step.run(step, moment);
      return seconds_between(begin, Clock::now());
    };
    const Clock::time_point begin = Clock::now();
    const auto watched_for = [&] { return seconds_between(begin, Clock::now()); };
    // One pass first, as far as the time allows: what caches hold of it is there then.
    for (std::int64_t passed = 0; passed < reach && watched_for() < kSecondsASize / 2;
         passed += stride + between + 1)
      call();
    std::vector<double> times;
    while (static_cast<int>(times.size()) < kLeastCalls || watched_for() < kSecondsASize)
      times.push_back(call());
    return positive(median(std::move(times)) - clock_);
  }

 private:
  Bench(const Graph& graph, const Program& program, Isa isa)
      : graph_(graph), program_(program), kernels_(kernels(isa)), clock_(clock_itself()) {}

  static std::int64_t rounded(std::int64_t n) { return (n + 63) / 64 * 64; }
  static std::int64_t layer_bytes(const Program& program, const Instruction& attend) {
    return std::int64_t{2} * (program.layout.half_kv ? 2 : 4) * attend.kv_heads * program.context *
           program.head_size;
  }
  static std::int64_t most_numbers(const UnitProgram& unit) {
    std::int64_t most = 64;
    for (const Instruction& in : unit.instructions)
      most = std::max<std::int64_t>({most, in.rows, in.columns});
    return most * 2;
  }

  Step step_of(const Instruction& in) {
    Step step = step_for(graph_, program_, kernels_, in);
    auto* vectors = vectors_.data();
    step.inputs = inputs_.data();
    step.input_count = static_cast<int>(in.inputs.size());
    step.output = reinterpret_cast<float*>(vectors + 2 * vectors_bytes_);
    step.angles = reinterpret_cast<const float*>(vectors + 4 * vectors_bytes_);
    step.scratch = reinterpret_cast<float*>(vectors + 4 * vectors_bytes_ + program_.angle_bytes);
    step.weights = arena_.data();
    step.size = in.rows;  // of one that was resized, too
    step.kv_offset = 0;
    if (in.operation == Operation::kRotate && in.weights.size == 0)
      step.weights = nullptr;
    MEDLEY_CHECK(step.run != nullptr, name_of(in.operation));
    return step;
  }

  const Graph& graph_;
  const Program& program_;
  const Kernels& kernels_;
  double clock_;
  Memory arena_, vectors_;
  std::int64_t walked_ = 0, layer_bytes_ = 0, vectors_bytes_ = 0;
  std::int64_t between_ = 0;  // bytes that a matrix has in the mean, or a cache
  std::array<const float*, 64> inputs_{};
};

// The same operation in another size.
Instruction resized(Instruction in, int rows, int columns) {
  in.rows = rows;
  in.columns = columns;
  in.chosen = -1;
  if (in.operation == Operation::kMatrix) {
    in.bias = {};
    in.weights = {0, rows / kGroup * group_bytes(in.format, columns)};
  }
  return in;
}

}  // namespace

Cost fit(const std::vector<TimedWork>& timed) {
  // Normal equations over those of the three that are wanted; the most negative one goes.
  std::array<bool, 3> used{true, true, true};
  for (;;) {
    double a[3][4] = {};
    for (const TimedWork& t : timed) {
      const double x[3] = {1 / t.seconds, t.numbers / t.seconds, t.bytes / t.seconds};
      for (std::size_t i = 0; i < 3; ++i) {
        for (std::size_t j = 0; j < 3; ++j)
          a[i][j] += used[i] && used[j] ? x[i] * x[j] : 0;
        a[i][3] += used[i] ? x[i] : 0;
      }
    }
    double solved[3] = {};
    std::array<bool, 3> there = used;
    for (std::size_t i = 0; i < 3; ++i) {
      // What no size tells apart from those before stays zero.
      double size = 0;
      for (const TimedWork& t : timed) {
        const double x = i == 0 ? 1 : i == 1 ? t.numbers : t.bytes;
        size += x * x / (t.seconds * t.seconds);
      }
      there[i] = used[i] && a[i][i] > 1e-9 * size && size > 0;
      if (!there[i])
        continue;
      for (std::size_t row = 0; row < 3; ++row) {
        if (row == i)
          continue;
        const double factor = a[row][i] / a[i][i];
        for (std::size_t j = 0; j < 4; ++j)
          a[row][j] -= factor * a[i][j];
      }
    }
    std::size_t least = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      solved[i] = there[i] ? a[i][3] / a[i][i] : 0;
      if (solved[i] < solved[least])
        least = i;
    }
    if (solved[least] >= 0)
      return {solved[0], solved[1], solved[2]};
    used[least] = false;
  }
}

Costs::Key Costs::key_of(const Instruction& in) {
  return {in.operation, in.operation == Operation::kMatrix ? in.format : WeightFormat::kF32};
}

double Costs::predict(const Instruction& in, const Program& program, int position) const {
  const auto found = costs_.find(key_of(in));
  if (found == costs_.end())
    return 0;  // once a token or a layer, and short
  const TimedWork work = work_of(in, program, position);
  return found->second.seconds(work.numbers, work.bytes);
}

Result<Costs> Costs::measure(const Graph& graph, const Program& program, Isa isa) {
  const Clock::time_point begin = Clock::now();
  MEDLEY_TRY(Bench bench, Bench::make(graph, program, isa));
  Costs costs;
  costs.walked_bytes_ = bench.walked();
  std::map<Key, std::vector<const Instruction*>> by_key;
  for (const Instruction& in : program.units.front().instructions)
    by_key[key_of(in)].push_back(&in);
  for (const auto& [key, list] : by_key) {
    const auto [operation, format] = key;
    if (operation == Operation::kEmbed || operation == Operation::kMeet ||
        operation == Operation::kRoute)
      continue;
    const auto ends = [&, &list = list](auto of) {  // clang 14 captures it only by name
      int low = std::numeric_limits<int>::max(), high = 0;
      for (const Instruction* in : list) {
        low = std::min(low, of(*in));
        high = std::max(high, of(*in));
      }
      return std::pair(low, high);
    };
    const auto rows = ends([](const Instruction& in) { return in.rows; });
    const auto columns = ends([](const Instruction& in) { return in.columns; });
    std::vector<TimedWork> timed;
    const auto time = [&](const Instruction& in, int position) {
      TimedWork work = work_of(in, program, position);
      work.seconds = bench.run(in, position);
      timed.push_back(work);
    };
    const Instruction& pattern = *list.front();
    if (operation == Operation::kMatrix) {
      for (const int r : {rows.first, rows.second}) {
        for (const int c : {columns.first, columns.second}) {
          // The model need not have one with both most rows and most columns, nor room for it.
          const std::int64_t fits = bench.room() / group_bytes(pattern.format, c) * kGroup;
          time(resized(pattern, static_cast<int>(std::min<std::int64_t>(r, fits)), c), 0);
        }
      }
    } else if (operation == Operation::kAttend) {
      for (const int position : {program.context / 2 - 1, program.context - 1})
        time(pattern, position);
    } else if (operation == Operation::kRotate) {
      for (const Instruction* in : list) {
        time(*in, 0);
        if (timed.size() == 2)
          break;
      }
    } else {
      time(resized(pattern, rows.first, 1), 0);
      if (rows.second > rows.first)
        time(resized(pattern, rows.second, 1), 0);
    }
    costs.costs_[key] = fit(timed);
  }
  costs.took_s_ = seconds_between(begin, Clock::now());
  return costs;
}

std::vector<double> measured(Machine& machine, int position, int tokens) {
  const std::span<const Step> steps = machine.steps();
  std::vector<std::vector<double>> times(steps.size());
  const double clock = clock_itself();
  for (int token = 0; token < tokens; ++token) {
    const Moment moment = machine.moment(token % machine.vocabulary(), position);
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const Clock::time_point begin = Clock::now();
      steps[i].run(steps[i], moment);
      times[i].push_back(seconds_between(begin, Clock::now()));
    }
  }
  std::vector<double> medians;
  for (std::vector<double>& of_step : times)
    medians.push_back(positive(median(std::move(of_step)) - clock));
  return medians;
}

}  // namespace medley::lpu::cpu
