// A statically scheduled replica in virtual time: slots, and one serial lane for prompts.
//
// A prompt enters the lane in order of arrival, when the lane is free, a slot is free and the KV
// cache has room for all its context, prompt and output; it keeps slot and room until it finishes,
// so nothing is ever evicted. It holds the lane for step({its prompt, decodes: the others
// there}).time, times the error that Options put upon it. Its first token comes one token time
// after that, then one each token time: nothing that others do moves them (hardware.md 1.3, rows 2,
// 5 and 7).
//
// Usage: `busy_s` is the time with at least one slot filled or the lane busy, `steps` counts the
// prompts that entered the lane. The power does not depend on how many slots are filled; a
// sequence's joules are its equal share of it over the time it held a slot.
#pragma once

#include <list>
#include <unordered_map>

#include "replica/replica.h"
#include "replica/token_streams.h"

namespace medley::replica {

class SlottedReplica final : public VirtualReplica {
 public:
  struct Setup {
    int slots = 1;
    long long kv_tokens = 0;
    long long max_context = 0;  // prompt and output of one sequence; 0: as long as kv_tokens
    std::shared_ptr<const perf::StepModel> steps;
  };
  SlottedReplica(const Setup& setup, const Options& options);

  void enqueue(Instant now, const Sequence& sequence) override;
  std::optional<double> cancel(Instant now, RequestId request) override;
  void reset(Instant now) override;
  std::optional<Instant> next_event() const override;
  void advance(Instant now, std::vector<Report>& reports) override;
  void form_step(Instant now) override;
  bool fits(const Sequence& sequence) const override;
  Load load() const override;
  Usage usage() const override { return usage_; }

 private:
  struct Running {
    Sequence sequence;
    long long told = 0;        // tokens counted in usage_
    double joules_before = 0;  // joules_per_slot_ when it took its slot
  };
  static long long total(const Sequence& sequence) {
    return sequence.prompt_tokens + sequence.output_tokens;
  }
  double next_s() const;  // infinity: none
  void account(double until_s);
  void end_lane();
  void leave(RequestId request);
  double exact(Instant now) const;
  double lane_s(const Sequence& sequence) const;

  const Setup setup_;
  const Options options_;
  double token_s_ = 0, watts_ = 0;

  std::list<Sequence> waiting_;
  std::unordered_map<RequestId, std::list<Sequence>::iterator> place_in_waiting_;
  std::unordered_map<RequestId, Running> running_;  // in a slot: in the lane or generating
  TokenStreams streams_;
  long long reserved_tokens_ = 0, pending_tokens_ = 0;

  bool lane_busy_ = false;
  std::optional<RequestId> lane_request_;  // empty while busy: cancelled since
  double lane_end_s_ = 0;
  double last_event_s_ = -1;

  double accounted_s_ = 0;
  double joules_per_slot_ = 0;  // what one filled slot has been given since the start
  Usage usage_;
};

}  // namespace medley::replica
