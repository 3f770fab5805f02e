#include "sched/placement/medley/medley_placement.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "base/plant.h"
#include "sched/placement/feasible.h"

namespace medley::sched {
namespace {

// Below even odds a dispatch is more likely to break its own promise, and to take time from others,
// than to keep it.
constexpr double kLeastProbability = 0.5;
// What a late answer is worth: the share of the value, scaled by how late it comes.
constexpr double kLateShare = 0.1;
// Of the best that an idle fleet could do: below it a request waits for better until its last
// chance. Else one that needs a large machine would be answered by a small one after half an hour.
constexpr double kLeastLateness = 0.1;
// Work that may wait is worth more the longer it has: by this share of its value each time it has
// waited as long as its first token may take, or its end where it has a deadline, or kPatienceS. So
// nothing starves. By class. 2 for flex displaces standard work: .8 points of the bound less at
// load 2. With 2 for batch it keeps 82 % at load 2 and not 91, for .13 points more
// (scenarios/mixed_fleet.yaml, seeds 8 and 9).
constexpr std::array<double, kServiceClassCount> kAgeing = {0, 0, 0.7, 5};
constexpr double kPatienceS = 60;
// Of a deadline, when work must begin: the rest is for the answer.
constexpr double kBeginsBy = 0.82;
// And it offers little at first for what others want and for what is rented, so as to wait for
// better: of its value a twentieth, and this times the share of its patience that is over. 3 leaves
// batch with what nobody else wants: .25 points more, and 78 % of it kept at load 2.
constexpr double kOffer = 5, kFirstOffer = 0.05;
// A rented service's bill is money spent, whatever else waits: work that may wait pays it up to
// this share of its value, and as much as its value more as its patience goes. Without, .2 points
// of the bound less at load 1 (docs/decisions/0109-what-waits-bids-late.md).
constexpr double kMostRent = 0.8;

// So many replicas of a pool are looked at for a request at a time, others at each look, and the
// one that has most of its prompt cached. All of them keep no more: on ten times the mixed fleet,
// whose largest pool has 60, and on ten times Mooncake's
// (docs/decisions/0110-eight-replicas-of-a-pool-are-looked-at.md).
constexpr std::uint64_t kMostOfAPool = 8;

// Share of a replica's sequences that a class leaves free for dearer ones.
constexpr std::array<double, kServiceClassCount> kHeadroom = {0, 0, 0.1, 0.2};

double lateness_factor(double predicted_s, double limit_s) {
  return predicted_s > limit_s && predicted_s > 0 ? std::max(0.0, limit_s) / predicted_s : 1;
}

// 1: in time; else how late, times how slow.
double lateness(const Request& request, double since_arrival_s, const Forecast& forecast) {
  double late = 1;
  if (request.targets.ttft)
    late *= lateness_factor(since_arrival_s + forecast.ttft_s,
                            to_seconds(*request.targets.ttft).value());
  if (request.targets.tpot)
    late *= lateness_factor(forecast.tpot_s, to_seconds(*request.targets.tpot).value());
  return late;
}

bool leaves_headroom(const View& view, const Request& request, PoolId pool,
                     const ReplicaAccount& account, long long need) {
  const perf::PoolModel& model = view.perf.pool(pool);
  const double headroom =
      planted(Bug::kHeadroomIgnored) ? 0 : kHeadroom[index_of(request.service_class)];
  const int sequences = static_cast<int>(model.max_running * (1 - headroom));
  if (account.outstanding() == 0)  // whatever others are said to have there
    return true;
  return account.sequences() < sequences &&
         (model.kv_tokens <= 0 || account.tokens_taken() + need <= model.kv_tokens);
}

// No prompt waits there and less than half of its sequences are taken: a late answer costs others
// little.
bool has_slack(const View& view, PoolId pool, const ReplicaAccount& account) {
  if (account.outstanding() == 0)
    return true;
  return view.predictor.lane_s(view.now, account) == 0 &&
         account.sequences() * 2 < view.perf.pool(pool).max_running;
}

bool is_patient(ServiceClass service_class) { return kAgeing[index_of(service_class)] > 0; }

// How much of its patience is gone: 1 when its first token is due. Where there is a deadline only,
// when it must begin to end in time, and little until then: cheaper room may come first, and does
// by night (docs/decisions/0109-what-waits-bids-late.md).
double impatience(const Request& request, double since_arrival_s) {
  constexpr double kLeast = 1e-3;
  if (request.targets.ttft)
    return since_arrival_s / std::max(kLeast, to_seconds(*request.targets.ttft).value());
  if (!request.targets.deadline)
    return since_arrival_s / kPatienceS;
  const double deadline_s = to_seconds(*request.targets.deadline).value();
  const double over = since_arrival_s / std::max(kLeast, kBeginsBy * deadline_s);
  return over * over * over * over;
}

double ageing(const Request& request, double since_arrival_s) {
  if (!is_patient(request.service_class))
    return 1;
  return 1 + kAgeing[index_of(request.service_class)] * impatience(request, since_arrival_s);
}

// Where the price of what a request takes begins to count, and over which span it comes to count in
// full. Of a rented service by the share of its minute that is spent; elsewhere by how near to its
// limits a replica is (Arrivals::standing). Work below dearer work that comes there, too, is
// charged while most of the replica is still free, so that dearer work finds room: nested booking
// limits. They are tighter on a lane that serves in turn than on a batch.
struct Ramp {
  double from, span;
};
constexpr Ramp kQuotaRamp = {0.5, 0.5};
constexpr Ramp kLaneRamp = {0.5, 0.4}, kLaneRampBelow = {0.1, 0.3};
constexpr Ramp kBatchRamp = {0.8, 0.3}, kBatchRampBelow = {0.2, 0.3};

double up(const Ramp& ramp, double x) { return std::clamp((x - ramp.from) / ramp.span, 0.0, 1.0); }

// Nothing of medley's own is scarce there, whatever it was a minute ago. What others have there may
// never leave.
bool is_idle(const View& view, PoolId pool) {
  const std::uint64_t first = view.ledger.first_replica(pool).number();
  const auto all = std::span(view.ledger.replicas())
                       .subspan(first, static_cast<std::size_t>(view.fleet.pool(pool).replicas));
  return std::all_of(all.begin(), all.end(),
                     [](const ReplicaAccount& account) { return account.outstanding() == 0; });
}

// Of the hardware that the request may have.
bool any_owned_is_busy(const View& view, std::span<const Forbidden> filtered) {
  for (std::size_t i = 0; i < filtered.size(); ++i) {
    // Where only one replica is looked at, the others' pools are not asked for.
    const bool may_have = filtered[i] == Forbidden::kNo || filtered[i] == Forbidden::kNotAsked;
    if (may_have && !view.fleet.pools[i].metered && !is_idle(view, PoolId(i)))
      return true;
  }
  return false;
}

// What a request would pay in a pool for what is scarce there.
struct Tolls {
  double full = 0;   // where it is full
  double power = 0;  // everywhere, for power
};

Tolls tolls_of(const View& view, const Request& request, PoolId pool) {
  if (!view.market.has_prices(view.now))
    return {};
  return {is_idle(view, pool) ? 0 : view.market.price(view.now, pool, request),
          view.market.power_price(view.now, pool, request)};
}

// In which measure a replica of the pool is full for it.
double scarcity(const View& view, const Request& request, PoolId pool, const Forecast& forecast) {
  const perf::ServingKind kind = view.perf.pool(pool).kind;
  if (kind == perf::ServingKind::kMetered)
    return up(kQuotaRamp, view.quotas.spent_share(view.now, pool));
  const double value = view.fleet.policy(request.service_class).value.value();
  const auto [near, below] = view.arrivals.standing(pool, value, forecast);
  if (kind == perf::ServingKind::kSlotted)
    return up(below ? kLaneRampBelow : kLaneRamp, near);
  return up(below ? kBatchRampBelow : kBatchRamp, near);
}

double toll(const View& view, const Request& request, PoolId pool, const Tolls& tolls,
            const Forecast& forecast) {
  if (tolls.full == 0)
    return tolls.power;
  return scarcity(view, request, pool, forecast) * tolls.full + tolls.power;
}

// Where an owned pool is idle and not known yet, what it is likely to keep is worth as much as if
// it were sure, one request at a time: else a pool with a wide error bar never answers beside a
// rented service that is surer, and its bar stays as wide for ever. Guaranteed work is not for
// trying.
bool is_tried(const View& view, const Request& request, PoolId pool) {
  return view.predictor.trials(pool) > 0 && !view.fleet.pool(pool).metered &&
         request.service_class != ServiceClass::kGuaranteed && is_idle(view, pool);
}

// Without probabilities all is either sure or lost: `sharp`.
double tpot_probability(const View& view, PoolId pool, double tpot_s, Duration target,
                        double load_error, bool sharp) {
  if (sharp)
    return tpot_s <= to_seconds(target).value() ? 1 : 0;
  return view.predictor.tpot_probability(pool, tpot_s, target, load_error);
}

double probability_of(const View& view, const Request& request, PoolId pool,
                      const Forecast& forecast, bool sharp) {
  if (sharp)
    return keeps_targets(view, request, forecast, {}) ? 1 : 0;
  return view.predictor.fits_probability(request, pool) *
         view.predictor.probability(view.now, request, pool, forecast);
}

// What those already there lose by their time per token, from a request of this value that joins:
// by one more sequence in the steps that are left of their answers, met half way on average
// (docs/decisions/0098-half-of-an-answer-is-behind-it.md). Dearer ones by its prompt, too, and as
// if all of their answers were still to come; equals and cheaper ones are as often the cause as the
// victim of that (docs/decisions/0097-a-prompt-holds-up-dearer-answers.md).
double residents_harm(const View& view, PoolId pool, const ReplicaAccount& account,
                      const Forecast& forecast, double value, bool sharp) {
  const double joined_s = (forecast.tpot_before_s + forecast.tpot_s) / 2;
  // Spread over the tokens of an answer that stays as long as the pool's usually do.
  const double stay_s = view.predictor.stay_s(pool).value_or(0);
  const double held_up_s = forecast.tpot_s * (1 + (stay_s > 0 ? forecast.holds_up_s / stay_s : 0));
  const auto harm_of = [&](ServiceClass service_class, const std::optional<Duration>& target) {
    if (!target)
      return 0.0;
    const double before =
        tpot_probability(view, pool, forecast.tpot_before_s, *target, forecast.load_error, sharp);
    const double theirs = view.fleet.policy(service_class).value.value();
    const double after = tpot_probability(view, pool, theirs > value ? held_up_s : joined_s,
                                          *target, forecast.load_error, sharp);
    return theirs * std::max(0.0, before - after);
  };
  std::array<int, kServiceClassCount> count = account.by_class;
  double harm = 0;
  for (const ReplicaAccount::OwnTpot& own : account.own_tpots) {
    --count[index_of(own.service_class)];
    harm += harm_of(own.service_class, own.target);
  }
  for (const ServiceClass service_class : kServiceClasses) {
    if (count[index_of(service_class)] > 0)
      harm += count[index_of(service_class)] *
              harm_of(service_class, view.fleet.policy(service_class).targets.tpot);
  }
  return harm;
}

// The parts of a score, money, as the log tells them; decide() works out no more than it needs.
struct Weighed {
  double probability = 0, late = 1;
  double worth = 0;
  // What others lose by it: residents, and later work that is dearer; and what is scarce. Its own
  // cost ranks the replicas, but does not refuse it.
  double residents = 0, later = 0, toll = 0;

