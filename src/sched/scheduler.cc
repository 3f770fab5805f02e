#include "sched/scheduler.h"

#include <algorithm>
#include <limits>
#include <tuple>

#include "base/check.h"
#include "base/plant.h"
#include "sched/admission.h"
#include "sched/arrivals.h"
#include "sched/backlog.h"
#include "sched/ledger.h"
#include "sched/market.h"
#include "sched/outside.h"
#include "sched/placement/placement.h"
#include "sched/predictor.h"
#include "sched/promise.h"
#include "sched/quota.h"

namespace medley::sched {
namespace {

// How often waiting work is looked at again when nothing else happens: within a fraction of the
// tightest target.
constexpr Duration kInteractiveTick = std::chrono::milliseconds(50);
constexpr Duration kPatientTick = std::chrono::milliseconds(250);
// Where nothing happens, patient work is looked at ever more rarely: each time after twice as long.
constexpr Duration kMostPatientTick = std::chrono::seconds(32);
// Where a policy has its work looked at in part (groups_looked_at()), an alarm tries one request,
// so that no event takes long: each kind after this time, all kinds together no more often than the
// least tick. Of a kind so many from its head on, then its head again: with 4 batch keeps a point
// less at loads 1.5 and 2, with 1 all keep .05, .3 and .8 points less of the bound at 1, 1.5 and 2,
// and so do all with a least tick of 1 ms, .05 points (scenarios/mixed_fleet.yaml, seeds 6 to 9).
constexpr Duration kTryTick = std::chrono::milliseconds(12);
constexpr Duration kLeastTick = std::chrono::microseconds(500);
constexpr std::size_t kTriesAround = 64;
constexpr double kOutOfReach = -std::numeric_limits<double>::infinity();  // margin: not by law
// Tries in vain before a group is left for this time, of requests that failed on some replica and
// wait for another.
constexpr int kPickyTries = 256;
// Dispatches that may fail before a request is given up: one that breaks every replica it meets
// must not meet them all.
constexpr int kMaxFailures = 3;
// Bounds of Retry-After: clients of the OpenAI family ignore or oversleep anything from a minute
// up.
constexpr Duration kLeastRetryAfter = std::chrono::seconds(1);
constexpr Duration kMostRetryAfter = std::chrono::seconds(59);
// When every replica is lost: drivers try lost ones again every few seconds.
constexpr Duration kLostRetryAfter = std::chrono::seconds(5);

}  // namespace

class Scheduler::Impl {
 public:
  Impl(const Fleet& fleet, const perf::PerfModel& perf, const SchedulerOptions& options)
      : fleet_(fleet),
        perf_(perf),
        ledger_(fleet_, fleet_.placement.has(ScorePart::kPrefixes) ? PrefixIndex(fleet_, perf_)
                                                                   : PrefixIndex()),
        predictor_(fleet_, perf_, ledger_, options.forecast_error, options.heard_every),
        arrivals_(fleet_, perf_, ledger_, predictor_),
        market_(fleet_, perf_, predictor_, ledger_, arrivals_),
        quotas_(fleet_),
        outside_(fleet_, perf_, ledger_),
        promises_(perf_, ledger_),
        backlog_(fleet_),
        placement_(make_placement(fleet_)) {
    MEDLEY_CHECK(fleet_.pools.size() == perf_.pools.size());
    MEDLEY_CHECK(!fleet_.tenants.empty());
  }

  void handle(Instant now, const Event& event, std::vector<Decision>& decisions) {
    MEDLEY_CHECK(now >= now_, "time went backwards");
    now_ = now;
    out_ = &decisions;
    const bool rang = std::holds_alternative<AlarmRang>(event);
    if (!rang && !std::holds_alternative<PricesSolved>(event))
      eventful_at_ = now;
    arrivals_.refresh(now);
    predictor_.refresh(now);
    if (uses_signals_)
      outside_.refresh(now);
    std::visit([this](const auto& e) { on(e); }, event);
    if (uses_prices_ && !rang) {  // where nothing happens, nothing needs a price
      if (auto program = market_.due(now))
        decide(SolvePrices{std::move(*program)});
    }
    set_alarm();
    out_ = nullptr;
  }

  void explain_to(ExplanationSink* sink) { sink_ = sink; }
  const Digest& digest() const { return digest_; }

  SchedulerStats stats() const {
    SchedulerStats stats;
    stats.classes = counts_;
    for (const ServiceClass service_class : kServiceClasses) {
      ClassStats& of_class = stats.classes[index_of(service_class)];
      of_class.waiting = static_cast<long long>(backlog_.size(service_class));
      for (const ReplicaAccount& account : ledger_.replicas())
        of_class.in_flight += account.by_class[index_of(service_class)];
    }
    stats.in_flight = static_cast<long long>(ledger_.size());
    double taken = 0, all = 0;
    for (const ReplicaAccount& account : ledger_.replicas()) {
      if (!account.live)
        continue;
      const perf::PoolModel& model = perf_.pool(account.pool);
      double share = static_cast<double>(account.outstanding()) / std::max(1, model.max_running);
      if (model.kv_tokens > 0) {
        share = std::max(share, static_cast<double>(account.reserved_tokens) /
                                    static_cast<double>(model.kv_tokens));
      }
      const double weight = predictor_.capability(account.pool);
      taken += weight * std::min(1.0, share);
      all += weight;
    }
    stats.saturation = all > 0 ? taken / all : 1;
    return stats;
  }

