// Continuous batching in virtual time: one loop for four sets of rules (BatchingKind).
//
// The rules are those of sim-compat.md section 1 (docs/simulate.md, "Batching"). `chunked_prefill`
// and `prefill_first` equal Vidur's `sarathi` and `vllm` schedulers, evictions included, but for
// one in the middle of a prompt: Vidur takes what it had processed for the whole prompt and
// generates the rest of it, token by token; here it computes the prompt again, as engines do;
// `token_budget` follows vLLM 0.19; `mixed` follows splitwise-sim.
//
// Speed: decoding sequences advance together, so a step costs the same however many there are. A
// sequence is touched when it arrives, takes a chunk, completes its prompt, finishes, is evicted or
// cancelled; all of them are when blocks run short (evictions go by order) or when every token is
// to be told. Steps that would be formed alike, one after the other, are a run: formed, timed
// (StepModel::run) and ended as one, until a sequence finishes or blocks run short. An arrival or a
// cancellation cuts the run after the step in progress. So the work is by request, not by token.
//
// What `done` means, as in Vidur: tokens processed, plus one for the newest generated token, whose
// key and value are computed by the next step.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "domain/prefix_cache.h"
#include "replica/block_queue.h"
#include "replica/replica.h"

namespace medley::replica {

class BatchedReplica final : public VirtualReplica {
 public:
  struct Setup {
    Batching batching;          // its max_running is the limit; kv_blocks is not read, see below
    long long kv_blocks = 1;    // of batching.block_tokens tokens each
    long long max_context = 0;  // prompt and output of one sequence; 0: as long as the blocks allow
    std::shared_ptr<const perf::StepModel> steps;
  };
  // Preconditions: `steps` is not null; every number that the kind of batching uses is positive.
  // token_budget: max_running is cut to max_batched_tokens, so that every decode gets its token
  // each step (vLLM refuses to start otherwise).
  BatchedReplica(const Setup& setup, const Options& options);

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
  using Index = std::uint32_t;  // into entries_
  static constexpr Index kNone = UINT32_MAX;

  enum class State : std::uint8_t { kFree, kWaiting, kPrompt, kReady, kDecoding };

  struct Entry {
    RequestId request;
    double arrived_s = 0;
    long long given_prompt = 0;  // as enqueued
    long long total = 0;         // prompt and output: finished when `done` reaches it
    long long prompt =
        0;  // to process before the next token; after an eviction with what was generated
    long long done = 0;    // while kDecoding: less decode_steps_
    long long told = 0;    // tokens that the core knows of when it began to decode, or now
    long long blocks = 0;  // held; while kDecoding only for `mixed`, else they follow from `done`
    // prefix_caching: what its prompt begins with; the first `chained` of these blocks are cached
    // and held by it, `shared` blocks of KV cache, which are not in `blocks`. Up to `nameable` may
    // come to be so.
    Prefix prefix;
    std::size_t chained = 0, nameable = 0;
    long long shared = 0;
    double joules = 0;  // while kDecoding: less joules_per_decode_
    double rank = 0;    // place among the decoding: by rank, then by number
    std::int64_t number = 0;
    Index previous = kNone, next = kNone;
    std::uint32_t stamp = 0;  // tells stale entries of finishes_ apart
    State state = State::kFree;
  };

  // A doubly linked list through the entries.
  struct List {
    Index front = kNone, back = kNone;
    int size = 0;
  };
  void push_back(List& list, Index index) { insert_after(list, list.back, index); }
  void push_front(List& list, Index index) { insert_after(list, kNone, index); }
  void insert_after(List& list, Index place, Index index);  // place kNone: at the front
  void unlink(List& list, Index index);

  // Forming a step. Each fills chunks_ and step_decodes_; evictions may happen.
  void form_chunked_prefill();
  void form_prefill_first();
  void form_token_budget();
  void form_mixed();
  void take_prompt(Index index, long long tokens, long long blocks);
  void take_blocks(Index index, long long blocks);
  void give_blocks(Index index);
  long long blocks_to_reuse(Index index) const;
  struct Found {
    std::size_t chained = 0;  // blocks of the chain
    long long blocks = 0;     // of KV cache, in them
    long long idle = 0;       // of these, held by nobody
    long long tokens = 0;     // that need not be computed
  };
  Found find_prefix(const Entry& entry) const;
  bool admits_by_blocks(const Entry& entry, const Found& found) const;
  void take_prefix(Entry& entry, const Found& found);
  void name_blocks(Entry& entry, long long computed);
  void less_free(long long blocks);
  void walk(bool needs_a_free_block);
  void evict(Index index);
  void leave_out(long long after, double joules_per_token);
  void start();
  long long steps_alike();
  long long blocks_taken(long long first, long long count) const;
  perf::StepCost cost_of_run(long long steps) const;
  void settle(Instant now);
  void book(const perf::StepCost& cost, long long steps);

