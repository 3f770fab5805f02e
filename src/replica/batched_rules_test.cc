// BatchedReplica against the rules of sim-compat.md section 1, written down once more as plainly as
// they are said: every list a vector, every sequence touched in every step. Random traffic, limits
// and cancellations.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "base/prng.h"
#include "replica/batched.h"

namespace medley::replica {
namespace {

// A time that depends on everything a step contains, so that no difference stays hidden.
class Telltale final : public perf::StepModel {
 public:
  perf::StepCost step(const perf::StepShape& shape) const override {
    double ms = 3 + 0.5 * static_cast<double>(shape.decodes) +
                0.01 * static_cast<double>(shape.decode_context) +
                0.003 * static_cast<double>(shape.decode_context_max) +
                0.007 * static_cast<double>(shape.decode_context_min);
    double place = 1;
    for (const perf::PrefillChunk& chunk : shape.chunks) {
      ms += 0.1 * static_cast<double>(chunk.tokens) * place +
            0.02 * static_cast<double>(chunk.context);
      place += 0.25;
    }
    return {Seconds(ms * 1e-3), Joules(5 * ms)};
  }
  Watts idle_power() const override { return {}; }
};

struct Limits {
  Batching batching;
  long long kv_blocks = 0;
};

class PlainReplica {
 public:
  explicit PlainReplica(const Limits& limits)
      : b_(limits.batching), free_(limits.kv_blocks), kv_blocks_(limits.kv_blocks) {
    if (b_.kind == BatchingKind::kMixed)
      free_ *= b_.block_tokens;
    for (long long id = 0; id < kv_blocks_; ++id)
      free_queue_.push_back(id);
    watermark_ = static_cast<long long>(std::floor(b_.watermark * static_cast<double>(kv_blocks_)));
  }

  void enqueue(const Sequence& s) {
    auto one = std::make_shared<One>();
    one->s = s;
    one->prompt = s.prompt_tokens;
    one->output = s.output_tokens;
    queue_.push_back(one);
  }

  void cancel(RequestId request) {
    for (auto* list : {&queue_, &running_, &ready_}) {
      for (std::size_t i = 0; i < list->size(); ++i) {
        if ((*list)[i]->s.request == request)
          free_blocks((*list)[i]), list->erase(list->begin() + static_cast<long>(i)), --i;
      }
    }
    for (auto& [one, tokens] : step_) {
      if (one->s.request != request)
        continue;
      if (one->blocks > 0)
        free_blocks(one);
      one->cancelled = true;
    }
    std::erase_if(evictions_, [&](const Report& r) { return r.request == request; });
  }

  bool busy() const { return busy_; }
  Instant end() const { return round_to_instant(Seconds(end_s_)); }

  void form(Instant now) {
    if (busy_)
      return;
    formed_s_ = steps_ > 0 && end() == now ? end_s_ : to_seconds(now).value();
    do {
      evicted_ = false;
      step_.clear();
      if (b_.kind == BatchingKind::kChunkedPrefill)
        chunked();
      if (b_.kind == BatchingKind::kPrefillFirst)
        prefill_first();
      if (b_.kind == BatchingKind::kTokenBudget)
        token_budget();
      if (b_.kind == BatchingKind::kMixed)
        mixed();
    } while (step_.empty() && evicted_);
    if (step_.empty())
      return;
    std::vector<perf::PrefillChunk> chunks;
    perf::StepShape shape;
    tokens_ = 0;
    for (const auto& [one, tokens] : step_) {
      tokens_ += tokens;
      if (decoding(*one)) {
        const long long context = one->done - (b_.kind == BatchingKind::kTokenBudget ? 1 : 0);
        shape.decode_context_min =
            shape.decodes == 0 ? context : std::min(shape.decode_context_min, context);
        shape.decode_context_max = std::max(shape.decode_context_max, context);
        shape.decode_context += context;
        ++shape.decodes;
      } else {
        chunks.push_back({tokens, one->done});
      }
    }
    shape.chunks = chunks;
    const perf::StepCost cost = Telltale().step(shape);
    joules_ = cost.energy.value();
    end_s_ = formed_s_ + cost.time.value();
    busy_ = true;
    ++steps_;
  }