  std::optional<Prediction> prediction(RequestId request) const {
    const Resident* resident = ledger_.find(request);
    if (resident == nullptr || !resident->ttft_from_dispatch_s)
      return std::nullopt;
    const Duration waited = resident->dispatched_at - resident->request.arrived_at;
    return Prediction{to_seconds(waited).value() + *resident->ttft_from_dispatch_s,
                      *resident->tpot_s};
  }

  Calibration calibration(PoolId pool) const {
    const auto ratio = [](const Correction& of) {
      return of.observations() > 0 ? std::optional(of.ratio()) : std::nullopt;
    };
    return {ratio(predictor_.ttft_correction(pool)), ratio(predictor_.tpot_correction(pool))};
  }

 private:
  // --- events
  // -----------------------------------------------------------------------------------------------

  void on(const RequestArrived& event) {
    MEDLEY_CHECK(event.request.tenant.number() < fleet_.tenants.size());
    Waiting waiting{event.request, Instant::max(), {}};
    waiting.request.targets = effective_targets(fleet_, waiting.request);
    ++count(waiting.request).arrived;
    Request untold = waiting.request;  // nobody knows the lengths of those that are still to come
    untold.output_known.reset();
    arrivals_.arrived(now_, untold);
    backlog_.shares().came(now_, waiting.request);
    // Work of its own kind that comes before it goes first.
    const Ahead ahead = backlog_.ahead_of(waiting.request);
    const bool decided =
        ahead == Ahead::kNothing ? try_to_place(waiting) : turn_away_if_hopeless(waiting.request);
    if (!decided)
      hold(std::move(waiting), ahead);
  }

  void on(const FirstTokenEmitted& event) {
    const Resident* resident = ledger_.find(event.request);
    if (resident == nullptr || resident->first_token_at)
      return;
    const ReplicaId replica = resident->replica;
    predictor_.first_token(*resident, pool_of(replica), now_);
    ledger_.first_token(event.request, now_);
    promises_.first_token(now_, *resident);
    rebuild_prefill_lane(replica);
    ledger_.replica(replica).first_token_due = ledger_.replica(replica).prefill_free_at;
    // On a batch it is taken up once it ends: nothing is gained by a look at its first token.
    const bool frees_lane = perf_.pool(pool_of(replica)).kind == perf::ServingKind::kSlotted;
    if (frees_lane && placement_->groups_looked_at() > 0)
      release(replica);
  }

  void on(const RequestFinished& event) {
    if (ledger_.find(event.request) == nullptr)
      return;
    const Resident resident =
        remove(event.request, event.complete ? std::optional(event.generated) : std::nullopt);
    const PoolId pool = pool_of(resident.replica);
    if (!event.complete && !resident.first_token_at) {  // refused for good
      refund(resident);
    } else {
      correct(resident, event.generated);
    }
    if (event.complete) {
      predictor_.finished(resident, pool, now_, event.generated);
      outside_.finished(resident, now_, event.generated);
      ++(planted(Bug::kWrongClassCounted) ? counts_[0] : count(resident.request)).finished;
    } else {
      predictor_.broken_off(resident, pool, now_, event.generated);
      ++count(resident.request).broken;
    }
    if (!resident.first_token_at)
      rebuild_prefill_lane(resident.replica);
    release(resident.replica);
  }

  void on(const RequestCancelled& event) {
    if (const std::optional<Waiting> waiting = backlog_.remove(event.request)) {
      ++count(waiting->request).cancelled;
      if (planted(Bug::kCancelledKept))
        backlog_.push_front(*waiting);
      return;
    }
    if (ledger_.find(event.request) == nullptr)
      return;
    const Resident resident = remove(event.request);
    correct(resident, event.generated);
    predictor_.broken_off(resident, pool_of(resident.replica), now_, event.generated);
    ++count(resident.request).cancelled;
    decide(Cancel{event.request, resident.replica});
    if (planted(Bug::kSequenceLeak))
      ++ledger_.replica(resident.replica).decoding;
    if (!resident.first_token_at)
      rebuild_prefill_lane(resident.replica);
    release(resident.replica);
  }

  void on(const DispatchFailed& event) {
    if (ledger_.find(event.request) == nullptr)
      return;
    Resident resident = remove(event.request);
    refund(resident);
    rebuild_prefill_lane(resident.replica);
    Waiting waiting{resident.request, Instant::max(), std::move(resident.failed_on),
                    resident.failures + (planted(Bug::kFailuresUncounted) ? 0 : 1),
                    resident.preemptions};
    if (planted(Bug::kLabelDroppedOnRetry))
      waiting.request.label = LabelId(0);
    // What a lost replica held did not fail there: it may have it again when it returns.
    if (!planted(Bug::kFailedOnForgotten) &&
        (event.lost_its_replica || ledger_.replica(resident.replica).live))
      waiting.failed_on.push_back(resident.replica);
    if (waiting.failures >= kMaxFailures) {
      start_candidates(filter(waiting.request));
      reject(waiting.request, RejectReason::kNoReplica);
    } else if (try_to_place(waiting)) {
      // elsewhere, or nowhere is left
    } else if (!placement_->holds_back()) {
      reject(waiting.request, RejectReason::kNoReplica);
    } else {
      waiting.expires_at = expiry(waiting.request);
      if (waiting.expires_at > now_) {
        backlog_.push_front(std::move(waiting));
      } else if (!try_to_place(waiting, true)) {
        reject(waiting.request, RejectReason::kTimedOut);
      }
    }
    release(resident.replica);
  }

