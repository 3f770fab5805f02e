#include "engine/llama_embedded/llama_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "base/prng.h"
#include "base/statistics.h"
#include "engine/llama_embedded/batcher.h"
#include "engine/llama_embedded/libllama.h"
#include "engine/llama_embedded/prompt_encoder.h"
#include "engine/llama_embedded/sampler.h"

namespace medley::engine::llama_embedded {
namespace {

using Clock = std::chrono::steady_clock;

// A step takes at most this many tokens: enough for good prefill, few enough that a stream beside a
// long prompt does not stall.
constexpr int kStepTokens = 256;
// On a few cores batching gains little, and 16 sequences are slower than 8 (stories260K, one Zen 5
// core: 8,740 tokens/s in all with 4 sequences, 7,470 with 8, 6,160 with 16).
constexpr int kDefaultSequences = 8;
constexpr int kMostSequences = 64;

Wishes wishes_of(const Pool& pool) {
  const int asked = pool.slots.value_or(pool.batching.max_running);
  // Beyond that it is the default of data-centre devices, not somebody's wish for this machine.
  return {.sequences = asked >= 1 && asked <= kMostSequences ? asked : kDefaultSequences};
}

int step_tokens_of(const Pool& pool, const Capacity& capacity) {
  const long long chunk = std::clamp<long long>(pool.batching.chunk_tokens, 16, kStepTokens);
  return static_cast<int>(std::max<long long>(chunk, capacity.sequences));
}

ContextShape shape_of(const Pool& pool, const Capacity& capacity) {
  return {.sequences = capacity.sequences,
          .context_tokens = capacity.context_tokens,
          .step_tokens = step_tokens_of(pool, capacity),
          .threads = std::max(1, pool.engine.threads)};
}

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

// What the loop's thread knows of the generations under way; only that thread touches it.
//
// The engine ends its life; callbacks that were posted to the loop and come later find it gone.
class Inbox {
 public:
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

  // Sinks may start, cancel and even destroy the engine from inside.
  void deliver(const std::vector<Happening>& happenings, const Gauges& gauges) {
    gauges_ = gauges;
    for (const Happening& happening : happenings) {
      const auto found = live_.find(happening.job);
      if (found == live_.end())
        continue;
      const Live live = found->second;
      if (std::holds_alternative<Admitted>(happening.what)) {
        found->second.running = true;
      } else if (const auto* text = std::get_if<NewText>(&happening.what)) {
        live.sink->on_tokens(live.request, text->text, text->count);
      } else if (const auto* ending = std::get_if<Ending>(&happening.what)) {
        remove(live.request);
        live.sink->on_end(live.request, *ending);
      } else {
        remove(live.request);
        live.sink->on_failed(live.request, std::get<Error>(happening.what));
      }
    }
  }

  void clear() {
    live_.clear();
    jobs_.clear();
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

 private:
  std::unordered_map<std::uint64_t, Live> live_;  // by job
  std::unordered_map<RequestId, std::uint64_t> jobs_;
  Gauges gauges_;
};

class LlamaEngine final : public Engine {
 public:
  static Result<std::unique_ptr<Engine>> make(const EngineContext& context) {
    MEDLEY_TRY(ModelHandle model, load_model(context.pool.model_path));
    Wishes wishes = wishes_of(context.pool);
    if (const int most = context.model.max_running; most > 0) {
      wishes.sequences = std::min(wishes.sequences, most);
    }
    wishes.context_tokens = context.model.max_context;
    const Capacity capacity = fit_capacity(wishes, *model);
    std::unique_ptr<LlamaEngine> engine(new LlamaEngine(context, std::move(model), capacity));
    MEDLEY_TRY_STATUS(engine->open());
    return std::unique_ptr<Engine>(std::move(engine));
  }

  ~LlamaEngine() override {
    inbox_->clear();
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_one();
    if (thread_.joinable())
      thread_.join();
  }

  void start(Generation generation, GenerationSink& sink) override {
    const std::uint64_t job = ++last_job_;
    inbox_->add(job, generation, sink);
    const std::uint64_t seed = Prng::stream(seed_, generation.id.number()).next();
    send(Job{job, std::move(generation), seed});
  }

