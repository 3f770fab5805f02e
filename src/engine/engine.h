// What produces tokens: the last stop of the main path. One Engine object serves one replica.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "domain/fleet.h"
#include "domain/load_signal.h"
#include "domain/prefix.h"
#include "engine/kv_state.h"
#include "engine/loop.h"
#include "perf/perf_model.h"

namespace medley::engine {

struct Message {
  std::string role, content;
};

struct Sampling {
  std::optional<double> temperature, top_p;
  std::optional<std::uint64_t> seed;
  std::vector<std::string> stop;
};

// What to generate. Either messages (chat) or a bare prompt.
struct Generation {
  RequestId id;
  bool chat = true;
  std::vector<Message> messages;
  std::string prompt;
  Tokens prompt_tokens;              // as counted or estimated by the gateway
  Prefix prefix;                     // what the prompt begins with; for emulated caches
  std::optional<Tokens> max_tokens;  // empty: until the model stops or its context is full
  Sampling sampling;
  // The prompt in tokens of the tokenizer in this model file, where an engine has counted them.
  std::vector<int> tokens;
  std::string tokens_of;
  // For llama_embedded: only read the prompt, all but its last token, and end with on_prompt_read.
  bool only_read = false;
  // For static_schedule: what has been read of the prompt, from its beginning on.
  std::shared_ptr<const KvState> read;
  std::string body;  // the client's JSON, for engines that speak the same language (unknown fields
                     // travel on)
};

enum class FinishReason { kStop, kLength };
std::string_view name_of(FinishReason reason);  // "stop", "length"

struct Ending {
  FinishReason reason = FinishReason::kStop;
  Tokens prompt_tokens, output_tokens;
  std::optional<double> joules;  // modelled or measured; empty: unknown
  // Tokens of the prompt that another engine read; empty where none does.
  std::optional<Tokens> handed_over{};
};

// Hears of a generation, on the loop's thread: any number of on_tokens, then exactly one of on_end
// and on_failed, then nothing. Nothing at all after cancel(). An engine may call it from inside
// start() never.
class GenerationSink {
 public:
  virtual ~GenerationSink() = default;
  // `text` may be empty when tokens do not complete a character yet. `count` ≥ 1 tokens.
  virtual void on_tokens(RequestId request, std::string_view text, int count) = 0;
  virtual void on_end(RequestId request, const Ending& ending) = 0;
  // In place of on_end where the prompt was only to be read.
  virtual void on_prompt_read(RequestId, std::shared_ptr<const KvState>) {}
  // kInvalid: the request cannot be served as it is; kUnavailable, kTimedOut, kGarbled: another
  // replica may do.
  virtual void on_failed(RequestId request, const Error& error) = 0;
};

// What an engine was asked of its load and answered: a report, or why there is none.
using LoadHeard = std::function<void(const Result<LoadSignal>&)>;

class Engine {
 public:
  virtual ~Engine() = default;
  virtual void start(Generation generation, GenerationSink& sink) = 0;
  // Stops the work and frees its place; unknown ids are ignored.
  virtual void cancel(RequestId request) = 0;
  // The replica counts as lost; its requests are cancelled one by one besides. For engines whose
  // work would go on after that.
  virtual void reset() {}
  // Prompt tokens as this engine's tokenizer counts them, which it may keep in `generation` for its
  // likes; empty when it cannot say. Of a prompt that cannot fit by its bytes alone, a number that
  // it has at least, and that does not fit. From any thread.
  virtual std::optional<Tokens> count_prompt_tokens(Generation& generation) const = 0;
  virtual LoadSignal load() const = 0;
  // From now on `hear` is told, on the loop's thread and never from inside a call, what the engine
  // says of its load, others' requests with medley's. Engines that have no others never call it.
  // Call once.
  virtual void report_load_to(LoadHeard) {}
  // "real" or "emulated": what the model list and every answer say.
  virtual bool emulated() const = 0;
};

// What was loaded to measure a pool (measure.h): one replica may be made of it, without reading the
// model again.
class Preloaded {
 public:
  virtual ~Preloaded() = default;
};

struct EngineContext {
  Loop& loop;                    // outlives the engine
  const Pool& pool;              // outlives the engine
  const perf::PoolModel& model;  // outlives the engine
  ReplicaId replica;
  std::size_t replica_in_pool = 0;  // which url of an openai_http pool
  std::uint64_t seed = 1;
  std::shared_ptr<Preloaded> preloaded{};  // of this pool, for this replica alone; may be null
};

// Starts the engine that the pool asks for. An error says what is missing.
Result<std::unique_ptr<Engine>> make_engine(const EngineContext& context);

}  // namespace medley::engine