  void on(const ReplicaLost& event) {
    ledger_.set_live(event.replica, planted(Bug::kLostStillUsed));
    promises_.lost(event.replica);
    outside_.lost(event.replica);
  }

  void on(const ReplicaReturned& event) {
    ledger_.set_live(event.replica, !planted(Bug::kReturnForgotten));
    ledger_.replica(event.replica).signal.reset();
    rebuild_prefill_lane(event.replica);
    release(event.replica);
  }

  void on(const LoadReported& event) {
    if (uses_signals_)
      outside_.reported(now_, event.replica, event.signal);
    ReplicaAccount& account = ledger_.replica(event.replica);
    account.signal = event.signal;
    account.dispatched_since_signal = account.left_since_signal = 0;
    if (uses_signals_)
      outside_.refresh(now_);
  }

  void on(const AlarmRang&) {
    alarm_.reset();
    // Where one request is tried at an alarm, that is one which expires, if any does.
    const auto first = backlog_.next_expiry();
    if (placement_->groups_looked_at() == 0 || !first || first->first > now_)
      look_around();
    while (const auto next = backlog_.next_expiry()) {
      if (next->first > now_ || planted(Bug::kExpiredKept))
        break;
      const std::optional<Waiting> late = backlog_.remove(next->second);
      if (!try_to_place(*late, true))
        reject(late->request, RejectReason::kTimedOut);
    }
  }

  void on(const PricesSolved& event) {
    market_.solved(now_, event.duals);
    look_around();
  }

  // --- placement
  // --------------------------------------------------------------------------------------------

  Forbidden forbidden_now(const Request& request, PoolId pool, long long tokens) {
    const Forbidden by_law = forbidden_by_law(fleet_, perf_, request, pool);
    if (by_law != Forbidden::kNo)
      return by_law;
    if (!quotas_.can_ever(pool, tokens))  // a lost pool's return would not help either
      return Forbidden::kContext;
    if (ledger_.live(pool) == 0)
      return Forbidden::kLost;
    return quotas_.has_room(now_, pool, tokens) ? Forbidden::kNo : Forbidden::kQuota;
  }

  // The hard filters, by pool.
  const std::vector<Forbidden>& filter(const Request& request) {
    filtered_.resize(fleet_.pools.size());
    const long long tokens = request.prompt_tokens.count() + predictor_.output_tokens(request);
    for (std::size_t i = 0; i < filtered_.size(); ++i)
      filtered_[i] = forbidden_now(request, PoolId(i), tokens);
    return filtered_;
  }

  // Whether the last filter() left a pool to choose.
  bool any_open() const {
    return std::find(filtered_.begin(), filtered_.end(), Forbidden::kNo) != filtered_.end();
  }

  // Closes the open pools whose context could cut off the longest answer that the client allows.
  // Answers whether any was closed.
  bool close_where_the_answer_may_be_cut(const Request& request) {
    bool closed = false;
    for (std::size_t i = 0; request.output_cap && i < filtered_.size(); ++i) {
      if (filtered_[i] == Forbidden::kNo &&
          perf_.pools[i].max_context <
              request.prompt_tokens.count() + request.output_cap->count()) {
        filtered_[i] = Forbidden::kContext;
        closed = true;
      }
    }
    return closed;
  }

  // What the log says of the pools before a policy has looked at them.
  void start_candidates(const std::vector<Forbidden>& filtered) {
    candidates_.assign(filtered.size(), {});
    for (std::size_t i = 0; i < filtered.size(); ++i) {
      candidates_[i].pool = PoolId(i);
      candidates_[i].forbidden = filtered[i];
    }
    left_free_s_ = 0;
  }

  // What can be taken up now, when a quota has room again, or, by patient work, when a lost pool
  // returns.
  static bool worth_waiting_for(Forbidden why, const Request& request) {
    return why == Forbidden::kNo || why == Forbidden::kQuota ||
           (why == Forbidden::kLost && !is_interactive(request.service_class));
  }

  // Whether a lawful replica that has not failed it is there, or is worth waiting for.
  bool any_left(const Waiting& waiting) {
    const std::vector<Forbidden>& filtered = filter(waiting.request);
    for (std::size_t r = 0; r < ledger_.replicas().size(); ++r) {
      const ReplicaAccount& account = ledger_.replicas()[r];
      if (!worth_waiting_for(filtered[account.pool.number()], waiting.request) ||
          (!account.live && is_interactive(waiting.request.service_class))) {
        continue;
      }
      const std::vector<ReplicaId>& failed = waiting.failed_on;
      if (std::find(failed.begin(), failed.end(), ReplicaId(r)) == failed.end())
        return true;
    }
    return false;
  }

  // Rejects what no pool can have, and is not worth waiting. Leaves filtered_ filled.
  bool turn_away_if_hopeless(const Request& request) {
    filter(request);
    const auto has = [this](Forbidden what) {
      return std::find(filtered_.begin(), filtered_.end(), what) != filtered_.end();
    };
    if (sink_ != nullptr)
      start_candidates(filtered_);
    for (const Forbidden why : filtered_) {
      if (worth_waiting_for(why, request))
        return false;
    }
    reject(request, has(Forbidden::kLost)      ? RejectReason::kNoReplica
                    : has(Forbidden::kContext) ? RejectReason::kTooLong
                                               : RejectReason::kNoLawfulPool);
    return true;
  }

