#include "simulate/workload.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>

#include "data/testing_shared.h"

namespace medley::simulate {
namespace {

const data::Catalog& catalog() {
  static const auto read = data::read_catalog("catalog");
  EXPECT_TRUE(read.ok()) << read.error().message;
  return *read;
}

data::Scenario scenario(const std::string& text) {
  auto read = data::parse_scenario(
      "pools:\n  - {name: a, device: h100_sxm, model: llama-3.1-8b}\n"
      "labels: {public: {zones: any}, internal: {zones: [local]}}\n"
      "accept: {chat: [llama-3.1-8b]}\n" +
          text,
      "run.yaml", catalog());
  EXPECT_TRUE(read.ok()) << (read.ok() ? "" : read.error().message);
  return read.ok() ? std::move(read).value() : data::Scenario{};
}

// Ten rows, a second apart from 5 s on; the prompt of each tells its row.
class Copies : public testing::Test {
 protected:
  Copies() {
    std::ofstream out(path_);
    out << "arrived_s,prompt_tokens,output_tokens\n";
    for (int row = 0; row < 10; ++row)
      out << 5 + row << "," << 100 + row << "," << 10 * row << "\n";
  }
  ~Copies() override { std::filesystem::remove(path_); }

  std::vector<Arrival> arrivals(const std::string& keys, const std::string& more = "") const {
    const auto made = make_arrivals(
        scenario("trace: {path: " + path_ + ", format: medley" + keys + "}\n" + more));
    EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().message);
    return made.ok() ? *made : std::vector<Arrival>();
  }

  const std::string path_ = data::own_temporary("workload_test.csv");
};

double seconds(const Arrival& arrival) { return to_seconds(arrival.request.arrived_at).value(); }

TEST(Workload, SaysWhereATraceThatIsMissingCanBeHad) {
  const auto made = make_arrivals(
      scenario("trace: {path: none.csv, format: azure, shared: traces/a.csv, origin: a.csv of "
               "somewhere}\n"));
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().message,
            "run.yaml: trace.path: none.csv: No such file or directory; it is a.csv of somewhere: "
            "put it there, or name a trace with --trace FILE, or let MEDLEY_SHARED name a folder "
            "with traces/a.csv");
  const auto plain = make_arrivals(scenario("trace: {path: none.csv, format: azure}\n"));
  ASSERT_FALSE(plain.ok());
  EXPECT_EQ(plain.error().message,
            "run.yaml: trace.path: none.csv: No such file or directory; name a trace with --trace "
            "FILE");
}

TEST_F(Copies, AreTurnedOnACircleAndSortedByTime) {
  const std::vector<Arrival> made = arrivals(", copies: 3, wrap_s: 8, time_scale: 2, start_s: 100");
  ASSERT_EQ(made.size(), 30u);
  std::map<long long, std::vector<double>> by_row;
  for (std::size_t i = 0; i < made.size(); ++i) {
    EXPECT_EQ(made[i].request.id.number(), i) << "ids are in order of arrival";
    if (i > 0) {
      EXPECT_GE(made[i].request.arrived_at, made[i - 1].request.arrived_at);
    }
    EXPECT_GE(seconds(made[i]), 100);
    EXPECT_LT(seconds(made[i]), 100 + 2 * 8);
    by_row[made[i].request.prompt_tokens.count()].push_back((seconds(made[i]) - 100) / 2);
  }
  ASSERT_EQ(by_row.size(), 10u);
  // Where each copy has its first row, all others follow, round the circle.
  for (const double first : by_row[100]) {
    for (int row = 1; row < 10; ++row) {
      const double expected = std::fmod(first + row, 8);
      const std::vector<double>& times = by_row[100 + row];
      EXPECT_TRUE(std::any_of(times.begin(), times.end(), [&](double time) {
        return std::abs(time - expected) < 1e-6;
      })) << row;
    }
  }
}

TEST_F(Copies, AreTurnedByTheSeed) {
  const auto first = arrivals(", copies: 2, wrap_s: 8");
  EXPECT_EQ(seconds(arrivals(", copies: 2, wrap_s: 8")[0]), seconds(first[0]));
  EXPECT_NE(seconds(arrivals(", copies: 2, wrap_s: 8", "seed: 2\n")[0]), seconds(first[0]));
}

