// The one place that knows which engines there are.
#include <fmt/format.h>

#include "engine/asio_loop.h"
#include "engine/emulated/emulated_engine.h"
#include "engine/engine.h"
#include "engine/llama_embedded/llama_engine.h"
#include "engine/llama_embedded/llama_stepper.h"
#include "engine/measure.h"
#include "engine/openai_http/openai_http_engine.h"
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
  options.model = spec.upstream_model.empty() ? context.pool.model.id : spec.upstream_model;
  return std::unique_ptr<Engine>(
      std::make_unique<OpenaiHttpEngine>(*loop, std::move(*url), std::move(options)));
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
      return Error{ErrorCode::kInvalid, "static_schedule can be measured, not served yet", {}};
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

Status measure(Pool& pool) {
  if (pool.engine.type != EngineType::kLlamaEmbedded)
    return Done{};
  const Result<llama_embedded::MeasuredSpeed> measured = llama_embedded::measure(pool);
  if (!measured.ok()) {
    return Error{measured.error().code,
                 fmt::format("pool '{}': {}", pool.name, measured.error().message)};
  }
  // What `medley perf measure` said of it is better: it looked longer.
  if (!pool.measured) {
    pool.measured = LinearConstants{.step_s = measured->per_step.value(),
                                    .decode_s = measured->per_sequence_step.value(),
                                    .prompt_token_s = 1 / measured->prefill_tokens_per_s,
                                    .ttft_error = pool.constants.error_bar,
                                    .tpot_error = pool.constants.error_bar};
  }
  pool.slots = measured->max_running;
  pool.batching.max_running = measured->max_running;
  pool.batching.chunk_tokens = measured->prefill_chunk;
  pool.model.max_context = measured->max_context;
  return Done{};
}

}  // namespace medley::engine
