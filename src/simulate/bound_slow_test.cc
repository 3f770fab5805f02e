#include <gtest/gtest.h>

#include <cmath>

#include "base/prng.h"
#include "data/catalog.h"
#include "data/fleet_file.h"
#include "data/testing_shared.h"
#include "simulate/bound.h"
#include "simulate/workload.h"

namespace medley::simulate {
namespace {

// Three copies of the conversation trace, laid over each other at random offsets, as in
// reference/scheduling.md section 1.1; `density` 1 is 65 requests a second.
std::vector<Arrival> conversations(const std::vector<data::TraceRequest>& rows, double density) {
  constexpr int kCopies = 3;
  constexpr double kPeriodS = 3480, kSpeedUp = 11.68 / kCopies;
  Prng prng(6);
  std::vector<Arrival> arrivals;
  for (int copy = 0; copy < kCopies; ++copy) {
    const double offset_s = kPeriodS * prng.uniform();
    for (const data::TraceRequest& row : rows) {
      Arrival made;
      const double at_s = std::fmod(row.arrived_s - rows[0].arrived_s + offset_s, kPeriodS);
      made.request.arrived_at = round_to_instant(Seconds(at_s / (kSpeedUp * density)));
      const double of_class[] = {0.20, 0.45, 0.20, 0.15};
      made.request.service_class = kServiceClasses[prng.pick(of_class)];
      made.request.label = LabelId(prng.uniform() < 0.4 ? 1 : 0);
      made.request.prompt_tokens = row.prompt;
      made.output_tokens = row.output.count();
      arrivals.push_back(made);
    }
  }
  std::stable_sort(arrivals.begin(), arrivals.end(), [](const Arrival& a, const Arrival& b) {
    return a.request.arrived_at < b.request.arrived_at;
  });
  for (std::size_t i = 0; i < arrivals.size(); ++i)
    arrivals[i].request.id = RequestId(i);
  return arrivals;
}

TEST(Bound, OfTheConversationTraceFallsWithItsDensityAndIsFoundClosely) {
  const std::string shared = data::shared_folder();
  if (shared.empty())
    GTEST_SKIP() << "no shared folder with traces beside the checkout (MEDLEY_SHARED)";
  const auto rows = data::read_trace({.path = shared + "/traces/azure2023/conv.csv"});
  ASSERT_TRUE(rows.ok()) << rows.error().message;
  const auto catalog = data::read_catalog("catalog");
  ASSERT_TRUE(catalog.ok()) << catalog.error().message;
  const auto fleet = data::read_fleet("scenarios/fleet-mixed.yaml", *catalog, {});
  ASSERT_TRUE(fleet.ok()) << fleet.error().message;
  const auto perf = make_models(*fleet);
  ASSERT_TRUE(perf.ok()) << perf.error().message;

  double last = 1;
  for (const double density : {1.0, 2.0, 3.0, 4.0}) {
    const std::vector<Arrival> arrivals = conversations(*rows, density);
    const Bound found = bound(*fleet, *perf, arrivals, {.count_costs = false});
    RecordProperty("share_at_" + std::to_string(density), std::to_string(found.share()));
    EXPECT_LE(found.share(), last);
    EXPECT_LT(found.gap(), 0.03) << density;
    EXPECT_LT(found.lowered, 0.001 * found.value) << density;
    last = found.share();
    if (density > 2)
      continue;
    // All that this fleet's own policies earn is less.
    const Bound net = bound(*fleet, *perf, arrivals);
    const SimulationResult run = simulate(*fleet, *perf, arrivals, {}, {});
    double earned = 0;
    for (const RequestRecord& record : run.requests) {
      const double value = fleet->policy(record.request.service_class).value.value();
      earned += (record.kept ? value : 0) - record.money;
    }
    EXPECT_LT(earned, net.value);
    EXPECT_GT(earned, 0.8 * net.value);
  }
  EXPECT_LT(last, 0.95);
}

}  // namespace
}  // namespace medley::simulate
