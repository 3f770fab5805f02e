// A fleet: the site, its classes and labels, and pools of interchangeable replicas.
//
// Plain values, complete and checked: the reader (data/fleet_file.h) has resolved every name.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "domain/accelerator.h"
#include "domain/compiled_schedule.h"
#include "domain/ids.h"
#include "domain/model.h"
#include "domain/placement_policy.h"
#include "domain/service_class.h"
#include "domain/step_constants.h"

namespace medley {

struct Jurisdiction {
  std::string place, operated_by;  // country codes; empty is unknown
};

struct Site {
  std::string zone = "local";
  Jurisdiction jurisdiction;
  std::string currency = "EUR";
  // Price of a kWh by hour of day; the trace's or the process's start is taken as hour 0.
  std::array<double, 24> tariff_per_kwh{};
  double pue = 1;
  std::optional<std::array<double, 24>> power_limit_kw;  // at the meter, by the same hours
  // Of the grid, by the same hours. Plans count it; nothing is placed by it.
  std::optional<std::array<double, 24>> carbon_g_per_kwh;
};

// What kind of data, and where it may be processed. `zones` empty and `any_zone` false: nowhere.
struct Label {
  std::string name;
  bool any_zone = false;
  std::vector<std::string> zones;

  bool allows(const std::string& zone) const;
};

enum class BatchingKind { kChunkedPrefill, kPrefillFirst, kTokenBudget, kMixed };
std::string_view name_of(BatchingKind kind);

// How a virtual replica of a memory-hierarchy device forms its steps (rules: docs/simulate.md).
struct Batching {
  BatchingKind kind = BatchingKind::kChunkedPrefill;
  long long chunk_tokens = 384;         // chunked_prefill
  long long max_batched_tokens = 2048;  // the others
  int max_running = 256;
  std::optional<long long> kv_blocks;  // default: from the step model
  long long block_tokens = 16;
  double watermark = 0;  // share of the blocks kept free at admission
  bool reuse_blocks = false;
  // A prompt need not compute what the replica still has of its beginning. Of engines of others:
  // whether they do that.
  bool prefix_caching = false;
};

// A rented service: price, quota and a latency law in place of hardware.
struct Metered {
  double per_million_prompt = 0, per_million_output = 0;  // money
  std::optional<long long> tokens_per_minute = std::nullopt, requests_per_day = std::nullopt;
  double ttft_median_s = 0.5, ttft_sigma = 0.5;  // log-normal
  double tpot_s = 0.02;

