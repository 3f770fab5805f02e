#include "lpu/cpu/machine.h"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/finite.h"

namespace medley::lpu::cpu {
namespace {

static_assert(sizeof(QuantisedBlock) == kQuantisedBlockBytes);

// About 50 µs on a core of 4 GHz: longer than between two tokens of a stream, short enough that an
// idle engine leaves its core to others.
constexpr int kSpins = 1500;

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Waits until a counter has come to `number`; they wrap, so by difference. Where the other thread
// has lost its core for longer than any token's step takes, the core is offered to it.
void wait_for(const std::atomic<std::uint32_t>& counter, std::uint32_t number) {
  int spins = 0;
  while (static_cast<std::int32_t>(counter.load(std::memory_order_acquire) - number) < 0) {
    if (++spins < 2 * kSpins) {
      pause();
    } else {
      sched_yield();
    }
  }
}

void pin(int core) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(core, &one);
  sched_setaffinity(0, sizeof one, &one);
}

void run_embed(const Step& step, const Moment& moment) {
  const auto format = static_cast<TensorFormat>(step.embedding_format);
  const std::span<float> out(step.output, static_cast<std::size_t>(step.size));
  dequantise(format, step.weights + moment.token * step.row_bytes, out);
  for (float& number : out)
    number *= step.factor;
  std::fill(step.output + step.size, step.output + step.rows, 0.0F);
}

// The experts with the largest numbers, the lowest of equals first, and the softmax of these.
void run_route(const Step& step, const Moment&) {
  const float* scores = step.inputs[0];
  const int chosen = step.size / 2;
  float sum = 0;
  for (int i = 0; i < chosen; ++i) {
    int best = -1;
    for (int expert = 0; expert < step.experts; ++expert) {
      bool taken = false;
      for (int before = 0; before < i; ++before)
        taken = taken || static_cast<int>(step.output[2 * before]) == expert;
      if (!taken && (best < 0 || scores[expert] > scores[best]))
        best = expert;
    }
    step.output[2 * i] = static_cast<float>(best);
    const float share = std::exp(scores[best] - scores[static_cast<int>(step.output[0])]);
    step.output[2 * i + 1] = share;
    sum += share;
  }
  for (int i = 0; i < chosen; ++i)
    step.output[2 * i + 1] /= sum;
  std::fill(step.output + step.size, step.output + step.rows, 0.0F);
}

// With the weights of the expert that was chosen.
void run_expert(const Step& step, const Moment& moment) {
  Step of = step;
  of.weights += static_cast<std::int64_t>(step.chosen[0]) * step.expert_bytes;
  step.kernel(of, moment);
}

// Times the expert's share.
void run_shared_gate(const Step& step, const Moment& moment) {
  step.kernel(step, moment);
  const float share = step.chosen[1];
  for (int i = 0; i < step.rows; ++i)
    step.output[i] *= share;
}

}  // namespace

CpuLayout layout_of(Isa isa, bool half_kv) {
  const Kernels& k = kernels(isa);
  return {.dot_columns = k.dot_columns, .offset_weights = k.offset_weights, .half_kv = half_kv};
}

Step step_for(const Graph& graph, const Program& program, const Kernels& kernels,
              const Instruction& from) {
  Step step;
  step.rows = from.rows;
  step.columns = from.columns;
  step.size = from.node == kNoNode ? 0 : graph.nodes[static_cast<std::size_t>(from.node)].size;
  step.streams = from.streams;
  step.heads = from.heads;
  step.kv_heads = from.kv_heads;
  step.kv_together = from.kv_together;
  step.head_size = graph.head_size;
  step.context = program.context;
  step.kv_offset = from.kv_offset;
  step.half_kv = program.layout.half_kv;
  step.rope_dimensions = graph.rope.dimensions;
  step.rope_halves = graph.rope.halves;
  step.gelu = graph.activation == Activation::kGelu;
  step.epsilon = graph.norm_epsilon;
  switch (from.operation) {
    case Operation::kNorm:
      step.run = kernels.norm;
      break;
    case Operation::kQuantise:
      step.run = kernels.quantise;
      step.size = from.rows;
      break;
    case Operation::kMatrix:
      step.run = kernels.matrix[static_cast<std::size_t>(from.format)];
      step.many = kernels.many[static_cast<std::size_t>(from.format)];
      break;
    case Operation::kRotate:
      step.run = kernels.rotate;
      break;
    case Operation::kStore:
      step.run = kernels.store;
      break;
    case Operation::kAttend:
      step.run = kernels.attend;
      break;
    case Operation::kGate:
      step.run = kernels.gate;
      break;
    case Operation::kAdd:
      step.run = kernels.add;
      break;
    case Operation::kChoose:
      step.run = kernels.choose;
      step.size = from.rows;
      break;
    case Operation::kRoute:
      step.run = run_route;
      step.experts = from.experts;
      break;
    case Operation::kEmbed:
    case Operation::kMeet:
      break;
  }
  return step;
}

