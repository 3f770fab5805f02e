#include "simulate/simulation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sched/test_fleet.h"
#include "simulate/report.h"

namespace medley::simulate {
namespace {

using std::chrono::milliseconds, std::chrono::seconds;

Arrival arrival(std::uint64_t id, Duration at, long long prompt_tokens, long long output_tokens) {
  Arrival made;
  made.request.id = RequestId(id);
  made.request.arrived_at = Instant(at);
  made.request.label = LabelId(1);
  made.request.prompt_tokens = Tokens(prompt_tokens);
  made.output_tokens = output_tokens;
  return made;
}

SimulationResult run(const sched::TestFleet& made, const std::vector<Arrival>& arrivals,
                     const std::vector<Fault>& faults = {}) {
  return simulate(made.fleet, made.perf, arrivals, faults, {});
}

// A step takes 10 ms, 0.1 ms a decode and 20 us a prompt token more.
sched::TestFleet one_pool(int replicas = 1) {
  return sched::make_test_fleet({{.name = "a", .replicas = replicas, .step_s = 0.01}});
}

TEST(Simulation, TimesOneRequestByItsSteps) {
  const SimulationResult result = run(one_pool(), {arrival(0, seconds(1), 100, 3)});
  const RequestRecord& record = result.requests[0];
  EXPECT_EQ(record.outcome, RequestOutcome::kCompleted);
  EXPECT_NEAR(record.ttft_s().value(), 0.01 + 100 * 2e-5, 1e-12);
  EXPECT_NEAR(record.tpot_s().value(), 0.0101, 1e-12);
  EXPECT_EQ(result.steps, 3);
  EXPECT_NEAR(record.joules, 100 * (0.012 + 2 * 0.0101), 1e-9);  // 100 W while it runs
  // 50 W between steps, until the last effect.
  EXPECT_NEAR(result.replicas[0].idle_joules.value(), 50 * 1.0, 1e-6);
}

TEST(Simulation, WhatOthersSendTakesItsTimeAndIsInNoCount) {
  const sched::TestFleet made = one_pool();
  const std::vector<OutsideArrival> outside = {{Instant(seconds(1)), ReplicaId(0), 100, 50},
                                               {Instant(seconds(9)), ReplicaId(0), 100, 50}};
  const SimulationResult result =
      simulate(made.fleet, made.perf, {arrival(0, seconds(1), 100, 3)}, {}, {.outside = &outside});
  ASSERT_EQ(result.requests.size(), 1u);
  EXPECT_EQ(result.requests[0].outcome, RequestOutcome::kCompleted);
  EXPECT_NEAR(result.requests[0].ttft_s().value(), 0.01 + 200 * 2e-5, 1e-12);
  EXPECT_NEAR(result.requests[0].tpot_s().value(), 0.0102, 1e-12);
  EXPECT_LT(result.simulated_s, 2);  // nothing of medley's own comes after that
}

TEST(Simulation, ReportsWithoutOthersChangeNoDecision) {
  const sched::TestFleet made = one_pool(2);
  std::vector<Arrival> arrivals;
  for (std::uint64_t i = 0; i < 200; ++i)
    arrivals.push_back(arrival(i, milliseconds(20 * i), 300, 40));
  const auto digest = [&](const SimulationOptions& options) {
    return simulate(made.fleet, made.perf, arrivals, {}, options).digest.value();
  };
  EXPECT_EQ(digest({.signals_every = milliseconds(100)}), digest({}));
}

TEST(Simulation, ReportsOfOthersSendWorkElsewhere) {
  const sched::TestFleet made = one_pool(2);
  std::vector<OutsideArrival> outside;
  for (int i = 0; i < 60; ++i)
    outside.push_back({Instant(milliseconds(100 * i)), ReplicaId(0), 2000, 200});
  std::vector<Arrival> arrivals;
  for (std::uint64_t i = 0; i < 20; ++i) {
    arrivals.push_back(arrival(i, seconds(1 + i / 4), 100, 5));
    arrivals.back().request.targets.ttft = milliseconds(500);
  }
  const auto on_the_loaded_one = [&](Duration signals_every) {
    const SimulationResult result = simulate(made.fleet, made.perf, arrivals, {},
                                             {.signals_every = signals_every, .outside = &outside});
    return std::count_if(
        result.requests.begin(), result.requests.end(),
        [](const RequestRecord& record) { return record.replica == ReplicaId(0); });
  };
  EXPECT_GE(on_the_loaded_one({}), 8);
  EXPECT_LE(on_the_loaded_one(milliseconds(500)), 2);
}

TEST(Simulation, AFirstTokenAtOnceIsHeardOf) {
  const auto made = sched::make_test_fleet(
      {{.name = "burst",
        .kind = perf::ServingKind::kMetered,
        .metered = {.ttft_median_s = 1e-12, .ttft_sigma = 0, .tpot_s = 0.01}}});
  const SimulationResult result = run(made, {arrival(0, seconds(1), 3, 5)});
  EXPECT_EQ(result.requests[0].outcome, RequestOutcome::kCompleted);
  EXPECT_NEAR(result.requests[0].ttft_s().value(), 1e-9, 1e-10);
}

TEST(Simulation, ASlowReplicaTakesLonger) {
  const SimulationResult result =
      run(one_pool(), {arrival(0, seconds(1), 100, 3)},
          {{ReplicaId(0), Instant(milliseconds(500)), seconds(10), 2.0}});
  EXPECT_NEAR(result.requests[0].ttft_s().value(), 2 * (0.01 + 100 * 2e-5), 1e-12);
}

TEST(Simulation, ABrokenAnswerOfARentedServiceIsPaidForAsFarAsItCame) {
  const auto made = sched::make_test_fleet({{.name = "burst",
                                             .kind = perf::ServingKind::kMetered,
                                             .metered = {.per_million_prompt = 1e6,
                                                         .per_million_output = 1e4,
                                                         .ttft_median_s = 0.1,
                                                         .ttft_sigma = 0,
                                                         .tpot_s = 0.01}}});
  // The first token comes at 1.1 s, the fourth at 1.13 s.
  const SimulationResult result =
      run(made, {arrival(0, seconds(1), 3, 50)},
          {{ReplicaId(0), Instant(milliseconds(1135)), seconds(10), {}}});
  EXPECT_EQ(result.requests[0].outcome, RequestOutcome::kFailed);
  EXPECT_NEAR(result.requests[0].money, 3 + 4 * 0.01, 1e-9);
  const Report report = make_report("", made.fleet, result);
  EXPECT_NEAR(report.money, 3.04, 1e-9);
  EXPECT_NEAR(report.request_money, 3.04, 1e-9);
  EXPECT_EQ(report.completed, 0);
}

TEST(Simulation, ALostReplicaBreaksWhatItStreamsAndGivesBackTheRest) {
  // The first is streaming at 1.05 s; the second arrives right before the loss and has no token
  // yet.
  const SimulationResult result =
      run(one_pool(2), {arrival(0, seconds(1), 100, 50), arrival(1, milliseconds(1049), 100, 5)},
          {{ReplicaId(0), Instant(milliseconds(1050)), seconds(10), {}}});
  EXPECT_EQ(result.requests[0].outcome, RequestOutcome::kFailed);
  EXPECT_FALSE(result.requests[0].finished_s.has_value());
  EXPECT_EQ(result.requests[1].outcome, RequestOutcome::kCompleted);
  EXPECT_EQ(result.requests[1].replica, ReplicaId(1));
}

TEST(Simulation, ALostReplicaDropsTheStepItWasIn) {
  // A prompt of 256 tokens a step: lost in the middle of its first one, back before its end.
  const SimulationResult result =
      run(one_pool(), {arrival(0, seconds(1), 8000, 3), arrival(1, milliseconds(1009), 10, 1)},
          {{ReplicaId(0), Instant(milliseconds(1005)), milliseconds(2), {}}});
  EXPECT_NE(result.requests[0].outcome, RequestOutcome::kCompleted);
  EXPECT_NEAR(result.requests[1].ttft_s().value(), 0.01 + 10 * 2e-5, 1e-12);
  EXPECT_NEAR(result.replicas[0].usage.busy_s, 0.005 + 0.0102, 1e-12);
}

TEST(Simulation, ALostReplicaDrawsNothing) {
  for (const Duration lost_for : {Duration(seconds(8)), Instant::max() - Instant(seconds(1))}) {
    const SimulationResult result =
        run(one_pool(2), {arrival(0, seconds(0), 100, 1), arrival(1, seconds(10), 100, 1)},
            {{ReplicaId(1), Instant(seconds(1)), lost_for, {}}});
    const double end_s = result.simulated_s;
    EXPECT_NEAR(result.replicas[1].lost_s, lost_for == seconds(8) ? 8 : end_s - 1, 1e-9);
    for (const ReplicaRecord& replica : result.replicas) {
      EXPECT_NEAR(replica.idle_joules.value(), 50 * (end_s - replica.usage.busy_s - replica.lost_s),
                  1e-6);
    }
  }
}

TEST(Simulation, WhatAReplicaCanNeverHoldIsRefused) {
  sched::TestFleet made = one_pool();
  made.fleet.pools[0].batching.kind = BatchingKind::kPrefillFirst;
  made.fleet.pools[0].batching.max_batched_tokens = 500;
  made.perf.pools[0].chunk_tokens = 0;
  const SimulationResult result =
      run(made, {arrival(0, seconds(1), 501, 3), arrival(1, seconds(1), 500, 3)});
  EXPECT_EQ(result.requests[0].outcome, RequestOutcome::kRejected);
  EXPECT_EQ(result.requests[0].reason, sched::RejectReason::kNoReplica);
  EXPECT_EQ(result.requests[1].outcome, RequestOutcome::kCompleted);
}

TEST(Simulation, WorkForALostPoolIsLeftUnfinishedInTheEnd) {
  sched::TestFleet made = one_pool();
  made.fleet.classes[index_of(ServiceClass::kBatch)].targets = {};
  std::vector<Arrival> arrivals = {arrival(0, seconds(2), 10, 2)};
  arrivals[0].request.service_class = ServiceClass::kBatch;
  const SimulationResult result =
      run(made, arrivals,
          {{ReplicaId(0), Instant(seconds(1)), Instant::max() - Instant(seconds(1)), {}}});
  EXPECT_EQ(result.requests[0].outcome, RequestOutcome::kUnfinished);
}

// Seven days of nothing but alarms end a run; they count from what last happened.
TEST(Simulation, WaitsForALostPoolHoweverLateTheRequestsCome) {
  sched::TestFleet made = one_pool();
  made.fleet.classes[index_of(ServiceClass::kBatch)].targets = {};
  const auto hours = [](int count) { return std::chrono::hours(count); };
  std::vector<Arrival> arrivals = {arrival(0, hours(200), 10, 2), arrival(1, hours(201), 10, 2),
                                   arrival(2, hours(500), 10, 2)};
  for (Arrival& each : arrivals)
    each.request.service_class = ServiceClass::kBatch;
  for (const int lost_for : {202, 499}) {
    const SimulationResult result =
        run(made, arrivals, {{ReplicaId(0), Instant(seconds(0)), hours(lost_for), {}}});
    for (const RequestRecord& record : result.requests)
      EXPECT_EQ(record.outcome, RequestOutcome::kCompleted) << record.request.id.number();
  }
}

TEST(Simulation, HandsRecordsToASinkInRowOrder) {
  struct Rows final : RecordSink {
    void add(const RequestRecord& record) override { records.push_back(record); }
    std::vector<RequestRecord> records;
  } rows;
  std::vector<Arrival> arrivals;
  for (std::uint64_t i = 0; i < 200; ++i) {
    arrivals.push_back(arrival(i + 5, milliseconds(4 * i), 100, 1 + 60 * (i % 5 == 0)));
    arrivals.back().request.service_class = kServiceClasses[i % kServiceClassCount];
  }
  // The last never gets a place: its pool does not return.
  arrivals.push_back(arrival(999, seconds(60), 100, 5));
  arrivals.back().request.service_class = ServiceClass::kBatch;
  const std::vector<Fault> lost = {
      {ReplicaId(0), Instant(seconds(50)), Instant::max() - Instant(seconds(50)), {}}};
  sched::TestFleet made = one_pool();
  made.fleet.classes[index_of(ServiceClass::kBatch)].targets = {};
  const SimulationResult kept = run(made, arrivals, lost);
  const SimulationResult streamed =
      simulate(made.fleet, made.perf, arrivals, lost, {.records = &rows});
  EXPECT_TRUE(streamed.requests.empty());
  EXPECT_EQ(streamed.digest.hex(), kept.digest.hex());
  ASSERT_EQ(rows.records.size(), arrivals.size());
  for (std::size_t i = 0; i < arrivals.size(); ++i) {
    EXPECT_EQ(rows.records[i].request.id, arrivals[i].request.id);
    EXPECT_EQ(rows.records[i].outcome, kept.requests[i].outcome);
    EXPECT_EQ(rows.records[i].finished_s, kept.requests[i].finished_s);
    EXPECT_EQ(rows.records[i].kept, kept.requests[i].kept);
  }
  EXPECT_EQ(rows.records.back().outcome, RequestOutcome::kUnfinished);
}

TEST(Report, AddsUpWhatTheRowsSay) {
  std::vector<Arrival> arrivals;
  for (std::uint64_t i = 0; i < 300; ++i) {
    arrivals.push_back(arrival(i, milliseconds(5 * i), 50 + static_cast<long long>(i % 7) * 100,
                               1 + static_cast<long long>(i % 40)));
    arrivals.back().request.service_class = kServiceClasses[i % kServiceClassCount];
  }
  const sched::TestFleet made = one_pool(2);
  const SimulationResult result = run(made, arrivals);
  const Report report = make_report("test", made.fleet, result);
  long long requests = 0, kept = 0, rejected = 0, pool_requests = 0;
  double joules = 0;
  for (const ClassReport& of_class : report.classes) {
    requests += of_class.requests;
    kept += of_class.kept;
    rejected += of_class.rejected;
    joules += of_class.joules;
    EXPECT_EQ(of_class.requests,
              of_class.completed + of_class.rejected + of_class.failed + of_class.unfinished);
  }
  for (const PoolReport& pool : report.pools)
    pool_requests += pool.requests;
  EXPECT_EQ(requests, 300);
  EXPECT_EQ(kept, report.kept);
  EXPECT_EQ(rejected, report.rejected);
  EXPECT_GT(rejected, 0);
  EXPECT_EQ(pool_requests, report.completed);
  EXPECT_NEAR(joules, report.request_joules, 1e-6);
  // What requests account for is what the replicas drew while busy.
  double busy = 0;
  for (const ReplicaRecord& replica : result.replicas)
    busy += replica.usage.joules;
  EXPECT_NEAR(report.request_joules, busy, 1e-6 * busy);
  RequestsCsv csv(made.fleet);
  for (const RequestRecord& record : result.requests)
    csv.add(record);
  EXPECT_EQ(std::count(csv.str().begin(), csv.str().end(), '\n'), 301);
}

// A token takes 3.03 ms, a prompt token 0.02 ms of the lane and 3 ms more; error bars of 3 %.
sched::TestFleet scheduled_pools(int replicas) {
  sched::TestFleet made = sched::make_test_fleet({{.name = "lpu",
                                                   .replicas = replicas,
                                                   .max_running = 4,
                                                   .step_s = 0.003,
                                                   .kind = perf::ServingKind::kSlotted}});
  made.perf.pools[0].ttft_error = made.perf.pools[0].tpot_error = 0.03;
  return made;
}

Arrival guaranteed(std::uint64_t id, Duration at) {
  Arrival made = arrival(id, at, 1000, 50);
  made.request.service_class = ServiceClass::kGuaranteed;
  made.request.output_cap = Tokens(64);
  return made;
}

TEST(Report, CountsWhatBecameOfTokenWindows) {
  sched::TestFleet made = scheduled_pools(2);
  made.fleet.placement = PlacementKind::kLeastOutstanding;  // spreads them
  // The second one's replica is lost while its prompt is in the lane: it is answered by the first,
  // after it; the third one's while it streams.
  const SimulationResult result =
      run(made,
          {guaranteed(0, seconds(1)), guaranteed(1, seconds(1)), guaranteed(2, seconds(5)),
           arrival(3, seconds(9), 1000, 50)},
          {{ReplicaId(1), Instant(milliseconds(1010)), seconds(1), {}},
           {ReplicaId(0), Instant(milliseconds(5100)), seconds(1), {}}});
  EXPECT_EQ(result.requests[0].window_outcome, WindowOutcome::kKept);
  EXPECT_EQ(result.requests[1].outcome, RequestOutcome::kCompleted);
  EXPECT_EQ(result.requests[1].window_outcome, WindowOutcome::kLost);
  EXPECT_EQ(result.requests[2].window_outcome, WindowOutcome::kLost);
  EXPECT_EQ(result.requests[3].window_outcome, WindowOutcome::kNone) << "standard";
  const Report report = make_report("test", made.fleet, result);
  ASSERT_EQ(report.classes.size(), 2u);
  const WindowCounts& windows = report.classes[0].windows;
  EXPECT_EQ(windows.admitted, 3);
  EXPECT_EQ(windows.promised, 3);
  EXPECT_EQ(windows.kept, 1);
  EXPECT_EQ(windows.broken, 2);
  EXPECT_EQ(windows.lost, 2);
  EXPECT_EQ(
      windows_text(report.classes[0]),
      "guaranteed: 3 admitted on scheduled devices, 3 of them (100.0 %) with a token window, 1 "
      "kept, 2 broken, of which 2 by lost replicas");
  EXPECT_EQ(windows.no_limit, 0);
  EXPECT_EQ(report.classes[1].windows.admitted, 1);
  EXPECT_EQ(windows_text(report.classes[1]), "");
}

TEST(Report, SaysWhoseWindowWantsALimitOfTheAnswer) {
  sched::TestFleet made = scheduled_pools(1);
  made.perf.pools[0].max_context = made.perf.pools[0].kv_tokens;
  Arrival unlimited = guaranteed(1, milliseconds(1100));
  unlimited.request.output_cap.reset();
  Arrival beside = guaranteed(2, milliseconds(1200));  // no room is left that is sure
  const SimulationResult result = run(made, {guaranteed(0, seconds(1)), unlimited, beside});
  const Report report = make_report("test", made.fleet, result);
  EXPECT_EQ(report.classes.at(0).windows.no_limit, 1) << windows_text(report.classes[0]);
  EXPECT_THAT(windows_text(report.classes[0]),
              testing::HasSubstr("1 without one named no max_tokens"));
}

TEST(Report, CountsALateTokenAsABrokenWindow) {
  const sched::TestFleet made = scheduled_pools(1);
  const SimulationResult result =
      run(made, {guaranteed(0, seconds(1))}, {{ReplicaId(0), Instant{}, seconds(9), 2.0}});
  EXPECT_EQ(result.requests[0].window_outcome, WindowOutcome::kBroken);
}

TEST(Report, SaysWhatTheKeptRequestsAreWorth) {
  sched::TestFleet made = one_pool(1);
  made.fleet.placement = PlacementKind::kRoundRobin;  // takes all, late or not
  made.fleet.classes[index_of(ServiceClass::kStandard)].targets = {.ttft = milliseconds(100)};
  made.fleet.classes[index_of(ServiceClass::kFlex)].targets = {.ttft = milliseconds(1)};
  std::vector<Arrival> arrivals = {arrival(0, seconds(1), 100, 2), arrival(1, seconds(5), 100, 2),
                                   arrival(2, seconds(9), 100, 2)};
  arrivals[2].request.service_class = ServiceClass::kFlex;
  const SimulationResult result = run(made, arrivals);
  const Report report = make_report("test", made.fleet, result);
  EXPECT_EQ(report.kept, 2) << "a step takes longer than flex has here";
  EXPECT_NEAR(report.value_offered, 0.005 + 0.005 + 0.002, 1e-12);
  EXPECT_NEAR(report.value_kept, 0.01, 1e-12);
  EXPECT_NEAR(report.value_goodput().value(), 0.01 / 0.012, 1e-12);
  EXPECT_NEAR(report.net_value(), 0.01 - report.request_money, 1e-12);
  EXPECT_GT(report.request_money, 0) << "of the one that was late too";
  EXPECT_NEAR(report.money_per_good().value(), report.money / 2, 1e-12);
  EXPECT_NEAR(report.joules_per_good().value(), report.joules / 2, 1e-9);

  const Report nothing = make_report("test", made.fleet, run(made, {}));
  EXPECT_FALSE(nothing.value_goodput() || nothing.money_per_good() || nothing.joules_per_good())
      << "unknown is not 0";
}

TEST(Simulation, WhatMakesRoomStartsOverAndItsEnergyStaysBooked) {
  Arrival batch = arrival(0, seconds(1), 100, 100), guaranteed = arrival(1, seconds(1), 100, 10);
  batch.request.service_class = ServiceClass::kBatch;
  guaranteed.request.service_class = ServiceClass::kGuaranteed;
  guaranteed.request.arrived_at += milliseconds(203);
  const sched::TestFleet made = sched::make_test_fleet({{.name = "a", .max_running = 1}});
  const SimulationResult alone = run(made, {batch});
  const SimulationResult result = run(made, {batch, guaranteed});
  EXPECT_EQ(result.preemptions, 1);
  const RequestRecord &first = result.requests[0], &second = result.requests[1];
  EXPECT_EQ(first.preemptions, 1);
  EXPECT_EQ(first.outcome, RequestOutcome::kCompleted);
  EXPECT_TRUE(second.kept);
  EXPECT_GT(*first.dispatched_s, *second.finished_s - 1e-9) << "it waited for its place";
  EXPECT_GT(*first.first_token_s, *first.dispatched_s);
  // 100 W, for the first 200 ms and for the whole answer; the step in progress is nobody's.
  EXPECT_NEAR(first.joules - alone.requests[0].joules, 100 * 0.2, 100 * 0.01);
  EXPECT_NEAR(first.joules + second.joules, result.replicas[0].usage.joules, 100 * 0.01);
}

TEST(Report, SaysWhatEachTenantKept) {
  sched::TestFleet made = one_pool(1);
  made.fleet.placement = PlacementKind::kRoundRobin;
  made.fleet.tenants = {{"default"}, {"a", 2}, {"b"}};
  made.fleet.classes[index_of(ServiceClass::kFlex)].targets = {.ttft = milliseconds(1)};
  std::vector<Arrival> arrivals;
  for (std::uint64_t i = 0; i < 4; ++i) {
    arrivals.push_back(arrival(i, seconds(i + 1), 100, 20));
    arrivals.back().request.tenant = TenantId(i < 3 ? 1 : 2);
  }
  arrivals[0].request.service_class = ServiceClass::kFlex;
  const Report report = make_report("test", made.fleet, run(made, arrivals));
  ASSERT_EQ(report.tenants.size(), 3u);
  EXPECT_EQ(report.tenants[0].requests, 0);
  EXPECT_EQ(report.tenants[1].requests, 3);
  EXPECT_NEAR(report.tenants[1].attainment(), 2.0 / 3, 1e-12);
  EXPECT_EQ(report.tenants[1].class_kept[index_of(ServiceClass::kStandard)], 2);
  EXPECT_EQ(report.tenants[2].attainment(), 1);
  // 360 tokens by a weight of 2 beside 120 by 1; those without requests are not counted.
  EXPECT_NEAR(report.jain_of_service(made.fleet), 300.0 * 300 / (2 * (180 * 180 + 120 * 120)),
              1e-12);
  EXPECT_NEAR(report.jain_of_attainment(), (5.0 / 3) * (5.0 / 3) / (2 * (1 + 4.0 / 9)), 1e-12);
  EXPECT_NE(to_json(report, made.fleet).find(R"("tenants":{"default")"), std::string::npos);
}

}  // namespace
}  // namespace medley::simulate