  void end_step(std::vector<Report>& reports);
  void end_decodes(std::vector<Report>& reports);
  void end_chunk(Index index, long long tokens, double joules_per_token,
                 std::vector<Report>& reports);
  void finish(Index index, std::vector<Report>& reports);
  void tell_token(Entry& entry, long long generated, std::vector<Report>& reports);

  void begin_decoding(Index index);
  void stop_decoding(Index index);
  void make_ready(Index index);
  void release(Index index);
  long long blocks_of(const Entry& entry) const;
  long long done_of(const Entry& entry) const {
    return entry.state == State::kDecoding ? entry.done + decode_steps_ : entry.done;
  }
  long long blocks_for(long long tokens) const {
    return (tokens + block_tokens_ - 1) / block_tokens_;
  }
  std::size_t phase_of(long long base) const;
  bool before(Index a, Index b) const;
  void find_extremes();

  const Batching batching_;
  const long long block_tokens_, kv_blocks_, watermark_blocks_, max_context_;
  const std::shared_ptr<const perf::StepModel> steps_;
  const bool report_tokens_;
  int max_running_ = 0;

  std::vector<Entry> entries_;
  std::vector<Index> free_entries_;
  std::unordered_map<RequestId, Index> index_of_;

  List waiting_;   // the queue
  List decoding_;  // in the order the running list has them
  List ready_;     // mixed: prompt complete, not yet admitted to decode; by arrival
  // chunked_prefill, token_budget: the one running sequence whose prompt is not complete. There is
  // never a second one: admission needs tokens left over, and then every prompt begun before has
  // been completed.
  Index partial_ = kNone;
  bool partial_in_front_ =
      false;  // it got no tokens in the last step and so stands before the decoding
  // reuse_blocks: which blocks each entry holds, or would like to find again after an eviction.
  std::optional<BlockQueue> queue_;
  std::vector<std::vector<BlockQueue::Block>> held_;  // as entries_
  std::optional<PrefixCache> cache_;                  // prefix_caching; in blocks of KV cache
  int holding_ = 0;                                   // sequences that hold blocks
  long long free_blocks_ = 0;
  long long pending_tokens_ = 0;
  std::int64_t next_number_ = 0, next_front_number_ = -1;

  // All the decoding, together.
  long long decode_steps_ = 0;    // steps with decodes that ended
  double joules_per_decode_ = 0;  // given to one decode in each of them, summed
  long long base_sum_ = 0;        // of done − decode_steps_
  std::vector<long long>
      phases_;  // how many take a block when decode_steps_ ≡ index (mod block_tokens)
  long long base_min_ = 0, base_max_ = 0;
  bool extremes_known_ = true;
  struct Finish {
    long long at = 0;  // decode_steps_
    Index index = kNone;
    std::uint32_t stamp = 0;
    bool operator>(const Finish& other) const { return at > other.at; }
  };
  std::vector<Finish> finishes_;  // a heap, soonest first
  std::vector<Index> finished_;   // scratch

  // The step in progress, or the run of steps.
  bool busy_ = false;
  long long run_ = 1;           // steps of it
  double start_s_ = 0;          // exactly
  double end_s_ = 0;            // exactly
  Instant end_at_{};            // rounded
  perf::StepShape run_shape_;   // of a run: its first step, without chunks
  perf::StepCost cost_;         // of all of it
  long long step_tokens_ = 0;   // of one step
  long long step_decodes_ = 0;  // the first so many of the decoding
  long long live_decodes_ = 0;  // of these, not cancelled since
  long long left_out_ = 0;      // decoding without a place in the step (mixed)
  struct Chunk {
    Index index = kNone;  // kNone: cancelled since
    long long tokens = 0;
  };
  std::vector<Chunk> chunks_;
  std::vector<perf::PrefillChunk> shapes_;
  bool evicted_ = false;
  double formed_at_s_ = 0;
  std::vector<Report> evictions_;  // told with the next advance()

  Usage usage_;
};

}  // namespace medley::replica