  // Dispatches it or, when it is hopeless, rejects it. False: it may wait.
  bool try_to_place(const Waiting& waiting, bool last_chance = false) {
    if (turn_away_if_hopeless(waiting.request))
      return true;
    // What failed and waits for another replica may see that one lost, too.
    if (!waiting.failed_on.empty() && !any_left(waiting)) {
      reject(waiting.request, RejectReason::kNoReplica);
      return true;
    }
    Choice choice;
    // A client that says how long its answer may get is sent where that fits; where such pools are
    // full, failing, too slow or none, the answer may be cut, which is better than none.
    if (close_where_the_answer_may_be_cut(waiting.request)) {
      choice = choose(waiting, last_chance);
      if (!choice.replica || choice.late) {
        filter(waiting.request);
        choice = choose(waiting, last_chance);
      }
    } else {
      choice = choose(waiting, last_chance);
    }
    if (!choice.replica || choice.late) {
      if (const Choice displaced = displace(waiting); displaced.replica)
        choice = displaced;
    }
    if (!choice.replica)
      return false;
    dispatch(waiting, choice);
    return true;
  }

  // Dispatches it to this replica where that is good; all others were looked at a moment ago.
  bool try_to_place_on(ReplicaId replica, const Waiting& waiting) {
    const Request& request = waiting.request;
    const std::vector<ReplicaId>& failed = waiting.failed_on;
    filtered_.assign(fleet_.pools.size(), Forbidden::kNotAsked);
    Forbidden& why = filtered_[pool_of(replica).number()];
    why = forbidden_now(request, pool_of(replica),
                        request.prompt_tokens.count() + predictor_.output_tokens(request));
    if (why != Forbidden::kNo || close_where_the_answer_may_be_cut(request) ||
        std::find(failed.begin(), failed.end(), replica) != failed.end())
      return false;
    const Choice choice = choose(waiting, false, replica);
    if (!choice.replica)
      return false;
    MEDLEY_CHECK(*choice.replica == replica);
    dispatch(waiting, choice);
    return true;
  }

  // Among the pools that filtered_ leaves open.
  Choice choose(const Waiting& waiting, bool last_chance, std::optional<ReplicaId> only = {}) {
    std::vector<Candidate>* candidates = nullptr;
    if (sink_ != nullptr) {
      start_candidates(filtered_);
      candidates = &candidates_;
    }
    if (!any_open())
      return {};
    View looked = view(only);
    left_free_s_ = last_chance ? 0 : backlog_.shares().leaves_free_s(now_, waiting.request);
    looked.left_free_s = left_free_s_;
    const Choice choice = placement_->choose(looked, waiting.request, filtered_, waiting.failed_on,
                                             last_chance, candidates);
    if (candidates != nullptr)
      say_what_is_cached(waiting.request);
    return choice;
  }

  void say_what_is_cached(const Request& request) {
    for (Candidate& candidate : candidates_) {
      if (!candidate.replica)
        continue;
      if (const long long cached = ledger_.cached_tokens(request, *candidate.replica); cached > 0)
        candidate.cached_tokens = cached;
    }
  }

  // Takes cheaper work off a replica where that is worth it, and answers the place. What was taken
  // off waits again, before its equals.
  Choice displace(const Waiting& waiting) {
    View looked = view();
    looked.left_free_s = backlog_.shares().leaves_free_s(now_, waiting.request);
    const Displacement displacement =
        placement_->displace(looked, waiting.request, filtered_, waiting.failed_on);
    if (!displacement.choice.replica)
      return {};
    // Who could not be tried again in time is not taken off.
    for (const RequestId id : displacement.preempted) {
      if (expiry(ledger_.find(id)->request) <= now_) {
        filter(waiting.request);  // expiry() looked at another's pools
        return {};
      }
    }
    const ReplicaId replica = *displacement.choice.replica;
    for (const RequestId id : displacement.preempted)
      preempt(id);
    rebuild_prefill_lane(replica);
    if (sink_ != nullptr) {
      const Forecast& forecast = *displacement.choice.forecast;
      const Duration waited = now_ - waiting.request.arrived_at;
      candidates_[pool_of(replica).number()] = {
          .pool = pool_of(replica),
          .replica = replica,
          .ttft_s = to_seconds(waited).value() + forecast.ttft_s,
          .tpot_s = forecast.tpot_s,
          .money = forecast.money};
    }
    return displacement.choice;
  }

  void preempt(RequestId request) {
    Resident resident = remove(request);
    refund(resident);
    predictor_.preempted(resident, pool_of(resident.replica));
    ++count(resident.request).preempted;
    if (sink_ != nullptr)
      sink_->explain({now_, resident.request, Outcome::kPreempted, resident.replica, {}, {}});
    decide(Preempt{request, resident.replica});
    if (planted(Bug::kPreemptedForgotten))
      return;
    backlog_.push_front({resident.request, expiry(resident.request), std::move(resident.failed_on),
                         resident.failures, resident.preemptions + 1});
  }

