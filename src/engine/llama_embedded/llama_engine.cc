#include "engine/llama_embedded/llama_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/check.h"
#include "base/statistics.h"
#include "engine/llama_embedded/batcher.h"
#include "engine/llama_embedded/libllama.h"
#include "engine/llama_embedded/llama_kv.h"
#include "engine/llama_embedded/prompt_encoder.h"
#include "engine/llama_embedded/sampler.h"
#include "engine/threaded_engine.h"

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
  return {.sequences = asked >= 1 && asked <= kMostSequences ? asked : kDefaultSequences,
          .half_kv = !pool.engine.full_kv};
}

int step_tokens_of(const Pool& pool, const Capacity& capacity) {
  const long long chunk = std::clamp<long long>(pool.batching.chunk_tokens, 16, kStepTokens);
  return static_cast<int>(std::max<long long>(chunk, capacity.sequences));
}

ContextShape shape_of(const Pool& pool, const Capacity& capacity) {
  return {.sequences = capacity.sequences,
          .context_tokens = capacity.context_tokens,
          .step_tokens = step_tokens_of(pool, capacity),
          .threads = std::max(1, pool.engine.threads),
          .half_kv = !pool.engine.full_kv};
}

struct PreloadedModel final : Preloaded {
  explicit PreloadedModel(ModelHandle of) : model(std::move(of)) {}
  ModelHandle model;
};

class LlamaEngine final : public ThreadedEngine {
 public:
  static Result<std::unique_ptr<Engine>> make(const EngineContext& context) {
    ModelHandle model;
    if (auto* preloaded = dynamic_cast<PreloadedModel*>(context.preloaded.get())) {
      model = std::move(preloaded->model);
    } else {
      MEDLEY_TRY(model, load_model(context.pool.model_path));
    }
    Wishes wishes = wishes_of(context.pool);
    if (const int most = context.model.max_running; most > 0) {
      wishes.sequences = std::min(wishes.sequences, most);
    }
    wishes.context_tokens = context.model.max_context;
    const Capacity capacity = fit_capacity(wishes, *model);
    std::unique_ptr<LlamaEngine> engine(new LlamaEngine(context, std::move(model), capacity));
    MEDLEY_TRY_STATUS(engine->open(capacity));
    return std::unique_ptr<Engine>(std::move(engine));
  }

  ~LlamaEngine() override { stop(); }

  std::optional<Tokens> count_prompt_tokens(Generation& generation) const override {
    return count_prompt(encoder_.tokenizer(), context_tokens_, generation);
  }

 private:
  LlamaEngine(const EngineContext& context, ModelHandle model, const Capacity& capacity)
      : ThreadedEngine(context, capacity.context_tokens * capacity.sequences),
        shape_(shape_of(context.pool, capacity)),
        model_(std::move(model)),
        encoder_(*model_, context.pool.model_path),
        context_tokens_(capacity.context_tokens) {}

  Status open(const Capacity& capacity) {
    const auto give_up = [](void* engine) {
      return static_cast<LlamaEngine*>(engine)->stopping().load(std::memory_order_relaxed);
    };
    MEDLEY_TRY(context_, make_context(*model_, shape_, give_up, this));
    begin(std::make_unique<Batcher>(*model_, *context_, encoder_, capacity, shape_.step_tokens));
    return Done{};
  }

  const ContextShape shape_;
  const ModelHandle model_;
  const PromptEncoder encoder_;
  const long long context_tokens_;
  ContextHandle context_;
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

  // Reads a prompt for as long as the context has room, or the time allows, one step at least:
  // answers its tokens.
  Result<int> read(Clock::time_point end) {
    forget();
    const auto context = static_cast<int>(shape_.context_tokens);
    int position = 0;
    while (position < context && (position == 0 || Clock::now() < end)) {
      const int tokens = std::min(shape_.step_tokens, context - position);
      if (const Result<double> took = step(1, tokens, position); !took.ok())
        return took.error();
      position += tokens;
    }
    return position;
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
  MEDLEY_TRY(ModelHandle model, load_model(pool.model_path));
  const Capacity capacity = fit_capacity(wishes_of(pool), *model);
  const ContextShape shape = shape_of(pool, capacity);
  MEDLEY_TRY(ContextHandle context, make_context(*model, shape, nullptr, nullptr));
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
  context.reset();  // before its model may go
  return MeasuredSpeed{
      .per_step = Seconds(per_step),
      .per_sequence_step = Seconds(per_sequence),
      .prefill_tokens_per_s = prompt / std::max(whole_prompt - per_step, whole_prompt / 2),
      .max_running = capacity.sequences,
      .max_context = capacity.context_tokens,
      .prefill_chunk = shape.step_tokens,
      .preloaded = std::make_shared<PreloadedModel>(std::move(model)),
  };
}

Result<ReadingSpeed> measure_reading(const Pool& pool, long long context_tokens) {
  using std::chrono::milliseconds;
  MEDLEY_TRY(ModelHandle model, load_model(pool.model_path));
  Wishes wishes = wishes_of(pool);
  wishes.context_tokens = context_tokens;
  const Capacity capacity = fit_capacity(wishes, *model);
  const ContextShape shape = shape_of(pool, capacity);
  MEDLEY_TRY(ContextHandle context, make_context(*model, shape, nullptr, nullptr));
  Bench bench(*model, *context, shape);
  MEDLEY_TRY(const double short_s, bench.decode_step(1, milliseconds(20)));
  std::vector<double> per_token;
  const Clock::time_point end = Clock::now() + milliseconds(300);
  while (per_token.empty() || (per_token.size() < 5 && Clock::now() < end)) {
    const Clock::time_point begin = Clock::now();
    // As long as the context holds, so that what attention costs is in it.
    MEDLEY_TRY(const int read, bench.read(end));
    MEDLEY_TRY(const KvState state, export_kv(*context, 0));
    MEDLEY_CHECK(state.positions == read);
    per_token.push_back(std::chrono::duration<double>(Clock::now() - begin).count() / read);
  }
  context.reset();  // before its model may go
  return ReadingSpeed{.per_step = Seconds(short_s),
                      .per_token = Seconds(summarise(std::move(per_token)).p50),
                      .preloaded = std::make_shared<PreloadedModel>(std::move(model))};
}

}  // namespace medley::engine::llama_embedded