Machine::Machine(const Program& program, const Options& options)
    : program_(program),
      kernels_(kernels(options.isa)),
      slots_(options.slots),
      cores_(options.cores) {
  const std::int64_t bytes = program_.layout.half_kv ? 2 : 4;
  const std::int64_t head = std::int64_t{program_.context} * program_.head_size;
  for (std::size_t u = 0; u < program_.units.size(); ++u) {
    for (const Instruction& i : program_.units[u].instructions) {
      if (i.operation != Operation::kStore)
        continue;
      const auto layer = static_cast<std::size_t>(i.layer);
      homes_.resize(std::max(homes_.size(), layer + 1));
      for (int kv_head = 0; kv_head < i.kv_heads; ++kv_head) {
        homes_[layer].push_back({u, i.kv_offset / bytes + kv_head * head, i.kv_heads * head,
                                 program_.units[u].kv_bytes / bytes});
      }
    }
  }
}

Result<std::unique_ptr<Machine>> Machine::make(const Graph& graph, const Program& program,
                                               const Options& options) {
  MEDLEY_CHECK(options.slots >= 1 &&
               program.layout.dot_columns == kernels(options.isa).dot_columns);
  MEDLEY_CHECK(options.cores.empty() || options.cores.size() == program.units.size());
  std::unique_ptr<Machine> machine(new Machine(program, options));
  MEDLEY_TRY_STATUS(machine->bind(graph));
  return machine;
}

Machine::~Machine() {
  stopping_ = true;
  go_.value.fetch_add(1, std::memory_order_release);
  go_.value.notify_all();
  for (const auto& unit : units_) {
    if (unit->thread.joinable())
      unit->thread.join();
  }
}

