#include "engine/threaded_engine.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "base/prng.h"

namespace medley::engine {
namespace {

using Clock = std::chrono::steady_clock;

// An average that follows slowly.
class Rate {
 public:
  void add(int tokens, Clock::duration took) {
    const double seconds = std::chrono::duration<double>(took).count();
    if (tokens == 0 || seconds <= 0)
      return;
    const double rate = tokens / seconds;
    value_ = value_ ? 0.9 * *value_ + 0.1 * rate : rate;
  }
  std::optional<double> value() const { return value_; }

 private:
  std::optional<double> value_;
};

// What the engine's thread reports with what happened in a step.
struct Gauges {
  long long kv_tokens = 0;
  std::optional<double> prefill_tokens_per_s, decode_tokens_per_s;
};

}  // namespace

// What the loop's thread knows of the generations under way, and what was told ahead of its time;
// only that thread touches it.
class ThreadedEngine::Inbox : public std::enable_shared_from_this<ThreadedEngine::Inbox> {
 public:
  explicit Inbox(Loop& loop) : loop_(loop) {}

  struct Live {
    RequestId request;
    GenerationSink* sink = nullptr;
    bool running = false;
    long long prompt_tokens = 0;
  };

  void add(std::uint64_t job, const Generation& generation, GenerationSink& sink) {
    MEDLEY_CHECK(jobs_.emplace(generation.id, job).second, "a request is started twice");
    live_[job] = {generation.id, &sink, false, generation.prompt_tokens.count()};
  }

  std::optional<std::uint64_t> remove(RequestId request) {
    const auto found = jobs_.find(request);
    if (found == jobs_.end())
      return std::nullopt;
    const std::uint64_t job = found->second;
    live_.erase(job);
    jobs_.erase(found);
    return job;
  }

  void take(std::vector<Happening> happenings, const Gauges& gauges) {
    gauges_ = gauges;
    std::vector<Happening> at_once;
    for (Happening& happening : happenings) {
      if (happening.due) {
        const Clock::time_point due = *happening.due;
        early_.emplace(due, std::move(happening));
      } else {
        at_once.push_back(std::move(happening));
      }
    }
    set_alarm();
    deliver(at_once);
  }

  void clear() {
    live_.clear();
    jobs_.clear();
    early_.clear();
    set_alarm();
  }

  LoadSignal load() const {
    LoadSignal signal;
    signal.running = signal.waiting = 0;
    signal.waiting_uncached_tokens = 0;
    for (const auto& [job, live] : live_) {
      ++*(live.running ? signal.running : signal.waiting);
      if (!live.running)
        *signal.waiting_uncached_tokens += live.prompt_tokens;
    }
    signal.prefill_tokens_per_s = gauges_.prefill_tokens_per_s;
    signal.decode_tokens_per_s = gauges_.decode_tokens_per_s;
    return signal;
  }
  long long kv_tokens() const { return live_.empty() ? 0 : gauges_.kv_tokens; }
  const Beats& beats() const { return beats_; }

 private:
  // Sinks may start, cancel and even destroy the engine from inside.
  void deliver(const std::vector<Happening>& happenings) {
    for (const Happening& happening : happenings) {
      const auto found = live_.find(happening.job);
      if (found == live_.end())
        continue;
      const Live live = found->second;
      if (std::holds_alternative<Admitted>(happening.what)) {
        found->second.running = true;
      } else if (const auto* text = std::get_if<NewText>(&happening.what)) {
        if (happening.keeps_beat_until) {
          ++beats_.all;
          if (Clock::now() > *happening.keeps_beat_until)
            ++beats_.missed;
        }
        live.sink->on_tokens(live.request, text->text, text->count);
      } else if (const auto* read = std::get_if<PromptRead>(&happening.what)) {
        remove(live.request);
        live.sink->on_prompt_read(live.request, read->state);
      } else if (const auto* ending = std::get_if<Ending>(&happening.what)) {
        remove(live.request);
        live.sink->on_end(live.request, *ending);
      } else {
        remove(live.request);
        live.sink->on_failed(live.request, std::get<Error>(happening.what));
      }
    }
  }

