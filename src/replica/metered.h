// A rented service in virtual time: a latency law in place of hardware.
//
// The first token comes after a log-normal time drawn from (seed, request), whatever else the
// replica does; then one token each tpot_s. Concurrency has no limit here: quota is the scheduler's
// matter. It draws no power of ours, takes no steps and is never busy (Usage counts tokens only).
#pragma once

#include <unordered_map>

#include "domain/fleet.h"
#include "replica/replica.h"
#include "replica/token_streams.h"

namespace medley::replica {

class MeteredReplica final : public VirtualReplica {
 public:
  // `max_context`: prompt and output of one sequence; 0: no limit.
  MeteredReplica(const Metered& law, long long max_context, const Options& options);

  void enqueue(Instant now, const Sequence& sequence) override;
  std::optional<double> cancel(Instant now, RequestId request) override;
  void reset(Instant now) override;
  std::optional<Instant> next_event() const override;
  void advance(Instant now, std::vector<Report>& reports) override;
  void form_step(Instant) override {}
  bool fits(const Sequence& sequence) const override;
  Load load() const override;
  Usage usage() const override { return usage_; }

 private:
  struct Running {
    long long prompt_tokens = 0;
    long long told = 0;  // tokens counted in usage_
  };
  void leave(RequestId request);

  const Metered law_;
  const long long max_context_;
  const bool report_tokens_;
  const std::uint64_t seed_;
  TokenStreams streams_;
  std::unordered_map<RequestId, Running> running_;
  long long pending_tokens_ = 0;
  Usage usage_;
};

}  // namespace medley::replica