  double harm() const { return residents + later + toll; }
};

Weighed weigh(const View& view, const Request& request, PoolId pool, const ReplicaAccount& account,
              const Forecast& forecast, const Tolls& tolls, const PlacementPolicy& policy) {
  const bool sharp = !policy.has(ScorePart::kProbability);
  const double value = view.fleet.policy(request.service_class).value.value();
  const double since_arrival = to_seconds(view.now - request.arrived_at).value();
  Weighed seen;
  seen.probability = probability_of(view, request, pool, forecast, sharp);
  seen.late = lateness(request, since_arrival, forecast);
  const double counts =
      is_tried(view, request, pool) && seen.probability >= kLeastProbability ? 1 : seen.probability;
  seen.worth =
      value * ageing(request, since_arrival) * (counts + kLateShare * (1 - counts) * seen.late);
  if (policy.has(ScorePart::kResidents))
    seen.residents = residents_harm(view, pool, account, forecast, value, sharp);
  // An idle replica keeps nothing free for more of the same class.
  if (policy.has(ScorePart::kLater) && !view.fleet.pool(pool).metered) {
    const bool empty = account.outstanding() == 0;
    seen.later =
        view.arrivals.harm(empty ? std::max(seen.worth, value) : seen.worth, pool, forecast);
  }
  seen.toll = toll(view, request, pool, tolls, forecast);
  return seen;
}

// --- what the log says
// -------------------------------------------------------------------------------------------------

// z with which Φ(z) = share, by Newton's method from where Φ is steep; share in (0, 1).
double normal_quantile(double share) {
  double z = 0;
  for (int i = 0; i < 60; ++i) {
    const double at = 0.5 * std::erfc(-z / std::sqrt(2.0)) - share;
    const double slope = std::exp(-z * z / 2) / std::sqrt(2 * std::numbers::pi);
    z = std::clamp(z - std::clamp(at / std::max(slope, 1e-12), -0.5, 0.5), -5.0, 5.0);
  }
  return z;
}

Forecast forecast_seen(const View& view, const Request& request, PoolId pool,
                       const ReplicaAccount& account) {
  Forecast forecast = view.predictor.forecast(view.now, request, pool, account);
  if (account.outstanding() > 0 && !view.fleet.pool(pool).metered) {
    forecast.wait_s += view.left_free_s;
    forecast.ttft_s += view.left_free_s;
  }
  return forecast;
}

// A target of the request that would have put the replica level with the winner, the least there
// is; empty where no looser one would have. Solved for the probability that is needed, then tried.
std::optional<double> target_that_wins(const View& view, const Request& request, PoolId pool,
                                       const ReplicaAccount& account, const Tolls& tolls,
                                       const PlacementPolicy& policy, double winning_score,
                                       std::optional<Duration> Targets::*which) {
  if (!(request.targets.*which))
    return std::nullopt;
  const bool first = which == &Targets::ttft;
  const double since_arrival = to_seconds(view.now - request.arrived_at).value();
  const Forecast forecast = forecast_seen(view, request, pool, account);
  const auto wins = [&](double target_s) {
    Request looser = request;
    looser.targets.*which = round_to_duration(Seconds(target_s));
    const Weighed seen = weigh(view, looser, pool, account, forecast, tolls, policy);
    return seen.probability >= kLeastProbability &&
           seen.worth - forecast.money - seen.harm() >= winning_score && seen.worth > seen.harm();
  };
  const double error = first ? view.predictor.ttft_error(pool) : view.predictor.tpot_error(pool);
  const double predicted = first ? forecast.ttft_s : forecast.tpot_s;
  for (const double share : {0.5, 0.75, 0.9, 0.99, 0.9999}) {
    const double target_s =
        (first ? since_arrival : 0) + predicted * (1 + normal_quantile(share) * error) + 1e-5;
    if (target_s > to_seconds(*(request.targets.*which)).value() && wins(target_s))
      return target_s;
  }
  return std::nullopt;
}

// Why a replica with room was not taken: its targets would be missed, others would lose more than
// it is worth, or it may wait until it costs less. `grown`: what it is worth were they kept.
Forbidden why_not(const Weighed& seen, double grown) {
  const bool kept = seen.probability >= kLeastProbability;
  if ((kept ? seen.worth : grown) <= seen.harm())
    return Forbidden::kDearer;
  return kept ? Forbidden::kCostly : Forbidden::kSlow;
}

// Fills in what the score was made of, and what would have changed the decision.
void explain(const View& view, const Request& request, const Choice& choice,
             const PlacementPolicy& policy, std::vector<Candidate>& candidates) {
  const double since_arrival = to_seconds(view.now - request.arrived_at).value();
  const double grown =
      view.fleet.policy(request.service_class).value.value() * ageing(request, since_arrival);
  std::optional<double> winning_score;
  for (Candidate& candidate : candidates) {
    const PoolId pool = candidate.pool;
    if (policy.has(ScorePart::kPrices)) {
      candidate.unit_price = view.market.unit_price(view.now, pool);
      if (candidate.unit_price && candidate.replica)
        candidate.full_price = view.market.price(view.now, pool, request);
    }
    if (!candidate.replica)
      continue;
    const ReplicaAccount& account = view.ledger.replica(*candidate.replica);
    const Forecast forecast = forecast_seen(view, request, pool, account);
    const Forecast plain = view.predictor.forecast(view.now, request, pool, account);
    const Weighed seen =
        weigh(view, request, pool, account, forecast, tolls_of(view, request, pool), policy);
    candidate.ttft_s = since_arrival + plain.ttft_s;
    candidate.tpot_s = forecast.tpot_s;
    candidate.probability = seen.probability;
    if (request.targets.ttft)
      candidate.ttft_probability =
          view.predictor.ttft_probability(view.now, request, pool, forecast);
    if (request.targets.tpot)
      candidate.tpot_probability = view.predictor.tpot_probability(
          pool, forecast.tpot_s, *request.targets.tpot, forecast.load_error);
    candidate.money = forecast.money;
    if (forecast.joules > 0)
      candidate.joules = forecast.joules;  // else unknown
    candidate.worth = seen.worth;
    candidate.residents = seen.residents;
    candidate.later = seen.later;
    candidate.toll = seen.toll;
    if (const double power = tolls_of(view, request, pool).power; power > 0)
      candidate.power = power;
    candidate.tried = is_tried(view, request, pool) && seen.probability >= kLeastProbability;
    if (!candidate.score)
      candidate.score = seen.worth - forecast.money - seen.harm();
    if (candidate.replica == choice.replica)
      winning_score = candidate.score;
    // Forbidden by the score, or held back where its targets are lost and an idle fleet keeps them.
    if (candidate.forbidden != Forbidden::kNo || !choice.replica)
      candidate.forbidden = why_not(seen, grown);
  }
  // Without a winner it had to be worth more than others lose by it, and than it costs where that
  // counts.
  const auto to_beat = [&](const Candidate& candidate) {
    return winning_score.value_or(candidate.forbidden == Forbidden::kCostly ? 0
                                                                            : -*candidate.money);
  };
  Candidate* second = nullptr;
  const auto rank = [](const Candidate& candidate) {
    return std::tuple(candidate.forbidden == Forbidden::kNo,
                      *candidate.probability >= kLeastProbability, -*candidate.lacks);
  };
  for (Candidate& candidate : candidates) {
    if (!candidate.replica || candidate.replica == choice.replica)
      continue;
    candidate.lacks = std::max(0.0, to_beat(candidate) - *candidate.score);
    if (second == nullptr || rank(candidate) > rank(*second))
      second = &candidate;
  }
  if (second == nullptr)
    return;
  // Worth its cost, but it may wait for what costs less: neither target nor price would change
  // that.
  if (second->forbidden == Forbidden::kCostly && *second->lacks == 0)
    return;
  const PoolId pool = second->pool;
  const ReplicaAccount& account = view.ledger.replica(*second->replica);
  const Tolls tolls = tolls_of(view, request, pool);
  const auto with_target = [&](std::optional<Duration> Targets::*which) {
    return target_that_wins(view, request, pool, account, tolls, policy, to_beat(*second), which);
  };
  second->wins_at_ttft_s = with_target(&Targets::ttft);
  second->wins_at_tpot_s = with_target(&Targets::tpot);
  const double scarce = *second->toll - tolls.power;  // in proportion to the price
  if (*second->lacks > 0 && *second->lacks < scarce && second->unit_price.value_or(0) > 0 &&
      *second->probability >= kLeastProbability)
    second->wins_at_unit_price = *second->unit_price * (1 - *second->lacks / scarce);
  // Whoever was chosen would pay less for power, too.
  const auto chosen = std::find_if(candidates.begin(), candidates.end(), [&](const Candidate& one) {
    return choice.replica && one.replica == choice.replica;
  });
  const double more = tolls.power - (chosen == candidates.end() ? 0 : chosen->power.value_or(0));
  if (*second->lacks > 0 && *second->lacks < more && *second->probability >= kLeastProbability)
    second->wins_at_power = tolls.power * (1 - *second->lacks / more);
}

}  // namespace

Choice MedleyPlacement::choose(const View& view, const Request& request,
                               std::span<const Forbidden> filtered,
                               std::span<const ReplicaId> avoid, bool last_chance,
                               std::vector<Candidate>* candidates) {
  const Choice choice = decide(view, request, filtered, avoid, last_chance, candidates);
  if (candidates != nullptr)
    explain(view, request, choice, policy_, *candidates);
  return choice;
}

Choice MedleyPlacement::decide(const View& view, const Request& request,
                               std::span<const Forbidden> filtered,
                               std::span<const ReplicaId> avoid, bool last_chance,
                               std::vector<Candidate>* candidates) {
  const long long need = request.prompt_tokens.count() + view.predictor.output_tokens(request);
  const double value = view.fleet.policy(request.service_class).value.value();
  const double since_arrival = to_seconds(view.now - request.arrived_at).value();
  const bool patient = is_patient(request.service_class);
  const double grown = value * ageing(request, since_arrival);

  const double gone = patient ? impatience(request, since_arrival) : 0;  // of its patience
  const double offer = patient ? value * (kFirstOffer + kOffer * gone) : 0;
  const double most_rent = value * (kMostRent + std::min(gone, 1.0));  // of patient work
  std::optional<bool> may_come_free;                                   // looked up where it matters
  const auto hardware_may_come_free = [&] {
    if (!may_come_free)
      may_come_free = any_owned_is_busy(view, filtered);
    return *may_come_free;
  };
  const bool sharp = !policy_.has(ScorePart::kProbability);
  const bool refuses = policy_.has(ScorePart::kRefusal) || !last_chance;

  struct Best {
    ReplicaId replica;
    Forecast forecast;
    double score = 0, probability = 0, late = 1;
  };
  std::optional<Best> best_kept, best_lost;  // targets within reach there; lost there
  constexpr double kNothing = -std::numeric_limits<double>::infinity();
  double to_beat = kNothing;  // the best score so far where the targets are within reach
  margins_.assign(filtered.size(), 0);

  for (std::size_t i = 0; i < filtered.size(); ++i) {
    if (filtered[i] != Forbidden::kNo)
      continue;
    const PoolId pool(i);
    const Pool& facts = view.fleet.pool(pool);
    Forbidden why = Forbidden::kLost;
    std::optional<Best> best_here;
    std::optional<double> margin;
    std::optional<ReplicaId> nearest;  // of those that were weighed in vain
    const Tolls tolls = tolls_of(view, request, pool);
    bool seen_idle = false;
    if (candidates != nullptr)
      to_beat = kNothing;  // each pool's best is asked for
    const std::uint64_t first = view.ledger.first_replica(pool).number();
    const auto replicas = static_cast<std::uint64_t>(facts.replicas);
    const std::uint64_t looks = view.only ? 1 : std::min(replicas, kMostOfAPool);
    const std::uint64_t start =
        view.only          ? view.only->number() - first
        : replicas > looks ? request.id.number() + static_cast<std::uint64_t>(since_arrival * 1e3)
                           : 0;
    // Where most are not looked at, the one that has the most of the prompt is, before the others.
    const std::optional<ReplicaId> warmest =
        !view.only && replicas > looks ? view.ledger.warmest(request, pool, facts.replicas)
                                       : std::nullopt;
    for (std::uint64_t look = warmest ? 0 : 1; look <= looks; ++look) {
      const ReplicaId id = look == 0 ? *warmest : ReplicaId(first + (start + look - 1) % replicas);
      const ReplicaAccount& account = view.ledger.replica(id);
      if (!account.live || std::find(avoid.begin(), avoid.end(), id) != avoid.end())
        continue;
      if (refuses && !leaves_headroom(view, request, pool, account, need)) {
        why = Forbidden::kFull;
        continue;
      }
      // Idle replicas are alike, but for what they have of the prompt: the first stands for all.
      const bool empty = account.outstanding() == 0;
      if (account.sequences() == 0 && view.ledger.cached_tokens(request, id) == 0 &&
          std::exchange(seen_idle, true))
        continue;
      // At the last moment an idle replica takes whatever is lawful: nobody waits for it now.
      const bool takes_anything = !refuses || (last_chance && empty);
      const double left_free_s = empty || facts.metered ? 0 : view.left_free_s;
      if (!takes_anything && !facts.metered) {
        const double wait_s = view.predictor.wait_s(view.now, request, account);
        // Who comes next and cannot wait would be late behind what waits there already, whatever
        // the prices are: they are of mean rates. Patient work waits in the backlog instead, where
        // it is in nobody's way.
        if (patient && !last_chance && !empty &&
            view.arrivals.outlasts_dearer(pool, value, wait_s)) {
          why = Forbidden::kInTheWay;
          continue;
        }
        // What waits there alone may make it too dear: then there is nothing to predict.
        const Forecast least = {.ttft_s = wait_s + left_free_s};
        const double least_harm = toll(view, request, pool, tolls, least);
        if (grown <= least_harm) {
          if (!margin || (grown - least_harm) / grown > *margin)
            nearest = id;
          margin = std::max(margin.value_or(-1e9), (grown - least_harm) / grown);
          continue;
        }
      }
      // What patient work costs itself counts, too, where hardware that is busy now may come free
      // and cost less. Who waits for an answer is not kept waiting for that: each moment of it is
      // one less before its target.
      const auto costs_too_much = [&](double worth, double harm, double cost) {
        const bool costly = patient && worth <= harm + cost;
        const bool better_may_come = patient && !last_chance && (facts.metered || !empty) &&
                                     offer < harm + (facts.metered ? cost : 0);
        return (costly || better_may_come) && hardware_may_come_free();
      };
      Forecast forecast = view.predictor.forecast(view.now, request, pool, account);
      forecast.wait_s += left_free_s;
      forecast.ttft_s += left_free_s;
      const double money = (planted(Bug::kPriceSign) ? -1 : 1) * forecast.money;
      if (!nearest)
        nearest = id;
      if (patient && refuses && facts.metered && forecast.money > most_rent &&
          hardware_may_come_free()) {
        margin = std::max(margin.value_or(-1e9), (most_rent - forecast.money) / grown);
        continue;
      }
      const double here = toll(view, request, pool, tolls, forecast);
      // Whether it is neither better than what was found nor nearer to being taken, even if no more
      // than `worth` were gained and as little as `harm` lost: then the rest need not be known.
      const auto changes_nothing = [&](double worth, double harm) {
        if (worth - money - harm <= to_beat)
          return true;
        if (takes_anything)
          return false;
        const bool nearer = !margin || (worth - harm) / grown > *margin;
        return worth <= harm ? last_chance || !nearer
                             : !nearer && costs_too_much(worth, harm, forecast.money);
      };
      const double late = lateness(request, since_arrival, forecast);
      // A forecast that is late has less than even odds.
      const double most = late < 1 ? kLeastProbability : 1;
      if (changes_nothing(grown * (most + kLateShare * (1 - most) * late), here))
        continue;
      const bool takes_late = !last_chance || !refuses || has_slack(view, pool, account);
      if (late < 1 && !takes_late)
        continue;
      const double probability = probability_of(view, request, pool, forecast, sharp);
      const bool kept = probability >= kLeastProbability;
      if (!kept && !takes_late)
        continue;
      const double counts = kept && is_tried(view, request, pool) ? 1 : probability;
      const double worth = grown * (counts + kLateShare * (1 - counts) * late);
      // What others lose by it: residents, and later work that is dearer. An idle replica keeps
      // nothing free for more of the same class.
      const double later =
          policy_.has(ScorePart::kLater) && !facts.metered
              ? view.arrivals.harm(empty ? std::max(worth, value) : worth, pool, forecast)
              : 0;
      if (changes_nothing(worth, later + here))
        continue;
      const double residents = policy_.has(ScorePart::kResidents)
                                   ? residents_harm(view, pool, account, forecast, value, sharp)
                                   : 0;
      const double harm = residents + later + here;
      const double score = worth - money - harm;
      if (!margin || (worth - harm) / grown - (kept ? 0 : 1) > *margin)
        nearest = id;
      margin = std::max(margin.value_or(-1e9), (worth - harm) / grown - (kept ? 0 : 1));
      if (worth <= harm && !takes_anything)
        continue;
      if (kept && !takes_anything && costs_too_much(worth, harm, forecast.money))
        continue;
      const auto rank = [](const Best& best) {
        return std::pair(best.probability >= kLeastProbability, best.score);
      };
      const Best found = {id, forecast, score, probability, late};
      if (!best_here || rank(found) > rank(*best_here)) {
        best_here = found;
        best_here->forecast.wait_s -= left_free_s;
        best_here->forecast.ttft_s -= left_free_s;
      }
      if (kept)
        to_beat = std::max(to_beat, score);
    }
    margins_[i] = margin.value_or(0);
    if (candidates != nullptr) {
      Candidate& candidate = candidates->at(i);
      if (best_here) {
        candidate.replica = best_here->replica;
        candidate.score = best_here->score;
      } else {
        candidate.replica = nearest;
        candidate.forbidden =
            nearest ? Forbidden::kDearer : why;  // which of its kin, explain() says
      }
    }
    if (!best_here)
      continue;
    if (best_here->probability >= kLeastProbability) {
      if (!best_kept || best_here->score > best_kept->score)
        best_kept = best_here;
    } else if (!best_lost || std::pair(best_here->late, best_here->score) >
                                 std::pair(best_lost->late, best_lost->score)) {
      best_lost = best_here;
    }
  }

  if (best_kept)
    return {best_kept->replica, best_kept->forecast};
  if (!best_lost || view.only)
    return {};
  if (last_chance)
    return {best_lost->replica, best_lost->forecast, true};
  // The targets are lost on every replica with room. If an idle fleet could keep them, waiting or
  // refusing is honest; if not, the request is served about as well as can be, or waits for that.
  Request fresh = request;
  fresh.arrived_at = view.now;
  double best_late = 0;  // of an idle fleet
  for (std::size_t i = 0; i < filtered.size(); ++i) {
    if (filtered[i] != Forbidden::kNo)
      continue;
    const PoolId pool(i);
    const std::uint64_t first = view.ledger.first_replica(pool).number();
    bool live = false;  // and did not fail it before
    for (int r = 0; r < view.fleet.pool(pool).replicas && !live; ++r) {
      const ReplicaId id(first + static_cast<std::uint64_t>(r));
      live =
          view.ledger.replica(id).live && std::find(avoid.begin(), avoid.end(), id) == avoid.end();
    }
    if (!live)
      continue;
    const Forecast idle = view.predictor.forecast_idle(view.now, fresh, pool);
    if (probability_of(view, fresh, pool, idle, sharp) >= kLeastProbability)
      return {};
    best_late = std::max(best_late, lateness(fresh, 0, idle));
  }
  if (best_lost->late < kLeastLateness * best_late)
    return {};
  return {best_lost->replica, best_lost->forecast, true};
}

namespace {

// One request is preempted so often at most, so that nothing starves.
constexpr int kMostPreemptions = 5;
// What looks for victims may cost: so many replicas of a pool at a time, others at each look. When
// they are in vain the pool is left alone until each of its replicas has had this long, in which
// little changes there.
constexpr std::int64_t kMostLooks = 4;
constexpr Duration kLooksAgainAfter = std::chrono::milliseconds(20);

struct Victim {
  const Resident* resident;
  double done;   // share of all the work it is that it would lose
  double again;  // probability that it keeps its targets all the same
};

// Of a resident that may start over. Empty: its targets would be lost, where it is taken to wait
// again for as long as it did; or nothing is gained by it, since a statically scheduled lane stays
// busy to the end of the prompt that is in it.
std::optional<Victim> victim(const View& view, PoolId pool, const Resident& resident) {
  const Request& request = resident.request;
  if (resident.preemptions >= kMostPreemptions)
    return std::nullopt;
  const bool began = resident.first_token_at.has_value();
  const double prompt_s =
      static_cast<double>(request.prompt_tokens.count() - resident.cached_tokens) /
      view.predictor.prefill_tokens_per_s(pool);
  const double tpot_s = resident.tpot_s.value_or(0);
  const double answer_s = static_cast<double>(view.predictor.output_tokens(request)) * tpot_s;
  double done_s = 0;
  if (began) {
    const double decoding_s = to_seconds(view.now - *resident.first_token_at).value();
    done_s = prompt_s + std::min(decoding_s, answer_s);
  } else {
    const double there_s = to_seconds(view.now - resident.dispatched_at).value();
    const double waits_s = resident.ttft_from_dispatch_s.value_or(0) - prompt_s;
    done_s = std::clamp(there_s - waits_s, 0.0, prompt_s);
    if (done_s > 0 && view.perf.pool(pool).kind == perf::ServingKind::kSlotted)
      return std::nullopt;
  }
  const double waited_s = to_seconds(resident.dispatched_at - request.arrived_at).value();
  const double again = view.predictor.probability(
      view.now, request, pool, {.ttft_s = waited_s + prompt_s + tpot_s, .tpot_s = tpot_s});
  if (again < kLeastProbability)
    return std::nullopt;
  return Victim{&resident, done_s / std::max(1e-9, prompt_s + answer_s), again};
}

double loss(const View& view, PoolId pool, const Victim& victim) {
  const Resident& resident = *victim.resident;
  const Request& request = resident.request;
  Request rest = request;
  Forecast stays{.tpot_s = resident.tpot_s.value_or(0)};
  if (resident.first_token_at) {
    rest.targets.ttft.reset();
    const double left = (1 - victim.done) * static_cast<double>(view.predictor.output_tokens(rest));
    rest.output_known = Tokens(std::llround(left));
  } else {
    const double there_s = to_seconds(view.now - resident.dispatched_at).value();
    stays.ttft_s = std::max(0.0, resident.ttft_from_dispatch_s.value_or(0) - there_s);
  }
  const double kept = view.predictor.probability(view.now, rest, pool, stays);
  const double value = view.fleet.policy(request.service_class).value.value() *
                       ageing(request, to_seconds(view.now - request.arrived_at).value());
  double lost = value * std::max(0.0, kept - victim.again);
  if (victim.done > 0)
    lost += victim.done * (resident.money + view.market.price(view.now, pool, request));
  return lost;
}

}  // namespace

Displacement MedleyPlacement::displace(const View& view, const Request& request,
                                       std::span<const Forbidden> filtered,
                                       std::span<const ReplicaId> avoid) {
  if (request.service_class != ServiceClass::kGuaranteed || !policy_.has(ScorePart::kDisplacement))
    return {};
  const double value = view.fleet.policy(request.service_class).value.value();
  const double since_arrival = to_seconds(view.now - request.arrived_at).value();
  const long long need = request.prompt_tokens.count() + view.predictor.output_tokens(request);
  const bool sharp = !policy_.has(ScorePart::kProbability);

  Displacement best;
  double best_gain = 0;
  no_room_until_.resize(filtered.size());
  std::vector<Victim> victims;  // of a replica, those that have done least first
  for (std::size_t i = 0; i < filtered.size(); ++i) {
    const PoolId pool(i);
    if (filtered[i] != Forbidden::kNo || !view.fleet.pool(pool).can_preempt() ||
        view.now < no_room_until_[i])
      continue;
    const std::uint64_t first = view.ledger.first_replica(pool).number();
    const Tolls tolls = tolls_of(view, request, pool);
    const std::int64_t replicas = view.fleet.pool(pool).replicas;
    const std::int64_t looks = std::min(replicas, kMostLooks);
    const auto waited_ms = static_cast<std::uint64_t>(since_arrival * 1e3);
    const std::uint64_t start = replicas > looks ? request.id.number() + waited_ms : 0;
    bool found = false;
    for (std::int64_t look = 0; look < looks; ++look) {
      const ReplicaId id(first + (start + static_cast<std::uint64_t>(look)) %
                                     static_cast<std::uint64_t>(replicas));
      const ReplicaAccount& account = view.ledger.replica(id);
      if (!account.live || std::find(avoid.begin(), avoid.end(), id) != avoid.end())
        continue;
      // In the room that `rest` leaves. Empty: its targets are lost all the same.
      struct Place {
        Forecast forecast;
        double score;
      };
      const auto place_beside = [&](ReplicaAccount rest) -> std::optional<Place> {
        if (!leaves_headroom(view, request, pool, rest, need))
          return std::nullopt;
        rest.prefill_free_at = std::min(
            rest.prefill_free_at,
            view.now + round_to_duration(Seconds(view.predictor.pending_prefill_s(pool, rest))));
        const Forecast plain = view.predictor.forecast_undisturbed(view.now, request, pool, rest);
        Forecast there = plain;
        if (rest.outstanding() > 0) {  // as in decide()
          there.wait_s += view.left_free_s;
          there.ttft_s += view.left_free_s;
        }
        const double probability = probability_of(view, request, pool, there, sharp);
        if (probability < kLeastProbability)
          return std::nullopt;
        const double late = lateness(request, since_arrival, there);
        const double worth = value * (probability + kLateShare * (1 - probability) * late);
        double harm = toll(view, request, pool, tolls, there);
        if (policy_.has(ScorePart::kResidents))
          harm += residents_harm(view, pool, rest, there, value, sharp);
        if (policy_.has(ScorePart::kLater))
          harm += view.arrivals.harm(worth, pool, there);
        return Place{plain, worth - plain.money - harm};
      };
      const std::vector<const Resident*>& movable = view.ledger.movable(id);
      if (movable.empty() || !place_beside(view.ledger.without_movable(id)))
        continue;
      victims.clear();
      for (auto resident = movable.rbegin(); resident != movable.rend(); ++resident) {
        if (const auto one = victim(view, pool, **resident))
          victims.push_back(*one);
      }
      std::stable_sort(victims.begin(), victims.end(),
                       [](const Victim& a, const Victim& b) { return a.done < b.done; });
      const auto place_without = [&](std::size_t count) {
        ReplicaAccount rest = account;
        for (std::size_t v = 0; v < count; ++v)
          rest.forget(*victims[v].resident);
        return place_beside(rest);
      };
      // The fewest that will do.
      std::size_t enough = victims.size();
      std::optional<Place> place = place_without(enough);
      if (enough == 0 || !place)
        continue;
      for (std::size_t too_few = 0; enough > too_few + 1;) {
        const std::size_t middle = too_few + (enough - too_few) / 2;
        if (const auto nearer = place_without(middle)) {
          place = nearer;
          enough = middle;
        } else {
          too_few = middle;
        }
      }
      double gain = place->score;
      for (std::size_t v = 0; v < enough; ++v)
        gain -= loss(view, pool, victims[v]);
      if (gain <= 0)
        continue;
      found = true;
      if (gain <= best_gain)
        continue;
      best_gain = gain;
      best = {{id, place->forecast, false}, {}};
      for (std::size_t v = 0; v < enough; ++v)
        best.preempted.push_back(victims[v].resident->request.id);
    }
    if (!found)
      no_room_until_[i] = view.now + kLooksAgainAfter * looks / replicas;
  }
  return best;
}

}  // namespace medley::sched
