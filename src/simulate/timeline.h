// What a fleet did over time, for the pictures of a report: in a bounded number of buckets, however
// long the run and however many its requests.
//
// The simulation tells it what each replica has done and holds, at instants when something happens
// there; records tell it what became of requests. Without a timeline the simulation asks nothing
// and costs nothing more.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "domain/fleet.h"
#include "replica/replica.h"
#include "simulate/simulation.h"

namespace medley::simulate {

class Timeline {
 public:
  // Buckets are at most so many, and at least half as many once a run has had time to fill them.
  static constexpr std::size_t kMostBuckets = 256;
  // Up to so many replicas have a row of their own beside their pool's.
  static constexpr std::size_t kMostReplicas = 48;

  // Sums over a bucket: seconds are replica-seconds, the others something-seconds.
  struct Work {
    double busy_s = 0, prefill_s = 0;  // prefill: in steps with prompt chunks, part of busy
    double joules = 0;                 // of steps
    double lost_s = 0;
    double running_s = 0, waiting_s = 0;  // requests in the replica × seconds
    double kv_token_s = 0;                // tokens of KV cache in use × seconds
  };
  // Requests by the bucket they arrived in.
  struct Arrivals {
    long long kept = 0, late = 0, refused = 0, failed = 0;  // failed: or never finished
    double in_core_s = 0;  // requests that the core held back before dispatch × seconds
  };

  explicit Timeline(const Fleet& fleet);

  // What the replica has done since the start, at the end of a step: the time it was busy since it
  // was last told lies right before `now`.
  void worked(std::size_t replica, Instant now, const replica::Usage& usage);
  // What the replica holds from `now` on.
  void holds(std::size_t replica, Instant now, const replica::Load& load);
  void add(const RequestRecord& record);
  void add(const std::vector<Fault>& faults, double end_s);
  // Once, when the run has ended.
  void end(Instant now);

  double bucket_s() const { return width_s_; }
  std::size_t buckets() const;  // those that the run reached
  double end_s() const { return end_s_; }
  const std::vector<Work>& pool(PoolId pool) const { return pools_[pool.number()]; }
  // Empty where there are too many replicas.
  const std::vector<Work>& replica(std::size_t replica) const;
  bool has_replicas() const { return !replicas_.empty(); }
  long long kv_tokens(PoolId pool) const { return kv_tokens_[pool.number()]; }  // 0: unknown
  const std::vector<Arrivals>& arrivals() const { return arrivals_; }

 private:
  struct Last {
    double worked_s = 0, held_since_s = 0;
    replica::Usage usage;
    replica::Load load;
  };
  // Makes room for `until_s` by joining buckets in pairs.
  void reach(double until_s);
  template <typename Add>
  void spread(double from_s, double until_s, const Add& add);
  // The amount a second, to the pool's row and the replica's own; the KV cache in use grows by
  // `kv_tokens_per_s`.
  void spread_work(std::size_t replica, double from_s, double until_s, const Work& per_second,
                   double kv_tokens_per_s = 0);

  const std::vector<PoolId> owners_;
  double width_s_ = 1.0 / 1024;  // doubles, so that it stays exact
  double end_s_ = 0;
  std::vector<std::vector<Work>> pools_, replicas_;  // by number, kMostBuckets each
  std::vector<Arrivals> arrivals_;
  std::vector<long long> kv_tokens_;  // by pool, of all its replicas
  std::vector<char> kv_known_;        // by replica
  std::vector<Last> last_;            // by replica
};

}  // namespace medley::simulate