  // One timer, for the earliest of what is early.
  void set_alarm() {
    if (alarm_ && !early_.empty() && alarm_at_ == early_.begin()->first)
      return;
    if (alarm_)
      loop_.cancel(*alarm_);
    alarm_.reset();
    if (early_.empty())
      return;
    alarm_at_ = early_.begin()->first;
    const auto wait = std::max(alarm_at_ - Clock::now(), Clock::duration{});
    alarm_ =
        loop_.call_at(loop_.now() + wait, replica::Phase::kStepEnd, 0, [inbox = weak_from_this()] {
          if (const std::shared_ptr<Inbox> open = inbox.lock())
            open->ring();
        });
  }

  void ring() {
    alarm_.reset();
    const auto later = early_.upper_bound(alarm_at_);
    std::vector<Happening> due;
    for (auto next = early_.begin(); next != later; ++next)
      due.push_back(std::move(next->second));
    early_.erase(early_.begin(), later);
    set_alarm();
    deliver(due);
  }

  Loop& loop_;
  std::multimap<Clock::time_point, Happening> early_;
  std::optional<TimerId> alarm_;
  Clock::time_point alarm_at_;
  std::unordered_map<std::uint64_t, Live> live_;  // by job
  std::unordered_map<RequestId, std::uint64_t> jobs_;
  Gauges gauges_;
  Beats beats_;
};

ThreadedEngine::ThreadedEngine(const EngineContext& context, long long kv_capacity_tokens)
    : loop_(context.loop),
      seed_(context.seed),
      kv_capacity_tokens_(kv_capacity_tokens),
      inbox_(std::make_shared<Inbox>(context.loop)) {}

ThreadedEngine::~ThreadedEngine() { MEDLEY_CHECK(!thread_.joinable(), "stop() was not called"); }

ThreadedEngine::Beats ThreadedEngine::beats() const { return inbox_->beats(); }

void ThreadedEngine::begin(std::unique_ptr<Worker> worker) {
  worker_ = std::move(worker);
  thread_ = std::thread([this] { run(); });
}

void ThreadedEngine::stop() {
  inbox_->clear();
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable())
    thread_.join();
  worker_.reset();
}

void ThreadedEngine::start(Generation generation, GenerationSink& sink) {
  const std::uint64_t job = ++last_job_;
  inbox_->add(job, generation, sink);
  const std::uint64_t seed = Prng::stream(seed_, generation.id.number()).next();
  send(Job{job, std::move(generation), seed});
}

void ThreadedEngine::cancel(RequestId request) {
  if (const auto job = inbox_->remove(request))
    send(Cancel{*job});
}

LoadSignal ThreadedEngine::load() const {
  LoadSignal signal = inbox_->load();
  signal.kv_capacity_tokens = kv_capacity_tokens_;
  signal.kv_fraction =
      static_cast<double>(inbox_->kv_tokens()) / static_cast<double>(kv_capacity_tokens_);
  signal.as_of = loop_.now();
  return signal;
}

void ThreadedEngine::send(Command command) {
  {
    const std::lock_guard lock(mutex_);
    commands_.push_back(std::move(command));
  }
  wake_.notify_one();
}

// The engine's thread.
void ThreadedEngine::run() {
  worker_->enter();
  const std::weak_ptr<Inbox> inbox = inbox_;
  Rate prefill, decode;
  std::vector<Command> commands;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      const auto told = [&] { return stopping_ || !commands_.empty(); };
      if (worker_->idle()) {
        wake_.wait(lock, told);
      } else if (const auto until = worker_->rests_until()) {
        wake_.wait_until(lock, *until, told);
      }
      if (stopping_)
        return;
      commands.swap(commands_);
    }
    std::vector<Happening> happenings;
    for (Command& command : commands) {
      if (auto* job = std::get_if<Job>(&command)) {
        worker_->add(std::move(*job), happenings);
      } else {
        worker_->cancel(std::get<Cancel>(command).job);
      }
    }
    const bool told = !commands.empty();
    commands.clear();

    const Clock::time_point begin = Clock::now();
    const StepWork work = worker_->step(happenings);
    const Clock::duration took = Clock::now() - begin;
    if (work.prompt_tokens > 0) {
      prefill.add(work.prompt_tokens, took);
    } else {
      decode.add(work.decodes, took);
    }
    const Gauges gauges{worker_->kv_tokens(), prefill.value(), decode.value()};
    if (!told && work.prompt_tokens + work.decodes == 0 && happenings.empty())
      continue;  // it woke a moment too early
    loop_.post([inbox, gauges, happenings = std::move(happenings)]() mutable {
      if (const std::shared_ptr<Inbox> open = inbox.lock())
        open->take(std::move(happenings), gauges);
    });
  }
}

}  // namespace medley::engine
