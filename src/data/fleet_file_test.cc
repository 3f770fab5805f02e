#include "data/fleet_file.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/prng.h"
#include "data/testing_shared.h"

namespace medley::data {
namespace {

const Catalog& catalog() {
  static const auto read = read_catalog("catalog");
  EXPECT_TRUE(read.ok()) << read.error().message;
  return *read;
}

Result<Fleet> read(const std::string& text, const FleetOptions& options = {}) {
  auto node = parse_yaml(text, "fleet.yaml");
  if (!node.ok())
    return node.error();
  return read_fleet(*node, catalog(), options);
}

Fleet fleet(const std::string& text) {
  auto result = read(text);
  EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
  return result.ok() ? std::move(result).value() : Fleet{};
}

std::string error(const std::string& text) {
  const auto result = read(text);
  return result.ok() ? "" : result.error().message;
}

constexpr char kOnePool[] = "pools:\n  - {name: a, device: h100_sxm, model: llama-3.1-8b}\n";

TEST(FleetFile, FillsWhatIsLeftOut) {
  const Fleet f = fleet(kOnePool);
  EXPECT_EQ(f.site.zone, "local");
  EXPECT_EQ(f.site.pue, 1);
  ASSERT_EQ(f.labels.size(), 1u);
  EXPECT_EQ(f.labels[0].name, "internal");
  EXPECT_FALSE(f.labels[0].any_zone);
  EXPECT_EQ(f.labels[0].zones, std::vector<std::string>{"local"});
  EXPECT_EQ(f.placement, PlacementKind::kMedley);
  EXPECT_EQ(f.policy(ServiceClass::kBatch).targets, default_policy(ServiceClass::kBatch).targets);
  ASSERT_EQ(f.pools.size(), 1u);
  const Pool& pool = f.pools[0];
  EXPECT_EQ(pool.replicas, 1);
  EXPECT_EQ(pool.zone, "local");
  EXPECT_EQ(pool.precision, Precision::kBf16);
  EXPECT_EQ(pool.engine.type, EngineType::kEmulated);
  EXPECT_EQ(pool.batching.kind, BatchingKind::kChunkedPrefill);
  EXPECT_EQ(pool.accelerator->id, "h100_sxm");
  EXPECT_EQ(pool.constants.device, "h100_sxm");
  ASSERT_EQ(f.offers.size(), 1u);
  EXPECT_EQ(f.offers[0].name, "llama-3.1-8b");
  for (const auto& pools : f.offers[0].pools)
    EXPECT_EQ(pools, std::vector<PoolId>{PoolId(0)});
}

// The example of the settled vocabulary, key by key.
constexpr char kWhole[] = R"(site:
  zone: eu-de-1
  jurisdiction: {place: DE, operator: DE}
  tariff: {currency: EUR, per_kwh: 0.19}
  pue: 1.3
  power_limit_kw: 40
classes:
  guaranteed: {ttft_s: 0.4, tpot_s: 8ms, value: 0.03}
  batch:      {deadline_s: 12h, value: 0.0008}
labels:
  public:     {zones: any}
  internal:   {zones: [eu-de-1, eu-de-edge]}
  restricted: {zones: [eu-de-1]}
default_label: internal
placement: medley
pools:
  - name: chat-h100
    device: h100_sxm
    model: llama-3.1-70b
    precision: bf16
    tensor_parallel: 4
    replicas: 3
    zone: eu-de-1
    batching: {kind: chunked_prefill, chunk_tokens: 384, max_running: 256}
    engine: {type: openai_http, urls: ["http://10.0.0.1:8000/v1"], key: "${env:MEDLEY_TEST_KEY}", metrics: vllm}
  - name: voice-lpu
    device: groq_lpu_v1
    chips: 576
    model: llama-3.1-70b
    precision: int8
    slots: 47
    max_context: 4096
    prefill_tokens_per_s: 20000
    engine: {type: emulated}
  - name: burst
    device: metered
    model: llama-3.1-70b
    zone: us-east
    jurisdiction: {place: US, operator: US}
    metered: {per_million_prompt: 0.6, per_million_output: 0.8, tokens_per_minute: 600000, requests_per_day: 100000, ttft_s: {median: 0.4, sigma: 0.5}, tpot_s: 0.02}
    engine: {type: openai_http, urls: ["https://example.org/openai/v1"], key: literal}
accept:
  chat: {guaranteed: [llama-3.1-70b], standard: [llama-3.1-70b], flex: [llama-3.1-70b, llama-3.1-8b], batch: [llama-3.1-8b]}
)";

TEST(FleetFile, ReadsTheWholeVocabulary) {
  ::setenv("MEDLEY_TEST_KEY", "s3cret", 1);
  const Fleet f = fleet(kWhole);
  ASSERT_EQ(f.pools.size(), 3u);
  EXPECT_EQ(f.site.jurisdiction.operated_by, "DE");
  EXPECT_EQ(f.site.tariff_per_kwh[23], 0.19);
  EXPECT_EQ((*f.site.power_limit_kw)[23], 40);
  EXPECT_EQ(f.policy(ServiceClass::kGuaranteed).targets.tpot, std::chrono::milliseconds(8));
  EXPECT_EQ(f.policy(ServiceClass::kGuaranteed).value.value(), 0.03);
  EXPECT_EQ(f.policy(ServiceClass::kBatch).targets.deadline, std::chrono::hours(12));
  EXPECT_EQ(f.default_label, LabelId(1));
  EXPECT_TRUE(f.labels[1].allows("eu-de-edge"));
  EXPECT_FALSE(f.labels[2].allows("us-east"));

  const Pool& chat = f.pools[0];
  EXPECT_EQ(chat.engine.key, "s3cret");
  EXPECT_EQ(chat.engine.metrics, "vllm");
  EXPECT_EQ(chat.engine.upstream_model, "llama-3.1-70b");
  EXPECT_EQ(chat.replicas, 3);
  EXPECT_EQ(chat.engine.urls, std::vector<std::string>(3, "http://10.0.0.1:8000/v1"));
  EXPECT_EQ(chat.jurisdiction.place, "DE");
  EXPECT_EQ(chat.constants.engine, "vllm");
  EXPECT_EQ(f.pools[1].chips, 576);
  EXPECT_EQ(*f.pools[1].slots, 47);
  EXPECT_EQ(*f.pools[1].max_context, 4096);
  EXPECT_EQ(*f.pools[1].prefill_tokens_per_s, 20000);
  EXPECT_EQ(f.pools[1].constants.law, StepLaw::kDataflow);
  EXPECT_FALSE(f.pools[1].constants.class_default);
  EXPECT_FALSE(f.pools[2].accelerator.has_value());
  EXPECT_EQ(*f.pools[2].metered->tokens_per_minute, 600000);
  EXPECT_EQ(f.pools[2].metered->ttft_median_s, 0.4);
  EXPECT_EQ(f.pools[2].engine.key, "literal");

  ASSERT_EQ(f.offers.size(), 2u);
  EXPECT_EQ(f.offers[0].name, "chat");
  EXPECT_EQ(f.offers[0].pools[index_of(ServiceClass::kFlex)],
            (std::vector<PoolId>{PoolId(0), PoolId(1), PoolId(2)}));
  EXPECT_TRUE(f.offers[0].pools[index_of(ServiceClass::kBatch)].empty())
      << "nobody runs the 8B yet";
  EXPECT_EQ(f.offers[1].name, "llama-3.1-70b");
  EXPECT_EQ(*offer_named(f, "meta-llama/Llama-3.1-70B-Instruct"), OfferId(1));
  EXPECT_EQ(offer_named(f, "chatt").error().message,
            "no model 'chatt' in the fleet, did you mean 'chat'?");
  EXPECT_EQ(f.replica_count(), 5u);
}

TEST(FleetFile, LooksSecretsUpOnlyWhereTheyAreNeeded) {
  const std::string pool =
      "pools:\n  - name: a\n    device: h100_sxm\n    model: llama-3.1-8b\n"
      "    engine: {type: openai_http, urls: [\"http://a\", \"http://b\"], key: \"";
  EXPECT_EQ(
      error(pool + "${env:MEDLEY_TEST_UNSET}\"}\n"),
      "fleet.yaml:5:70: pools[0].engine.key: environment variable 'MEDLEY_TEST_UNSET' is not set");
  EXPECT_EQ(error(pool + "${env}\"}\n"),
            "fleet.yaml:5:70: pools[0].engine.key: expected ${env:NAME} or ${file:PATH}");
  EXPECT_EQ(error(pool + "${vault:x}\"}\n"),
            "fleet.yaml:5:70: pools[0].engine.key: expected ${env:NAME} or ${file:PATH}");
  EXPECT_EQ(error(pool + "${file:no/such}\"}\n"),
            "fleet.yaml:5:70: pools[0].engine.key: no/such: No such file or directory");
  const auto without = read(pool + "${env:MEDLEY_TEST_UNSET}\"}\n", {.resolve_secrets = false});
  ASSERT_TRUE(without.ok()) << without.error().message;
  EXPECT_EQ(without->pools[0].engine.key, "");
  EXPECT_EQ(without->pools[0].replicas, 2) << "one for each url";

  const std::string path = own_temporary("medley_fleet_test.key");
  std::ofstream(path) << "from-a-file\n";
  EXPECT_EQ(fleet(pool + "${file:" + path + "}\"}\n").pools[0].engine.key, "from-a-file");
  std::filesystem::remove(path);
}

TEST(FleetFile, TakesBatchingInBothSpellings) {
  const std::string flat =
      "pools:\n  - name: a\n    replicas: 2\n    batching: token_budget\n    max_batched_tokens: "
      "4096\n    max_running: 128\n"
      "    kv_blocks: 3328\n    block_tokens: 16\n    watermark: 0.01\n    reuse_blocks: true\n"
      "    step_times: {format: vidur_tables, path: ../traces/vidur, layers: 80}\n";
  const Pool pool = fleet(flat).pools[0];
  EXPECT_EQ(pool.batching.kind, BatchingKind::kTokenBudget);
  EXPECT_EQ(pool.batching.max_batched_tokens, 4096);
  EXPECT_EQ(*pool.batching.kv_blocks, 3328);
  EXPECT_TRUE(pool.batching.reuse_blocks);
  EXPECT_EQ(pool.table->path, "../traces/vidur");
  EXPECT_EQ(pool.table->layers, 80);
  EXPECT_EQ(pool.model.id, "default");
  EXPECT_EQ(fleet(flat).placement, PlacementKind::kRoundRobin);

  EXPECT_TRUE(
      fleet("pools:\n  - {name: a, device: l4, model: llama-3.1-8b, prefix_caching: true}\n")
          .pools[0]
          .batching.prefix_caching);

  EXPECT_EQ(error("pools:\n  - {name: a, device: l4, model: llama-3.1-8b, batching: {kind: mixed}, "
                  "chunk_tokens: 5}\n"),
            "fleet.yaml:2:73: pools[0].chunk_tokens: belongs inside batching, which is a map here");
  EXPECT_EQ(error("placement: medley\n" + flat).substr(0, 77),
            "fleet.yaml:1:12: placement: pools with step_times are placed by round_robin, ");
}

TEST(FleetFile, ReadsTenantsWithTheDefaultOneFirst) {
  const auto words = [](const Fleet& f) {
    std::string all;
    for (const Tenant& tenant : f.tenants)
      all += tenant.name + " " + std::to_string(static_cast<int>(tenant.weight * 10)) + ", ";
    return all;
  };
  EXPECT_EQ(words(fleet(kOnePool)), "default 10, ");
  EXPECT_EQ(words(fleet(std::string(kOnePool) + "tenants: {a: {weight: 2}, b: {}}\n")),
            "default 10, a 20, b 10, ");
  EXPECT_EQ(words(fleet(std::string(kOnePool) + "tenants: {a: {}, default: {weight: 0.5}}\n")),
            "default 5, a 10, ");
  EXPECT_EQ(error(std::string(kOnePool) + "tenants: {a: {weight: 0}}\n"),
            "fleet.yaml:3:23: tenants.a.weight: expected a number above 0 and at most "
            "1000000, got '0'");
  EXPECT_EQ(error(std::string(kOnePool) + "tenants: {a: {wait: 1}}\n"),
            "fleet.yaml:3:15: tenants.a: unknown key 'wait'; known: weight");
  std::string many = std::string(kOnePool) + "tenants: {";
  for (int i = 0; i < 64; ++i)
    many += "t" + std::to_string(i) + ": {}, ";
  EXPECT_EQ(error(many + "}\n"),
            "fleet.yaml:3:10: tenants: expected at most 64 tenants, 'default' among them, got 65");
}

TEST(FleetFile, AClassIsWorthSomething) {
  for (const std::string value : {"0", "1e-320", "1e308"}) {
    EXPECT_EQ(
        error(std::string(kOnePool) + "classes: {flex: {value: " + value + "}}\n"),
        "fleet.yaml:3:25: classes.flex.value: expected a number from 1e-09 to 1000000, got '" +
            value + "'");
  }
}

TEST(FleetFile, ReadsTariffsByHour) {
  std::string hours = "site: {tariff: [";
  for (int hour = 0; hour < 24; ++hour)
    hours += std::to_string(hour) + (hour < 23 ? ", " : "]}\n");
  const Fleet f = fleet(hours + kOnePool);
  EXPECT_EQ(f.site.tariff_per_kwh[0], 0);
  EXPECT_EQ(f.site.tariff_per_kwh[23], 23);
  EXPECT_EQ(error("site: {tariff: -0.1}\n" + std::string(kOnePool)),
            "fleet.yaml:1:16: site.tariff: expected a number from 0 to 1000, got '-0.1'");
  EXPECT_EQ(
      error("site: {tariff: [1, 2]}\n" + std::string(kOnePool)),
      "fleet.yaml:1:16: site.tariff: expected one number, or 24 for the hours of the day, got 2");
}

TEST(FleetFile, ReadsPowerLimitsByHour) {
  std::string hours = "site: {power_limit_kw: [";
  for (int hour = 0; hour < 24; ++hour)
    hours += std::to_string(hour + 1) + (hour < 23 ? ", " : "]}\n");
  const Fleet f = fleet(hours + kOnePool);
  EXPECT_EQ((*f.site.power_limit_kw)[0], 1);
  EXPECT_EQ((*f.site.power_limit_kw)[23], 24);
  EXPECT_EQ(error("site: {power_limit_kw: [1, 2]}\n" + std::string(kOnePool)),
            "fleet.yaml:1:24: site.power_limit_kw: expected one number, or 24 for the hours of the "
            "day, got 2");
  EXPECT_EQ(error("site: {power_limit_kw: 0}\n" + std::string(kOnePool)),
            "fleet.yaml:1:24: site.power_limit_kw: expected a number above 0, got '0'");
}

TEST(FleetFile, SaysWhatIsWrongAndWhere) {
  const std::string head = "pools:\n  - {name: a, device: h100_sxm, model: llama-3.1-8b";
  const struct {
    std::string text, message;
  } cases[] = {
      {"poools: []\n", "fleet.yaml:1:1: unknown key 'poools', did you mean 'pools'?"},
      {"site: {}\n", "fleet.yaml:1:1: missing key 'pools'"},
      {"pools: []\n", "fleet.yaml:1:8: pools: expected at least one pool"},
      {"pools: {a: b}\n", "fleet.yaml:1:8: pools: expected a list, got a map"},
      {head + ", replicas: three}\n",
       "fleet.yaml:2:64: pools[0].replicas: expected a whole number from 1 to 100000, got 'three'"},
      {head + ", replcas: 3}\n",
       "fleet.yaml:2:54: pools[0]: unknown key 'replcas', did you mean 'replicas'?"},
      {head + ", precision: bf61}\n",
       "fleet.yaml:2:65: pools[0].precision: unknown value 'bf61', did you mean 'bf16'?"},
      {"pools:\n  - {name: a, device: h100_smx, model: llama-3.1-8b}\n",
       "fleet.yaml:2:23: pools[0].device: no accelerator 'h100_smx' in the catalogue, did you mean "
       "'h100_sxm'?"},
      {"pools:\n  - {name: a, device: l4, model: lama-3.1-8b}\n",
       "fleet.yaml:2:34: pools[0].model: no model 'lama-3.1-8b' in the catalogue, did you mean "
       "'llama-3.1-8b'? (a file is "
       "named by its ending, .gguf or .json)"},
      {"pools:\n  - {name: a, device: l4}\n", "fleet.yaml:2:5: pools[0]: missing key 'model'"},
      {"pools:\n  - {device: l4, model: llama-3.1-8b}\n",
       "fleet.yaml:2:5: pools[0]: missing key 'name'"},
      {head + "}\n  - {name: a, device: l4, model: llama-3.1-8b}\n",
       "fleet.yaml:3:12: pools[1].name: the name 'a' is taken by an earlier pool"},
      {head + ", metered: {per_million_prompt: 1, per_million_output: 1}}\n",
       "fleet.yaml:2:54: pools[0].metered: only for pools with device: metered"},
      {"pools:\n  - {name: a, device: metered, model: llama-3.1-8b}\n",
       "fleet.yaml:2:5: pools[0]: missing key 'metered'"},
      {head + ", engine: {type: openai_http}}\n",
       "fleet.yaml:2:62: pools[0].engine: missing key 'urls'"},
      {head + ", engine: {type: openai_http, urls: [\"10.0.0.1\"]}}\n",
       "fleet.yaml:2:89: pools[0].engine.urls[0]: expected an http:// or https:// address, got "
       "'10.0.0.1'"},
      {head + ", replicas: 3, engine: {type: openai_http, urls: [\"http://a\", \"http://b\"]}}\n",
       "fleet.yaml:2:64: pools[0].replicas: expected 2, one for each url, got '3'"},
      {head + ", engine: {type: emulated, threads: 2}}\n",
       "fleet.yaml:2:79: pools[0].engine.threads: only for engines of type llama_embedded "
       "or static_schedule"},
      {head + ", engine: {type: emulated, token_window: 1ms}}\n",
       "fleet.yaml:2:79: pools[0].engine.token_window: only for engines of type static_schedule"},
      {head + ", engine: {type: static_schedule, token_window: 1us}}\n",
       "fleet.yaml:2:100: pools[0].engine.token_window: expected a duration from 0.0001 to 10 "
       "seconds, got '1us'"},
      {head + ", engine: {type: static_schedule, run_ahead: 0}}\n",
       "fleet.yaml:2:97: pools[0].engine.run_ahead: expected a whole number from 1 to 64, got '0'"},
      {head + ", engine: {type: llama_embedded, prefill: {from_tokens: 9}}}\n",
       "fleet.yaml:2:85: pools[0].engine.prefill: only for engines of type static_schedule"},
      {head + ", engine: {type: static_schedule, prefill: {threads: 2}}}\n",
       "fleet.yaml:2:95: pools[0].engine.prefill: missing key 'from_tokens'"},
      {head + ", engine: {type: static_schedule, prefill: {from_tokens: 1}}}\n",
       "fleet.yaml:2:109: pools[0].engine.prefill.from_tokens: expected a whole number from 2 to "
       "1099511627776, got '1'"},
      {head + ", engine: {type: static_schedule, prefill: {from_tokens: 9, pool: here}}}\n",
       "fleet.yaml:2:112: pools[0].engine.prefill: unknown key 'pool'; known: from_tokens, "
       "threads"},
      {head + ", engine: {type: static_schedule, prefill: llama}}\n",
       "fleet.yaml:2:95: pools[0].engine.prefill: expected a map of keys and values, got 'llama'"},
      {head + ", engine: {type: static_schedule, kv_cache: f32}}\n",
       "fleet.yaml:2:86: pools[0].engine.kv_cache: only for engines of type llama_embedded"},
      {head + ", engine: {type: llama_embedded, kv_cache: f8}}\n",
       "fleet.yaml:2:95: pools[0].engine.kv_cache: unknown value 'f8'; known: f16, f32"},
      {head + ", engine: {type: static_schedule, threads: 2, cores: [1]}}\n",
       "fleet.yaml:2:105: pools[0].engine.cores: expected 2 of them, one a thread, got 1"},
      {"pools:\n  - {name: a, device: l4, model: builtin, engine: static_schedule}\n",
       "fleet.yaml:2:23: pools[0].device: engine static_schedule computes on this_machine"},
      {head + ", engine: {type: vllm}}\n",
       "fleet.yaml:2:69: pools[0].engine.type: unknown value 'vllm'; known: emulated, "
       "llama_embedded, openai_http, static_schedule"},
      {head + ", engine: static_schedule}\n",
       "fleet.yaml:2:5: pools[0]: engine static_schedule needs a GGUF file as model, got "
       "'llama-3.1-8b'"},
      {head + ", batching: token_budget, kv_blocks: 16777217, reuse_blocks: true}\n",
       "fleet.yaml:2:89: pools[0].kv_blocks: expected at most 16777216 where reuse_blocks tells "
       "them "
       "apart"},
      {head + ", batching: mixed, prefix_caching: true}\n",
       "fleet.yaml:2:87: pools[0].prefix_caching: expected chunked_prefill or token_budget, not "
       "mixed"},
      {head + ", batching: {kind: token_budget, reuse_blocks: true, prefix_caching: true}}\n",
       "fleet.yaml:2:121: pools[0].batching.prefix_caching: expected no reuse_blocks beside it, "
       "which it includes"},
      {"pools:\n  - {name: a, device: this_machine, model: builtin, prefix_caching: true}\n",
       "fleet.yaml:2:69: pools[0].prefix_caching: expected false: engine llama_embedded computes "
       "all of every prompt"},
      {"pools:\n  - {name: a, device: metered, model: llama-3.1-8b, metered: {per_million_prompt: "
       "1, "
       "per_million_output: 1}, prefix_caching: true}\n",
       "fleet.yaml:2:126: pools[0].prefix_caching: expected false: a rented service's time to "
       "first "
       "token and price are those of 'metered', whatever it caches"},
      {"pools:\n  - {name: a, device: groq_lpu_v1, model: llama-3.1-8b, prefix_caching: true}\n",
       "fleet.yaml:2:73: pools[0].prefix_caching: expected false: a statically scheduled device "
       "passes "
       "every prompt through its lane whole"},
      {head + ", schedule: compiled}\n",
       "fleet.yaml:2:54: pools[0].schedule: only for pools of statically scheduled devices"},
      {"pools:\n  - {name: a, device: groq_lpu_v1, model: llama-3.1-8b, schedule: compiled, "
       "prefill_tokens_per_s: 9}\n",
       "fleet.yaml:2:77: pools[0].prefill_tokens_per_s: not with schedule: compiled, whose prompts "
       "have a rate of their own"},
      {head + ", engine: llama_embedded, batching: {kind: token_budget, prefix_caching: true}}\n",
       "fleet.yaml:2:125: pools[0].batching.prefix_caching: expected false: engine llama_embedded "
       "computes all of every prompt"},
      {head + ", step_times: {format: vidur_tables, path: x, layers: 2}}\n",
       "fleet.yaml:2:5: pools[0]: missing key 'kv_blocks', which step_times needs"},
      {head + ", kv_blocks: 5, step_times: {format: splitwise_perf_model, path: x}}\n",
       "fleet.yaml:2:80: pools[0].step_times: missing key 'model'"},
      {head + ", kv_blocks: 5, step_times: {format: vidur_tables, path: x, layers: 2, model: m}}\n",
       "fleet.yaml:2:123: pools[0].step_times.model: only for splitwise_perf_model"},
      {head + ", prefill_tokens_per_s: 20000}\n",
       "fleet.yaml:2:54: pools[0].prefill_tokens_per_s: only for pools of statically scheduled "
       "devices, which have such a lane"},
      {head + ", max_context: 1}\n",
       "fleet.yaml:2:67: pools[0].max_context: expected a whole number from 2 to 1099511627776, "
       "got "
       "'1'"},
      {"labels: {x: {zones: some}}\n" + head + "}\n",
       "fleet.yaml:1:21: labels.x.zones: expected a list of zones, or any"},
      {"labels: {x: {zones: any}, y: {zones: any}}\n" + head + "}\n",
       "fleet.yaml:1:1: missing key 'default_label'"},
      {"labels: {x: {zones: any}}\ndefault_label: z\n" + head + "}\n",
       "fleet.yaml:2:16: default_label: unknown value 'z'; known: x"},
      {"classes: {garanteed: {value: 1}}\n" + head + "}\n",
       "fleet.yaml:1:11: classes: unknown key 'garanteed', did you mean 'guaranteed'?"},
      {"classes: {flex: {ttft_s: -1}}\n" + head + "}\n",
       "fleet.yaml:1:26: classes.flex.ttft_s: expected a duration like 200ms, 1.5s, 2m or 24h, got "
       "'-1'"},
      {"classes: {flex: {value: 0}}\n" + head + "}\n",
       "fleet.yaml:1:25: classes.flex.value: expected a number from 1e-09 to 1000000, got '0'"},
      {"classes: {flex: {value: inf}}\n" + head + "}\n",
       "fleet.yaml:1:25: classes.flex.value: expected a number from 1e-09 to 1000000, got 'inf'"},
      {"classes: {flex: {value: .nan}}\n" + head + "}\n",
       "fleet.yaml:1:25: classes.flex.value: expected a number from 1e-09 to 1000000, got '.nan'"},
      {"classes: {flex: {ttft_s: 0}}\n" + head + "}\n",
       "fleet.yaml:1:26: classes.flex.ttft_s: expected a duration above 0 seconds, got '0'"},
      {"pools:\n  - {name: a, device: metered, model: llama-3.1-8b, metered: {per_million_prompt: "
       "1, "
       "per_million_output: 1, requests_per_day: 0}}\n",
       "fleet.yaml:2:127: pools[0].metered.requests_per_day: expected a whole number from 1 to "
       "1099511627776, got '0'"},
      {"pools:\n  - {name: a, device: metered, model: llama-3.1-8b, metered: {per_million_prompt: "
       "-1, per_million_output: 1}}\n",
       "fleet.yaml:2:83: pools[0].metered.per_million_prompt: expected a number of at least 0, got "
       "'-1'"},
      {"site: {pue: 0.5}\n" + head + "}\n",
       "fleet.yaml:1:13: site.pue: expected a number from 1 to 10, got '0.5'"},
      {"accept: {chat: {flex: [lama-3.1-8b]}}\n" + head + "}\n",
       "fleet.yaml:1:24: accept.chat.flex[0]: no pool serves 'lama-3.1-8b', did you mean "
       "'llama-3.1-8b'?"},
      {"placement: fastest\n" + head + "}\n",
       "fleet.yaml:1:12: placement: unknown value 'fastest'; known: medley, round_robin, "
       "least_queued, least_outstanding, least_pending_tokens, p2c, skypilot_instance_aware, "
       "smg_least_load, smg_cache_aware, smg_cache_aware_library, dynamo_kv, static_grid, "
       "llmd_default, llmd_headroom, llmd_headroom_most, aibrix_slo, aibrix_prefix_cache, "
       "litellm_latency, litellm_latency_repaired, litellm_cost, multi_factor, splitwise, "
       "polyserve, greedy_cheapest, edf_composite"},
      {"pools:\n  - {name: a, device: this_machine, model: llama-3.1-8b}\n",
       "fleet.yaml:2:5: pools[0]: engine llama_embedded needs a GGUF file as model, got "
       "'llama-3.1-8b'"},
  };
  for (const auto& [text, message] : cases)
    EXPECT_EQ(error(text), message) << text;
}

TEST(FleetFile, RunsAGgufFileOnThisMachine) {
  const std::string shared = shared_folder();
  if (shared.empty())
    GTEST_SKIP() << "no shared folder with a model beside the checkout (MEDLEY_SHARED)";
  const std::string path = std::filesystem::absolute(shared).string() + "/models/stories260K.gguf";
  const Fleet f = fleet("pools:\n  - {name: here, device: this_machine, model: " + path + "}\n");
  ASSERT_EQ(f.pools.size(), 1u);
  EXPECT_EQ(f.pools[0].model.id, "stories260K");
  EXPECT_EQ(f.pools[0].model_path, path);
  EXPECT_EQ(f.pools[0].engine.type, EngineType::kLlamaEmbedded);
  EXPECT_EQ(f.pools[0].precision, Precision::kFp32);
  EXPECT_EQ(f.offers[0].name, "stories260K");
}

TEST(FleetFile, RunsTheBuiltInModelOnThisMachine) {
  if (!std::filesystem::exists("catalog/builtin/builtin.gguf"))
    GTEST_SKIP() << "no built-in model yet";
  const Fleet f = fleet("pools:\n  - {name: here, device: this_machine, model: builtin}\n");
  ASSERT_EQ(f.pools.size(), 1u);
  EXPECT_EQ(f.pools[0].model.id, "builtin");
  EXPECT_EQ(f.pools[0].model_path, "catalog/builtin/builtin.gguf");
  EXPECT_EQ(f.pools[0].constants.device, "cpu");
}

TEST(FleetFile, ReadsWhoReadsLongPrompts) {
  const Fleet f = fleet(
      "pools:\n"
      "  - {name: a, device: this_machine, model: builtin, engine: {type: static_schedule, "
      "prefill: "
      "{from_tokens: 256, threads: 2}}}\n"
      "  - {name: b, device: this_machine, model: builtin, engine: {type: llama_embedded, "
      "kv_cache: "
      "f32}}\n"
      "  - {name: c, device: this_machine, model: builtin}\n");
  const std::optional<PrefillSpec>& prefill = f.pools[0].engine.prefill;
  ASSERT_TRUE(prefill);
  EXPECT_EQ(prefill->from_tokens, 256);
  EXPECT_EQ(prefill->threads, 2);
  EXPECT_TRUE(f.pools[1].engine.full_kv);
  EXPECT_FALSE(f.pools[2].engine.full_kv);
  EXPECT_FALSE(f.pools[2].engine.prefill);
}

TEST(FleetFile, ReadsTheRotationOfAStaticSchedule) {
  const Fleet f = fleet(
      "pools:\n  - {name: here, device: this_machine, model: builtin, engine: {type: "
      "static_schedule, threads: 2, token_window: 2ms, run_ahead: 8, cores: [1, 3]}}\n");
  const EngineSpec& engine = f.pools[0].engine;
  EXPECT_DOUBLE_EQ(engine.token_window_s.value(), 0.002);
  EXPECT_EQ(engine.run_ahead, 8);
  EXPECT_EQ(engine.cores, (std::vector<int>{1, 3}));
  EXPECT_TRUE(f.pools[0].statically_scheduled());
}

TEST(FleetFile, CountsBlockScalesOfOddFormats) {
  const Pool pool =
      fleet("pools:\n  - {name: a, device: l4, model: llama-3.1-8b, precision: q4_k_m}\n").pools[0];
  EXPECT_EQ(pool.precision, Precision::kInt4);
  EXPECT_DOUBLE_EQ(weight_bytes(pool.model, pool.precision).value(), pool.model.parameters * 0.61);
}

TEST(FleetFile, SurvivesMutatedInput) {
  Prng prng(3);
  const std::string whole = kWhole;
  for (int round = 0; round < 300; ++round) {
    std::string text = whole;
    for (std::uint64_t i = 0; i <= prng.below(4); ++i) {
      const std::size_t at = prng.below(text.size());
      switch (prng.below(3)) {
        case 0:
          text[at] = "[]{}:,&*-'\"9e. \n"[prng.below(16)];
          break;
        case 1:
          text.erase(at, 1 + prng.below(12));
          break;
        default:
          text.insert(at, text.substr(prng.below(text.size()), 1 + prng.below(12)));
      }
    }
    const auto result = read(text, {.resolve_secrets = false});
    if (!result.ok()) {
      ASSERT_EQ(result.error().message.substr(0, 11), "fleet.yaml:") << result.error().message;
    }
  }
}

}  // namespace
}  // namespace medley::data