  void dispatch(const Waiting& waiting, const Choice& choice) {
    const Request& request = waiting.request;
    const ReplicaId replica = *choice.replica;
    const PoolId pool = pool_of(replica);
    const long long output_tokens = predictor_.output_tokens(request);
    const long long tokens = request.prompt_tokens.count() + output_tokens;
    Resident resident{request,
                      replica,
                      now_,
                      {},
                      tokens,
                      {},
                      {},
                      waiting.failed_on,
                      waiting.failures,
                      waiting.preemptions};
    if (choice.forecast) {
      resident.money = choice.forecast->money;
      resident.ttft_from_dispatch_s = choice.forecast->ttft_s;
      resident.tpot_s = choice.forecast->tpot_s;
      resident.ttft_ratio = choice.forecast->ttft_ratio;
      resident.model_ttft_s = choice.forecast->model_ttft_s;
      resident.model_tpot_s = choice.forecast->model_tpot_s;
      resident.load_error = choice.forecast->load_error;
      ReplicaAccount& account = ledger_.replica(replica);
      if (account.prefilling == 0)
        account.first_token_due = now_ + round_to_duration(Seconds(choice.forecast->ttft_s));
      const double own_s = choice.forecast->ttft_s - choice.forecast->wait_s;
      account.prefill_free_at =
          std::max(now_, account.prefill_free_at) + round_to_duration(Seconds(own_s));
    }
    ledger_.dispatched(std::move(resident));
    placement_->dispatched(now_, *ledger_.find(request.id));
    predictor_.dispatched(now_, pool, *ledger_.find(request.id));
    quotas_.spend(now_, pool, tokens);
    backlog_.shares().serve(now_, request, request.prompt_tokens.count(), output_tokens);
    ++count(request).dispatched;
    decide(Dispatch{request.id, replica, promises_.dispatched(now_, *ledger_.find(request.id))});
    if (planted(Bug::kDoubleDispatch))
      decide(Dispatch{request.id, replica});
    explain(request, Outcome::kDispatched, replica, {});
  }

  // Puts it into the backlog, or turns it away. `behind`: what kept it from being weighed.
  void hold(Waiting waiting, Ahead behind) {
    if (!placement_->holds_back())
      return reject(waiting.request, RejectReason::kSaturated);
    waiting.expires_at = expiry(waiting.request);
    const Request request = waiting.request;
    std::optional<Waiting> yielded;
    // What was dispatched and came back may exceed the capacity: then nobody's leaving makes room.
    if (waiting.expires_at > now_ &&
        backlog_.size(request.service_class) == Backlog::capacity(request.service_class)) {
      if (const std::optional<RequestId> last = backlog_.who_yields(request))
        yielded = backlog_.remove(*last);
    }
    if (waiting.expires_at > now_ && backlog_.has_room(request.service_class)) {
      Backlog::Group& group = backlog_.push(std::move(waiting));
      if (group.size == 1) {
        remember_look(group);
        group.looked_at = now_;
      }
      explain(request, Outcome::kQueued, {}, {}, behind);
    } else if (!try_to_place(waiting, true)) {
      reject(request, RejectReason::kSaturated);
    }
    if (yielded && !try_to_place(*yielded, true))
      reject(yielded->request, RejectReason::kSaturated);
  }

  // Until when waiting makes sense: the target less the time that the fastest idle replica would
  // need. At least half of the target, since what no replica could keep even when idle is served as
  // well as can be.
  Instant expiry(const Request& request) {
    if (!placement_->gives_up())
      return Instant::max();
    const std::vector<Forbidden>& filtered = filter(request);
    double ttft_s = -1, end_s = -1;
    for (std::size_t i = 0; i < filtered.size(); ++i) {
      if (filtered[i] != Forbidden::kNo && filtered[i] != Forbidden::kQuota)
        continue;
      const Forecast idle = predictor_.forecast_idle(now_, request, PoolId(i));
      const double end =
          idle.ttft_s + idle.tpot_s * static_cast<double>(predictor_.output_tokens(request));
      if (ttft_s < 0 || idle.ttft_s < ttft_s)
        ttft_s = idle.ttft_s;
      if (end_s < 0 || end < end_s)
        end_s = end;
    }
    Instant at = Instant::max();
    const auto limit = [&](const std::optional<Duration>& target, double least_s) {
      if (!target)
        return;
      const Duration margin =
          std::min(*target / 2, round_to_duration(Seconds(std::max(0.0, least_s))));
      at = std::min(at, request.arrived_at + *target - margin);
    };
    limit(request.targets.ttft, ttft_s);
    limit(request.targets.deadline, end_s);
    return at;
  }

  // A replica has more room than before: tries what waits, the groups that came nearest to it when
  // they were last looked at.
  void release(ReplicaId improved) {
    if (backlog_.empty())
      return;
    const auto looks = static_cast<std::size_t>(placement_->groups_looked_at());
    if (looks == 0)
      return release_everywhere();
    if (!ledger_.replica(improved).live)
      return;
    heads_.clear();
    const PoolId pool = pool_of(improved);
    for (Backlog::Group* group : backlog_.groups()) {
      if (const double margin = margin_of(*group, pool); margin != kOutOfReach)
        keep_nearest(looks, {group, margin});
    }
    release_heads(improved);
  }

  void release_everywhere() {
    heads_.clear();
    for (Backlog::Group* group : backlog_.groups())
      heads_.push_back({group, 0});
    release_heads({});
  }