  void finish_step(std::vector<Report>& reports) {
    busy_ = false;
    reports.insert(reports.end(), evictions_.begin(), evictions_.end());
    evictions_.clear();
    // The decodes' effects are told before those of the prompts.
    std::stable_partition(step_.begin(), step_.end(),
                          [&](const auto& e) { return decoding(*e.first); });
    for (auto& [one, tokens] : step_) {
      if (one->cancelled)
        continue;
      one->joules += joules_ / static_cast<double>(tokens_) * static_cast<double>(tokens);
      one->left_out = false;
      if (decoding(*one)) {
        ++one->done;
      } else {
        one->done += tokens;
        if (one->done < one->prompt) {
          running_.push_back(one);
          continue;
        }
        one->complete = true;
        ++one->done;
      }
      const long long generated = std::max(1LL, one->done - one->s.prompt_tokens);
      if (one->told == 0) {
        reports.push_back({ReportKind::kFirstToken, one->s.request, end_s_, 1});
        one->told = 1;
      } else if (generated > one->told) {
        one->told = generated;
        reports.push_back({ReportKind::kToken, one->s.request, end_s_, generated});
      }
      if (one->done == one->prompt + one->output) {
        reports.push_back(
            {ReportKind::kFinished, one->s.request, end_s_, one->s.output_tokens, one->joules});
        free_blocks(one);
      } else if (b_.kind == BatchingKind::kMixed && !one->admitted) {
        ready_.push_back(one);
        std::stable_sort(ready_.begin(), ready_.end(), by_arrival);
      } else {
        running_.push_back(one);
      }
    }
    // token_budget keeps its running in order of admission; the others in step order.
    if (b_.kind == BatchingKind::kTokenBudget) {
      std::stable_sort(running_.begin(), running_.end(),
                       [](const auto& a, const auto& b) { return a->admission < b->admission; });
    }
    step_.clear();
  }

  Load load() const {
    Load load;
    load.waiting = static_cast<int>(queue_.size());
    load.running = static_cast<int>(running_.size() + ready_.size());
    if (busy_) {
      for (const auto& [one, tokens] : step_)
        load.running += one->cancelled ? 0 : 1;
    }
    const long long size = b_.block_tokens;
    load.kv_tokens = kv_blocks_ * size;
    load.kv_tokens_used = load.kv_tokens - free_ * (b_.kind == BatchingKind::kMixed ? 1 : size);
    return load;
  }

 private:
  struct One {
    Sequence s;
    long long prompt = 0, output = 0, done = 0, blocks = 0, told = 0, admission = 0;
    std::vector<long long> ids;  // reuse_blocks: held, by place in the context
    double joules = 0;
    bool complete = false, cancelled = false, admitted = false, left_out = false;
  };
  using Ptr = std::shared_ptr<One>;

