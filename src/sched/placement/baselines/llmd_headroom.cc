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
// Source: llm-d-router of 2026-08-22, predicted-latency scheduling; `least` is its default. Its
// prefix-affinity filters (0.99 before, 0.80 after with a TTFT penalty of at most 5 s) keep what
// matches; requests have no prefix identity yet, so they keep all. They would enter before and
// after the tiers below.
//
// Signals: engine metrics every 50 ms; nothing is booked between two of them.
//
// Made up here: medley's predictor, and what it observed, in the place of a trained XGBoost. Where
// all miss, both variants prefer what misses by less; a target that is met counts for nothing then.
#include <algorithm>

#include "base/prng.h"
#include "sched/placement/baselines/baseline.h"
#include "sched/placement/baselines/makers.h"

namespace medley::sched {
namespace {

constexpr Duration kPoll = std::chrono::milliseconds(50);
constexpr double kExplore = 0.01;
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
    for (Option& option : options) {
      option.forecast = foreseen(view, request, option);
      Room room;
      room.ttft =
          headroom(request.targets.ttft, ttft_from_arrival_s(view, request, *option.forecast));
      room.tpot = headroom(request.targets.tpot, option.forecast->tpot_s);
      room.tier = room.ttft >= 0 && room.tpot >= 0     ? kMeets
                  : option.account->outstanding() == 0 ? kIdle
                  : room.ttft >= 0                     ? kMissesTpot
                  : room.tpot >= 0                     ? kMissesTtft
                                                       : kMissesBoth;
      best_tier = std::min(best_tier, room.tier);
      rooms_.push_back(room);
    }
    const bool explore = prng_.uniform() < kExplore;
    const auto kept = [&](const Room& room) { return explore || room.tier == best_tier; };

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
  enum Tier { kMeets, kIdle, kMissesTpot, kMissesTtft, kMissesBoth };  // the better first
  struct Room {
    double ttft = 0, tpot = 0;
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