  // Time has passed: tries one request, everywhere, of the group that has waited for it the
  // longest. One only, so that no event takes long; the alarm rings for the others. Each time the
  // next of its group: those behind a head that nobody should have now may be shorter.
  void look_around() {
    if (placement_->groups_looked_at() == 0)
      return release_everywhere();
    Backlog::Group* group = nullptr;
    for (Backlog::Group* other : backlog_.groups()) {
      if (group == nullptr || due_at(*other) < due_at(*group) ||
          (due_at(*other) == due_at(*group) && backlog_.before(*other, *group)))
        group = other;
    }
    if (group == nullptr || due_at(*group) > now_)
      return;
    if (group->tried >= group->size)  // some have gone
      group->tried = 0;
    backlog_.start(*group);
    for (std::size_t i = 0; i < group->tried; ++i)
      backlog_.next(*group);
    const Waiting& waiting = *backlog_.next(*group);
    const RequestId id = waiting.request.id;
    if (try_to_place(waiting)) {
      backlog_.remove(id);  // and the next one soon
      return;
    }
    if (group->tried == 0)
      remember_look(*group);
    group->looked_at = now_;
    if (++group->tried >= std::min(group->size, kTriesAround))
      group->tried = 0;
  }

  static double margin_of(const Backlog::Group& group, PoolId pool) {
    return group.margins.empty() ? 0 : group.margins[pool.number()];
  }

  Duration tick_of(ServiceClass service_class, Instant looked_at) const {
    const bool in_part = placement_->groups_looked_at() > 0;
    if (is_interactive(service_class))
      return in_part ? kTryTick : kInteractiveTick;
    return std::clamp(looked_at - eventful_at_, in_part ? kTryTick : kPatientTick,
                      kMostPatientTick);
  }
  // When the group is to be looked at again though nothing improved.
  Instant due_at(const Backlog::Group& group) const {
    return group.looked_at +
           (group.tried > 0 ? kTryTick : tick_of(group.service_class, group.looked_at));
  }

  struct Head {
    Backlog::Group* group;
    double nearness;                          // what decides whether it is looked at
    std::pair<double, std::uint64_t> rank{};  // what decides when: lower first
    int tries = 0, picky_tries = 0;
  };

  // Adds it to heads_, of which only the `count` that come nearest stay, in order.
  void keep_nearest(std::size_t count, const Head& head) {
    const auto nearer = [this](const Head& a, const Head& b) {
      return a.nearness != b.nearness ? a.nearness > b.nearness
                                      : backlog_.before(*a.group, *b.group);
    };
    if (heads_.size() == count) {
      if (!nearer(head, heads_.back()))
        return;
      heads_.pop_back();
    }
    heads_.insert(std::upper_bound(heads_.begin(), heads_.end(), head, nearer), head);
  }

  // Tries the groups in heads_, in the policy's order or else in the backlog's.
  void release_heads(std::optional<ReplicaId> only) {
    std::sort(heads_.begin(), heads_.end(),
              [this](const Head& a, const Head& b) { return backlog_.before(*a.group, *b.group); });
    bool ranked = false;
    const auto rank_of = [&](const Waiting& waiting, std::size_t place) {
      const auto rank = placement_->rank(view(), waiting.request, filter(waiting.request));
      ranked = rank.has_value();
      return std::pair(ranked ? -*rank : 0, static_cast<std::uint64_t>(place));
    };
    for (std::size_t place = 0; place < heads_.size(); ++place) {
      Head& head = heads_[place];
      backlog_.start(*head.group);
      head.rank = {0, place};
      if (place == 0 || ranked)  // asked of all or of none
        head.rank = rank_of(*backlog_.at(*head.group), place);
    }
    while (!heads_.empty()) {
      const auto head =
          std::min_element(heads_.begin(), heads_.end(),
                           [](const Head& a, const Head& b) { return a.rank < b.rank; });
      const bool goes_on = try_next(*head, only);
      const Waiting* next = backlog_.at(*head->group);
      if (!goes_on || next == nullptr)
        heads_.erase(head);
      else if (ranked)
        head->rank = rank_of(*next, head->rank.second);
    }
  }

  // False: the group has had its tries.
  bool try_next(Head& head, std::optional<ReplicaId> only) {
    const Waiting& waiting = *backlog_.next(*head.group);
    const RequestId id = waiting.request.id;
    const bool picky = !waiting.failed_on.empty();
    if (only ? try_to_place_on(*only, waiting) : try_to_place(waiting)) {
      backlog_.remove(id);
      return true;
    }
    remember_look(*head.group);
    // What failed somewhere is picky, and so is what no pool may take now, for want of a quota say:
    // it says little of those behind it, and has tries of its own.
    ++(picky || !any_open() ? head.picky_tries : head.tries);
    // Where one replica improved, a head says enough of those behind it.
    const bool one = only && placement_->groups_looked_at() > 0;
    const int tries = one ? 1 : placement_->tries_per_group();
    return head.tries < tries && head.picky_tries < kPickyTries;
  }

  // After a look at its head in vain.
  void remember_look(Backlog::Group& group) {
    group.margins.resize(fleet_.pools.size());
    const std::span<const double> margins = placement_->margins();
    for (std::size_t i = 0; i < filtered_.size(); ++i) {
      switch (filtered_[i]) {
        case Forbidden::kNo:
          group.margins[i] = margins.empty() ? 0 : margins[i];
          break;
        case Forbidden::kLost:
        case Forbidden::kQuota:
          group.margins[i] = 0;
          break;
        case Forbidden::kNotAsked:
          break;
        default:
          group.margins[i] = kOutOfReach;
      }
    }
  }
  void set_alarm() {
    if (planted(Bug::kLostWakeUp) && eventful_at_ < now_)
      return;
    std::optional<Instant> wanted;
    if (const auto next = backlog_.next_expiry()) {
      // An alarm that rings early enough is left alone.
      const auto rings_by = [this](Instant at) { return alarm_ && *alarm_ <= at; };
      if (rings_by(std::min(next->first, now_ + kLeastTick)))
        return;
      const bool all_at_once = placement_->groups_looked_at() == 0;
      Instant due = Instant::max();
      for (const Backlog::Group* group : backlog_.groups())
        due = std::min(due,
                       all_at_once ? now_ + tick_of(group->service_class, now_) : due_at(*group));
      wanted = std::min(next->first, std::max(due, now_ + kLeastTick));
      if (rings_by(*wanted))
        return;
    }
    if (!wanted)
      return;  // a late alarm finds nothing to do
    alarm_ = std::max(*wanted, now_);
    decide(WakeAt{*alarm_});
  }

