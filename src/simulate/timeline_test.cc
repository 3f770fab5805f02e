#include "simulate/timeline.h"

#include <gtest/gtest.h>

#include "sched/test_fleet.h"
#include "simulate/report_html.h"

namespace medley::simulate {
namespace {

using std::chrono::milliseconds, std::chrono::seconds;

// A step takes 10 ms, 0.1 ms a decode and 20 us a prompt token more.
sched::TestFleet fleet_of(int replicas) {
  return sched::make_test_fleet({{.name = "a", .replicas = replicas, .step_s = 0.01}});
}

std::vector<Arrival> arrivals_of(int count, Duration gap) {
  std::vector<Arrival> arrivals(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < arrivals.size(); ++i) {
    Request& request = arrivals[i].request;
    request.id = RequestId(i);
    request.arrived_at = Instant(gap * static_cast<long long>(i));
    request.label = LabelId(1);
    request.service_class = kServiceClasses[i % kServiceClassCount];
    request.prompt_tokens = Tokens(100 + static_cast<long long>(i % 5) * 100);
    arrivals[i].output_tokens = 1 + static_cast<long long>(i % 60);
  }
  return arrivals;
}

struct Drawn {
  sched::TestFleet made;
  std::vector<Arrival> arrivals;
  std::vector<Fault> faults;
  Timeline timeline;
  SimulationResult result;
  Report report;