Status Machine::bind(const Graph& graph) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  sched_getaffinity(0, sizeof allowed, &allowed);
  for (const int core : cores_) {
    if (core < 0 || core >= CPU_SETSIZE || !CPU_ISSET(core, &allowed)) {
      return Error{ErrorCode::kInvalid,
                   fmt::format("core {}: this process may use {} cores, and not that one", core,
                               CPU_COUNT(&allowed)),
                   "cores"};
    }
  }
  // Locked memory that is not there would end other programs, or this one.
  std::int64_t needed = program_.common_bytes();
  for (const UnitProgram& unit : program_.units)
    needed += unit.weight_bytes + unit.buffer_bytes * kMostTogether + unit.kv_bytes * slots_;
  const double there =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  if (static_cast<double>(needed) > 0.8 * there) {
    return Error{ErrorCode::kUnavailable,
                 fmt::format("weights and KV cache need {} MB, this machine has {:.0f} MB; try a "
                             "shorter context or fewer slots",
                             needed >> 20, there / (1 << 20)),
                 "context"};
  }
  MEDLEY_TRY(common_, Memory::allocate(program_.common_bytes()));
  const Tensor& table = *program_.embedding;
  std::memcpy(common_.data(), table.bytes,
              static_cast<std::size_t>(table.rows) * table.row_bytes());
  auto* angles = reinterpret_cast<float*>(common_.data() + program_.embedding_bytes);
  for (int p = 0; p < program_.context; ++p)
    rope_angles(graph.rope, p, angles + std::int64_t{p} * graph.rope.dimensions);
  locked_ = common_.lock() && locked_;

  for (const UnitProgram& from : program_.units) {
    auto unit = std::make_unique<Unit>();
    MEDLEY_TRY(unit->weights, Memory::allocate(from.weight_bytes));
    MEDLEY_TRY(unit->buffers, Memory::allocate(from.buffer_bytes * kMostTogether));
    MEDLEY_TRY(unit->kv, Memory::allocate(from.kv_bytes * slots_));
    for (const Instruction& instruction : from.instructions) {
      if (instruction.pieces.empty())
        continue;
      std::uint8_t* weights = unit->weights.data() + instruction.weights.offset;
      auto* bias = reinterpret_cast<float*>(unit->weights.data() + instruction.bias.offset);
      pack(instruction, program_.layout, weights, bias);
    }
    for (Memory* memory : {&unit->weights, &unit->buffers, &unit->kv})
      locked_ = memory->lock() && locked_;
    units_.push_back(std::move(unit));
  }
  for (std::size_t u = 0; u < units_.size(); ++u) {
    std::size_t inputs = 0;
    for (const Instruction& instruction : program_.units[u].instructions)
      inputs += instruction.inputs.size();
    units_[u]->inputs.reserve(inputs * kMostTogether);
    for (int together = 0; together < kMostTogether; ++together) {
      for (const Instruction& instruction : program_.units[u].instructions)
        bind_step(graph, static_cast<int>(u), together, instruction);
    }
  }
  for (std::size_t u = 1; u < units_.size(); ++u)
    units_[u]->thread = std::thread([this, u] { work(static_cast<int>(u)); });
  wait_for(started_.value, static_cast<std::uint32_t>(units_.size()) - 1);
  return Done{};
}

void Machine::bind_step(const Graph& graph, int unit, int together, const Instruction& from) {
  const auto address = [&](const Operand& operand) {
    const auto u = static_cast<std::size_t>(operand.unit);
    const Slot& slot = program_.units[u].slots[static_cast<std::size_t>(operand.slot)];
    std::uint8_t* buffers = units_[u]->buffers.data() + together * program_.units[u].buffer_bytes;
    return reinterpret_cast<float*>(buffers + slot.offset) + operand.offset;
  };
  Unit& owner = *units_[static_cast<std::size_t>(unit)];
  Step step = step_for(graph, program_, kernels_, from);
  step.inputs = owner.inputs.data() + owner.inputs.size();
  for (const Operand& input : from.inputs)
    owner.inputs.push_back(address(input));
  step.input_count = static_cast<int>(from.inputs.size());
  if (from.output.slot >= 0)
    step.output = address(from.output);
  if (from.scratch >= 0)
    step.scratch = address({.unit = unit, .slot = from.scratch});
  if (from.weights.size > 0)
    step.weights = owner.weights.data() + from.weights.offset;
  if (from.bias.size > 0)
    step.bias = reinterpret_cast<const float*>(owner.weights.data() + from.bias.offset);
  step.angles = reinterpret_cast<const float*>(common_.data() + program_.embedding_bytes);
  if (from.chosen >= 0) {
    step.kernel = step.run;
    step.run = from.operation == Operation::kMatrix ? run_expert : run_shared_gate;
    step.many = nullptr;  // tokens of a prompt take experts of their own
    step.chosen = step.inputs[step.input_count - 1] + 2 * static_cast<std::ptrdiff_t>(from.chosen);
    step.expert_bytes = from.expert_bytes;
  }
  if (from.operation == Operation::kEmbed) {
    step.run = run_embed;
    step.weights = common_.data();
    step.row_bytes = static_cast<std::int64_t>(program_.embedding->row_bytes());
    step.embedding_format = static_cast<std::uint32_t>(program_.embedding->format);
    step.factor = graph.nodes[static_cast<std::size_t>(from.node)].factor;
  } else if (from.operation == Operation::kMeet) {
    step.run = meet;
    step.meeting = from.meeting;
  }
  owner.steps[static_cast<std::size_t>(together)].push_back(step);
}

void Machine::enter() const {
  if (!cores_.empty())
    pin(cores_[0]);
}

