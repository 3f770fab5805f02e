// aibrix_slo: `slo-least-load-pulling`. Most urgent first, pulled by what has capacity.
//
// Rule: for the head of each queue and each kind of GPU g: rank = waited + expected latency(g) −
// target(g). Across heads the highest best rank is served first. A head tries the kinds by
// ascending rank and stops at the first after the first one whose rank is above 0; inside a kind
// the replica with the least pending load takes it, if it stays within a capacity of 1: each
// request loads it by 1 / (throughput · latency) of its cell of the profile. What finds none stays
// queued, however late. Cells are (round log2 prompt tokens, round log2 expected answer).
//
// Source: vllm-project/aibrix of 2026-08-22.
//
// Signals: the gateway's own books, live.
//
// Made up here: the profiles (which AIBrix measures) come from the step model: the most sequences
// of the cell's lengths with which a replica keeps the tightest TPOT that any class asks and it can
// keep at all, prompts in steady state included; a lane for prompts runs without a pause. AIBrix
// has targets by deployment, here they are the request's: where a TPOT is set that of the whole
// answer (TTFT + answer·TPOT), as published, else that of TTFT or the deadline. The queues are the
// core's, by class, label and model; in each, a few are tried behind a head that finds no room, as
// they may be of other cells.
#include <algorithm>
#include <bit>
#include <cmath>
#include <unordered_map>

#include "sched/placement/baselines/baseline.h"
#include "sched/placement/baselines/makers.h"

namespace medley::sched {
namespace {

constexpr double kCapacity = 1.0;
constexpr std::size_t kLogs = 32;  // of lengths

class AibrixSlo final : public Baseline {
 public:
  bool holds_back() const override { return true; }
  bool predicts() const override { return false; }
  bool gives_up() const override { return false; }

  std::optional<double> rank(const View& view, const Request& request,
                             std::span<const Forbidden> filtered) override {
    double best = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < filtered.size(); ++i) {
      if (filtered[i] == Forbidden::kNo)
        best = std::min(best, rank_on(view, request, PoolId(i)));
    }
    return best;
  }

  void dispatched(Instant, const Resident& resident) override {
    const std::size_t replica = resident.replica.number();
    const double load = chosen_load_;
    loads_.emplace(resident.request.id, load);
    if (pending_.size() <= replica)
      pending_.resize(replica + 1);
    pending_[replica].load += load;
    ++pending_[replica].requests;
  }

  void left(Instant, const Resident& resident, std::optional<Tokens>) override {
    const auto found = loads_.find(resident.request.id);
    if (found == loads_.end())
      return;
    Pending& pending = pending_[resident.replica.number()];
    pending.load -= found->second;
    // Sums of fractions do not come back to nothing by themselves.
    if (--pending.requests == 0)
      pending.load = 0;
    loads_.erase(found);
  }

 protected:
  const Option* pick(const View& view, const Request& request, std::span<Option> options) override {
    pending_.resize(std::max(pending_.size(), view.ledger.replicas().size()));
    ranked_.clear();
    for (const Option& option : options) {
      if (ranked_.empty() || ranked_.back().pool != option.pool)
        ranked_.push_back({rank_on(view, request, option.pool), option.pool});
    }
    std::sort(ranked_.begin(), ranked_.end(), [](const Ranked& a, const Ranked& b) {
      return std::pair(a.rank, a.pool) < std::pair(b.rank, b.pool);
    });
    for (Option& option : options)
      option.cost = pending_[option.replica.number()].load;
    for (std::size_t i = 0; i < ranked_.size(); ++i) {
      if (i > 0 && ranked_[i].rank > 0)
        break;
      const Option* best = nullptr;
      for (const Option& option : options) {
        if (option.pool == ranked_[i].pool && (best == nullptr || option.cost < best->cost))
          best = &option;
      }
      // What is more than a whole replica goes to an idle one.
      const double load = 1 / profile(view, request, best->pool).concurrency;
      const Pending& pending = pending_[best->replica.number()];
      if (pending.requests == 0 || pending.load + load <= kCapacity) {
        chosen_load_ = load;
        return best;
      }
    }
    return nullptr;
  }

 private:
  struct Profile {
    double ttft_s = 0, tpot_s = 0;
    double concurrency = 1;  // throughput · latency
  };
  struct Pending {
    double load = 0;
    int requests = 0;
  };
  struct Ranked {
    double rank;
    PoolId pool;
  };
  struct Cell {
    PoolId pool;
    int log_prompt, log_output;
  };

  // Seconds late that it would be if that kind took it now; negative: to spare.
  double rank_on(const View& view, const Request& request, PoolId pool) {
    const Profile& expected = profile(view, request, pool);
    const auto output = static_cast<double>(view.predictor.output_tokens(request));
    const double waited = to_seconds(view.now - request.arrived_at).value();
    const double end = waited + expected.ttft_s + output * expected.tpot_s;
    const Targets& targets = request.targets;
    const auto seconds = [](const std::optional<Duration>& target) {
      return target ? to_seconds(*target).value() : 0;
    };
    if (targets.tpot)
      return end - seconds(targets.ttft) - output * seconds(targets.tpot);
    if (targets.ttft)
      return waited + expected.ttft_s - seconds(targets.ttft);
    return end - seconds(targets.deadline);
  }

  // The nearest power of two of a positive number, as its exponent.
  static int log_of(long long tokens) {
    const auto x = static_cast<std::uint64_t>(std::clamp(tokens, 1LL, 1LL << 30));
    const int floor = std::bit_width(x) - 1;
    // Nearer to the next from the square root of two on: x² >= 2^(2·floor + 1).
    return floor + (x * x >> (2 * floor + 1) != 0 ? 1 : 0);
  }