  // --- helpers
  // ----------------------------------------------------------------------------------------------

  View view(std::optional<ReplicaId> only = {}) const {
    return {now_, fleet_, perf_, ledger_, predictor_, arrivals_, market_, quotas_, only};
  }
  PoolId pool_of(ReplicaId replica) const { return ledger_.replica(replica).pool; }
  ClassStats& count(const Request& request) { return counts_[index_of(request.service_class)]; }

  Resident remove(RequestId request, std::optional<Tokens> generated = {}) {
    Resident resident = ledger_.remove(request);
    promises_.left(now_, resident);
    placement_->left(now_, resident, generated);
    return resident;
  }

  // Its answer had so many tokens, and not as many as were expected.
  void correct(const Resident& resident, Tokens generated) {
    const long long prompt_tokens = resident.request.prompt_tokens.count();
    quotas_.correct(resident.dispatched_at, pool_of(resident.replica), resident.reserved_tokens,
                    prompt_tokens + generated.count());
    const long long expected = resident.reserved_tokens - prompt_tokens;
    backlog_.shares().serve(now_, resident.request, 0, generated.count() - expected);
  }

  // It was dispatched in vain.
  void refund(const Resident& resident) {
    quotas_.refund(resident.dispatched_at, pool_of(resident.replica), resident.reserved_tokens);
    const long long prompt_tokens = resident.request.prompt_tokens.count();
    backlog_.shares().serve(now_, resident.request, -prompt_tokens,
                            prompt_tokens - resident.reserved_tokens);
  }

  void rebuild_prefill_lane(ReplicaId replica) {
    if (!placement_->predicts())
      return;
    ReplicaAccount& account = ledger_.replica(replica);
    account.prefill_free_at =
        now_ + round_to_duration(Seconds(predictor_.pending_prefill_s(account.pool, account)));
  }

  // What the live replicas of some pools have to do.
  struct OpenLoad {
    Instant at;
    std::vector<Forbidden> filtered;
    double tokens_per_s = 0, leave_per_s = 0;
    std::optional<double> lane_s;  // the shortest; empty: none is open
    long long room = -1;           // tokens of the largest request that one of them could take now
  };
  // Of a moment: many are turned away at once, and each asks all replicas.
  const OpenLoad& open_load(const std::vector<Forbidden>& filtered) {
    if (open_load_ && open_load_->at == now_ && open_load_->filtered == filtered)
      return *open_load_;
    OpenLoad& open = open_load_.emplace(OpenLoad{.at = now_, .filtered = filtered});
    for (const ReplicaAccount& account : ledger_.replicas()) {
      if (!account.live || filtered[account.pool.number()] != Forbidden::kNo)
        continue;
      open.tokens_per_s += predictor_.prefill_tokens_per_s(account.pool);
      const double lane_s = predictor_.lane_s(now_, account);
      open.lane_s = std::min(open.lane_s.value_or(lane_s), lane_s);
      const perf::PoolModel& model = perf_.pool(account.pool);
      if (account.sequences() < model.max_running) {
        open.room =
            std::max(open.room, model.kv_tokens > 0 ? model.kv_tokens - account.tokens_taken()
                                                    : std::numeric_limits<long long>::max());
      }
      // Who has been there for so long already stays as long again: answers' lengths have long
      // tails, and the first ones may be nothing like what ended before.
      if (account.outstanding() > 0) {
        open.leave_per_s +=
            account.outstanding() / std::max({1e-3, predictor_.stay_s(account.pool).value_or(0),
                                              2 * account.mean_age_s(now_)});
      }
    }
    return open;
  }

  // When the work ahead of it may be done: waiting prompts over what the lawful live fleet can do,
  // plus the shortest prefill lane. Where all of it is full, no sooner than those that are there
  // leave, for those that wait and then for it.
  Duration retry_after(const Request& request) {
    const std::vector<Forbidden>& filtered = filter(request);
    const long long need = request.prompt_tokens.count() + predictor_.output_tokens(request);
    const OpenLoad& open = open_load(filtered);
    if (!open.lane_s) {
      std::optional<Duration> shortest;
      for (std::size_t i = 0; i < filtered.size(); ++i) {
        if (filtered[i] != Forbidden::kQuota)
          continue;
        const Duration room = quotas_.room_at(now_, PoolId(i), need) - now_;
        shortest = std::min(shortest.value_or(room), room);
      }
      if (shortest)
        return std::clamp(*shortest, kLeastRetryAfter, kMostRetryAfter);
      const bool lost =
          std::find(filtered.begin(), filtered.end(), Forbidden::kLost) != filtered.end();
      return lost ? kLostRetryAfter : kMostRetryAfter;
    }
    const auto ahead = static_cast<double>(backlog_.prompt_tokens_ahead(request.service_class));
    Duration wait =
        round_to_duration(Seconds(*open.lane_s + ahead / std::max(1e-9, open.tokens_per_s)));
    if (need > open.room && open.leave_per_s > 0) {
      const auto first = static_cast<double>(backlog_.requests_ahead(request.service_class)) + 1;
      wait = std::max(wait, round_to_duration(Seconds(std::min(first / open.leave_per_s, 3600.0))));
    }
    return std::clamp(wait, kLeastRetryAfter,
                      planted(Bug::kRetryAfterUnbounded) ? Duration::max() : kMostRetryAfter);
  }

