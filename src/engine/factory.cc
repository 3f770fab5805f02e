// The one place that knows which engines there are.
#include <fmt/format.h>

#include "engine/asio_loop.h"
#include "engine/emulated/emulated_engine.h"
#include "engine/engine.h"
#include "engine/llama_embedded/llama_codec.h"
#include "engine/llama_embedded/llama_engine.h"
#include "engine/llama_embedded/llama_stepper.h"
#include "engine/measure.h"
#include "engine/openai_http/openai_http_engine.h"
#include "engine/prefilled_engine.h"
#include "engine/static_schedule/static_engine.h"
#include "engine/static_schedule/static_stepper.h"
#include "engine/stepper.h"

namespace medley::engine {
namespace {

Result<std::unique_ptr<Engine>> make_openai_http(const EngineContext& context) {
  const EngineSpec& spec = context.pool.engine;
  auto* loop = dynamic_cast<AsioLoop*>(&context.loop);
  if (loop == nullptr) {
    return Error{ErrorCode::kInvalid,
                 fmt::format("pool '{}': openai_http runs in real time only", context.pool.name)};
  }
  if (context.replica_in_pool >= spec.urls.size()) {
    return Error{ErrorCode::kInvalid,
                 fmt::format("pool '{}': openai_http needs a url for each of its {} replicas, "
                             "and has {}",
                             context.pool.name, context.pool.replicas, spec.urls.size())};
  }
  Result<net::HttpUrl> url = net::parse_http_url(spec.urls[context.replica_in_pool]);
  if (!url.ok()) {
    return Error{url.error().code,
                 fmt::format("pool '{}': {}", context.pool.name, url.error().message)};
  }
  OpenaiHttpEngine::Options options;
  options.key = spec.key;
  // What is behind one address for several replicas says nothing of any one of them.
  if (spec.urls.size() == 1 || spec.urls[0] != spec.urls[1])
    options.metrics = spec.metrics;
  options.model = spec.upstream_model.empty() ? context.pool.model.id : spec.upstream_model;
  return std::unique_ptr<Engine>(
      std::make_unique<OpenaiHttpEngine>(*loop, std::move(*url), std::move(options)));
}

// What reads the long prompts of a pool: libllama with the same model, one after the other, its
// cache in F32 as the schedule's is.
Pool reader_of(const Pool& pool) {
  Pool reader = pool;
  reader.engine = {
      .type = EngineType::kLlamaEmbedded, .threads = pool.engine.prefill->threads, .full_kv = true};
  reader.slots = 1;
  return reader;
}

struct PreloadedSchedule final : Preloaded {
  std::unique_ptr<TextCodec> codec;
  std::shared_ptr<Preloaded> machine, reader;
};

// Its tokens are libllama's, so that both serve the same text.
Result<std::unique_ptr<Engine>> make_static_schedule(const EngineContext& context) {
  PreloadedSchedule kept;
  if (auto* preloaded = dynamic_cast<PreloadedSchedule*>(context.preloaded.get()))
    kept = std::move(*preloaded);
  if (!kept.codec) {
    MEDLEY_TRY(kept.codec, llama_embedded::make_llama_codec(context.pool.model_path));
  }
  EngineContext scheduled = context;
  scheduled.preloaded = std::move(kept.machine);
  MEDLEY_TRY(std::unique_ptr<Engine> engine,
             static_schedule::make_static_engine(scheduled, std::move(kept.codec)));
  const std::optional<PrefillSpec>& prefill = context.pool.engine.prefill;
  if (!prefill)
    return engine;
  const Pool pool = reader_of(context.pool);
  perf::PoolModel model;
  model.max_context = context.model.max_context;
  MEDLEY_TRY(std::unique_ptr<Engine> reader,
             llama_embedded::make_llama_engine({.loop = context.loop,
                                                .pool = pool,
                                                .model = model,
                                                .replica = context.replica,
                                                .seed = context.seed,
                                                .preloaded = std::move(kept.reader)}));
  return std::unique_ptr<Engine>(std::make_unique<PrefilledEngine>(
      std::move(reader), std::move(engine), prefill->from_tokens));
}

}  // namespace

Result<std::unique_ptr<Engine>> make_engine(const EngineContext& context) {
  switch (context.pool.engine.type) {
    case EngineType::kEmulated:
      return std::unique_ptr<Engine>(std::make_unique<EmulatedEngine>(
          context, replica::make_replica(context.pool, context.model,
                                         {.report_tokens = true, .seed = context.seed})));
    case EngineType::kOpenaiHttp:
      return make_openai_http(context);
    case EngineType::kLlamaEmbedded:
      return llama_embedded::make_llama_engine(context);
    case EngineType::kStaticSchedule:
      return make_static_schedule(context);
  }
  MEDLEY_CHECK(false, "an engine type that nobody makes");
}

Result<std::unique_ptr<Stepper>> make_stepper(const StepperOptions& options) {
  switch (options.engine) {
    case EngineType::kStaticSchedule:
      return static_schedule::make_static_stepper(options);
    case EngineType::kLlamaEmbedded:
      return llama_embedded::make_llama_stepper(options);
    case EngineType::kEmulated:
    case EngineType::kOpenaiHttp:
      break;
  }
  return Error{ErrorCode::kInvalid,
               fmt::format("engine {} cannot be stepped; static_schedule and llama_embedded can",
                           name_of(options.engine)),
               {}};
}

namespace {

Result<std::shared_ptr<Preloaded>> measure_llama(Pool& pool) {
  MEDLEY_TRY(llama_embedded::MeasuredSpeed speed, llama_embedded::measure(pool));
  // What `medley perf measure` said of it is better: it looked longer.
  if (!pool.measured) {
    pool.measured = LinearConstants{.step_s = speed.per_step.value(),
                                    .decode_s = speed.per_sequence_step.value(),
                                    .prompt_token_s = 1 / speed.prefill_tokens_per_s,
                                    .ttft_error = pool.constants.error_bar,
                                    .tpot_error = pool.constants.error_bar};
  }
  pool.slots = speed.max_running;
  pool.batching.max_running = speed.max_running;
  pool.batching.chunk_tokens = speed.prefill_chunk;
  pool.model.max_context = speed.max_context;
  return std::move(speed.preloaded);
}

Result<std::shared_ptr<Preloaded>> measure_static(Pool& pool) {
  auto kept = std::make_shared<PreloadedSchedule>();
  MEDLEY_TRY(static_schedule::MeasuredPace pace, static_schedule::measure(pool));
  MEDLEY_TRY(kept->codec, llama_embedded::make_llama_codec(pool.model_path));
  kept->machine = std::move(pace.preloaded);
  pool.measured = pace.rotation;
  pool.slots = pace.slots;
  pool.model.max_context = pace.context;
  if (const std::optional<PrefillSpec>& prefill = pool.engine.prefill) {
    if (prefill->from_tokens >= pace.context) {
      return Error{
          ErrorCode::kInvalid,
          fmt::format("prefill.from_tokens is {}, but the context is {} tokens, prompt and "
                      "answer together; expected less",
                      prefill->from_tokens, pace.context),
          "prefill"};
    }
    MEDLEY_TRY(llama_embedded::ReadingSpeed speed,
               llama_embedded::measure_reading(reader_of(pool), pace.context));
    pool.measured_prefill = LinearConstants{.step_s = speed.per_step.value(),
                                            .prompt_token_s = speed.per_token.value()};
    kept->reader = std::move(speed.preloaded);
  }
  return std::shared_ptr<Preloaded>(std::move(kept));
}

}  // namespace

Result<std::shared_ptr<Preloaded>> measure(Pool& pool) {
  Result<std::shared_ptr<Preloaded>> measured = std::shared_ptr<Preloaded>();
  if (pool.engine.type == EngineType::kLlamaEmbedded)
    measured = measure_llama(pool);
  if (pool.engine.type == EngineType::kStaticSchedule)
    measured = measure_static(pool);
  if (!measured.ok()) {
    return Error{measured.error().code,
                 fmt::format("pool '{}': {}", pool.name, measured.error().message)};
  }
  return measured;
}

}  // namespace medley::engine
