#include "engine/static_schedule/static_engine.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "base/statistics.h"
#include "engine/static_schedule/rotation.h"
#include "engine/threaded_engine.h"

namespace medley::engine::static_schedule {
namespace {

using Clock = std::chrono::steady_clock;
using lpu::cpu::Machine;

constexpr int kDefaultSlots = 4;
constexpr int kMostSlots = 64;
// A window holds a token of every slot and half as much again: for prompts, and for what the system
// takes of the core. Shorter ones than this cost more to announce than to compute.
constexpr double kSlack = 1.5;
constexpr double kLeastWindow_s = 0.5e-3;

// Slots and context: what was asked for, cut to what the model was trained for and to a quarter of
// this machine's memory. Gives up slots first, then context.
struct Room {
  int slots = 1;
  long long context = 1;
};
Room room_of(const Pool& pool, const lpu::Graph& graph) {
  const int asked = pool.slots.value_or(pool.batching.max_running);
  Room room;
  room.slots = asked >= 1 && asked <= kMostSlots ? asked : kDefaultSlots;
  constexpr long long kUnsaid = 2048;
  room.context = graph.trained_context > 0 ? graph.trained_context : kUnsaid;
  if (pool.max_context)
    room.context = std::min(room.context, *pool.max_context);
  if (pool.model.max_context && *pool.model.max_context > 0)
    room.context = std::min<long long>(room.context, *pool.model.max_context);
  const double bytes_per_token =
      2.0 * 4.0 * graph.layers * static_cast<double>(graph.kv_heads) * graph.head_size;
  const double budget =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE)) / 4;
  const auto tokens = static_cast<long long>(std::max(64.0, budget / bytes_per_token));
  room.slots = static_cast<int>(std::clamp<long long>(tokens / room.context, 1, room.slots));
  room.context = std::clamp<long long>(tokens / room.slots, 1, room.context);
  return room;
}

struct Loaded {
  std::unique_ptr<Machine> machine;
  double token_s = 0;  // with a full context
};

Result<Loaded> load(const Pool& pool) {
  MEDLEY_TRY(const lpu::ModelFile file, lpu::ModelFile::open(pool.model_path));
  MEDLEY_TRY(const lpu::Graph graph, lpu::build_graph(file));
  const Room room = room_of(pool, graph);
  const lpu::cpu::Isa isa = lpu::cpu::best_isa();
  MEDLEY_TRY(const lpu::Program program,
             lpu::compile_cpu(graph, {.units = std::max(1, pool.engine.threads),
                                      .context = static_cast<int>(room.context),
                                      .layout = lpu::cpu::layout_of(isa, false)}));
  Loaded loaded;
  MEDLEY_TRY(loaded.machine, Machine::make(graph, program, {.isa = isa, .slots = room.slots}));
  // The dearest position, up to 100 times or 150 ms.
  std::vector<double> seconds;
  const Clock::time_point end = Clock::now() + std::chrono::milliseconds(150);
  while (seconds.size() < 3 || (seconds.size() < 100 && Clock::now() < end)) {
    const Clock::time_point begin = Clock::now();
    loaded.machine->run(0, 1 % graph.vocabulary, loaded.machine->context() - 1);
    seconds.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
  }
  loaded.token_s = summarise(std::move(seconds)).p50;
  return loaded;
}

double window_of(const Machine& machine, double token_s) {
  return std::max(kLeastWindow_s, kSlack * token_s * machine.slots());
}

class StaticEngine final : public ThreadedEngine {
 public:
  StaticEngine(const EngineContext& context, Loaded loaded, std::unique_ptr<TextCodec> codec)
      : ThreadedEngine(context,
                       static_cast<long long>(loaded.machine->context()) * loaded.machine->slots()),
        machine_(std::move(loaded.machine)),
        codec_(std::move(codec)) {
    const Rotation::Pace pace{
        .window = std::chrono::duration<double>(window_of(*machine_, loaded.token_s)),
        .token = std::chrono::duration<double>(loaded.token_s)};
    begin(std::make_unique<Rotation>(*machine_, *codec_, pace, beats_));
  }
  ~StaticEngine() override { stop(); }

  std::optional<Tokens> count_prompt_tokens(const Generation& generation) const override {
    const Result<std::vector<int>> tokens = codec_->encode(generation);
    if (!tokens)
      return std::nullopt;
    return Tokens(static_cast<long long>(tokens->size()));
  }
  LoadSignal load() const override {
    LoadSignal signal = ThreadedEngine::load();
    signal.beats = beats_.all.load(std::memory_order_relaxed);
    signal.missed_beats = beats_.missed.load(std::memory_order_relaxed);
    return signal;
  }

 private:
  const std::unique_ptr<Machine> machine_;
  const std::unique_ptr<TextCodec> codec_;
  Beats beats_;
};

}  // namespace

Result<std::unique_ptr<Engine>> make_static_engine(const EngineContext& context,
                                                   std::unique_ptr<TextCodec> codec) {
  MEDLEY_TRY(Loaded loaded, load(context.pool));
  if (codec->vocabulary() != loaded.machine->vocabulary()) {
    return Error{
        ErrorCode::kInvalid,
        fmt::format("'{}': the tokenizer knows {} tokens, the matrices {}", context.pool.model_path,
                    codec->vocabulary(), loaded.machine->vocabulary()),
        {}};
  }
  return std::unique_ptr<Engine>(
      std::make_unique<StaticEngine>(context, std::move(loaded), std::move(codec)));
}

Result<MeasuredPace> measure(const Pool& pool) {
  MEDLEY_TRY(const Loaded loaded, load(pool));
  return MeasuredPace{.window_s = window_of(*loaded.machine, loaded.token_s),
                      .token_s = loaded.token_s,
                      .slots = loaded.machine->slots(),
                      .context = loaded.machine->context()};
}

}  // namespace medley::engine::static_schedule
