#include "replica/batched.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/check.h"
#include "perf/step_run.h"

namespace medley::replica {

BatchedReplica::BatchedReplica(const Setup& setup, const Options& options)
    : batching_(setup.batching),
      // `mixed` counts its memory in tokens.
      block_tokens_(setup.batching.kind == BatchingKind::kMixed ? 1 : setup.batching.block_tokens),
      kv_blocks_(setup.batching.kind == BatchingKind::kMixed
                     ? setup.kv_blocks * setup.batching.block_tokens
                     : setup.kv_blocks),
      watermark_blocks_(static_cast<long long>(
          std::floor(setup.batching.watermark * static_cast<double>(setup.kv_blocks)))),
      max_context_(setup.max_context),
      steps_(setup.steps),
      report_tokens_(options.report_tokens),
      max_running_(setup.batching.max_running),
      free_blocks_(kv_blocks_) {
  MEDLEY_CHECK(steps_ != nullptr);
  MEDLEY_CHECK(setup.kv_blocks >= 1 && setup.batching.block_tokens >= 1 && max_running_ >= 1);
  if (batching_.kind == BatchingKind::kChunkedPrefill) {
    MEDLEY_CHECK(batching_.chunk_tokens >= 1);
  } else {
    MEDLEY_CHECK(batching_.max_batched_tokens >= 1);
  }
  if (batching_.kind == BatchingKind::kTokenBudget) {
    max_running_ =
        static_cast<int>(std::min<long long>(max_running_, batching_.max_batched_tokens));
  }
  phases_.resize(static_cast<std::size_t>(block_tokens_));
  if (batching_.kind == BatchingKind::kTokenBudget && batching_.reuse_blocks) {
    queue_.emplace(static_cast<std::size_t>(kv_blocks_));
  }
  if (batching_.prefix_caching) {
    MEDLEY_CHECK(!queue_ && (batching_.kind == BatchingKind::kChunkedPrefill ||
                             batching_.kind == BatchingKind::kTokenBudget));
    cache_.emplace();
  }
}

// --- lists ---

void BatchedReplica::insert_after(List& list, Index place, Index index) {
  Entry& entry = entries_[index];
  entry.previous = place;
  entry.next = place == kNone ? list.front : entries_[place].next;
  (entry.previous == kNone ? list.front : entries_[entry.previous].next) = index;
  (entry.next == kNone ? list.back : entries_[entry.next].previous) = index;
  ++list.size;
}

void BatchedReplica::unlink(List& list, Index index) {
  const Entry& entry = entries_[index];
  (entry.previous == kNone ? list.front : entries_[entry.previous].next) = entry.next;
  (entry.next == kNone ? list.back : entries_[entry.next].previous) = entry.previous;
  --list.size;
}

// --- coming and going ---

bool BatchedReplica::fits(const Sequence& sequence) const {
  if (sequence.prompt_tokens < 1 || sequence.output_tokens < 1)
    return false;
  const long long total = sequence.prompt_tokens + sequence.output_tokens;
  if (max_context_ > 0 && total > max_context_)
    return false;
  switch (batching_.kind) {
    case BatchingKind::kChunkedPrefill:
    case BatchingKind::kPrefillFirst: {
      // Evicted at its longest it must be let in again; alone it must not evict itself.
      const long long kept_free =
          sequence.output_tokens == 1 ? watermark_blocks_ : std::max(watermark_blocks_, 1LL);
      if (blocks_for(total - 1) + kept_free > kv_blocks_)
        return false;
      return batching_.kind == BatchingKind::kChunkedPrefill ||
             sequence.prompt_tokens <= batching_.max_batched_tokens;
    }
    case BatchingKind::kTokenBudget:
      return blocks_for(total - 1) <= kv_blocks_;
    case BatchingKind::kMixed:
      return total <= kv_blocks_;
  }
  return false;
}

void BatchedReplica::enqueue(Instant now, const Sequence& sequence) {
  MEDLEY_CHECK(fits(sequence), fmt::format("request {}", sequence.request.number()));
  if (waiting_.size == 0)  // else the new one waits behind others that keep waiting
    settle(now);
  Index index;
  if (free_entries_.empty()) {
    index = static_cast<Index>(entries_.size());
    entries_.emplace_back();
    if (queue_) {
      held_.emplace_back();
    }
  } else {
    index = free_entries_.back();
    free_entries_.pop_back();
  }
  const bool is_new = index_of_.emplace(sequence.request, index).second;
  MEDLEY_CHECK(is_new, fmt::format("request {} is here already", sequence.request.number()));
  Entry& entry = entries_[index];
  const std::uint32_t stamp = entry.stamp + 1;
  entry = Entry{};
  entry.stamp = stamp;
  entry.request = sequence.request;
  entry.arrived_s = sequence.arrived_s;
  entry.given_prompt = entry.prompt = sequence.prompt_tokens;
  entry.total = sequence.prompt_tokens + sequence.output_tokens;
  entry.state = State::kWaiting;
  if (cache_ && sequence.prefix) {
    entry.prefix = sequence.prefix;
    entry.nameable = sequence.prefix->blocks.size();
  }
  push_back(waiting_, index);
  pending_tokens_ += entry.prompt + 1;
}

std::optional<double> BatchedReplica::cancel(Instant now, RequestId request) {
  const auto found = index_of_.find(request);
  if (found == index_of_.end())
    return std::nullopt;
  settle(now);
  const Index index = found->second;
  Entry& entry = entries_[index];
  switch (entry.state) {
    case State::kWaiting:
      unlink(waiting_, index);
      pending_tokens_ -= entry.prompt;
      break;
    case State::kPrompt:
      if (partial_ == index)
        partial_ = kNone;
      for (Chunk& chunk : chunks_) {
        if (chunk.index == index)
          chunk.index = kNone;
      }
      pending_tokens_ -= entry.prompt;
      break;
    case State::kReady:
      unlink(ready_, index);
      break;
    case State::kDecoding:
      // Those left out stand in front, with the lowest numbers.
      if (left_out_ == 0 || entry.number > next_front_number_ + left_out_)
        --live_decodes_;
      stop_decoding(index);
      break;
    case State::kFree:
      MEDLEY_CHECK(false);
  }
  pending_tokens_ -= 1;
  std::erase_if(evictions_, [&](const Report& report) { return report.request == request; });
  const double joules = entry.joules;
  release(index);
  return joules;
}

void BatchedReplica::reset(Instant now) {
  settle(now);
  while (!index_of_.empty())
    cancel(now, index_of_.begin()->first);
  if (cache_)
    cache_->clear();
  if (!busy_)
    return;
  busy_ = false;
  const double step_s = cost_.time.value();
  const double worked_s = std::clamp(to_seconds(now).value() - start_s_, 0.0, step_s);
  usage_.busy_s += worked_s;
  if (!shapes_.empty())
    usage_.prefill_s += worked_s;
  if (step_s > 0)
    usage_.joules += cost_.energy.value() * worked_s / step_s;
  end_at_ = now;
  end_s_ = start_s_ + worked_s;
}

// Gives back what the entry holds and the entry itself. It is in no list any more.
void BatchedReplica::release(Index index) {
  Entry& entry = entries_[index];
  if (entry.blocks + entry.shared > 0)
    give_blocks(index);
  entry.prefix.reset();
  if (queue_) {
    held_[index].clear();
  }
  index_of_.erase(entry.request);
  entry.state = State::kFree;
  free_entries_.push_back(index);
}

// --- the decoding ---

// A decode takes a block when done − 1 is a multiple of the block size, done being base +
// decode_steps_.
std::size_t BatchedReplica::phase_of(long long base) const {
  const long long remainder = (1 - base) % block_tokens_;
  return static_cast<std::size_t>(remainder < 0 ? remainder + block_tokens_ : remainder);
}

bool BatchedReplica::before(Index a, Index b) const {
  const Entry &x = entries_[a], &y = entries_[b];
  return x.rank != y.rank ? x.rank < y.rank : x.number < y.number;
}

// Precondition: the prompt is complete, `done` counts the token it gave, more are to come.
void BatchedReplica::begin_decoding(Index index) {
  Entry& entry = entries_[index];
  entry.number = next_number_++;
  Index place = decoding_.back;
  if (batching_.kind == BatchingKind::kPrefillFirst) {
    // This running list is sorted by arrival, with the earlier comer first among equals.
    entry.rank = entry.arrived_s;
    while (place != kNone && entries_[place].rank > entry.rank)
      place = entries_[place].previous;
  }
  insert_after(decoding_, place, index);

  finishes_.push_back({decode_steps_ + entry.total - entry.done, index, ++entry.stamp});
  std::push_heap(finishes_.begin(), finishes_.end(), std::greater<>());
  entry.state = State::kDecoding;
  entry.done -= decode_steps_;
  entry.joules -= joules_per_decode_;
  base_sum_ += entry.done;
  ++phases_[phase_of(entry.done)];
  if (decoding_.size == 1) {
    base_min_ = base_max_ = entry.done;
    extremes_known_ = true;
  } else {
    base_min_ = std::min(base_min_, entry.done);
    base_max_ = std::max(base_max_, entry.done);
  }
}

// Sets done, told, joules and blocks to what they are now.
void BatchedReplica::stop_decoding(Index index) {
  Entry& entry = entries_[index];
  unlink(decoding_, index);
  ++entry.stamp;
  if (decoding_.size == 0)
    finishes_.clear();
  --phases_[phase_of(entry.done)];
  base_sum_ -= entry.done;
  if (entry.done == base_min_ || entry.done == base_max_)
    extremes_known_ = false;

  entry.blocks = blocks_of(entry) - entry.shared;
  entry.done += decode_steps_;
  entry.joules += joules_per_decode_;
  entry.told = std::max(entry.told, entry.done - entry.given_prompt);
  entry.state = State::kPrompt;
}

long long BatchedReplica::blocks_of(const Entry& entry) const {
  if (entry.state != State::kDecoding || batching_.kind == BatchingKind::kMixed)
    return entry.blocks;
  // In the middle of a step the block for its token is taken already.
  const bool in_step = busy_ && step_decodes_ > 0;
  return blocks_for(done_of(entry) - (in_step ? 0 : 1));
}

void BatchedReplica::find_extremes() {
  if (extremes_known_ || decoding_.size == 0)
    return;
  base_min_ = base_max_ = entries_[decoding_.front].done;
  for (Index i = entries_[decoding_.front].next; i != kNone; i = entries_[i].next) {
    base_min_ = std::min(base_min_, entries_[i].done);
    base_max_ = std::max(base_max_, entries_[i].done);
  }
  extremes_known_ = true;
}

// --- forming a step ---

void BatchedReplica::form_step(Instant now) {
  if (busy_ || index_of_.empty())
    return;
  // The exact end of the step before where it ended in this instant (whole nanoseconds would
  // drift).
  const bool follows = usage_.steps > 0 && end_at_ == now;
  formed_at_s_ = follows ? end_s_ : to_seconds(now).value();
  do {
    chunks_.clear();
    shapes_.clear();
    step_decodes_ = 0;
    evicted_ = false;
    switch (batching_.kind) {
      case BatchingKind::kChunkedPrefill:
        form_chunked_prefill();
        break;
      case BatchingKind::kPrefillFirst:
        form_prefill_first();
        break;
      case BatchingKind::kTokenBudget:
        form_token_budget();
        break;
      case BatchingKind::kMixed:
        form_mixed();
        break;
    }
    // A step that evictions left empty is formed anew; each time fewer sequences hold blocks.
  } while (chunks_.empty() && step_decodes_ == 0 && evicted_);
  if (!chunks_.empty() || step_decodes_ > 0)
    start();
}

void BatchedReplica::take_prompt(Index index, long long tokens, long long blocks) {
  Entry& entry = entries_[index];
  if (entry.state == State::kWaiting) {
    unlink(waiting_, index);
    entry.state = State::kPrompt;
    ++holding_;
  }
  take_blocks(index, blocks);
  entry.blocks += blocks;
  if (entry.prefix)
    name_blocks(entry, entry.done + tokens);
  chunks_.push_back({index, tokens});
  shapes_.push_back({tokens, entry.done});
}

// The decoding count their blocks by `done`, the others in Entry::blocks, which is the caller's to
// change.
void BatchedReplica::take_blocks(Index index, long long blocks) {
  less_free(blocks);
  if (!queue_)
    return;
  for (long long i = 0; i < blocks; ++i)
    held_[index].push_back(queue_->take());
}

// Precondition: not decoding.
void BatchedReplica::give_blocks(Index index) {
  Entry& entry = entries_[index];
  free_blocks_ += entry.blocks;
  if (cache_) {
    // What is let go last is found longest: the beginning.
    cache_->leave(entry.blocks);
    if (entry.prefix)
      free_blocks_ += cache_->release(std::span(entry.prefix->blocks).first(entry.chained));
    entry.chained = 0;
    entry.shared = 0;
  }
  MEDLEY_CHECK(!queue_ || std::cmp_equal(held_[index].size(), entry.blocks));
  entry.blocks = 0;
  --holding_;
  if (!queue_)
    return;
  for (auto block = held_[index].rbegin(); block != held_[index].rend(); ++block) {
    queue_->give_back(*block);
  }
}

// Leading full blocks of a waiting sequence that still hold what it left in them when it was
// evicted. The last token before the next one is computed in any case.
long long BatchedReplica::blocks_to_reuse(Index index) const {
  if (!queue_)
    return 0;
  const auto limit = static_cast<std::size_t>((entries_[index].prompt - 1) / block_tokens_);
  const std::vector<BlockQueue::Block>& left = held_[index];
  std::size_t count = 0;
  while (count < std::min(limit, left.size()) && queue_->has_content(left[count]))
    ++count;
  return static_cast<long long>(count);
}

// Of a waiting sequence. The last token before the next one is computed in any case, and its whole
// block with it.
BatchedReplica::Found BatchedReplica::find_prefix(const Entry& entry) const {
  Found found;
  if (!entry.prefix)
    return found;
  const auto whole = static_cast<std::size_t>(entry.prompt / entry.prefix->block_tokens);
  const PrefixCache::Chain all = entry.prefix->blocks,
                           chain = all.first(std::min(all.size(), whole));
  found.chained = cache_->matched(chain);
  if (found.chained == 0)
    return found;
  found.blocks = static_cast<long long>(found.chained) * entry.prefix->block_tokens / block_tokens_;
  found.idle = cache_->idle_part(chain.first(found.chained));
  found.tokens = std::min(found.blocks, (entry.prompt - 1) / block_tokens_) * block_tokens_;
  return found;
}

// It holds them now, and goes on where they end.
void BatchedReplica::take_prefix(Entry& entry, const Found& found) {
  if (found.chained == 0)
    return;
  cache_->hold(std::span(entry.prefix->blocks).first(found.chained));
  less_free(found.idle);
  entry.chained = found.chained;
  entry.shared = found.blocks;
  entry.done = found.tokens;
  usage_.reused_tokens += found.tokens;
}

// Whole blocks of its prompt that are computed with the step being formed can be found from now on,
// as in vLLM. Where another sequence computes the same at the same time, its blocks are the ones.
void BatchedReplica::name_blocks(Entry& entry, long long computed) {
  const PrefixChain& chain = *entry.prefix;
  while (entry.chained < entry.nameable) {
    const long long end = static_cast<long long>(entry.chained + 1) * chain.block_tokens;
    if (end > computed)
      return;
    const long long size = end / block_tokens_ - entry.shared;
    if (!cache_->add(chain.blocks[entry.chained], size)) {
      entry.nameable = entry.chained;
      return;
    }
    ++entry.chained;
    entry.shared += size;
    entry.blocks -= size;
  }
}

void BatchedReplica::less_free(long long blocks) {
  free_blocks_ -= blocks;
  if (cache_)
    cache_->shrink(free_blocks_);
}

bool BatchedReplica::admits_by_blocks(const Entry& entry, const Found& found) const {
  return free_blocks_ - found.idle - (blocks_for(entry.prompt) - found.blocks) >= watermark_blocks_;
}

// Every decode takes its place in the step, and a block where it needs one. With
// `needs_a_free_block` the one in hand wants a free block even if it takes none (Vidur); else only
// the block it takes (vLLM).
void BatchedReplica::walk(bool needs_a_free_block) {
  const auto taken = phases_[static_cast<std::size_t>(decode_steps_ % block_tokens_)];
  if (!queue_ && free_blocks_ >= taken + (needs_a_free_block ? 1 : 0)) {
    less_free(taken);
  } else {
    for (Index index = decoding_.front; index != kNone; index = entries_[index].next) {
      const bool takes = (done_of(entries_[index]) - 1) % block_tokens_ == 0;
      if (takes || needs_a_free_block) {
        bool gone = false;
        while (free_blocks_ < 1 && !gone) {
          const bool partial_is_last = partial_ != kNone && !partial_in_front_;
          const Index last = partial_is_last ? partial_ : decoding_.back;
          gone = last == index;
          evict(last);
        }
        if (gone)
          break;
      }
      if (takes)
        take_blocks(index, 1);
    }
  }
  step_decodes_ = decoding_.size;
}

// Precondition: between steps; the sequence has no place in the step being formed.
void BatchedReplica::evict(Index index) {
  Entry& entry = entries_[index];
  const bool is_decoding = entry.state == State::kDecoding;
  if (is_decoding) {
    stop_decoding(index);
  } else {
    MEDLEY_CHECK(index == partial_);
    partial_ = kNone;
    pending_tokens_ -= entry.prompt;
  }
  const long long full_blocks = (is_decoding ? entry.done - 1 : entry.done) / block_tokens_;
  // It starts again with its prompt and all that was generated.
  entry.prompt = std::max(entry.prompt, entry.done);
  entry.done = 0;
  give_blocks(index);
  entry.nameable = entry.prefix ? entry.prefix->blocks.size() : 0;
  if (queue_) {
    held_[index].resize(static_cast<std::size_t>(full_blocks));
  }
  entry.state = State::kWaiting;
  push_front(waiting_, index);
  pending_tokens_ += entry.prompt;
  ++usage_.evictions;
  evicted_ = true;
  evictions_.push_back({ReportKind::kEvicted, entry.request, formed_at_s_, entry.told});
}

void BatchedReplica::form_chunked_prefill() {
  if (decoding_.size > 0)
    walk(true);
  long long left = batching_.chunk_tokens - step_decodes_;
  if (partial_ != kNone) {
    const Entry& entry = entries_[partial_];
    const long long tokens = std::min(entry.prompt - entry.done, left);
    partial_in_front_ = tokens <= 0;
    if (tokens > 0) {
      take_prompt(partial_, tokens, 0);
      left -= tokens;
    }
  }
  while (waiting_.front != kNone && left > 0 && holding_ < max_running_) {
    const Index head = waiting_.front;
    Entry& entry = entries_[head];
    const Found found = find_prefix(entry);
    if (!admits_by_blocks(entry, found))
      break;
    take_prefix(entry, found);
    const long long tokens = std::min(entry.prompt - entry.done, left);
    take_prompt(head, tokens, blocks_for(entry.prompt) - found.blocks);
    left -= tokens;
  }
}

void BatchedReplica::form_prefill_first() {
  long long longest = 0;
  while (waiting_.front != kNone && holding_ < max_running_) {
    const Index head = waiting_.front;
    const Entry& entry = entries_[head];
    if (!admits_by_blocks(entry, {}))
      break;
    longest = std::max(longest, entry.prompt);
    const auto count = static_cast<long long>(chunks_.size()) + 1;
    // An evicted sequence that has outgrown the limit goes alone: the rule would never let it in
    // again.
    if (count * longest > batching_.max_batched_tokens &&
        !(count == 1 && entry.prompt > entry.given_prompt)) {
      break;
    }
    take_prompt(head, entry.prompt, blocks_for(entry.prompt));
  }
  if (chunks_.empty() && decoding_.size > 0)
    walk(true);
}

void BatchedReplica::form_token_budget() {
  if (decoding_.size > 0)
    walk(false);
  long long left = batching_.max_batched_tokens - step_decodes_;
  if (partial_ != kNone && !evicted_) {
    const Entry& entry = entries_[partial_];
    const long long tokens = std::min(entry.prompt - entry.done, left);
    const long long held = entry.blocks + entry.shared;
    const long long blocks = std::max(0LL, blocks_for(entry.done + tokens) - held);
    if (blocks > free_blocks_) {
      evict(partial_);  // it is the last of the running list
    } else if (tokens > 0) {
      take_prompt(partial_, tokens, blocks);
      left -= tokens;
    }
  }
  while (!evicted_ && waiting_.front != kNone && left > 0 && holding_ < max_running_) {
    const Index head = waiting_.front;
    Entry& entry = entries_[head];
    const Found found = find_prefix(entry);
    const long long reused = blocks_to_reuse(head);
    const long long computed = queue_ ? reused * block_tokens_ : found.tokens;
    const long long tokens = std::min(entry.prompt - computed, left);
    const long long blocks = std::max(0LL, blocks_for(computed + tokens) - found.blocks);
    if (blocks + found.idle > free_blocks_)
      break;
    take_prefix(entry, found);
    if (queue_) {
      held_[head].resize(static_cast<std::size_t>(reused));
      for (const BlockQueue::Block block : held_[head])
        queue_->take_back(block);
      free_blocks_ -= reused;
      entry.blocks = reused;
      entry.done = computed;
    }
    take_prompt(head, tokens, blocks - reused);
    left -= tokens;
  }
}

void BatchedReplica::form_mixed() {
  long long tokens = 0;
  const auto room = [&] { return static_cast<int>(chunks_.size()) + step_decodes_ < max_running_; };
  while (waiting_.front != kNone && room()) {
    const Index head = waiting_.front;
    const long long prompt = entries_[head].prompt;
    if (!chunks_.empty() && tokens + prompt > batching_.max_batched_tokens)
      break;
    if (prompt + 1 > free_blocks_)
      break;
    take_prompt(head, prompt, prompt + 1);
    tokens += prompt;
  }
  const auto places = [&] {
    return std::max(0LL,
                    std::min<long long>(batching_.max_batched_tokens - tokens,
                                        max_running_ - static_cast<long long>(chunks_.size())));
  };
  step_decodes_ = std::min<long long>(decoding_.size, places());
  if (step_decodes_ < decoding_.size)
    return;  // those left out come before the ready ones
  while (ready_.front != kNone && step_decodes_ < places()) {
    const Index head = ready_.front;
    Entry& entry = entries_[head];
    const long long more = entry.total - entry.given_prompt - 1;
    // With nothing else to do the rule would wait for ever for memory that prompts hold.
    const bool stuck = chunks_.empty() && step_decodes_ == 0;
    if (more > free_blocks_ && !stuck)
      break;
    free_blocks_ -= more;
    entry.blocks += more;
    unlink(ready_, head);
    begin_decoding(head);
    ++step_decodes_;
  }
}

void BatchedReplica::start() {
  perf::StepShape shape{.chunks = shapes_, .decodes = step_decodes_};
  step_tokens_ = step_decodes_ + shape.prefill_tokens();
  if (step_decodes_ == decoding_.size && step_decodes_ > 0) {
    find_extremes();
    // vLLM counts what was computed, one less than Vidur's processed.
    const long long offset = decode_steps_ - (batching_.kind == BatchingKind::kTokenBudget ? 1 : 0);
    shape.decode_context = base_sum_ + step_decodes_ * offset;
    shape.decode_context_min = base_min_ + offset;
    shape.decode_context_max = base_max_ + offset;
  } else if (step_decodes_ > 0) {
    Index index = decoding_.front;
    for (long long i = 0; i < step_decodes_; ++i, index = entries_[index].next) {
      const long long context = done_of(entries_[index]);
      shape.decode_context += context;
      shape.decode_context_max = std::max(shape.decode_context_max, context);
      shape.decode_context_min = i == 0 ? context : std::min(shape.decode_context_min, context);
    }
  }
  start_s_ = formed_at_s_;
  run_ = steps_alike();
  run_shape_ = shape;
  run_shape_.chunks = {};
  const std::optional<perf::StepCost> run = run_ > 1 ? steps_->run(run_shape_, run_) : std::nullopt;
  if (!run)
    run_ = 1;
  cost_ = run ? *run : steps_->step(shape);
  end_s_ = start_s_ + cost_.time.value();
  end_at_ = round_to_instant(Seconds(end_s_));
  busy_ = true;
  live_decodes_ = step_decodes_;
  left_out_ = step_decodes_ > 0 ? decoding_.size - step_decodes_ : 0;
  if (left_out_ > 0) {
    leave_out(step_decodes_, cost_.energy.value() / static_cast<double>(step_tokens_));
  }
}

// --- runs of steps that are formed alike ---

// How many steps from this one on differ in nothing but a token more in each context, if nothing
// comes from outside: until a sequence finishes or blocks run short. Whoever waits goes on waiting:
// what keeps the head of the queue out (places, tokens, memory) does not change for the better.
long long BatchedReplica::steps_alike() {
  if (!chunks_.empty() || step_decodes_ == 0 || step_decodes_ < decoding_.size)
    return 1;
  if (report_tokens_ || queue_ || !evictions_.empty())
    return 1;
  const auto is_stale = [this](const Finish& finish) {
    return entries_[finish.index].stamp != finish.stamp;
  };
  while (is_stale(finishes_.front())) {
    std::pop_heap(finishes_.begin(), finishes_.end(), std::greater<>());
    finishes_.pop_back();
  }
  const long long until_finish = finishes_.front().at - decode_steps_;
  if (batching_.kind == BatchingKind::kMixed)
    return until_finish;  // their memory is theirs already
  const long long kept_free = batching_.kind == BatchingKind::kTokenBudget ? 0 : 1;  // as walk()
  // In block_tokens steps every decode takes one block. Whole rounds first, as long as a round's
  // blocks are left after them; then step by step.
  const long long rounds =
      std::clamp(free_blocks_ / decoding_.size - 1, 0LL, (until_finish - 1) / block_tokens_);
  long long free = free_blocks_ - rounds * decoding_.size;
  long long steps = 1 + rounds * block_tokens_;
  while (steps < until_finish) {
    const long long taken = blocks_taken(decode_steps_ + steps, 1);
    if (free < taken + kept_free)
      break;
    free -= taken;
    ++steps;
  }
  return steps;
}

// By the decoding, in the steps that begin when `first`, first + 1, … decode steps have ended.
long long BatchedReplica::blocks_taken(long long first, long long count) const {
  if (batching_.kind == BatchingKind::kMixed)
    return 0;
  long long taken = count / block_tokens_ * decoding_.size;
  for (long long i = 0; i < count % block_tokens_; ++i)
    taken += phases_[static_cast<std::size_t>((first + i) % block_tokens_)];
  return taken;
}

// Of the first `steps` of the run. Precondition: it is one, so that its model knows the shortcut.
perf::StepCost BatchedReplica::cost_of_run(long long steps) const {
  if (steps == 0)
    return {};
  return steps_->run(run_shape_, steps).value();
}

// Brings a run up to `now`: the steps that ended before are carried out, the one in progress is
// left alone, and what comes after it is not formed yet.
void BatchedReplica::settle(Instant now) {
  if (!busy_ || run_ == 1)
    return;
  // The first step that ends at `now` or later; the last one does.
  const auto ends_before_now = [&](long long steps) {
    return round_to_instant(Seconds(start_s_ + cost_of_run(steps).time.value())) < now;
  };
  long long in_progress = 1;
  for (long long high = run_; in_progress < high;) {
    const long long middle = in_progress + (high - in_progress) / 2;
    if (ends_before_now(middle))
      in_progress = middle + 1;
    else
      high = middle;
  }
  const long long ended = in_progress - 1;
  const perf::StepCost before = cost_of_run(ended), with = cost_of_run(in_progress);
  if (ended > 0) {
    less_free(blocks_taken(decode_steps_ + 1, ended));
    book(before, ended);
    run_shape_ = perf::later_step(run_shape_, ended);
  }
  run_ = 1;
  cost_ = {with.time - before.time, with.energy - before.energy,
           with.extrapolated - before.extrapolated};
  end_s_ = start_s_ + with.time.value();
  start_s_ += before.time.value();
  end_at_ = round_to_instant(Seconds(end_s_));
}

// Carries out what `steps` steps with decodes do to all of the decoding, and counts them.
void BatchedReplica::book(const perf::StepCost& cost, long long steps) {
  usage_.steps += steps;
  usage_.extrapolated_steps += cost.extrapolated;
  usage_.busy_s += cost.time.value();
  usage_.joules += cost.energy.value();
  if (step_decodes_ == 0)
    return;
  decode_steps_ += steps;
  joules_per_decode_ += cost.energy.value() / static_cast<double>(step_tokens_);
  usage_.output_tokens += live_decodes_ * steps;
}

// mixed: the decoding beyond the first `after` have no place in this step. They come first in the
// next one, and what the step will add to all the decoding is taken from them beforehand.
void BatchedReplica::leave_out(long long after, double joules_per_token) {
  Index index = decoding_.front;
  for (long long i = 0; i < after; ++i)
    index = entries_[index].next;
  std::int64_t number = next_front_number_ - (decoding_.size - after);
  next_front_number_ = number;
  Index place = kNone;
  while (index != kNone) {
    const Index next = entries_[index].next;
    unlink(decoding_, index);
    insert_after(decoding_, place, index);
    place = index;
    Entry& entry = entries_[index];
    entry.number = ++number;
    --phases_[phase_of(entry.done)];
    --entry.done;
    ++phases_[phase_of(entry.done)];
    --base_sum_;
    entry.joules -= joules_per_token;
    finishes_.push_back({decode_steps_ + entry.total - done_of(entry), index, ++entry.stamp});
    std::push_heap(finishes_.begin(), finishes_.end(), std::greater<>());
    index = next;
  }
  extremes_known_ = false;
}

// --- the end of a step ---

std::optional<Instant> BatchedReplica::next_event() const {
  if (!busy_)
    return std::nullopt;
  return end_at_;
}

void BatchedReplica::advance(Instant now, std::vector<Report>& reports) {
  if (busy_ && end_at_ <= now)
    end_step(reports);
}

void BatchedReplica::end_step(std::vector<Report>& reports) {
  reports.insert(reports.end(), evictions_.begin(), evictions_.end());
  evictions_.clear();
  busy_ = false;
  if (run_ > 1)
    less_free(blocks_taken(decode_steps_ + 1, run_ - 1));
  book(cost_, run_);
  if (!shapes_.empty())
    usage_.prefill_s += cost_.time.value();
  const double joules_per_token = cost_.energy.value() / static_cast<double>(step_tokens_);
  if (step_decodes_ > 0)
    end_decodes(reports);
  for (const Chunk& chunk : chunks_) {
    if (chunk.index != kNone)
      end_chunk(chunk.index, chunk.tokens, joules_per_token, reports);
  }
  chunks_.clear();
  shapes_.clear();
}

void BatchedReplica::end_decodes(std::vector<Report>& reports) {
  finished_.clear();
  while (!finishes_.empty() && finishes_.front().at <= decode_steps_) {
    const Finish due = finishes_.front();
    std::pop_heap(finishes_.begin(), finishes_.end(), std::greater<>());
    finishes_.pop_back();
    if (entries_[due.index].stamp == due.stamp)
      finished_.push_back(due.index);
  }
  if (report_tokens_) {
    for (Index index = decoding_.front; index != kNone;) {
      Entry& entry = entries_[index];
      const Index next = entry.next;
      tell_token(entry, done_of(entry) - entry.given_prompt, reports);
      if (done_of(entry) == entry.total) {
        stop_decoding(index);
        finish(index, reports);
      }
      index = next;
    }
    return;
  }
  std::sort(finished_.begin(), finished_.end(), [this](Index a, Index b) { return before(a, b); });
  for (const Index index : finished_) {
    stop_decoding(index);
    finish(index, reports);
  }
}

void BatchedReplica::end_chunk(Index index, long long tokens, double joules_per_token,
                               std::vector<Report>& reports) {
  Entry& entry = entries_[index];
  entry.done += tokens;
  entry.joules += joules_per_token * static_cast<double>(tokens);
  usage_.prompt_tokens += tokens;
  if (entry.done < entry.prompt) {
    partial_ = index;
    partial_in_front_ = false;
    return;
  }
  if (partial_ == index)
    partial_ = kNone;
  pending_tokens_ -= entry.prompt;
  ++entry.done;
  const long long generated = std::max(1LL, entry.done - entry.given_prompt);
  if (generated > entry.told)
    ++usage_.output_tokens;
  if (entry.told == 0) {
    entry.told = 1;
    reports.push_back({ReportKind::kFirstToken, entry.request, end_s_, 1});
  } else {
    tell_token(entry, generated, reports);
  }
  if (entry.done == entry.total) {
    finish(index, reports);
  } else if (batching_.kind == BatchingKind::kMixed) {
    make_ready(index);
  } else {
    begin_decoding(index);
  }
}

void BatchedReplica::make_ready(Index index) {
  entries_[index].state = State::kReady;
  Index place = ready_.back;
  while (place != kNone && entries_[place].arrived_s > entries_[index].arrived_s) {
    place = entries_[place].previous;
  }
  insert_after(ready_, place, index);
}

// Notes that there are `generated` tokens now.
void BatchedReplica::tell_token(Entry& entry, long long generated, std::vector<Report>& reports) {
  if (generated <= entry.told)
    return;
  entry.told = generated;
  if (report_tokens_) {
    reports.push_back({ReportKind::kToken, entry.request, end_s_, generated});
  }
}

void BatchedReplica::finish(Index index, std::vector<Report>& reports) {
  const Entry& entry = entries_[index];
  reports.push_back({ReportKind::kFinished, entry.request, end_s_, entry.total - entry.given_prompt,
                     entry.joules});
  pending_tokens_ -= 1;
  release(index);
}

Load BatchedReplica::load() const {
  const long long grows_by =
      busy_ && run_ > 1 ? blocks_taken(decode_steps_ + 1, run_ - 1) * block_tokens_ : 0;
  return {.running = static_cast<int>(index_of_.size()) - waiting_.size,
          .waiting = waiting_.size,
          .kv_tokens_used = (kv_blocks_ - free_blocks_) * block_tokens_,
          .kv_tokens = kv_blocks_ * block_tokens_,
          .since_s = start_s_,
          .kv_tokens_per_s = grows_by > 0 ? static_cast<double>(grows_by) / (end_s_ - start_s_) : 0,
          .pending_tokens = pending_tokens_};
}

}  // namespace medley::replica
