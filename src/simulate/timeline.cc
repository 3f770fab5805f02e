#include "simulate/timeline.h"

#include <algorithm>
#include <cmath>

namespace medley::simulate {
namespace {

void add_to(Timeline::Work& sum, const Timeline::Work& work, double times) {
  sum.busy_s += work.busy_s * times;
  sum.prefill_s += work.prefill_s * times;
  sum.joules += work.joules * times;
  sum.lost_s += work.lost_s * times;
  sum.running_s += work.running_s * times;
  sum.waiting_s += work.waiting_s * times;
  sum.kv_token_s += work.kv_token_s * times;
}

void add_to(Timeline::Arrivals& sum, const Timeline::Arrivals& other, double) {
  sum.kept += other.kept;
  sum.late += other.late;
  sum.refused += other.refused;
  sum.failed += other.failed;
  sum.in_core_s += other.in_core_s;
}

template <typename Bucket>
void join_pairs(std::vector<Bucket>& buckets) {
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    Bucket joined{};
    for (const std::size_t from : {2 * i, 2 * i + 1}) {
      if (from < buckets.size())
        add_to(joined, buckets[from], 1);
    }
    buckets[i] = joined;
  }
}

}  // namespace

Timeline::Timeline(const Fleet& fleet)
    : owners_(fleet.pools_of_replicas()),
      pools_(fleet.pools.size(), std::vector<Work>(kMostBuckets)),
      replicas_(owners_.size() <= kMostReplicas ? owners_.size() : 0,
                std::vector<Work>(kMostBuckets)),
      arrivals_(kMostBuckets),
      kv_tokens_(fleet.pools.size(), 0),
      kv_known_(owners_.size(), 0),
      last_(owners_.size()) {}

std::size_t Timeline::buckets() const {
  return std::clamp<std::size_t>(static_cast<std::size_t>(std::ceil(end_s_ / width_s_)), 1,
                                 kMostBuckets);
}

const std::vector<Timeline::Work>& Timeline::replica(std::size_t replica) const {
  return replicas_.at(replica);
}

void Timeline::reach(double until_s) {
  while (until_s > width_s_ * kMostBuckets) {
    for (std::vector<Work>& buckets : pools_)
      join_pairs(buckets);
    for (std::vector<Work>& buckets : replicas_)
      join_pairs(buckets);
    join_pairs(arrivals_);
    width_s_ *= 2;
  }
}

template <typename Add>
void Timeline::spread(double from_s, double until_s, const Add& add) {
  if (!(until_s > from_s))
    return;
  reach(until_s);
  auto bucket = static_cast<std::size_t>(from_s / width_s_);
  for (double at_s = from_s; at_s < until_s && bucket < kMostBuckets; ++bucket) {
    const double next_s = std::min(until_s, static_cast<double>(bucket + 1) * width_s_);
    add(bucket, next_s - at_s);
    at_s = next_s;
  }
}

void Timeline::spread_work(std::size_t replica, double from_s, double until_s,
                           const Work& per_second, double kv_tokens_per_s) {
  std::vector<Work>& of_pool = pools_[owners_[replica].number()];
  double at_s = from_s;
  spread(from_s, until_s, [&](std::size_t bucket, double seconds) {
    Work work = per_second;
    // What grows at one rate is in the middle what it is on average.
    work.kv_token_s += kv_tokens_per_s * (at_s + seconds / 2 - from_s);
    at_s += seconds;
    add_to(of_pool[bucket], work, seconds);
    if (!replicas_.empty())
      add_to(replicas_[replica][bucket], work, seconds);
  });
}

void Timeline::worked(std::size_t replica, Instant now, const replica::Usage& usage) {
  const double now_s = to_seconds(now).value();
  Last& last = last_[replica];
  const double busy_s = usage.busy_s - last.usage.busy_s;
  if (busy_s > 0) {
    const double from_s = std::max(0.0, now_s - busy_s);
    const double span_s = std::max(now_s - from_s, 1e-12);
    spread_work(replica, from_s, now_s,
                {.busy_s = busy_s / span_s,
                 .prefill_s = (usage.prefill_s - last.usage.prefill_s) / span_s,
                 .joules = (usage.joules - last.usage.joules) / span_s});
  }
  last.usage = usage;
}

void Timeline::holds(std::size_t replica, Instant now, const replica::Load& load) {
  const double now_s = to_seconds(now).value();
  Last& last = last_[replica];
  if (last.load.running > 0 || last.load.waiting > 0 || last.load.kv_tokens_used > 0) {
    const double grown =
        last.load.kv_tokens_per_s * std::max(0.0, last.held_since_s - last.load.since_s);
    spread_work(replica, last.held_since_s, now_s,
                {.running_s = static_cast<double>(last.load.running),
                 .waiting_s = static_cast<double>(last.load.waiting),
                 .kv_token_s = static_cast<double>(last.load.kv_tokens_used) + grown},
                last.load.kv_tokens_per_s);
  }
  last.held_since_s = now_s;
  last.load = load;
  if (!kv_known_[replica]) {  // what it can hold never changes
    kv_known_[replica] = 1;
    kv_tokens_[owners_[replica].number()] += load.kv_tokens;
  }
}

void Timeline::add(const RequestRecord& record) {
  reach(record.arrived_s);
  const auto bucket =
      std::min(kMostBuckets - 1, static_cast<std::size_t>(record.arrived_s / width_s_));
  Arrivals& arrivals = arrivals_[bucket];
  switch (record.outcome) {
    case RequestOutcome::kCompleted:
      ++(record.kept ? arrivals.kept : arrivals.late);
      break;
    case RequestOutcome::kRejected:
      ++arrivals.refused;
      break;
    case RequestOutcome::kFailed:
    case RequestOutcome::kUnfinished:
      ++arrivals.failed;
      break;
  }
  if (record.dispatched_s) {
    spread(record.arrived_s, *record.dispatched_s,
           [&](std::size_t at, double seconds) { arrivals_[at].in_core_s += seconds; });
  }
}

void Timeline::add(const std::vector<Fault>& faults, double end_s) {
  for (const Fault& fault : faults) {
    if (fault.slowdown)
      continue;
    const double at_s = to_seconds(fault.at).value();
    const double until_s = std::min(end_s, to_seconds(fault.at + fault.lasts).value());
    spread_work(fault.replica.number(), at_s, until_s, {.lost_s = 1});
  }
}

void Timeline::end(Instant now) {
  end_s_ = to_seconds(now).value();
  reach(end_s_);
  for (std::size_t replica = 0; replica < last_.size(); ++replica)
    holds(replica, now, last_[replica].load);
}

}  // namespace medley::simulate