  void cancel(RequestId request) override {
    if (const auto job = inbox_->remove(request))
      send(Cancel{*job});
  }

  std::optional<Tokens> count_prompt_tokens(const Generation& generation) const override {
    const Result<std::vector<llama_token>> tokens = encoder_.encode(generation);
    if (!tokens)
      return std::nullopt;
    return Tokens(static_cast<long long>(tokens->size()));
  }

  LoadSignal load() const override {
    LoadSignal signal = inbox_->load();
    const long long capacity_tokens = capacity_.context_tokens * capacity_.sequences;
    signal.kv_capacity_tokens = capacity_tokens;
    signal.kv_fraction =
        static_cast<double>(inbox_->kv_tokens()) / static_cast<double>(capacity_tokens);
    signal.as_of = loop_.now();
    return signal;
  }

  bool emulated() const override { return false; }

 private:
  struct Cancel {
    std::uint64_t job;
  };
  using Command = std::variant<Job, Cancel>;

  LlamaEngine(const EngineContext& context, ModelHandle model, const Capacity& capacity)
      : loop_(context.loop),
        seed_(context.seed),
        shape_(shape_of(context.pool, capacity)),
        model_(std::move(model)),
        capacity_(capacity),
        encoder_(*model_) {}

  Status open() {
    const auto give_up = [](void* engine) {
      return static_cast<LlamaEngine*>(engine)->stopping_.load(std::memory_order_relaxed);
    };
    MEDLEY_TRY(context_, make_context(*model_, shape_, give_up, this));
    thread_ = std::thread([this] { run(); });
    return Done{};
  }

  void send(Command command) {
    {
      const std::lock_guard lock(mutex_);
      commands_.push_back(std::move(command));
    }
    wake_.notify_one();
  }

  // The engine's thread.
  void run() {
    Batcher batcher(*model_, *context_, encoder_, capacity_, shape_.step_tokens);
    const std::weak_ptr<Inbox> inbox = inbox_;
    Rate prefill, decode;
    std::vector<Command> commands;
    for (;;) {
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return stopping_ || !commands_.empty() || !batcher.idle(); });
        if (stopping_)
          return;
        commands.swap(commands_);
      }
      std::vector<Happening> happenings;
      for (Command& command : commands) {
        if (auto* job = std::get_if<Job>(&command)) {
          batcher.add(std::move(*job), happenings);
        } else {
          batcher.cancel(std::get<Cancel>(command).job);
        }
      }
      commands.clear();

      const Clock::time_point begin = Clock::now();
      const StepWork work = batcher.step(happenings);
      const Clock::duration took = Clock::now() - begin;
      if (work.prompt_tokens > 0) {
        prefill.add(work.prompt_tokens, took);
      } else {
        decode.add(work.decodes, took);
      }
      const Gauges gauges{batcher.kv_tokens(), prefill.value(), decode.value()};
      loop_.post([inbox, gauges, happenings = std::move(happenings)] {
        if (const std::shared_ptr<Inbox> open = inbox.lock())
          open->deliver(happenings, gauges);
      });
    }
  }

  Loop& loop_;
  const std::uint64_t seed_;
  const ContextShape shape_;
  const ModelHandle model_;
  const Capacity capacity_;
  const PromptEncoder encoder_;
  ContextHandle context_;

  // The loop's thread only.
  std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  std::uint64_t last_job_ = 0;

  std::mutex mutex_;  // guards commands_, and stopping_ for the sake of wake_
  std::condition_variable wake_;
  std::vector<Command> commands_;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

// Steps of a context that serves nobody.
class Bench {
 public:
  Bench(const llama_model& model, llama_context& context, const ContextShape& shape)
      : context_(context),
        shape_(shape),
        sampler_(make_sampler(model, {}, 1)),
        batch_(llama_batch_init(shape.step_tokens, 0, 1)) {}
  ~Bench() { llama_batch_free(batch_); }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  // Seconds of a step with `tokens` new ones for each of the first `sequences`, after `position`
  // others.
  Result<double> step(int sequences, int tokens, int position) {
    batch_.n_tokens = 0;
    for (int sequence = 0; sequence < sequences; ++sequence) {
      for (int i = 0; i < tokens; ++i) {
        const std::int32_t row = batch_.n_tokens++;
        batch_.token[row] = 1 + i % 2;
        batch_.pos[row] = position + i;
        batch_.n_seq_id[row] = 1;
        batch_.seq_id[row][0] = sequence;
        batch_.logits[row] = i + 1 == tokens ? 1 : 0;
      }
    }
    const Clock::time_point begin = Clock::now();
    if (const std::int32_t code = llama_decode(&context_, batch_); code != 0) {
      return Error{ErrorCode::kUnavailable,
                   fmt::format("llama.cpp failed while it was measured ({}): {}", code,
                               take_logged_error())};
    }
    for (std::int32_t row = 0; row < batch_.n_tokens; ++row) {
      if (batch_.logits[row] != 0)
        llama_sampler_sample(sampler_.get(), &context_, row);
    }
    return std::chrono::duration<double>(Clock::now() - begin).count();
  }