void Machine::run(int slot, int token, int position, bool head) {
  carry_out({.slot = slot, .position = position, .head = head, .count = 1, .tokens = {token}});
}

void Machine::read(int slot, std::span<const int> tokens, int position, bool head) {
  MEDLEY_CHECK(!tokens.empty() && tokens.size() <= kMostTogether);
  Task task{.slot = slot, .position = position, .head = head};
  task.count = static_cast<int>(tokens.size());
  std::copy(tokens.begin(), tokens.end(), task.tokens.begin());
  carry_out(task);
}

void Machine::carry_out(const Task& task) {
  MEDLEY_CHECK(task.slot >= 0 && task.slot < slots_ && task.position >= 0 &&
               task.position + task.count <= program_.context);
  for (int i = 0; i < task.count; ++i) {
    const int token = task.tokens[static_cast<std::size_t>(i)];
    MEDLEY_CHECK(token >= 0 && token < program_.vocabulary);
  }
  if (units_.size() == 1)
    return run_unit(0, task, 0);
  task_ = task;
  go_.value.fetch_add(1, std::memory_order_release);
  go_.value.notify_all();
  run_unit(0, task, met_);
  // One meeting more, at which only unit 0 waits.
  met_ += static_cast<std::uint32_t>(program_.meetings) + 1;
  for (std::size_t u = 1; u < units_.size(); ++u)
    wait_for(units_[u]->arrived.value, met_);
}

void Machine::run_unit(int unit, const Task& task, std::uint32_t met) {
  Unit& own = *units_[static_cast<std::size_t>(unit)];
  const UnitProgram& program = program_.units[static_cast<std::size_t>(unit)];
  Moment moment{.token = task.tokens[0], .position = task.position};
  moment.kv = own.kv.data() + task.slot * program.kv_bytes;
  moment.machine = this;
  moment.unit = unit;
  moment.met = met;
  const std::vector<Step>& steps = own.steps[0];
  const Step* step = steps.data();
  if (task.count > 1) {
    run_together(unit, task, moment);
    moment.position += task.count - 1;
    step += program.head_begin;
  }
  const Step* end = steps.data() + (task.head ? steps.size() : program.head_begin);
  for (; step != end; ++step)
    step->run(*step, moment);
}

Moment Machine::moment(int token, int position) const {
  return {.token = token, .position = position, .kv = units_.front()->kv.data(), .machine = this};
}

// Each instruction up to the head for all tokens before the next.
void Machine::run_together(int unit, const Task& task, Moment moment) {
  const Unit& own = *units_[static_cast<std::size_t>(unit)];
  const std::size_t count = static_cast<std::size_t>(task.count);
  const std::size_t end = program_.units[static_cast<std::size_t>(unit)].head_begin;
  std::array<const Step*, kMostTogether> steps{};
  for (std::size_t i = 0; i < end; ++i) {
    for (std::size_t t = 0; t < count; ++t)
      steps[t] = &own.steps[count - 1 - t][i];
    if (steps[0]->many != nullptr) {
      steps[0]->many(steps.data(), task.count);
    } else if (steps[0]->run == meet) {
      meet(*steps[0], moment);
    } else {
      for (std::size_t t = 0; t < count; ++t) {
        moment.token = task.tokens[t];
        moment.position = task.position + static_cast<int>(t);
        steps[t]->run(*steps[t], moment);
      }
    }
  }
}

void Machine::meet(const Step& step, const Moment& moment) {
  const Machine& machine = *static_cast<const Machine*>(moment.machine);
  const std::uint32_t number = moment.met + static_cast<std::uint32_t>(step.meeting) + 1;
  machine.units_[static_cast<std::size_t>(moment.unit)]->arrived.value.store(
      number, std::memory_order_release);
  for (const auto& unit : machine.units_)
    wait_for(unit->arrived.value, number);
}