  double price(Tokens prompt, Tokens output) const {
    return (static_cast<double>(prompt.count()) * per_million_prompt +
            static_cast<double>(output.count()) * per_million_output) /
           1e6;
  }
};

enum class EngineType { kEmulated, kLlamaEmbedded, kOpenaiHttp, kStaticSchedule };
std::string_view name_of(EngineType type);

// Prompts of at least so many tokens are read by libllama, on threads of its own, whose cache an
// engine goes on from that computes the answer (engine/prefilled_engine.h).
struct PrefillSpec {
  long long from_tokens = 2;  // at least 2: the last token of a prompt is the answering engine's
  int threads = 1;
};

struct EngineSpec {
  EngineType type = EngineType::kEmulated;
  std::vector<std::string> urls;  // openai_http: one replica each
  std::string key;                // secret, already resolved; never printed
  std::string upstream_model;     // openai_http: the name to ask for, default the pool's model
  std::string metrics;  // openai_http: whose load metrics it serves (vllm, sglang, …); empty: none
  int threads = 1;      // llama_embedded, static_schedule
  // static_schedule: a token of every stream each of these, computed up to `run_ahead` of them
  // early. Empty: what this machine can do.
  std::optional<double> token_window_s;
  int run_ahead = 4;
  std::vector<int> cores;  // static_schedule: the core of each thread; empty: the system's choice
  std::optional<PrefillSpec> prefill;  // static_schedule
  bool full_kv = false;                // llama_embedded: the KV cache in F32, else F16
};

// Step times from somebody's tables in place of a step model (scenario files only).
struct StepTable {
  std::string format;  // vidur_tables, splitwise_perf_model, vllm_layer_profile
  std::string path;
  int layers = 0;
  std::string model, hardware;
  int tensor_parallel = 0;
  struct AllReduce {
    int ranks = 1;
    double bytes_per_token = 0, bandwidth_gb_per_s = 0, latency_us = 0;
  };
  std::optional<AllReduce> all_reduce;
};

struct Pool {
  std::string name;
  std::string device;                      // a catalogue id, "this_machine" or "metered"
  std::optional<Accelerator> accelerator;  // empty for this_machine, metered and table pools
  Model model;
  std::string model_path;  // the GGUF file, where there is one
  Precision precision = Precision::kBf16;
  int tensor_parallel = 1;
  int replicas = 1;
  int chips = 0;             // statically scheduled devices: chips of one replica
  std::optional<int> slots;  // sequences at once; default from the step model
  std::optional<long long>
      max_context;  // tokens of one sequence at most; the model and the memory may allow fewer
  // Statically scheduled devices: the rate of the lane for prompts, in place of the step model's.
  std::optional<double> prefill_tokens_per_s;
  // Of statically scheduled devices: the law that was asked for; the compiled schedule, where that
  // is what times it (lpu/chip/pool_schedule.h); else why not, where one was looked for.
  ScheduleLaw schedule_law = ScheduleLaw::kAny;
  std::optional<CompiledSchedule> schedule;
  std::string no_schedule;
  std::string zone;
  Jurisdiction jurisdiction;
  Batching batching;
  EngineSpec engine;
  bool shared = false;  // others use its replicas, too, past medley
  std::optional<Metered> metered;
  std::optional<StepTable> table;
  std::optional<LinearConstants> measured;  // goes before `constants`
  // The same of what reads the prompts of engine.prefill.
  std::optional<LinearConstants> measured_prefill;
  StepConstants constants;

  // Whether work can be taken off it, to start over later, for what it has cost so far. Of a rented
  // service the whole answer may have to be paid.
  bool can_preempt() const { return !metered; }
  bool emulated() const { return engine.type == EngineType::kEmulated; }
  // Served by slots of a fixed schedule rather than by batches. Needs accelerator, constants and
  // engine.
  bool statically_scheduled() const;
};

// A name that requests may ask for, and the pools that may answer it, by class.
struct Offer {
  std::string name;
  std::array<std::vector<PoolId>, kServiceClassCount> pools;
};

// Who requests come from. Tenants that wait for the same replicas get service by weight.
struct Tenant {
  std::string name;
  double weight = 1;
};
inline constexpr std::string_view kDefaultTenant = "default";

struct Fleet {
  Site site;
  std::array<ClassPolicy, kServiceClassCount> classes{
      default_policy(ServiceClass::kGuaranteed), default_policy(ServiceClass::kStandard),
      default_policy(ServiceClass::kFlex), default_policy(ServiceClass::kBatch)};
  std::vector<Label> labels;
  LabelId default_label;
  std::vector<Tenant> tenants{{std::string(kDefaultTenant)}};  // the first: of who names none
  std::vector<Pool> pools;
  std::vector<Offer> offers;
  PlacementPolicy placement;

  const Pool& pool(PoolId id) const { return pools.at(id.number()); }
  std::size_t replica_count() const;
  // The pool of every replica, by replica number.
  std::vector<PoolId> pools_of_replicas() const;
  const ClassPolicy& policy(ServiceClass service_class) const {
    return classes[index_of(service_class)];
  }
  // Price of a joule at the meter of the site, PUE included, `since_start` after hour 0.
  MoneyPerJoule energy_price(Instant at) const;
  // What all devices together may draw in that hour, the site's PUE taken off its limit.
  std::optional<Watts> power_limit(Instant at) const;
};

}  // namespace medley
