#include "engine/static_schedule/static_engine.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/statistics.h"
#include "domain/token_window.h"
#include "engine/static_schedule/rotation.h"
#include "engine/threaded_engine.h"
#include "perf/linear.h"

namespace medley::engine::static_schedule {
namespace {

using Clock = std::chrono::steady_clock;
using lpu::cpu::Machine;

constexpr int kDefaultSlots = 4;
constexpr int kMostSlots = 64;

// Slots and context: what was asked for, cut to what the model was trained for and to a quarter of
// this machine's memory. Gives up slots first, then context.
struct Room {
  int slots = 1;
  long long context = 1;
};
Result<Room> room_of(const Pool& pool, const lpu::Graph& graph) {
  if (pool.slots && *pool.slots > kMostSlots) {
    return Error{ErrorCode::kInvalid,
                 fmt::format("slots: {}: static_schedule gives every slot its turn in each window; "
                             "expected at most {}",
                             *pool.slots, kMostSlots),
                 "slots"};
  }
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
  double token_s = 0, prompt_token_s = 0;  // with a full context
  double first_prompt_token_s = 0;         // of a prompt's, with none
};

struct PreloadedMachine final : Preloaded {
  explicit PreloadedMachine(Loaded of) : loaded(std::move(of)) {}
  Loaded loaded;
};

// How often a machine is looked at, and how far apart: its neighbours come and go. Large models are
// looked at less, for no longer than that in all.
constexpr int kLooks = 5;
constexpr std::chrono::milliseconds kBetweenLooks{50}, kMostLooking{600};

// Of up to 100 times, or of 20 ms.
template <typename F>
double median_s(F&& f) {
  std::vector<double> seconds;
  const Clock::time_point end = Clock::now() + std::chrono::milliseconds(20);
  while (seconds.size() < 3 || (seconds.size() < 100 && Clock::now() < end)) {
    const Clock::time_point begin = Clock::now();
    f();
    seconds.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
  }
  return summarise(std::move(seconds)).p50;
}

// What comes between makes a look longer, and nothing makes one shorter.
double lower_quartile(std::vector<double> looks) {
  std::sort(looks.begin(), looks.end());
  return looks[looks.size() / 4];
}

Result<Loaded> load(const Pool& pool) {
  MEDLEY_TRY(const lpu::ModelFile file, lpu::ModelFile::open(pool.model_path));
  MEDLEY_TRY(const lpu::Graph graph, lpu::build_graph(file));
  MEDLEY_TRY(const Room room, room_of(pool, graph));
  const lpu::cpu::Isa isa = lpu::cpu::best_isa();
  MEDLEY_TRY(const lpu::Program program,
             lpu::compile_cpu(graph, {.units = std::max(1, pool.engine.threads),
                                      .context = static_cast<int>(room.context),
                                      .layout = lpu::cpu::layout_of(isa, false)}));
  Loaded loaded;
  MEDLEY_TRY(
      loaded.machine,
      Machine::make(graph, program, {.isa = isa, .slots = room.slots, .cores = pool.engine.cores}));
  // The dearest positions.
  Machine& machine = *loaded.machine;
  const int token = 1 % graph.vocabulary;
  const int together = std::min(Machine::kMostTogether, machine.context());
  const std::vector<int> prompt(static_cast<std::size_t>(together), token);
  std::vector<double> tokens, prompts, first_prompts;
  const Clock::time_point begin = Clock::now();
  while (tokens.empty() ||
         (tokens.size() < kLooks && Clock::now() < begin + kMostLooking - kBetweenLooks)) {
    if (!tokens.empty())
      std::this_thread::sleep_for(kBetweenLooks);
    tokens.push_back(median_s([&] { machine.run(0, token, machine.context() - 1); }));
    prompts.push_back(
        median_s([&] { machine.read(0, prompt, machine.context() - together, /*head=*/false); }));
    first_prompts.push_back(median_s([&] { machine.read(0, prompt, 0, /*head=*/false); }));
  }
  loaded.token_s = lower_quartile(std::move(tokens));
  loaded.prompt_token_s = lower_quartile(std::move(prompts)) / together;
  loaded.first_prompt_token_s = lower_quartile(std::move(first_prompts)) / together;
  return loaded;
}

// Of the window that was asked for, what is left beside the tokens of all slots.
constexpr double kLeastSlack = 1.1;

Result<LinearConstants> rotation_of(const Pool& pool, const Loaded& loaded) {
  const int slots = loaded.machine->slots();
  const double least_s = kLeastSlack * loaded.token_s * slots;
  if (pool.engine.token_window_s && *pool.engine.token_window_s < least_s) {
    return Error{ErrorCode::kInvalid,
                 fmt::format("a token_window of {:.3g} ms: the tokens of {} slots take {:.3g} ms "
                             "here; expected at least {:.3g} ms, or fewer slots",
                             *pool.engine.token_window_s * 1e3, slots, loaded.token_s * slots * 1e3,
                             least_s * 1e3),
                 "token_window"};
  }
  LinearConstants rotation = perf::in_rotation(loaded.token_s, loaded.first_prompt_token_s, slots,
                                               pool.engine.token_window_s);
  rotation.context_token_s = std::max(0.0, loaded.prompt_token_s - loaded.first_prompt_token_s) /
                             loaded.machine->context();
  return rotation;
}

// How late this process may hear that its time has come: twice the worst of 100 times, at least a
// millisecond.
double lateness_s() {
  Clock::duration worst{};
  for (int i = 0; i < 100; ++i) {
    const Clock::time_point due = Clock::now() + std::chrono::microseconds(500);
    std::this_thread::sleep_until(due);
    worst = std::max(worst, Clock::now() - due);
  }
  return std::max(1e-3, 2 * std::chrono::duration<double>(worst).count());
}

class StaticEngine final : public ThreadedEngine {
 public:
  StaticEngine(const EngineContext& context, Loaded loaded, const LinearConstants& rotation,
               std::unique_ptr<TextCodec> codec)
      : ThreadedEngine(context,
                       static_cast<long long>(loaded.machine->context()) * loaded.machine->slots()),
        machine_(std::move(loaded.machine)),
        codec_(std::move(codec)) {
    const auto duration = [](double seconds) {
      return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    };
    const Rotation::Pace pace{.window = duration(rotation.step_s),
                              .prompt_token = duration(loaded.prompt_token_s),
                              .ahead = context.pool.engine.run_ahead};
    begin(std::make_unique<Rotation>(*machine_, *codec_, pace));
  }
  ~StaticEngine() override { stop(); }