void Machine::work(int unit) {
  if (!cores_.empty())
    pin(cores_[static_cast<std::size_t>(unit)]);
  started_.value.fetch_add(1, std::memory_order_release);
  std::uint32_t seen = 0, met = 0;
  for (;;) {
    int spins = 0;
    while (go_.value.load(std::memory_order_acquire) == seen) {
      if (++spins < kSpins) {
        pause();
      } else {
        go_.value.wait(seen, std::memory_order_acquire);
      }
    }
    ++seen;
    if (stopping_.load(std::memory_order_relaxed))
      return;
    run_unit(unit, task_, met);
    met += static_cast<std::uint32_t>(program_.meetings) + 1;
    units_[static_cast<std::size_t>(unit)]->arrived.value.store(met, std::memory_order_release);
  }
}

int Machine::choice() const {
  int best = 0;
  const Choice* most = nullptr;
  for (std::size_t u = 0; u < units_.size(); ++u) {
    const UnitProgram& program = program_.units[u];
    if (program.logits_begin == program.logits_end)
      continue;
    const Slot& slot = program.slots[static_cast<std::size_t>(program.choice_slot)];
    const auto* choice = reinterpret_cast<const Choice*>(units_[u]->buffers.data() + slot.offset);
    if (most == nullptr || choice->value > most->value) {
      most = choice;
      best = program.logits_begin + choice->index;
    }
  }
  return best;
}

std::span<const float> Machine::logits_of(std::size_t unit) const {
  const UnitProgram& program = program_.units[unit];
  const Slot& slot = program.slots[static_cast<std::size_t>(program.logits_slot)];
  const auto* logits = reinterpret_cast<const float*>(units_[unit]->buffers.data() + slot.offset);
  return {logits, static_cast<std::size_t>(program.logits_end - program.logits_begin)};
}

bool Machine::finite() const {
  for (std::size_t u = 0; u < units_.size(); ++u) {
    if (!all_finite(logits_of(u)))
      return false;
  }
  return true;
}

void Machine::copy_logits(std::span<float> out) const {
  MEDLEY_CHECK(out.size() >= static_cast<std::size_t>(program_.vocabulary));
  for (std::size_t u = 0; u < units_.size(); ++u)
    std::ranges::copy(logits_of(u), out.data() + program_.units[u].logits_begin);
}

Machine::Place Machine::place(int slot, int layer, int kv_head, int position) const {
  const Home& home =
      homes_.at(static_cast<std::size_t>(layer)).at(static_cast<std::size_t>(kv_head));
  return {home.unit,
          home.key + slot * home.slot_size + std::int64_t{position / 16} * 16 * program_.head_size +
              position % 16,
          home.to_values};
}

void Machine::read_kv(int slot, int layer, int kv_head, int position, float* key,
                      float* value) const {
  const Place at = place(slot, layer, kv_head, position);
  const std::uint8_t* kv = units_[at.unit]->kv.data();
  const auto number = [&](std::int64_t index) {
    return program_.layout.half_kv ? from_half(reinterpret_cast<const std::uint16_t*>(kv)[index])
                                   : reinterpret_cast<const float*>(kv)[index];
  };
  for (int i = 0; i < program_.head_size; ++i) {
    key[i] = number(at.key + 16 * i);
    value[i] = number(at.key + at.to_values + 16 * i);
  }
}

void Machine::write_kv(int slot, int layer, int kv_head, int position, const float* key,
                       const float* value) {
  const Place at = place(slot, layer, kv_head, position);
  std::uint8_t* kv = units_[at.unit]->kv.data();
  const auto write = [&](std::int64_t index, float number) {
    if (program_.layout.half_kv) {
      reinterpret_cast<std::uint16_t*>(kv)[index] = to_half(number);
    } else {
      reinterpret_cast<float*>(kv)[index] = number;
    }
  };
  if (position % 16 == 0) {  // as the kernel does it
    for (int i = 0; i < 16 * program_.head_size; ++i)
      write(at.key + at.to_values + i, 0);
  }
  for (int i = 0; i < program_.head_size; ++i) {
    write(at.key + 16 * i, key[i]);
    write(at.key + at.to_values + 16 * i, value[i]);
  }
}

std::int64_t Machine::memory_bytes() const {
  std::int64_t sum = common_.size();
  for (const auto& unit : units_)
    sum += unit->weights.size() + unit->buffers.size() + unit->kv.size();
  return sum;
}

}  // namespace medley::lpu::cpu
