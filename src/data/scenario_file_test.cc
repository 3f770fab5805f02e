#include "data/scenario_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "data/testing_shared.h"

namespace medley::data {
namespace {

const Catalog& catalog() {
  static const auto read = read_catalog("catalog");
  EXPECT_TRUE(read.ok()) << read.error().message;
  return *read;
}

Scenario scenario(const std::string& text) {
  auto result = parse_scenario(text, "day/run.yaml", catalog());
  EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
  return result.ok() ? std::move(result).value() : Scenario{};
}

std::string error(const std::string& text) {
  const auto result = parse_scenario(text, "run.yaml", catalog());
  return result.ok() ? "" : result.error().message;
}

// The example of the settled vocabulary: keys of other batchings beside the one in use are no
// mistake.
constexpr char kTable[] = R"(name: conversation-70b          # free text
trace:
  path: ../traces/azure2023/conv.csv
  format: azure
  time_scale: 8
  start_s: 0
  max_request_tokens: 4096
placement: round_robin
pools:
  - name: a100
    replicas: 1
    batching: chunked_prefill
    chunk_tokens: 512
    max_batched_tokens: 4096
    max_running: 128
    kv_blocks: 3328
    block_tokens: 16
    watermark: 0.01
    reuse_blocks: false
    step_times: {format: vidur_tables, path: ../traces/vidur, layers: 80}
)";

constexpr char kPools[] =
    "pools:\n  - {name: a, device: h100_sxm, model: llama-3.1-8b, replicas: 2}\n"
    "  - {name: b, device: l4, model: llama-3.2-1b, replicas: 3}\n"
    "labels: {public: {zones: any}, internal: {zones: [local]}}\n"
    "accept: {chat: [llama-3.1-8b, llama-3.2-1b]}\n";
constexpr char kWorkload[] =
    "workload: {requests: 100, rate_per_s: 2.5, prompt_tokens: {median: 500, sigma: 1, max: 8000}, "
    "output_tokens: 100}\n";

TEST(ScenarioFile, TakesTheSharedTraceWhereThereIsNoneBesideIt) {
  const std::string folder = own_temporary("shared");
  std::filesystem::create_directories(folder + "/traces");
  std::ofstream(folder + "/traces/a.csv") << "";
  const auto path_of = [&](const std::string& beside) {
    return scenario(std::string(kPools) + "trace: {path: " + beside +
                    ", shared: traces/a.csv, format: azure}\n")
        .trace->path;
  };
  unsetenv("MEDLEY_SHARED");
  EXPECT_EQ(path_of("a.csv"), "day/a.csv");
  setenv("MEDLEY_SHARED", folder.c_str(), 1);
  EXPECT_EQ(path_of("a.csv"), folder + "/traces/a.csv");
  EXPECT_EQ(path_of(folder + "/traces/a.csv"), folder + "/traces/a.csv");
  std::filesystem::remove(folder + "/traces/a.csv");
  EXPECT_EQ(path_of("a.csv"), "day/a.csv") << "it is not there either";
  unsetenv("MEDLEY_SHARED");
}

TEST(ScenarioFile, ReadsATableScenarioAsItIsDocumented) {
  const Scenario s = scenario(kTable);
  EXPECT_EQ(s.name, "conversation-70b");
  ASSERT_TRUE(s.trace.has_value());
  EXPECT_EQ(s.trace->path, "traces/azure2023/conv.csv") << "from the file's folder";
  EXPECT_EQ(s.trace->time_scale, 8);
  EXPECT_EQ(*s.trace->max_request_tokens, 4096);
  EXPECT_EQ(s.fleet.placement, PlacementKind::kRoundRobin);
  EXPECT_EQ(s.fleet.pools[0].batching.chunk_tokens, 512);
  EXPECT_EQ(s.fleet.pools[0].table->path, "traces/vidur");
  EXPECT_EQ(s.seed, 1u);
  EXPECT_EQ(s.mix.classes[index_of(ServiceClass::kStandard)], 1);
  EXPECT_EQ(s.mix.labels, std::vector<double>{1});
  EXPECT_EQ(s.mix.models[0], std::vector<double>{1});
  EXPECT_FALSE(s.copies.has_value());
  EXPECT_FALSE(s.mix.max_tokens_at_least.has_value());
}

TEST(ScenarioFile, DrawsFromTheMixInProportion) {
  const Scenario s =
      scenario(std::string(kPools) + kWorkload +
               "mix:\n  classes: {guaranteed: 1, batch: 3}\n  labels: {public: 0.6, internal: "
               "0.4}\n  model: chat\n"
               "seed: 42\nexpected: {completed: 100, ttft_s: {p50: 0.2, p99: {at_most: 1.5}}}\n");
  EXPECT_EQ(s.mix.classes, (std::array<double, 4>{0.25, 0, 0, 0.75}));
  EXPECT_EQ(s.mix.labels, (std::vector<double>{0.6, 0.4}));
  for (const std::vector<double>& models : s.mix.models)
    EXPECT_EQ(models, (std::vector<double>{1, 0, 0}));
  EXPECT_EQ(s.seed, 42u);
  ASSERT_EQ(s.expected.size(), 3u);
  EXPECT_EQ(text_of(s.expected.at("completed")), "100");
  EXPECT_EQ(text_of(s.expected.at("ttft_s.p50")), "0.2");
  EXPECT_EQ(text_of(s.expected.at("ttft_s.p99")), "at most 1.5");
  EXPECT_EQ(s.workload->streams[0].prompt_tokens.max, 8000);
  EXPECT_EQ(s.workload->streams[0].output_tokens[0].tokens.sigma, 0);
  EXPECT_EQ(s.workload->streams[0].output_tokens[0].tokens.median, 100);
}

TEST(ScenarioFile, ExpectsNumbersOrWhatTheyLieBetween) {
  const auto expected = [](const std::string& text) {
    return scenario(std::string(kPools) + kWorkload + "expected: {kept: " + text + "}\n")
        .expected.at("kept");
  };
  EXPECT_TRUE(expected("100").holds(100.00009));
  EXPECT_FALSE(expected("100").holds(100.001));
  EXPECT_TRUE(expected("{at_least: 90}").holds(1e9));
  EXPECT_FALSE(expected("{at_least: 90}").holds(89.9));
  EXPECT_FALSE(expected("{at_least: 90, at_most: 95}").holds(95.1));
  EXPECT_EQ(text_of(expected("{at_least: 90, at_most: 95}")), "at least 90 and at most 95");
}

TEST(ScenarioFile, AsksForTheOnlyNameWithoutAMix) {
  const Scenario s = scenario(std::string(kPools) + kWorkload);
  EXPECT_EQ(s.name, "run");
  EXPECT_EQ(s.fleet.offers[0].name, "chat");
  EXPECT_EQ(s.mix.models[0], (std::vector<double>{1, 0, 0}));
  EXPECT_EQ(s.mix.labels, (std::vector<double>{0, 1})) << "the default label";
}

TEST(ScenarioFile, MixesModelsByClass) {
  const Scenario s =
      scenario(std::string(kPools) + kWorkload +
               "mix:\n  model: {guaranteed: llama-3.1-8b, flex: {chat: 1, llama-3.2-1b: 3}}\n");
  EXPECT_EQ(s.mix.models[index_of(ServiceClass::kGuaranteed)], (std::vector<double>{0, 1, 0}));
  EXPECT_EQ(s.mix.models[index_of(ServiceClass::kFlex)], (std::vector<double>{0.25, 0, 0.75}));
  EXPECT_EQ(s.mix.models[index_of(ServiceClass::kBatch)], (std::vector<double>{1, 0, 0}))
      << "as without a mix";
}

TEST(ScenarioFile, GivesLongRequestsAnotherClass) {
  const Scenario s = scenario(std::string(kPools) + kWorkload +
                              "mix:\n  max_tokens_at_least: 64\n"
                              "  longer: {guaranteed: {than_tokens: 4096, become: standard}}\n");
  const auto& rule = s.mix.longer[index_of(ServiceClass::kGuaranteed)];
  EXPECT_EQ(rule->than_tokens, 4096);
  EXPECT_EQ(rule->become, ServiceClass::kStandard);
  EXPECT_FALSE(s.mix.longer[index_of(ServiceClass::kStandard)].has_value());
  EXPECT_EQ(s.mix.max_tokens_at_least, 64);
}

TEST(ScenarioFile, PutsCopiesOfATraceUponOneAnother) {
  const Scenario s =
      scenario(std::string(kPools) + "trace: {path: x, format: azure, copies: 3, wrap_s: 58m}\n");
  EXPECT_EQ(s.copies->count, 3);
  EXPECT_EQ(s.copies->wrap_s, 3480);
}

TEST(ScenarioFile, NumbersReplicasThroughAllPools) {
  const Scenario s =
      scenario(std::string(kPools) + kWorkload +
               "faults:\n  - {replica: a, at_s: 10, for_s: 1m}\n  - {replica: b/2, at_s: 5}\n"
               "  - {replica: 3, at_s: 0, for_s: 2, slowdown: 4}\n");
  ASSERT_EQ(s.faults.size(), 3u);
  EXPECT_EQ(s.faults[0].replica, ReplicaId(0));
  EXPECT_EQ(*s.faults[0].for_s, 60);
  EXPECT_EQ(s.faults[1].replica, ReplicaId(4));
  EXPECT_FALSE(s.faults[1].for_s.has_value());
  EXPECT_EQ(s.faults[2].replica, ReplicaId(3));
  EXPECT_EQ(*s.faults[2].slowdown, 4);
}

TEST(ScenarioFile, DrawsPrioritiesByWeight) {
  const Scenario s =
      scenario(std::string(kPools) + kWorkload + "mix: {priorities: {-1: 1, 5: 3}}\n");
  EXPECT_EQ(s.mix.priorities, (std::vector<long long>{-1, 5}));
  EXPECT_EQ(s.mix.priority_weights, (std::vector<double>{0.25, 0.75}));
}

TEST(ScenarioFile, ReadsWhatOthersSend) {
  const Scenario s = scenario(std::string(kPools) + kWorkload +
                              "outside: [{pool: b, workload: {for: 1h, rate_per_s: 3, "
                              "prompt_tokens: 1, output_tokens: 1}}]\n"
                              "signals_every_s: 500ms\n");
  ASSERT_EQ(s.outside.size(), 1u);
  EXPECT_EQ(s.outside[0].pool, PoolId(1));
  EXPECT_EQ(s.outside[0].workload.streams[0].rate_per_s, 3);
  EXPECT_EQ(s.signals_every_s, 0.5);
}

TEST(ScenarioFile, TakesTheFleetFromItsOwnFile) {
  const std::string folder = own_temporary("medley_scenario_test");
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/fleet.yaml")
      << "pools:\n  - {name: a, device: h100_sxm, model: llama-3.1-8b, engine: {type: openai_http, "
         "urls: [\"http://x\"], key: "
         "\"${env:MEDLEY_TEST_UNSET}\"}}\n";
  std::ofstream(folder + "/run.yaml") << "fleet: fleet.yaml\nplacement: least_queued\n"
                                      << kWorkload;
  std::ofstream(folder + "/twice.yaml") << "fleet: fleet.yaml\npools: []\n" << kWorkload;
  std::ofstream(folder + "/lost.yaml") << "fleet: other.yaml\n" << kWorkload;
  const auto good = read_scenario(folder + "/run.yaml", catalog());
  const auto twice = read_scenario(folder + "/twice.yaml", catalog());
  const auto lost = read_scenario(folder + "/lost.yaml", catalog());
  std::filesystem::remove_all(folder);
  ASSERT_TRUE(good.ok()) << good.error().message;
  EXPECT_EQ(good->fleet.placement, PlacementKind::kLeastQueued);
  EXPECT_EQ(good->fleet.pools[0].name, "a");
  EXPECT_EQ(
      twice.error().message,
      folder +
          "/twice.yaml:2:1: pools: the fleet comes from 'fleet' here; leave one of the two out");
  EXPECT_EQ(lost.error().message,
            folder + "/lost.yaml:1:8: fleet: " + folder + "/other.yaml: No such file or directory");
}

TEST(ScenarioFile, SaysWhatIsWrongAndWhere) {
  const std::string base = std::string(kPools) + kWorkload;
  const struct {
    std::string text, message;
  } cases[] = {
      {kWorkload, "run.yaml:1:1: missing key 'fleet', or 'pools' in its place"},
      {kPools, "run.yaml:1:1: missing key 'trace' or 'workload'"},
      {base + "trace: {path: x, format: azure}\n",
       "run.yaml:6:1: workload: a scenario has either a trace or a workload"},
      {std::string(kPools) +
           "workload: {requests: 10, rate_per_s: 1e-9, prompt_tokens: 5, output_tokens: 5}\n",
       "run.yaml:6:38: workload.rate_per_s: 10 requests at 1e-09 a second take 1e+10 s, expected "
       "at most 1000000000"},
      {base + "sede: 3\n", "run.yaml:7:1: unknown key 'sede', did you mean 'seed'?"},
      {std::string(kPools) + "trace: {path: x, format: azur}\n",
       "run.yaml:6:26: trace.format: unknown value 'azur', did you mean 'azure'?"},
      {std::string(kPools) + "trace: {format: azure}\n", "run.yaml:6:8: trace: missing key 'path'"},
      {std::string(kPools) + "trace: {path: x, format: azure, time_scale: 0}\n",
       "run.yaml:6:45: trace.time_scale: expected a number above 0 and at most 1000000, got '0'"},
      {base + "mix: {classes: {guarantied: 1}}\n",
       "run.yaml:7:17: mix.classes.guarantied: no class 'guarantied', did you mean 'guaranteed'?"},
      {base + "mix: {classes: {flex: 0}}\n",
       "run.yaml:7:16: mix.classes: expected shares that sum up to more than 0"},
      {base + "mix: {labels: {publik: 1}}\n",
       "run.yaml:7:16: mix.labels.publik: no label 'publik' in the fleet, did you mean 'public'?"},
      {base + "mix: {model: chad}\n",
       "run.yaml:7:14: mix.model: no model 'chad' in the fleet, did you mean 'chat'?"},
      {base + "mix: {model: {chad: 1}}\n",
       "run.yaml:7:15: mix.model.chad: no model 'chad' in the fleet, did you mean 'chat'?"},
      {base + "mix: {model: {chat: lots}}\n",
       "run.yaml:7:21: mix.model.chat: expected a number of at least 0, got 'lots'"},
      {base + "mix: {model: {flex: {chad: 1}}}\n",
       "run.yaml:7:22: mix.model.flex.chad: no model 'chad' in the fleet, did you mean 'chat'?"},
      {base + "mix: {model: {flx: {chat: 1}}}\n",
       "run.yaml:7:15: mix.model: unknown key 'flx', did you mean 'flex'?"},
      {base + "mix: {longer: {flex: {than_tokens: 10, become: flex}}}\n",
       "run.yaml:7:48: mix.longer.flex.become: is the class that it has anyway"},
      {base + "mix: {longer: {flex: {become: batch}}}\n",
       "run.yaml:7:22: mix.longer.flex: missing key 'than_tokens'"},
      {base + "mix: {priorities: {high: 1}}\n",
       "run.yaml:7:20: mix.priorities.high: expected a whole number, got 'high'"},
      {base + "mix: {priorities: {1: 0}}\n",
       "run.yaml:7:19: mix.priorities: expected shares that sum up to more than 0"},
      {base + "mix: {max_tokens_at_least: 0}\n",
       "run.yaml:7:28: mix.max_tokens_at_least: expected a whole number from 1 to 1073741824, got "
       "'0'"},
      {std::string(kPools) + "trace: {path: x, format: azure, copies: 3}\n",
       "run.yaml:6:8: trace: missing key 'wrap_s'"},
      {std::string(kPools) + "trace: {path: x, format: azure, wrap_s: 3}\n",
       "run.yaml:6:8: trace: missing key 'copies'"},
      {std::string(kPools) + "trace: {path: x, format: azure, copies: 2, wrap_s: 0}\n",
       "run.yaml:6:52: trace.wrap_s: expected a duration above 0 and at most 1000000000 seconds, "
       "got '0'"},
      {base + "outside: [{pool: c, workload: {requests: 1, rate_per_s: 1, prompt_tokens: 1, "
              "output_tokens: 1}}]\n",
       "run.yaml:7:18: outside[0].pool: no pool 'c' in the fleet; known: a, b"},
      {base + "outside: [{pool: a}]\n", "run.yaml:7:11: outside[0]: missing key 'workload'"},
      {base + "signals_every_s: 0\n",
       "run.yaml:7:18: signals_every_s: expected a duration from 0.001 to 1000000000 "
       "seconds, got '0'"},
      {base + "faults: [{replica: b/3, at_s: 1}]\n",
       "run.yaml:7:20: faults[0].replica: pool 'b' has the replicas 0 to 2, got 'b/3'"},
      {base + "faults: [{replica: 5, at_s: 1}]\n",
       "run.yaml:7:20: faults[0].replica: expected a replica from 0 to 4, got '5'"},
      {base + "faults: [{replica: c, at_s: 1}]\n",
       "run.yaml:7:20: faults[0].replica: no pool 'c' in the fleet; known: a, b"},
      {base + "faults: [{replica: a}]\n", "run.yaml:7:10: faults[0]: missing key 'at_s'"},
      {base + "expected: {completed: many}\n",
       "run.yaml:7:23: expected.completed: expected a number from -1e+300 to 1e+300, got 'many'"},
      {base + "expected: {completed: {at_least: 3, at_most: 2}}\n",
       "run.yaml:7:23: expected.completed: at_least is above at_most"},
      {base + "seed: -1\n", "run.yaml:7:7: seed: expected a whole number of at least 0, got '-1'"},
  };
  for (const auto& [text, message] : cases)
    EXPECT_EQ(error(text), message) << text;
}

TEST(ScenarioFile, ReadsTheCatalogueWhereItIsNamed) {
  const std::string path = own_temporary("medley_scenario_test.yaml");
  std::ofstream(path) << kPools << kWorkload;
  const auto good = read_scenario(path, std::string("catalog"));
  const auto bad = read_scenario(path, std::string("no/such/folder"));
  std::filesystem::remove(path);
  ASSERT_TRUE(good.ok()) << good.error().message;
  EXPECT_EQ(good->fleet.pools.size(), 2u);
  EXPECT_EQ(bad.error().message, "no/such/folder/accelerators.yaml: No such file or directory");
}

TEST(ScenarioFile, ReadsTheCheckersScenarios) {
  const std::string shared = shared_folder();
  if (shared.empty())
    GTEST_SKIP() << "no shared folder with scenarios beside the checkout (MEDLEY_SHARED)";
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(shared + "/check/scenarios")) {
    const auto read = read_scenario(entry.path().string(), std::string("no/catalogue/needed"));
    ASSERT_TRUE(read.ok()) << read.error().message;
    EXPECT_TRUE(std::filesystem::exists(read->trace->path)) << read->trace->path;
    EXPECT_TRUE(std::filesystem::exists(read->fleet.pools[0].table->path));
    ++count;
  }
  EXPECT_GE(count, 5u);
}

}  // namespace
}  // namespace medley::data