  std::optional<Tokens> count_prompt_tokens(Generation& generation) const override {
    return count_prompt(codec_->tokenizer(), machine_->context(), generation);
  }
  LoadSignal load() const override {
    LoadSignal signal = ThreadedEngine::load();
    signal.beats = beats().all;
    signal.missed_beats = beats().missed;
    return signal;
  }

 private:
  const std::unique_ptr<Machine> machine_;
  const std::unique_ptr<TextCodec> codec_;
};

}  // namespace

Result<std::unique_ptr<Engine>> make_static_engine(const EngineContext& context,
                                                   std::unique_ptr<TextCodec> codec) {
  Loaded loaded;
  if (auto* preloaded = dynamic_cast<PreloadedMachine*>(context.preloaded.get())) {
    loaded = std::move(preloaded->loaded);
  } else {
    MEDLEY_TRY(loaded, load(context.pool));
  }
  if (codec->vocabulary() != loaded.machine->vocabulary()) {
    return Error{
        ErrorCode::kInvalid,
        fmt::format("'{}': the tokenizer knows {} tokens, the matrices {}", context.pool.model_path,
                    codec->vocabulary(), loaded.machine->vocabulary()),
        {}};
  }
  // The window that was measured is the one that the scheduler promises by.
  LinearConstants rotation;
  if (context.pool.measured) {
    rotation = *context.pool.measured;
  } else {
    MEDLEY_TRY(rotation, rotation_of(context.pool, loaded));
  }
  return std::unique_ptr<Engine>(
      std::make_unique<StaticEngine>(context, std::move(loaded), rotation, std::move(codec)));
}

Result<MeasuredPace> measure(const Pool& pool) {
  MEDLEY_TRY(Loaded loaded, load(pool));
  MEDLEY_TRY(LinearConstants rotation, rotation_of(pool, loaded));
  rotation.ttft_error = pool.constants.error_bar;
  // As much as makes a promised gap (sched/promise.h) a window and that lateness.
  rotation.tpot_error = std::log1p(lateness_s() / rotation.step_s) / kPromiseDeviations;
  MeasuredPace pace{.rotation = rotation,
                    .slots = loaded.machine->slots(),
                    .context = loaded.machine->context(),
                    .preloaded = nullptr};
  pace.preloaded = std::make_shared<PreloadedMachine>(std::move(loaded));
  return pace;
}

}  // namespace medley::engine::static_schedule