  void forget() { llama_memory_clear(llama_get_memory(&context_), /*data=*/false); }

  // The median step that decodes `sequences`, from up to 100 steps or `budget`.
  Result<double> decode_step(int sequences, std::chrono::milliseconds budget) {
    forget();
    std::vector<double> seconds;
    const Clock::time_point end = Clock::now() + budget;
    const int steps = static_cast<int>(std::min(100LL, shape_.context_tokens));
    for (int position = 0; position < steps && (seconds.empty() || Clock::now() < end);
         ++position) {
      MEDLEY_TRY(const double took, step(sequences, 1, position));
      seconds.push_back(took);
    }
    return summarise(std::move(seconds)).p50;
  }

 private:
  llama_context& context_;
  const ContextShape& shape_;
  SamplerHandle sampler_;
  llama_batch batch_;
};

}  // namespace

Result<std::unique_ptr<Engine>> make_llama_engine(const EngineContext& context) {
  return LlamaEngine::make(context);
}

Result<MeasuredSpeed> measure(const Pool& pool) {
  using std::chrono::milliseconds;
  MEDLEY_TRY(const ModelHandle model, load_model(pool.model_path));
  const Capacity capacity = fit_capacity(wishes_of(pool), *model);
  const ContextShape shape = shape_of(pool, capacity);
  MEDLEY_TRY(const ContextHandle context, make_context(*model, shape, nullptr, nullptr));
  Bench bench(*model, *context, shape);

  // The first step of each shape builds its graph; a short one also tells how long a prompt we can
  // afford.
  const int longest =
      static_cast<int>(std::min<long long>(shape.step_tokens, capacity.context_tokens));
  const int probe = std::min(16, longest);
  MEDLEY_TRY(const double probe_s, bench.step(1, probe, 0));
  const int prompt =
      std::clamp(static_cast<int>(probe * 0.06 / std::max(probe_s, 1e-9)), probe, longest);
  std::vector<double> prefill_s;
  const Clock::time_point end = Clock::now() + milliseconds(60);
  while (prefill_s.empty() || (prefill_s.size() < 7 && Clock::now() < end)) {
    bench.forget();
    MEDLEY_TRY(const double took, bench.step(1, prompt, 0));
    prefill_s.push_back(took);
  }
  MEDLEY_TRY(const double alone, bench.decode_step(1, milliseconds(50)));
  MEDLEY_TRY(const double together, bench.decode_step(capacity.sequences, milliseconds(80)));

  // A line through the two measured points. Where many cost more than as many alone (a processor
  // gains nothing from batching), the line through the origin and the full batch, which matters
  // more.
  const int sequences = capacity.sequences;
  const double slope = (together - alone) / std::max(1, sequences - 1);
  const double per_sequence = std::max(std::min(slope, 0.99 * together / sequences), 0.01 * alone);
  const double per_step = std::max(alone - per_sequence, 0.01 * alone);
  const double whole_prompt = summarise(std::move(prefill_s)).p50;
  return MeasuredSpeed{
      .per_step = Seconds(per_step),
      .per_sequence_step = Seconds(per_sequence),
      .prefill_tokens_per_s = prompt / std::max(whole_prompt - per_step, whole_prompt / 2),
      .max_running = capacity.sequences,
      .max_context = capacity.context_tokens,
      .prefill_chunk = shape.step_tokens,
  };
}

}  // namespace medley::engine::llama_embedded
