// Ten thousand random fleets and failure orders: labels are law, and lawful work with room is
// served.
#include <gtest/gtest.h>

#include <map>

#include "random_run.h"
#include "sched/admission.h"

namespace medley::simulate {
namespace {

// Watches every decision as it is made. Keeps its own account of what each replica holds, from the
// record that the simulation keeps, and of which replicas are lost, from the faults.
class Checker final : public sched::ExplanationSink {
 public:
  explicit Checker(const RandomRun& run) : run_(run), owners_(run.made.fleet.pools_of_replicas()) {}

  void explain(const sched::Explanation& why) override {
    if (why.outcome == sched::Outcome::kDispatched) {
      const PoolId pool = owners_.at(why.chosen->number());
      const Label& label = run_.made.fleet.labels[why.request.label.number()];
      EXPECT_TRUE(label.allows(run_.made.fleet.pool(pool).zone))
          << "request " << why.request.id.number() << " labelled " << label.name
          << " was sent to zone " << run_.made.fleet.pool(pool).zone;
      EXPECT_FALSE(lost(why.chosen.value(), why.at)) << "sent to a lost replica";
      sent_[why.request.id].push_back({*why.chosen, why.at});
      ++dispatched;
    } else if (why.outcome == sched::Outcome::kRejected) {
      rejected.push_back(why);
    }
  }

  // Whether a fault covers this moment. Faults come first within an instant.
  bool lost(ReplicaId replica, Instant at) const {
    // A fault on a replica that is lost already is no second one, and the first return ends it.
    std::optional<Instant> until;
    bool is_lost = false;
    std::vector<std::pair<Instant, bool>> events;
    for (const Fault& fault : run_.faults) {
      if (fault.replica != replica)
        continue;
      events.emplace_back(fault.at, false);
      events.emplace_back(fault.at + fault.lasts, true);
    }
    std::stable_sort(events.begin(), events.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    for (const auto& [when, returns] : events) {
      if (when <= at)
        is_lost = !returns;
    }
    return is_lost;
  }

  // For every refusal: no live lawful replica that the request had not failed on stood idle at that
  // moment.
  void check_refusals(const SimulationResult& result) const {
    // Published policies choose among replicas of their own liking, even after a failure.
    const PlacementKind kind = run_.made.fleet.placement.kind;
    if (kind != PlacementKind::kMedley && !counts_only(kind))
      return;
    for (const sched::Explanation& why : rejected) {
      for (std::size_t r = 0; r < owners_.size(); ++r) {
        const ReplicaId replica(r);
        const PoolId pool = owners_[r];
        if (sched::forbidden_by_law(run_.made.fleet, run_.made.perf, why.request, pool) !=
            sched::Forbidden::kNo) {
          continue;
        }
        if (run_.made.fleet.pool(pool).metered)
          continue;  // its room is its quota, which has tests of its own
        if (lost(replica, why.at) || was_sent_to(why.request.id, replica))
          continue;
        bool idle = true;
        for (const RequestRecord& record : result.requests) {
          if (record.request.id != why.request.id && held_at(record, replica, why.at))
            idle = false;
        }
        EXPECT_FALSE(idle) << "request " << why.request.id.number() << " was refused ("
                           << sched::name_of(why.reason.value()) << ") while replica " << r
                           << " stood idle";
      }
    }
  }

  long long dispatched = 0;
  std::vector<sched::Explanation> rejected;

 private:
  struct Sent {
    ReplicaId replica;
    Instant at;
  };

  bool was_sent_to(RequestId request, ReplicaId replica) const {
    const auto found = sent_.find(request);
    if (found == sent_.end())
      return false;
    return std::any_of(found->second.begin(), found->second.end(),
                       [replica](const Sent& sent) { return sent.replica == replica; });
  }

  // Its last place until its end; an earlier place until the next dispatch (a moment longer than
  // true, since a fault comes between; that only makes the check milder for that moment).
  bool held_at(const RequestRecord& record, ReplicaId replica, Instant at) const {
    const auto found = sent_.find(record.request.id);
    if (found == sent_.end())
      return false;
    for (std::size_t i = 0; i < found->second.size(); ++i) {
      const Sent& sent = found->second[i];
      if (sent.replica != replica || sent.at > at)
        continue;
      const bool last = i + 1 == found->second.size();
      if (!last && at <= found->second[i + 1].at)
        return true;
      if (last && (!record.finished_s || at <= round_to_instant(Seconds(*record.finished_s))))
        return true;
    }
    return false;
  }

  const RandomRun& run_;
  std::vector<PoolId> owners_;
  std::map<RequestId, std::vector<Sent>> sent_;
};

TEST(LawSimulation, LabelsAreLawAndLawfulWorkWithRoomIsServed) {
  long long dispatched = 0, rejected = 0, failed = 0, restricted = 0, lost_replicas = 0;
  const std::vector<std::uint64_t> seeds = seeds_for_this_run(10'000);
  for (const std::uint64_t seed : seeds) {
    const RandomRun run = random_run(seed);
    Checker checker(run);
    const SimulationResult result =
        simulate(run.made.fleet, run.made.perf, run.arrivals, run.faults, {seed, &checker});
    checker.check_refusals(result);
    for (const RequestRecord& record : result.requests) {
      EXPECT_NE(record.outcome, RequestOutcome::kUnfinished)
          << "request " << record.request.id.number();
      EXPECT_EQ(record.outcome == RequestOutcome::kCompleted, record.finished_s.has_value());
      failed += record.outcome == RequestOutcome::kFailed;
      restricted += record.request.label == LabelId(2);
    }
    if (seed % 20 == 0) {
      const SimulationResult again =
          simulate(run.made.fleet, run.made.perf, run.arrivals, run.faults, {seed, nullptr});
      EXPECT_EQ(result.digest.hex(), again.digest.hex());
    }
    dispatched += checker.dispatched;
    rejected += static_cast<long long>(checker.rejected.size());
    lost_replicas += static_cast<long long>(run.faults.size());
    ASSERT_FALSE(testing::Test::HasFailure()) << replay_command(seed);
  }
  fmt::print(
      "{} runs: {} dispatches, {} refusals, {} broken by faults, {} restricted requests, {} "
      "faults\n",
      seeds.size(), dispatched, rejected, failed, restricted, lost_replicas);
  if (seeds.size() > 1) {
    // The draws reach what the test is about.
    EXPECT_GT(restricted, 10'000);
    EXPECT_GT(rejected, 10'000);
    EXPECT_GT(failed, 1'000);
  }
}

}  // namespace
}  // namespace medley::simulate