  const Profile& profile(const View& view, const Request& request, PoolId pool) {
    const Cell cell{pool, log_of(request.prompt_tokens.count()),
                    log_of(view.predictor.output_tokens(request))};
    if (profiles_.empty())
      profiles_.resize(view.fleet.pools.size() * kLogs * kLogs);
    std::optional<Profile>& found =
        profiles_[(pool.number() * kLogs + static_cast<std::size_t>(cell.log_prompt)) * kLogs +
                  static_cast<std::size_t>(cell.log_output)];
    if (!found)
      found = measure(view, cell);
    return *found;
  }

  static Profile measure(const View& view, const Cell& cell) {
    const auto prompt = std::exp2(cell.log_prompt);
    const auto output = std::exp2(cell.log_output);
    const perf::PoolModel& model = view.perf.pool(cell.pool);
    Profile profile;
    if (model.kind == perf::ServingKind::kMetered) {
      const Metered& metered = *view.fleet.pool(cell.pool).metered;
      profile.ttft_s = metered.ttft_median_s;
      profile.tpot_s = metered.tpot_s;
      const double requests_per_s =
          metered.tokens_per_minute
              ? static_cast<double>(*metered.tokens_per_minute) / 60 / (prompt + output)
              : std::numeric_limits<double>::infinity();
      profile.concurrency = std::min<double>(
          model.max_running, requests_per_s * (profile.ttft_s + output * profile.tpot_s));
      return profile;
    }
    if (model.kind == perf::ServingKind::kSlotted) {
      const double lane_s = prompt / view.predictor.prefill_tokens_per_s(cell.pool);
      profile.tpot_s = model.steps->step({.decodes = 1}).time.value();
      profile.ttft_s = lane_s + profile.tpot_s;
      const double answer_s = profile.ttft_s + output * profile.tpot_s;
      profile.concurrency = std::min<double>(model.max_running, answer_s / lane_s);
      return profile;
    }
    // The most sequences that keep the limit: more are slower and take more prompts in each step.
    const double limit_s = tightest_kept_s(view, cell, prompt, output);
    int low = 1, high = std::max(1, model.max_running);
    const auto kv_room = static_cast<double>(model.kv_tokens) / std::max(1.0, prompt + output / 2);
    if (model.kv_tokens > 0)
      high = std::clamp(static_cast<int>(kv_room), 1, high);
    while (low < high) {
      const int middle = low + (high - low + 1) / 2;
      const Batch batch = batch_of(model, middle, prompt, output);
      if (batch.keeps_up && batch.tpot_s <= limit_s)
        low = middle;
      else
        high = middle - 1;
    }
    const Batch batch = batch_of(model, low, prompt, output);
    profile.ttft_s = batch.ttft_s;
    profile.tpot_s = batch.tpot_s;
    // Those that decode, and those whose prompts come in at the same time.
    profile.concurrency = low * (1 + batch.ttft_s / (output * batch.tpot_s));
    return profile;
  }

  struct Batch {
    double ttft_s, tpot_s;
    bool keeps_up;  // prompts fit beside the decodes
  };
  // `count` sequences in steady state: each brings a prompt for every answer.
  static Batch batch_of(const perf::PoolModel& model, int count, double prompt, double output) {
    perf::StepShape decodes;
    decodes.decodes = count;
    const auto context = static_cast<long long>(prompt + output / 2);
    decodes.decode_context = context * count;
    decodes.decode_context_min = decodes.decode_context_max = context;
    const double step_s = model.steps->step(decodes).time.value();
    const auto all = static_cast<long long>(prompt);
    const long long room = model.chunk_tokens > 0 ? std::max(1LL, model.chunk_tokens - count) : all;
    const long long tokens = std::max(1LL, std::min(room, all));
    const perf::PrefillChunk chunk{tokens, (all - tokens) / 2};
    perf::StepShape both = decodes;
    both.chunks = {&chunk, 1};
    const double with_s = model.steps->step(both).time.value();
    const double chunks = prompt / static_cast<double>(tokens);  // steps of a prompt
    const double share = count * chunks / output;                // of steps that have one
    return {chunks * with_s + step_s / 2, step_s + std::min(1.0, share) * (with_s - step_s),
            share <= 1};
  }

  // The tightest TPOT of any class that a replica keeps with one sequence; none: no limit.
  static double tightest_kept_s(const View& view, const Cell& cell, double prompt, double output) {
    const double alone_s = batch_of(view.perf.pool(cell.pool), 1, prompt, output).tpot_s;
    double tightest = std::numeric_limits<double>::infinity();
    for (const ServiceClass service_class : kServiceClasses) {
      const auto& tpot = view.fleet.policy(service_class).targets.tpot;
      if (tpot && to_seconds(*tpot).value() >= alone_s)
        tightest = std::min(tightest, to_seconds(*tpot).value());
    }
    return tightest;
  }

  std::vector<std::optional<Profile>>
      profiles_;                  // by cell, each measured when it is first asked for
  std::vector<Pending> pending_;  // by replica
  std::unordered_map<RequestId, double> loads_;  // of what is dispatched
  double chosen_load_ = 0;                       // of the last choice
  std::vector<Ranked> ranked_;                   // scratch
};

}  // namespace

std::unique_ptr<Placement> make_aibrix_slo() { return std::make_unique<AibrixSlo>(); }

}  // namespace medley::sched