TEST_F(Copies, KeepTheirDrawsAtAnotherRate) {
  const std::string mix = "mix: {classes: {guaranteed: 1, standard: 1, flex: 1, batch: 1}}\n";
  const auto slow = arrivals(", copies: 3, wrap_s: 8", mix);
  const auto fast = arrivals(", copies: 3, wrap_s: 8, time_scale: 0.1", mix);
  for (std::size_t i = 0; i < slow.size(); ++i) {
    EXPECT_EQ(slow[i].request.service_class, fast[i].request.service_class);
    EXPECT_NEAR(seconds(fast[i]), seconds(slow[i]) * 0.1, 1e-8);
  }
}

TEST_F(Copies, TakeNoMoreThanAWorkloadMay) {
  std::ofstream out(path_, std::ios::trunc);
  out << "arrived_s,prompt_tokens,output_tokens\n";
  for (int row = 0; row < 100'001; ++row)
    out << "0,1,1\n";
  out.close();
  const auto made = make_arrivals(
      scenario("trace: {path: " + path_ + ", format: medley, copies: 1000, wrap_s: 1}\n"));
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().message,
            "run.yaml: trace.copies: 1000 copies of 100001 requests are more than 100000000");
}

TEST_F(Copies, ComeWithinReach) {
  const auto made = make_arrivals(scenario("trace: {path: " + path_ +
                                           ", format: medley, copies: 2, wrap_s: 1e6, time_scale: "
                                           "2000}\n"));
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().message,
            "run.yaml: trace.wrap_s: time_scale and start_s move arrivals to 2e+09 s, expected at "
            "most 1000000000");
}

TEST_F(Copies, OfAnEmptyTraceAreNone) {
  std::ofstream(path_, std::ios::trunc) << "arrived_s,prompt_tokens,output_tokens\n";
  EXPECT_TRUE(arrivals(", copies: 3, wrap_s: 8").empty());
}

TEST_F(Copies, LongRequestsBecomeAnotherClassBeforeTheirModelIsDrawn) {
  // Rows 7 to 9 take more than 170 tokens; up to row 6 the answer counts as 64.
  const auto made = arrivals("",
                             "mix: {classes: {guaranteed: 1}, max_tokens_at_least: 50, "
                             "longer: {guaranteed: {than_tokens: 170, become: flex}}, "
                             "model: {guaranteed: chat, flex: llama-3.1-8b}}\n");
  ASSERT_EQ(made.size(), 10u);
  for (std::size_t row = 0; row < made.size(); ++row) {
    const Request& request = made[row].request;
    EXPECT_EQ(request.service_class, row < 7 ? ServiceClass::kGuaranteed : ServiceClass::kFlex)
        << row;
    EXPECT_EQ(request.model, OfferId(row < 7 ? 0 : 1)) << row;
    EXPECT_EQ(request.output_cap.value().count(), std::max<long long>(50, made[row].output_tokens));
  }
}

TEST(Workload, StatesNoLimitOnAnswersUnlessAsked) {
  const auto made = make_arrivals(
      scenario("workload: {requests: 3, rate_per_s: 1, prompt_tokens: 5, output_tokens: 5}\n"));
  ASSERT_TRUE(made.ok());
  EXPECT_FALSE((*made)[0].request.output_cap.has_value());
}

TEST(Workload, PrioritiesAreDrawnFromTheMixWhereAStreamNamesNone) {
  const auto made = make_arrivals(scenario(
      "workload:\n"
      "  - {requests: 1000, rate_per_s: 10, prompt_tokens: 5, output_tokens: 5}\n"
      "  - {requests: 10, rate_per_s: 10, prompt_tokens: 7, output_tokens: 5, priority: 4}\n"
      "mix: {priorities: {-2: 0.7, 9: 0.3}}\n"));
  ASSERT_TRUE(made.ok());
  std::map<long long, int> counts;
  for (const Arrival& arrival : *made)
    ++counts[arrival.request.priority];
  EXPECT_NEAR(counts[-2], 700, 60);
  EXPECT_NEAR(counts[9], 300, 60);
  EXPECT_EQ(counts[4], 10);
}