  static bool by_arrival(const Ptr& a, const Ptr& b) { return a->s.arrived_s < b->s.arrived_s; }
  static bool decoding(const One& one) { return one.complete; }
  long long blocks_for(long long tokens) const {
    return (tokens + b_.block_tokens - 1) / b_.block_tokens;
  }
  void free_blocks(const Ptr& one) {
    free_ += one->blocks;
    one->blocks = 0;
    for (; !one->ids.empty(); one->ids.pop_back())
      free_queue_.push_back(one->ids.back());
  }
  // Brings the request to `blocks` blocks, from the front of the free queue.
  void grow(const Ptr& one, long long blocks) {
    free_ -= blocks - one->blocks;
    one->blocks = blocks;
    while (reuse() && static_cast<long long>(one->ids.size()) < blocks) {
      content_.erase(free_queue_.front());
      one->ids.push_back(free_queue_.front());
      free_queue_.pop_front();
    }
  }
  bool reuse() const { return b_.kind == BatchingKind::kTokenBudget && b_.reuse_blocks; }
  std::size_t find_free(RequestId request, long long place) const {
    for (std::size_t i = 0; i < free_queue_.size(); ++i) {
      const auto found = content_.find(free_queue_[i]);
      if (found != content_.end() && found->second == std::pair(request, place))
        return i;
    }
    return free_queue_.size();
  }
  long long holding() const {
    long long count = 0;
    for (const Ptr& one : running_)
      count += one->blocks > 0;
    for (const auto& [one, tokens] : step_)
      count += one->blocks > 0;
    return count;
  }
  void evict(const Ptr& one) {
    const long long computed = one->complete ? one->done - 1 : one->done;
    for (long long place = 0; reuse() && place < computed / b_.block_tokens; ++place) {
      content_[one->ids[static_cast<std::size_t>(place)]] = {one->s.request, place};
    }
    free_blocks(one);
    const long long total = one->prompt + one->output;
    if (one->complete)
      one->prompt = one->done;
    one->output = total - one->prompt;
    one->done = 0;
    one->complete = false;
    queue_.insert(queue_.begin(), one);
    evictions_.push_back({ReportKind::kEvicted, one->s.request, formed_s_, one->told});
    evicted_ = true;
  }

  // Walks the running list from its front; those whose prompt is not complete are set aside.
  std::vector<Ptr> walk() {
    std::vector<Ptr> aside;
    while (!running_.empty() && static_cast<int>(step_.size()) < b_.max_running) {
      const Ptr one = running_.front();
      running_.erase(running_.begin());
      if (!one->complete) {
        aside.push_back(one);
        continue;
      }
      bool gone = false;
      while (free_ < 1) {
        if (running_.empty()) {
          evict(one);
          gone = true;
          break;
        }
        const Ptr last = running_.back();
        running_.pop_back();
        evict(last);
      }
      if (gone)
        continue;
      if (one->done > one->blocks * b_.block_tokens)
        ++one->blocks, --free_;
      step_.push_back({one, 1});
    }
    return aside;
  }
  bool admits(const Ptr& head) const {
    return free_ - blocks_for(head->prompt) >= watermark_ && holding() < b_.max_running &&
           static_cast<int>(step_.size()) < b_.max_running;
  }
  void take_head(long long tokens, long long blocks) {
    const Ptr head = queue_.front();
    queue_.erase(queue_.begin());
    head->blocks = blocks;
    free_ -= blocks;
    head->admission = ++admissions_;
    step_.push_back({head, tokens});
  }

  void chunked() {
    const std::vector<Ptr> aside = walk();
    long long used = static_cast<long long>(step_.size());
    std::vector<Ptr> out;
    for (const Ptr& one : aside) {
      const long long tokens = std::min(one->prompt - one->done, b_.chunk_tokens - used);
      if (tokens <= 0) {
        out.push_back(one);
        continue;
      }
      step_.push_back({one, tokens});
      used += tokens;
    }
    running_.insert(running_.begin(), out.begin(), out.end());
    std::stable_sort(running_.begin(), running_.end(), by_arrival);
    while (!queue_.empty() && admits(queue_.front())) {
      const long long prompt = queue_.front()->prompt;
      const long long tokens = std::min(prompt, b_.chunk_tokens - used);
      if (tokens <= 0)
        break;
      take_head(tokens, blocks_for(prompt));
      used += tokens;
    }
  }

  void prefill_first() {
    long long longest = 0;
    while (!queue_.empty() && admits(queue_.front())) {
      const Ptr head = queue_.front();
      longest = std::max(longest, head->prompt);
      const auto count = static_cast<long long>(step_.size()) + 1;
      const bool outgrown = count == 1 && head->prompt > head->s.prompt_tokens;
      if (count * longest > b_.max_batched_tokens && !outgrown)
        break;
      take_head(head->prompt, blocks_for(head->prompt));
    }
    if (!step_.empty())
      return;
    std::stable_sort(running_.begin(), running_.end(), by_arrival);
    walk();
  }