  Drawn(int replicas, std::vector<Arrival> given, std::vector<Fault> with_faults = {})
      : made(fleet_of(replicas)),
        arrivals(std::move(given)),
        faults(std::move(with_faults)),
        timeline(made.fleet),
        result(simulate(made.fleet, made.perf, arrivals, faults, {.timeline = &timeline})) {
    ReportBuilder builder(made.fleet, true);
    for (const RequestRecord& record : result.requests) {
      builder.add(record);
      timeline.add(record);
    }
    timeline.add(faults, result.simulated_s);
    report = std::move(builder).finish("test", result);
  }
  double sum(const std::vector<Timeline::Work>& buckets, double Timeline::Work::*amount) const {
    double total = 0;
    for (const Timeline::Work& bucket : buckets)
      total += bucket.*amount;
    return total;
  }
};

TEST(Timeline, AddsUpToWhatTheReplicasDid) {
  const Drawn run(3, arrivals_of(600, milliseconds(20)));
  double busy_s = 0, prefill_s = 0, joules = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    const replica::Usage& usage = run.result.replicas[i].usage;
    busy_s += usage.busy_s;
    prefill_s += usage.prefill_s;
    joules += usage.joules;
    EXPECT_NEAR(run.sum(run.timeline.replica(i), &Timeline::Work::busy_s), usage.busy_s, 1e-9);
  }
  const std::vector<Timeline::Work>& pool = run.timeline.pool(PoolId(0));
  EXPECT_NEAR(run.sum(pool, &Timeline::Work::busy_s), busy_s, 1e-9);
  EXPECT_NEAR(run.sum(pool, &Timeline::Work::prefill_s), prefill_s, 1e-9);
  EXPECT_NEAR(run.sum(pool, &Timeline::Work::joules), joules, 1e-6);
  // No replica works for longer than a bucket is: what it did is where it did it.
  for (std::size_t i = 0; i < 3; ++i) {
    for (const Timeline::Work& bucket : run.timeline.replica(i))
      EXPECT_LE(bucket.busy_s, run.timeline.bucket_s() * (1 + 1e-6));
  }
  // By Little's law, what runs and waits is what the requests spent in the replicas.
  double in_replicas_s = 0;
  for (const RequestRecord& record : run.result.requests) {
    if (record.finished_s)
      in_replicas_s += *record.finished_s - *record.dispatched_s;
  }
  EXPECT_NEAR(run.sum(pool, &Timeline::Work::running_s) + run.sum(pool, &Timeline::Work::waiting_s),
              in_replicas_s, 0.01 * in_replicas_s);
  long long requests = 0;
  for (const Timeline::Arrivals& bucket : run.timeline.arrivals())
    requests += bucket.kept + bucket.late + bucket.refused + bucket.failed;
  EXPECT_EQ(requests, 600);
}

// A run of steps is one event, but the cache fills all along: as where every step is one, since the
// replica may slow down.
TEST(Timeline, FillsTheCacheThroughARunOfSteps) {
  std::vector<Arrival> arrivals = arrivals_of(2, milliseconds(7000));
  for (Arrival& arrival : arrivals)
    arrival.output_tokens = 3000;
  const Drawn ran(1, arrivals);
  const Drawn stepped(1, arrivals, {{ReplicaId(0), Instant(), seconds(1), 1.0}});
  ASSERT_EQ(ran.timeline.bucket_s(), stepped.timeline.bucket_s());
  const double most = 6300 * ran.timeline.bucket_s();
  double peak = 0;
  for (std::size_t i = 0; i < ran.timeline.buckets(); ++i) {
    const double in_use = ran.timeline.pool(PoolId(0))[i].kv_token_s;
    EXPECT_NEAR(in_use, stepped.timeline.pool(PoolId(0))[i].kv_token_s, 0.02 * most) << i;
    peak = std::max(peak, in_use);
  }
  EXPECT_GT(peak, 0.6 * most);
}

TEST(Timeline, StaysWithinItsBucketsHoweverLongTheRun) {
  for (const Duration gap : {Duration(milliseconds(1)), Duration(seconds(3600))}) {
    const Drawn run(1, arrivals_of(300, gap));
    EXPECT_LE(run.timeline.buckets(), Timeline::kMostBuckets);
    EXPECT_GE(run.timeline.buckets(), Timeline::kMostBuckets / 2);
    EXPECT_GE(run.timeline.bucket_s() * static_cast<double>(run.timeline.buckets()),
              run.result.simulated_s);
  }
}

TEST(Timeline, KnowsWhenAReplicaWasLost) {
  const Drawn run(2, arrivals_of(200, milliseconds(20)),
                  {{ReplicaId(1), Instant(seconds(1)), seconds(2), {}}});
  EXPECT_NEAR(run.sum(run.timeline.replica(1), &Timeline::Work::lost_s), 2, 1e-9);
  EXPECT_EQ(run.sum(run.timeline.replica(0), &Timeline::Work::lost_s), 0);
}

TEST(Timeline, HasNoRowsOfManyReplicas) {
  EXPECT_TRUE(Timeline(fleet_of(48).fleet).has_replicas());
  EXPECT_FALSE(Timeline(fleet_of(49).fleet).has_replicas());
}

TEST(Timeline, ChangesNoDecision) {
  const std::vector<Arrival> arrivals = arrivals_of(300, milliseconds(10));
  const Drawn with(2, arrivals);
  const SimulationResult without = simulate(with.made.fleet, with.made.perf, arrivals, {}, {});
  EXPECT_EQ(with.result.digest.hex(), without.digest.hex());
}

TEST(ReportHtml, ShowsTheRunTheSameEachTime) {
  const auto page = [] {
    Drawn run(2, arrivals_of(300, milliseconds(10)),
              {{ReplicaId(1), Instant(seconds(1)), seconds(1), {}}});
    return to_html(run.report, run.made.fleet, run.timeline, run.result, "medley simulate <x>");
  };
  const std::string html = page();
  EXPECT_EQ(html, page());
  for (const char* part : {"simulated", "medley simulate &lt;x&gt;", "id=\"ttft-t\"", "id=\"kv-t\"",
                           "id=\"replicas-t\"", "id=\"power-t\"", "guaranteed", "<details>"})
    EXPECT_NE(html.find(part), std::string::npos) << part;
  EXPECT_EQ(html.find("<script"), std::string::npos);
  EXPECT_EQ(html.find("nan"), std::string::npos);
  EXPECT_EQ(html.find("inf"), std::string::npos);
}

TEST(ReportHtml, StandsARunWithoutRequests) {
  Drawn run(1, {});
  EXPECT_NE(to_html(run.report, run.made.fleet, run.timeline, run.result, "c"), "");
}

TEST(ReportHtml, StaysSmallWithManyPoolsAndReplicas) {
  std::vector<sched::TestPool> pools;
  for (int i = 0; i < 60; ++i)
    pools.push_back({.name = "pool-" + std::to_string(i), .replicas = 10, .step_s = 0.01});
  const sched::TestFleet made = sched::make_test_fleet(pools);
  Timeline timeline(made.fleet);
  const std::vector<Arrival> arrivals = arrivals_of(600, milliseconds(5));
  const SimulationResult result =
      simulate(made.fleet, made.perf, arrivals, {}, {.timeline = &timeline});
  EXPECT_LT(
      to_html(make_report("many", made.fleet, result), made.fleet, timeline, result, "c").size(),
      2'000'000u);
}

}  // namespace
}  // namespace medley::simulate
