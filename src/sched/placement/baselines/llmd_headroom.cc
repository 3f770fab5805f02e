// llmd_headroom, llmd_headroom_most: room to the targets, by a latency predictor.
//
// Rule: headroom = target − predicted, for TTFT and TPOT; −predicted where there is no target.
//
// Kept are the replicas where both are at least 0; if there is none, the idle ones; if none is
// idle, those that miss least: only TPOT, else only TTFT, else both. One time in a hundred all are
// kept, to explore.
//
// Each headroom is scaled to 0..1 over what is kept, one without a range counts for nothing, and
// they are blended 0.8 TTFT + 0.2 TPOT. `least` prefers what is closest to the target, which packs;
// `most` what is farthest inside. A replica is drawn with the score as its weight.
//
// Two filters keep to the prefix: before the tiers only replicas that have at least 0.99 of the
// prompt, where there are any; after them only those with 0.80, where there are any and the best of
// them is predicted at most 5 s slower to its first token than the best of all.
//
// Source: llm-d-router of 2026-08-22, predicted-latency scheduling; `least` is its default.
//
// Signals: engine metrics every 50 ms; nothing is booked between two of them.
//
// Made up here: medley's predictor, and what it observed, in the place of a trained XGBoost. Where
// all miss, both variants prefer what misses by less; a target that is met counts for nothing then.
#include <algorithm>
#include <cmath>

#include "base/prng.h"
#include "sched/placement/baselines/baseline.h"
#include "sched/placement/baselines/makers.h"

namespace medley::sched {
namespace {

constexpr Duration kPoll = std::chrono::milliseconds(50);
constexpr double kExplore = 0.01;
constexpr double kAffinityBefore = 0.99, kAffinityAfter = 0.80, kMostPenaltyS = 5;
constexpr double kTtftWeight = 0.8, kTpotWeight = 0.2;
constexpr std::uint64_t kSeed = 0x11d;

class LlmdHeadroom final : public Baseline {
 public:
  LlmdHeadroom(Headroom wanted, bool live)
      : Baseline(live ? Duration::zero() : kPoll), wanted_(wanted) {}
  bool predicts() const override { return true; }

 protected:
  const Option* pick(const View& view, const Request& request, std::span<Option> options) override {
    rooms_.clear();
    int best_tier = kMissesBoth;
    double most = 0;
    for (const Option& option : options)
      most = std::max(most, cached_share(view, request, option));
    for (Option& option : options) {
      Room& room = rooms_.emplace_back();
      room.cached = cached_share(view, request, option);
      if (most >= kAffinityBefore && room.cached < kAffinityBefore) {
        room.tier = kLeftOut;
        continue;
      }
      option.forecast = foreseen(view, request, option);
      room.ttft =
          headroom(request.targets.ttft, ttft_from_arrival_s(view, request, *option.forecast));
      room.tpot = headroom(request.targets.tpot, option.forecast->tpot_s);
      room.tier = room.ttft >= 0 && room.tpot >= 0     ? kMeets
                  : option.account->outstanding() == 0 ? kIdle
                  : room.ttft >= 0                     ? kMissesTpot
                  : room.tpot >= 0                     ? kMissesTtft
                                                       : kMissesBoth;
      best_tier = std::min(best_tier, room.tier);
    }
    const bool explore = prng_.uniform() < kExplore;
    const auto in_tier = [&](const Room& room) {
      return room.tier != kLeftOut && (explore || room.tier == best_tier);
    };
    double fastest_s = HUGE_VAL, fastest_with_it_s = HUGE_VAL;
    for (std::size_t i = 0; most >= kAffinityAfter && i < options.size(); ++i) {
      if (!in_tier(rooms_[i]))
        continue;
      fastest_s = std::min(fastest_s, options[i].forecast->ttft_s);
      if (rooms_[i].cached >= kAffinityAfter)
        fastest_with_it_s = std::min(fastest_with_it_s, options[i].forecast->ttft_s);
    }
    const bool stays =
        fastest_with_it_s < HUGE_VAL && fastest_with_it_s <= fastest_s + kMostPenaltyS;
    const auto kept = [&](const Room& room) {
      return in_tier(room) && (!stays || room.cached >= kAffinityAfter);
    };

    // Within the targets by how much room, where none is by how much is missed.
    const auto measure = [&](double headroom) {
      if (best_tier != kMeets)
        return std::min(0.0, headroom);
      return wanted_ == Headroom::kMost ? headroom : -headroom;
    };
    Spread ttft, tpot;
    for (const Room& room : rooms_) {
      if (!kept(room))
        continue;
      ttft.take_in(measure(room.ttft));
      tpot.take_in(measure(room.tpot));
    }
    const double ttft_weight = ttft.width() > 0 ? kTtftWeight : 0;
    const double tpot_weight = tpot.width() > 0 ? kTpotWeight : 0;
    weights_.assign(options.size(), 0);
    double sum = 0;
    for (std::size_t i = 0; i < options.size(); ++i) {
      if (!kept(rooms_[i]))
        continue;
      if (ttft_weight + tpot_weight > 0) {
        weights_[i] = (ttft_weight * ttft.place(measure(rooms_[i].ttft)) +
                       tpot_weight * tpot.place(measure(rooms_[i].tpot))) /
                      (ttft_weight + tpot_weight);
      } else {
        weights_[i] = 1;
      }
      options[i].cost = -weights_[i];
      sum += weights_[i];
    }
    if (!(sum > 0))
      return least(options);
    return &options[prng_.pick(weights_)];
  }

 private:
  // The better first.
  enum Tier { kMeets, kIdle, kMissesTpot, kMissesTtft, kMissesBoth, kLeftOut };
  struct Room {
    double ttft = 0, tpot = 0;
    double cached = 0;  // share of the prompt
    int tier = kMissesBoth;
  };
  static double headroom(const std::optional<Duration>& target, double predicted_s) {
    return (target ? to_seconds(*target).value() : 0) - predicted_s;
  }

  Headroom wanted_;
  Prng prng_{kSeed};
  std::vector<Room> rooms_;  // scratch, as is the next
  std::vector<double> weights_;
};

}  // namespace

std::unique_ptr<Placement> make_llmd_headroom(Headroom headroom, bool live) {
  return std::make_unique<LlmdHeadroom>(headroom, live);
}

}  // namespace medley::sched