  void token_budget() {
    long long budget = b_.max_batched_tokens;
    std::vector<Ptr> list;
    list.swap(running_);
    std::size_t i = 0;
    for (; i < list.size(); ++i) {
      const Ptr one = list[i];
      const long long computed = one->complete ? one->done - 1 : one->done;
      const long long todo = one->complete ? 1 : one->prompt - one->done;
      const long long n = std::min(todo, budget);
      bool gone = false;
      while (blocks_for(computed + n) - one->blocks > free_ && !gone) {
        const Ptr last = list.back();
        list.pop_back();
        gone = last == one;
        evict(last);
      }
      if (gone)
        break;
      if (n == 0) {
        running_.push_back(one);
        continue;
      }
      grow(one, blocks_for(computed + n));
      step_.push_back({one, n});
      budget -= n;
    }
    while (!evicted_ && !queue_.empty() && budget > 0 &&
           static_cast<int>(running_.size() + step_.size()) < b_.max_running) {
      const Ptr head = queue_.front();
      long long found = 0;
      while (reuse() && found < (head->prompt - 1) / b_.block_tokens &&
             find_free(head->s.request, found) < free_queue_.size()) {
        ++found;
      }
      const long long computed = found * b_.block_tokens;
      const long long n = std::min(head->prompt - computed, budget);
      if (blocks_for(computed + n) > free_)
        break;
      for (long long place = 0; place < found; ++place) {
        const std::size_t at = find_free(head->s.request, place);
        head->ids.push_back(free_queue_[at]);
        free_queue_.erase(free_queue_.begin() + static_cast<long>(at));
      }
      free_ -= found;
      head->blocks = found;
      head->done = computed;
      queue_.erase(queue_.begin());
      head->admission = ++admissions_;
      grow(head, blocks_for(computed + n));
      step_.push_back({head, n});
      budget -= n;
    }
  }

  void mixed() {
    long long tokens = 0;
    const auto full = [&] { return static_cast<int>(step_.size()) >= b_.max_running; };
    while (!queue_.empty() && !full()) {
      const long long prompt = queue_.front()->prompt;
      if (!step_.empty() && tokens + prompt > b_.max_batched_tokens)
        break;
      if (prompt + 1 > free_)
        break;
      take_head(prompt, prompt + 1);
      tokens += prompt;
    }
    std::stable_sort(running_.begin(), running_.end(),
                     [](const Ptr& a, const Ptr& b) { return a->left_out > b->left_out; });
    std::vector<Ptr> out;
    const bool any = !step_.empty() || !running_.empty();
    for (const Ptr& one : running_) {
      if (!full() && tokens + 1 <= b_.max_batched_tokens) {
        step_.push_back({one, 1});
        ++tokens;
      } else {
        out.push_back(one);
      }
    }
    while (out.empty() && !ready_.empty() && !full() && tokens + 1 <= b_.max_batched_tokens) {
      const Ptr head = ready_.front();
      if (head->output - 1 > free_ && (any || !step_.empty()))
        break;
      free_ -= head->output - 1;
      head->blocks += head->output - 1;
      head->admitted = true;
      ready_.erase(ready_.begin());
      step_.push_back({head, 1});
      ++tokens;
    }
    running_ = out;
    for (const Ptr& one : running_)
      one->left_out = true;
  }