TEST(Workload, TenantsAreDrawnFromTheMixWhereAStreamNamesNone) {
  const auto made = make_arrivals(
      scenario("tenants: {a: {}, b: {}}\n"
               "workload:\n"
               "  - {requests: 1000, rate_per_s: 10, prompt_tokens: 5, output_tokens: 5}\n"
               "  - {requests: 1000, rate_per_s: 10, prompt_tokens: 7, output_tokens: 5,\n"
               "     tenant: b, priority: -3}\n"
               "mix: {tenants: {a: 0.7, b: 0.3}}\n"));
  ASSERT_TRUE(made.ok());
  std::map<std::pair<long long, std::uint64_t>, int> counts;  // by prompt and tenant
  for (const Arrival& arrival : *made) {
    ++counts[{arrival.request.prompt_tokens.count(), arrival.request.tenant.number()}];
    EXPECT_EQ(arrival.request.priority, arrival.request.prompt_tokens.count() == 7 ? -3 : 0);
  }
  EXPECT_NEAR((counts[{5, 1}]), 700, 60);
  EXPECT_NEAR((counts[{5, 2}]), 300, 60);
  EXPECT_EQ((counts[{7, 2}]), 1000);
  const auto unknown = make_arrivals(
      scenario("workload: {requests: 1, rate_per_s: 1, prompt_tokens: 5, output_tokens: 5, tenant: "
               "c}\n"));
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().message,
            "run.yaml: workload 0: no tenant 'c' in the fleet; known: default");
}

TEST_F(Copies, SayInTheirRowsWhoseTheyAre) {
  std::ofstream(path_) << "arrived_s,prompt_tokens,output_tokens,tenant,priority\n"
                          "1,5,5,a,-2\n2,5,5,,7\n";
  const std::vector<Arrival> made = arrivals("", "tenants: {a: {}}\n");
  ASSERT_EQ(made.size(), 2u);
  EXPECT_EQ(made[0].request.tenant, TenantId(1));
  EXPECT_EQ(made[0].request.priority, -2);
  EXPECT_EQ(made[1].request.tenant, TenantId(0));
  EXPECT_EQ(made[1].request.priority, 7);
}

// Four rows in a trace of medley's own; the fleet caches prefixes.
class Prefixes : public testing::Test {
 protected:
  Prefixes() {
    std::ofstream(path_) << "arrived_s,prompt_tokens,output_tokens,label,prefix_of,prefix_tokens\n"
                            "0,300,10,internal,,0\n"
                            "1,400,10,internal,0,200\n"
                            "2,500,10,public,1,400\n"
                            "3,600,10,internal,1,350\n";
  }
  ~Prefixes() override { std::filesystem::remove(path_); }

  std::vector<Prefix> read(bool caches) const {
    data::Scenario with = scenario("trace: {path: " + path_ + ", format: medley}\n");
    with.fleet.pools[0].batching.prefix_caching = caches;
    const auto made = make_arrivals(with);
    EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().message);
    std::vector<Prefix> prefixes;
    for (const Arrival& arrival : *made)
      prefixes.push_back(arrival.request.prefix);
    return prefixes;
  }

  const std::string path_ = data::own_temporary("workload_prefix_test.csv");
};

std::size_t in_common(const Prefix& a, const Prefix& b) {
  std::size_t count = 0;
  while (count < std::min(a->blocks.size(), b->blocks.size()) &&
         a->blocks[count] == b->blocks[count])
    ++count;
  return count;
}

TEST_F(Prefixes, AreNamedBlockByBlockAsFarAsPromptsShareThem) {
  const std::vector<Prefix> made = read(true);
  EXPECT_EQ(made[0]->blocks.size(), 3u) << "200 tokens of it are in another one";
  EXPECT_EQ(made[1]->blocks.size(), 6u);
  EXPECT_EQ(in_common(made[0], made[1]), 3u);
  EXPECT_EQ(in_common(made[1], made[3]), 5u);
  EXPECT_EQ(in_common(made[0], made[3]), 3u);
}

TEST_F(Prefixes, OfDifferentLabelsHaveNothingInCommon) {
  const std::vector<Prefix> made = read(true);
  EXPECT_EQ(made[2]->blocks.size(), 6u);
  EXPECT_EQ(in_common(made[1], made[2]), 0u);
}

TEST_F(Prefixes, AreNotNamedWhereNoPoolCachesThem) {
  for (const Prefix& prefix : read(false))
    EXPECT_EQ(prefix, nullptr);
}

}  // namespace
}  // namespace medley::simulate