  void reject(const Request& request, RejectReason reason) {
    ++count(request).rejected;
    const bool final = reason == RejectReason::kNoLawfulPool || reason == RejectReason::kTooLong;
    explain(request, Outcome::kRejected, {}, reason);
    decide(Reject{request.id, reason, final ? Duration(0) : retry_after(request)});
  }

  void explain(const Request& request, Outcome outcome, std::optional<ReplicaId> chosen,
               std::optional<RejectReason> reason, Ahead behind = Ahead::kNothing) {
    if (sink_ == nullptr)
      return;
    std::optional<bool> priced;
    if (uses_prices_)
      priced = market_.has_prices(now_);
    if (behind != Ahead::kNothing) {
      for (Candidate& candidate : candidates_) {
        if (candidate.forbidden == Forbidden::kNo)
          candidate.forbidden = Forbidden::kNotAsked;
      }
    }
    sink_->explain(
        {now_, request, outcome, chosen, reason, priced, candidates_, behind, left_free_s_});
  }

  void decide(const Decision& decision) {
    digest_.add(decision.index());
    digest_.add(static_cast<std::uint64_t>(now_.time_since_epoch().count()));
    if (const auto* dispatch = std::get_if<Dispatch>(&decision)) {
      digest_.add(dispatch->request.number());
      digest_.add(dispatch->replica.number());
      if (dispatch->window) {
        digest_.add(static_cast<std::uint64_t>(dispatch->window->first_token_within.count()));
        digest_.add(static_cast<std::uint64_t>(dispatch->window->every_token_within.count()));
      }
    } else if (const auto* reject = std::get_if<Reject>(&decision)) {
      digest_.add(reject->request.number());
      digest_.add(static_cast<std::uint64_t>(reject->reason));
      digest_.add(static_cast<std::uint64_t>(reject->retry_after.count()));
    } else if (const auto* cancel = std::get_if<Cancel>(&decision)) {
      digest_.add(cancel->request.number());
      digest_.add(cancel->replica.number());
    } else if (const auto* preempt = std::get_if<Preempt>(&decision)) {
      digest_.add(preempt->request.number());
      digest_.add(preempt->replica.number());
    } else if (std::holds_alternative<SolvePrices>(decision)) {
      const LinearProgram& program = std::get<SolvePrices>(decision).program;
      digest_.add(program.rows());
      digest_.add(program.columns());
    } else {
      digest_.add(
          static_cast<std::uint64_t>(std::get<WakeAt>(decision).at.time_since_epoch().count()));
    }
    out_->push_back(decision);
  }

  const Fleet fleet_;
  const perf::PerfModel& perf_;
  Ledger ledger_;
  Predictor predictor_;
  std::optional<OpenLoad> open_load_;
  Arrivals arrivals_;
  Market market_;
  Quotas quotas_;
  OutsideTraffic outside_;
  Promises promises_;
  Backlog backlog_;
  std::unique_ptr<Placement> placement_;
  const bool uses_prices_ =
      fleet_.placement.kind == PlacementKind::kMedley && fleet_.placement.has(ScorePart::kPrices);
  const bool uses_signals_ = placement_->predicts() && fleet_.placement.has(ScorePart::kSignals);
  std::array<ClassStats, kServiceClassCount> counts_{};
  Digest digest_;
  ExplanationSink* sink_ = nullptr;

  Instant now_{};
  std::optional<Instant> alarm_;
  Instant eventful_at_{};                 // the last event that was neither an alarm nor prices
  std::vector<Decision>* out_ = nullptr;  // during handle() only
  std::vector<Head> heads_;               // of the release in progress
  std::vector<Forbidden> filtered_;       // of the last filter(); reused to spare allocations
  std::vector<Candidate> candidates_;     // of the last try_to_place() with a sink
  double left_free_s_ = 0;                // likewise
};

Scheduler::Scheduler(const Fleet& fleet, const perf::PerfModel& perf,
                     const SchedulerOptions& options)
    : impl_(std::make_unique<Impl>(fleet, perf, options)) {}
Scheduler::~Scheduler() = default;
Scheduler::Scheduler(Scheduler&&) noexcept = default;

void Scheduler::handle(Instant now, const Event& event, std::vector<Decision>& decisions) {
  impl_->handle(now, event, decisions);
}
void Scheduler::explain_to(ExplanationSink* sink) { impl_->explain_to(sink); }
SchedulerStats Scheduler::stats() const { return impl_->stats(); }
std::optional<Prediction> Scheduler::prediction(RequestId request) const {
  return impl_->prediction(request);
}
Calibration Scheduler::calibration(PoolId pool) const { return impl_->calibration(pool); }
const Digest& Scheduler::digest() const { return impl_->digest(); }

}  // namespace medley::sched