  const Batching b_;
  long long free_, kv_blocks_, watermark_ = 0, admissions_ = 0, steps_ = 0, tokens_ = 0;
  std::vector<Ptr> queue_, running_, ready_;
  std::deque<long long> free_queue_;
  std::map<long long, std::pair<RequestId, long long>>
      content_;  // of free blocks left by evicted ones
  std::vector<std::pair<Ptr, long long>> step_;
  std::vector<Report> evictions_;
  bool busy_ = false, evicted_ = false;
  double formed_s_ = 0, end_s_ = 0, joules_ = 0;
};

std::string text(const std::vector<Report>& reports) {
  std::string all;
  for (const Report& r : reports) {
    all += fmt::format("{} {} {:.17g} {}\n", static_cast<int>(r.kind), r.request.number(), r.at_s,
                       r.generated);
  }
  return all;
}

Limits draw_limits(Prng& prng) {
  Limits limits;
  Batching& b = limits.batching;
  b.kind = static_cast<BatchingKind>(prng.below(4));
  b.block_tokens = 1 + static_cast<long long>(prng.below(6));
  b.max_running = 1 + static_cast<int>(prng.below(12));
  b.chunk_tokens = 1 + static_cast<long long>(prng.below(40));
  b.max_batched_tokens = 12 + static_cast<long long>(prng.below(60));
  b.reuse_blocks = prng.below(2) == 0;
  b.watermark = prng.below(2) == 0 ? 0 : 0.2 * prng.uniform();
  limits.kv_blocks = 60 / b.block_tokens + 2 + static_cast<long long>(prng.below(40));
  return limits;
}

// What the runs of one kind of batching went through: proof that the traffic is not too tame.
struct Seen {
  long long evictions = 0, evictions_in_prompt = 0;
};

// One run; both replicas must tell the same.
void compare(std::uint64_t seed, bool report_tokens, std::array<Seen, 4>& seen) {
  SCOPED_TRACE(fmt::format("seed {}", seed));
  Prng prng(seed);
  const Limits limits = draw_limits(prng);
  PlainReplica plain(limits);
  BatchedReplica replica({.batching = limits.batching,
                          .kv_blocks = limits.kv_blocks,
                          .steps = std::make_shared<Telltale>()},
                         {.report_tokens = report_tokens});
  const double mean_gap_s = 0.002 + 0.1 * prng.uniform();
  const bool cancels = prng.below(2) == 0;
  std::vector<Sequence> sequences;
  double arrival = 0;
  while (sequences.size() < 60) {
    if (prng.below(4) != 0)
      arrival += prng.exponential(mean_gap_s);  // else at the same time as the one before
    const Sequence s{.request = RequestId(sequences.size()),
                     .arrived_s = arrival,
                     .prompt_tokens = 1 + static_cast<long long>(prng.below(30)),
                     .output_tokens = 1 + static_cast<long long>(prng.below(30))};
    if (replica.fits(s))
      sequences.push_back(s);
    else if (prng.below(50) == 0)
      sequences.push_back({.request = s.request, .arrived_s = arrival});
  }
  std::vector<long long> tokens(sequences.size(), 0), finished(sequences.size(), 0),
      cancelled(sequences.size(), 0);
  std::vector<double> first(sequences.size(), -1), joules(sequences.size(), 0);
  std::size_t next = 0;
  Instant next_cancel = cancels ? round_to_instant(Seconds(prng.exponential(0.1))) : Instant::max();
  for (;;) {
    Instant now = replica.next_event().value_or(Instant::max());
    if (next < sequences.size())
      now = std::min(now, round_to_instant(Seconds(sequences[next].arrived_s)));
    if (now == Instant::max())
      break;
    now = std::min(now, next_cancel);
    while (next < sequences.size() && round_to_instant(Seconds(sequences[next].arrived_s)) <= now) {
      replica.enqueue(now, sequences[next]);
      plain.enqueue(sequences[next]);
      ++next;
    }
    if (now == next_cancel) {
      const std::uint64_t victim = prng.below(sequences.size());
      if (replica.cancel(now, RequestId(victim))) {
        cancelled[victim] = 1;
        plain.cancel(RequestId(victim));
      }
      next_cancel = now + round_to_duration(Seconds(prng.exponential(0.1)));
    }
    std::vector<Report> told, expected;
    replica.advance(now, told);
    if (plain.busy() && plain.end() <= now)
      plain.finish_step(expected);
    for (const Report& r : told) {
      const std::size_t id = r.request.number();
      if (r.kind == ReportKind::kEvicted) {
        Seen& of_kind = seen[static_cast<std::size_t>(limits.batching.kind)];
        ++of_kind.evictions;
        if (r.generated == 0)
          ++of_kind.evictions_in_prompt;
      }
      if (r.kind == ReportKind::kFirstToken) {
        ASSERT_EQ(first[id], -1);
        first[id] = r.at_s;
      }
      if (r.kind == ReportKind::kFirstToken || r.kind == ReportKind::kToken) {
        ASSERT_EQ(r.generated, ++tokens[id]);
      }
      if (r.kind == ReportKind::kFinished) {
        ASSERT_GE(first[id], 0);
        ASSERT_LE(first[id], r.at_s);
        ASSERT_EQ(r.generated, sequences[id].output_tokens);
        if (report_tokens) {
          ASSERT_EQ(tokens[id], sequences[id].output_tokens);
        }
        ++finished[id];
        joules[id] = r.joules;
      }
    }
    for (const Report& r : expected) {
      if (r.kind == ReportKind::kFinished) {
        ASSERT_NEAR(joules[r.request.number()], r.joules, 1e-9 * r.joules);
      }
    }
    if (!report_tokens)
      std::erase_if(expected, [](const Report& r) { return r.kind == ReportKind::kToken; });
    ASSERT_EQ(text(told), text(expected)) << name_of(limits.batching.kind);
    replica.form_step(now);
    plain.form(now);
    ASSERT_EQ(replica.next_event().has_value(), plain.busy());
    if (plain.busy()) {
      ASSERT_EQ(*replica.next_event(), plain.end()) << name_of(limits.batching.kind);
    }
    ASSERT_EQ(replica.load().kv_tokens_used, plain.load().kv_tokens_used);
    ASSERT_EQ(replica.load().running, plain.load().running);
    ASSERT_EQ(replica.load().waiting, plain.load().waiting);
    if (limits.batching.kind != BatchingKind::kMixed) {
      ASSERT_LE(replica.load().kv_tokens_used, replica.load().kv_tokens);
    }
  }
  long long outputs = 0;
  double joules_told = 0;
  for (std::size_t id = 0; id < sequences.size(); ++id) {
    ASSERT_EQ(finished[id] + cancelled[id], 1) << id;
    outputs += sequences[id].output_tokens;
    joules_told += joules[id];
  }
  ASSERT_EQ(replica.load().kv_tokens_used, 0);
  ASSERT_EQ(replica.load().pending_tokens, 0);
  ASSERT_EQ(replica.load().running + replica.load().waiting, 0);
  if (report_tokens) {
    const long long told = std::accumulate(tokens.begin(), tokens.end(), 0LL);
    ASSERT_EQ(replica.usage().output_tokens, told);
  }
  if (!cancels) {
    ASSERT_EQ(replica.usage().output_tokens, outputs);
    ASSERT_NEAR(replica.usage().joules, joules_told, 1e-6 * joules_told);
  }
}

TEST(BatchedRules, HoldForRandomTraffic) {
  std::array<Seen, 4> seen;
  for (std::uint64_t seed = 1; seed <= 400 && !HasFailure(); ++seed)
    compare(seed, false, seen);
  const auto of = [&](BatchingKind kind) { return seen[static_cast<std::size_t>(kind)]; };
  EXPECT_GT(of(BatchingKind::kChunkedPrefill).evictions, 500);
  EXPECT_GT(of(BatchingKind::kPrefillFirst).evictions, 500);
  EXPECT_GT(of(BatchingKind::kTokenBudget).evictions, 500);
  EXPECT_GT(of(BatchingKind::kChunkedPrefill).evictions_in_prompt, 20);
  EXPECT_GT(of(BatchingKind::kTokenBudget).evictions_in_prompt, 20);
}

TEST(BatchedRules, HoldForRandomTrafficWhenEveryTokenIsTold) {
  std::array<Seen, 4> seen;
  for (std::uint64_t seed = 10001; seed <= 10100 && !HasFailure(); ++seed) {
    compare(seed, true, seen);
  }
}

}  // namespace
}  // namespace medley::replica
