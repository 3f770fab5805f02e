#include "shadow_books.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "sched/backlog.h"

namespace medley::sched {
namespace {

using std::chrono::hours, std::chrono::milliseconds, std::chrono::minutes, std::chrono::seconds;

// What docs/scheduling.md and scheduler.cc promise.
constexpr int kMostDispatches = 3, kMostPreemptions = 5;
constexpr Duration kLeastRetryAfter = seconds(1), kMostRetryAfter = seconds(59);
constexpr Duration kInteractiveTick = milliseconds(50), kLongestTick = seconds(32);
constexpr std::array<double, kServiceClassCount> kHeadroom = {0, 0, 0.1, 0.2};
// Later, dearer work may keep a replica idle while batch work waits. But what waits grows in value,
// by its own each minute, and outgrows the dearest class (25 times as dear, and 1.5 of them at
// once) in 37 minutes.
constexpr Duration kStarving = minutes(40), kIdle = minutes(5);
constexpr long long kUnbounded = 1'000'000'000'000'000;

double in_seconds(Instant at) { return to_seconds(at).value(); }

}  // namespace

ShadowBooks::ShadowBooks(const Fleet& fleet, const perf::PerfModel& perf)
    : fleet_(fleet),
      perf_(perf),
      plain_medley_(fleet.placement == PlacementPolicy(PlacementKind::kMedley)),
      plain_simple_(fleet.placement.kind != PlacementKind::kMedley && !fleet.placement.admission),
      spent_(fleet.pools.size()),
      pool_observed_(fleet.pools.size(), false) {
  for (std::size_t pool = 0; pool < fleet.pools.size(); ++pool) {
    first_.emplace_back(replicas_.size());
    for (int i = 0; i < fleet.pools[pool].replicas; ++i)
      replicas_.emplace_back().pool = PoolId(pool);
  }
}

void ShadowBooks::violated(std::string_view check, std::string what) {
  if (!violation_)
    violation_ = Violation{check, std::move(what)};
}

// --- the account
// -----------------------------------------------------------------------------------

ShadowBooks::State ShadowBooks::state_of(RequestId request) const {
  return request.number() < entries_.size() ? entries_[request.number()].state : State::kUnknown;
}

ShadowBooks::Entry* ShadowBooks::entry(RequestId request) {
  return state_of(request) == State::kUnknown ? nullptr : &entries_[request.number()];
}

std::optional<ReplicaId> ShadowBooks::held_by(RequestId request) const {
  return state_of(request) == State::kInFlight ? entries_[request.number()].replica : std::nullopt;
}

std::vector<RequestId> ShadowBooks::residents(ReplicaId replica) const {
  const std::set<RequestId>& held = replicas_[replica.number()].residents;
  return {held.begin(), held.end()};
}

ClassStats& ShadowBooks::count(const Entry& entry) {
  return counts_[index_of(entry.request.service_class)];
}

std::string ShadowBooks::name(const Entry& entry) const {
  return fmt::format("request {} ({}, label {}, {} prompt tokens)", entry.request.id.number(),
                     name_of(entry.request.service_class),
                     fleet_.labels[entry.request.label.number()].name,
                     entry.request.prompt_tokens.count());
}

void ShadowBooks::starts_waiting(const Entry& entry) {
  ++count(entry).waiting;
  waiting_fresh_[index_of(entry.request.service_class)] += !entry.came_back();
  waiting_.insert(entry.request.id);
  useless_.emplace(entry.useless_at, entry.request.id);
}

void ShadowBooks::stops_waiting(const Entry& entry) {
  --count(entry).waiting;
  waiting_fresh_[index_of(entry.request.service_class)] -= !entry.came_back();
  waiting_.erase(entry.request.id);
  useless_.erase({entry.useless_at, entry.request.id});
}

// It leaves its replica.
void ShadowBooks::leave(Entry& entry, Instant now) {
  Replica& replica = replicas_[entry.replica->number()];
  if (entry.first_token) {
    --replica.decoding;
  } else {
    --replica.prefilling;
    replica.pending_prompts -= entry.request.prompt_tokens.count();
  }
  replica.prompts -= entry.request.prompt_tokens.count();
  replica.residents.erase(entry.request.id);
  replica.idle_since = now;
  --count(entry).in_flight;
  --in_flight_;
}

void ShadowBooks::refund(const Entry& entry, PoolId pool) {
  std::erase_if(spent_[pool.number()], [&](const Spent& spent) {
    return spent.request == entry.request.id && spent.at == entry.dispatched_at;
  });
}

void ShadowBooks::before(Instant now, const Event& event) {
  touched_.reset();
  to_cancel_.reset();
  made_room_.reset();
  if (const auto* arrived = std::get_if<RequestArrived>(&event)) {
    const std::size_t number = arrived->request.id.number();
    entries_.resize(std::max(entries_.size(), number + 1));
    Entry& entry = entries_[number];
    entry.request = arrived->request;
    entry.state = State::kWaiting;
    Targets& targets = entry.request.targets;
    const Targets& of_class = fleet_.policy(entry.request.service_class).targets;
    targets.ttft = targets.ttft ? targets.ttft : of_class.ttft;
    targets.tpot = targets.tpot ? targets.tpot : of_class.tpot;
    targets.deadline = targets.deadline ? targets.deadline : of_class.deadline;
    for (const std::optional<Duration>& target : {targets.ttft, targets.deadline}) {
      if (target)
        entry.useless_at = std::min(entry.useless_at, entry.request.arrived_at + *target);
    }
    ++count(entry).arrived;
    starts_waiting(entry);
    touched_ = entry.request.id;
  } else if (const auto* first = std::get_if<FirstTokenEmitted>(&event)) {
    touched_ = first->request;
    Entry* known = entry(first->request);
    if (known == nullptr || known->state != State::kInFlight || known->first_token)
      return;
    known->first_token = true;
    Replica& replica = replicas_[known->replica->number()];
    --replica.prefilling;
    ++replica.decoding;
    replica.pending_prompts -= known->request.prompt_tokens.count();
    pool_observed_[replica.pool.number()] = true;
  } else if (const auto* finished = std::get_if<RequestFinished>(&event)) {
    touched_ = finished->request;
    Entry* known = entry(finished->request);
    if (known == nullptr || known->state != State::kInFlight)
      return;
    const PoolId pool = replicas_[known->replica->number()].pool;
    pool_observed_[pool.number()] = true;
    if (!finished->complete && !known->first_token) {
      refund(*known, pool);
    } else {
      for (Spent& spent : spent_[pool.number()]) {
        if (spent.request == known->request.id)
          spent.least = spent.most =
              known->request.prompt_tokens.count() + finished->generated.count();
      }
    }
    leave(*known, now);
    known->state = State::kOver;
    ++(finished->complete ? count(*known).finished : count(*known).broken);
  } else if (const auto* cancelled = std::get_if<RequestCancelled>(&event)) {
    touched_ = cancelled->request;
    Entry* known = entry(cancelled->request);
    if (known == nullptr || known->state == State::kOver)
      return;
    if (known->state == State::kWaiting) {
      stops_waiting(*known);
    } else {
      to_cancel_ = cancelled->request;
      for (Spent& spent : spent_[replicas_[known->replica->number()].pool.number()]) {
        if (spent.request == known->request.id)
          spent.least = spent.most =
              known->request.prompt_tokens.count() + cancelled->generated.count();
      }
      leave(*known, now);
    }
    known->state = State::kOver;
    ++count(*known).cancelled;
  } else if (const auto* failed = std::get_if<DispatchFailed>(&event)) {
    touched_ = failed->request;
    Entry* known = entry(failed->request);
    if (known == nullptr || known->state != State::kInFlight)
      return;
    const Replica& replica = replicas_[known->replica->number()];
    refund(*known, replica.pool);
    leave(*known, now);
    if (replica.live || failed->lost_its_replica)
      known->failed_on.push_back(*known->replica);
    ++known->failures;
    known->state = State::kWaiting;
    known->first_token = false;
    starts_waiting(*known);
  } else if (const auto* lost = std::get_if<ReplicaLost>(&event)) {
    replicas_[lost->replica.number()].live = false;
  } else if (const auto* returned = std::get_if<ReplicaReturned>(&event)) {
    Replica& replica = replicas_[returned->replica.number()];
    replica.live = true;
    replica.reported_waiting.reset();
    replica.idle_since = now;
  } else if (const auto* report = std::get_if<LoadReported>(&event)) {
    Replica& replica = replicas_[report->replica.number()];
    replica.reported_waiting = report->signal.waiting;
    replica.sent_since_report = 0;
  } else if (std::holds_alternative<AlarmRang>(event)) {
    alarm_.reset();
  } else if (std::holds_alternative<PricesSolved>(event)) {
    prices_told_ = true;
  }
}

// --- decisions
// -------------------------------------------------------------------------------------

void ShadowBooks::decided(Instant now, const Decision& decision) {
  if (made_room_ && !std::holds_alternative<Preempt>(decision)) {
    const auto* dispatch = std::get_if<Dispatch>(&decision);
    const Entry* taker = dispatch != nullptr ? entry(dispatch->request) : nullptr;
    if (taker == nullptr || dispatch->replica != *made_room_ ||
        taker->request.service_class != ServiceClass::kGuaranteed) {
      violated("preemption",
               fmt::format("room was made on replica {} for nothing that is guaranteed",
                           made_room_->number()));
    }
    made_room_.reset();
  }
  if (const auto* dispatch = std::get_if<Dispatch>(&decision)) {
    on_dispatch(now, *dispatch);
  } else if (const auto* reject = std::get_if<Reject>(&decision)) {
    on_reject(now, *reject);
  } else if (const auto* preempt = std::get_if<Preempt>(&decision)) {
    on_preempt(now, *preempt);
  } else if (const auto* cancel = std::get_if<Cancel>(&decision)) {
    if (to_cancel_ != cancel->request)
      return violated("answered once", fmt::format("a Cancel of request {} that nobody asked for",
                                                   cancel->request.number()));
    to_cancel_.reset();
    if (entries_[cancel->request.number()].replica != cancel->replica)
      violated("answered once", "a Cancel on a replica that does not hold the request");
  } else if (const auto* wake = std::get_if<WakeAt>(&decision)) {
    alarm_ = wake->at;
  } else if (const auto* asked = std::get_if<SolvePrices>(&decision)) {
    check_program(asked->program);
  }
}

bool ShadowBooks::lawful(const Request& request, PoolId pool) const {
  const auto& pools = fleet_.offers[request.model.number()].pools[index_of(request.service_class)];
  if (std::find(pools.begin(), pools.end(), pool) == pools.end())
    return false;
  const Label& label = fleet_.labels[request.label.number()];
  const std::string& zone = fleet_.pool(pool).zone;
  return label.any_zone ||
         std::find(label.zones.begin(), label.zones.end(), zone) != label.zones.end();
}

bool ShadowBooks::context_holds(const Request& request, PoolId pool) const {
  const perf::PoolModel& model = perf_.pool(pool);
  const long long least = request.prompt_tokens.count() + 1;
  return least <= model.max_context && (model.kv_tokens <= 0 || least <= model.kv_tokens);
}

bool ShadowBooks::failed_on(const Entry& entry, ReplicaId replica) {
  return std::find(entry.failed_on.begin(), entry.failed_on.end(), replica) !=
         entry.failed_on.end();
}

bool ShadowBooks::may_have(const Entry& entry, ReplicaId replica) const {
  const PoolId pool = replicas_[replica.number()].pool;
  return lawful(entry.request, pool) && context_holds(entry.request, pool) &&
         !failed_on(entry, replica);
}

bool ShadowBooks::answer_fits(const Request& request, PoolId pool) const {
  return !request.output_cap || request.prompt_tokens.count() + request.output_cap->count() <=
                                    perf_.pool(pool).max_context;
}

void ShadowBooks::on_dispatch(Instant now, const Dispatch& dispatch) {
  Entry* known = entry(dispatch.request);
  if (known == nullptr || known->state != State::kWaiting) {
    return violated("dispatched once",
                    fmt::format("request {} is dispatched {}", dispatch.request.number(),
                                known == nullptr                   ? "without having arrived"
                                : known->state == State::kInFlight ? "while it is in flight"
                                                                   : "after it was over"));
  }
  Entry& entry = *known;
  if (dispatch.replica.number() >= replicas_.size())
    return violated("law", "dispatched to a replica that does not exist");
  Replica& replica = replicas_[dispatch.replica.number()];
  const perf::PoolModel& model = perf_.pool(replica.pool);
  const long long prompt = entry.request.prompt_tokens.count();
  const std::string there = fmt::format("{} is sent to replica {} of pool {}", name(entry),
                                        dispatch.replica.number(), fleet_.pool(replica.pool).name);
  if (!lawful(entry.request, replica.pool)) {
    violated("law", there + fmt::format(" in zone {}, which is not lawful",
                                        fleet_.pool(replica.pool).zone));
  }
  if (!context_holds(entry.request, replica.pool))
    violated("context", there + ", whose context cannot hold it");
  if (!replica.live)
    violated("lost replica", there + ", which is lost");
  if (failed_on(entry, dispatch.replica))
    violated("failed before", there + ", which failed it before");
  if (entry.failures >= kMostDispatches)
    violated("given up", there + fmt::format(" after {} failures", entry.failures));
  if (plain_medley_) {
    const double headroom = kHeadroom[index_of(entry.request.service_class)];
    const int sequences = std::max(1, static_cast<int>(model.max_running * (1 - headroom)));
    if (replica.outstanding() >= sequences) {
      violated("room", there + fmt::format(", which holds {} of {} sequences",
                                           replica.outstanding(), sequences));
    }
    const long long least = replica.prompts + replica.outstanding() + prompt + 1;
    if (model.kv_tokens > 0 && replica.outstanding() > 0 && least > model.kv_tokens)
      violated("room", there + fmt::format(", with {} of {} KV tokens", least, model.kv_tokens));
    check_price(now, entry, dispatch.replica);
  }
  if (plain_simple_)
    check_load(entry, dispatch.replica);
  check_quota(now, entry, replica.pool);
  if (dispatch.window)
    check_window(entry, replica);

  stops_waiting(entry);
  entry.state = State::kInFlight;
  entry.replica = dispatch.replica;
  entry.first_token = false;
  entry.dispatched_at = now;
  ++replica.prefilling;
  replica.pending_prompts += prompt;
  replica.prompts += prompt;
  ++replica.sent_since_report;
  replica.residents.insert(dispatch.request);
  ++count(entry).in_flight;
  ++count(entry).dispatched;
  ++in_flight_;
}

// A token window is promised where a slot and the memory for the longest answers of all are free,
// to those who pay for it, and never again after a failure.
void ShadowBooks::check_window(const Entry& entry, const Replica& replica) {
  const perf::PoolModel& model = perf_.pool(replica.pool);
  const std::string promised = name(entry) + " is promised a token window ";
  if (model.kind != perf::ServingKind::kSlotted ||
      entry.request.service_class != ServiceClass::kGuaranteed) {
    violated("window", promised + "that is not for it");
  }
  if (entry.failures > 0)
    violated("window", promised + "though an earlier dispatch failed");
  const auto most = [&](const Request& request) {
    return request.output_cap
               ? std::min(request.prompt_tokens.count() + request.output_cap->count(),
                          model.max_context)
               : model.max_context;
  };
  long long tokens = most(entry.request);
  for (const RequestId resident : replica.residents)
    tokens += most(this->entry(resident)->request);
  if (replica.outstanding() >= model.max_running || tokens > model.kv_tokens) {
    violated(
        "window",
        promised + fmt::format("beside {} of {} sequences, with up to {} of {} KV tokens",
                               replica.outstanding(), model.max_running, tokens, model.kv_tokens));
  }
}

// Before this moment nothing is late yet: work waits for half of its target at least.
Instant ShadowBooks::half_way_to_expiry(const Entry& entry) {
  const Targets& targets = entry.request.targets;
  Instant earliest = Instant::max();
  for (const std::optional<Duration>& target : {targets.ttft, targets.deadline}) {
    if (target)
      earliest = std::min(earliest, entry.request.arrived_at + *target - *target / 2);
  }
  return earliest;
}

void ShadowBooks::check_quota(Instant now, const Entry& entry, PoolId pool) {
  const std::optional<Metered>& metered = fleet_.pool(pool).metered;
  if (!metered)
    return;
  std::deque<Spent>& spent = spent_[pool.number()];
  while (!spent.empty() && spent.front().at + hours(24) <= now)
    spent.pop_front();
  const long long prompt = entry.request.prompt_tokens.count();
  const std::optional<Tokens>& cap = entry.request.output_cap;
  spent.push_back(
      {now, entry.request.id, prompt + 1, cap ? prompt + std::max(1LL, cap->count()) : kUnbounded});
  long long tokens = 0;
  for (const Spent& one : spent) {
    if (one.at + minutes(1) > now)
      tokens += one.least;
  }
  if (metered->tokens_per_minute && tokens > *metered->tokens_per_minute) {
    violated("quota", fmt::format("{} tokens in a minute of pool {}, which may have {}", tokens,
                                  fleet_.pool(pool).name, *metered->tokens_per_minute));
  }
  if (metered->requests_per_day &&
      static_cast<long long>(spent.size()) > *metered->requests_per_day) {
    violated("quota",
             fmt::format("{} requests in a day of pool {}, which may have {}", spent.size(),
                         fleet_.pool(pool).name, *metered->requests_per_day));
  }
}

// Whether the quota has room for it however long it and those in flight turn out to be expected.
bool ShadowBooks::quota_surely_free(Instant now, const Entry& entry, PoolId pool) {
  const std::optional<Metered>& metered = fleet_.pool(pool).metered;
  if (!metered)
    return true;
  const std::optional<Tokens>& cap = entry.request.output_cap;
  long long tokens = entry.request.prompt_tokens.count() +
                     (cap ? std::max(1LL, cap->count()) : kUnbounded),
            today = 0;
  for (const Spent& one : spent_[pool.number()]) {
    if (one.at + minutes(1) > now)
      tokens += one.most;
    today += one.at + hours(24) > now;
  }
  return (!metered->tokens_per_minute || tokens <= *metered->tokens_per_minute) &&
         (!metered->requests_per_day || today < *metered->requests_per_day);
}

// Lower is better; the baselines' rules (docs/simulate.md).
long long ShadowBooks::load_of(const Replica& replica) const {
  switch (fleet_.placement.kind) {
    case PlacementKind::kLeastQueued:
      return replica.reported_waiting
                 ? static_cast<long long>(*replica.reported_waiting) + replica.sent_since_report
                 : replica.prefilling;
    case PlacementKind::kLeastOutstanding:
      return replica.outstanding();
    case PlacementKind::kLeastPendingTokens:
      return replica.pending_prompts + replica.outstanding();
    default:
      return 0;
  }
}

// A baseline takes the least loaded. Of metered pools only the scheduler knows whether their quota
// has room.
void ShadowBooks::check_load(const Entry& entry, ReplicaId chosen) {
  const Request& request = entry.request;
  const Replica& there = replicas_[chosen.number()];
  const bool fits = answer_fits(request, there.pool);
  for (std::size_t r = 0; r < replicas_.size(); ++r) {
    const Replica& other = replicas_[r];
    if (!other.live || fleet_.pool(other.pool).metered || !may_have(entry, ReplicaId(r)))
      continue;
    if (!fits && answer_fits(request, other.pool)) {
      violated("whole answer", fmt::format("{} is sent where its answer may be cut, and not to "
                                           "replica {}",
                                           name(entry), r));
    }
    if (fits == answer_fits(request, other.pool) && load_of(other) < load_of(there)) {
      violated("least load",
               fmt::format("{} is sent to replica {} with a load of {}, though that of replica {} "
                           "is {}",
                           name(entry), chosen.number(), load_of(there), r, load_of(other)));
    }
  }
}

// Of two rented services that differ in nothing but their price, and of which nothing else was
// learned, the dearer gets nothing that the cheaper has room for; but what waits is looked at on
// the one replica where something ended.
void ShadowBooks::check_price(Instant now, const Entry& entry, ReplicaId chosen) {
  const PoolId there = replicas_[chosen.number()].pool;
  const Pool& dear = fleet_.pool(there);
  if (touched_ != entry.request.id || prices_told_ || !dear.metered ||
      pool_observed_[there.number()])
    return;
  const double headroom = kHeadroom[index_of(entry.request.service_class)];
  for (std::size_t p = 0; p < fleet_.pools.size(); ++p) {
    const Pool& cheap = fleet_.pools[p];
    if (!cheap.metered || pool_observed_[p] || cheap.zone != dear.zone ||
        !lawful(entry.request, PoolId(p))) {
      continue;
    }
    Metered with_its_price = *cheap.metered;
    with_its_price.per_million_prompt = dear.metered->per_million_prompt;
    with_its_price.per_million_output = dear.metered->per_million_output;
    const Metered& a = with_its_price;
    const Metered& b = *dear.metered;
    const perf::PoolModel &model = perf_.pools[p], &other = perf_.pool(there);
    const bool alike = a.ttft_median_s == b.ttft_median_s && a.ttft_sigma == b.ttft_sigma &&
                       a.tpot_s == b.tpot_s && !a.tokens_per_minute && !b.tokens_per_minute &&
                       !a.requests_per_day && !b.requests_per_day &&
                       model.max_running == other.max_running &&
                       model.kv_tokens == other.kv_tokens && model.max_context == other.max_context;
    const bool cheaper = cheap.metered->per_million_prompt < dear.metered->per_million_prompt &&
                         cheap.metered->per_million_output < dear.metered->per_million_output;
    if (!alike || !cheaper)
      continue;
    for (int i = 0; i < cheap.replicas; ++i) {
      const ReplicaId id(first_[p].number() + static_cast<std::uint64_t>(i));
      const Replica& replica = replicas_[id.number()];
      // At the last moment only idle replicas, and those with slack, take what will be late.
      const int sequences = std::max(1, static_cast<int>(model.max_running * (1 - headroom)));
      const int room = now < half_way_to_expiry(entry) ? sequences : 1;
      if (replica.live && replica.outstanding() < room && !failed_on(entry, id)) {
        violated("price",
                 fmt::format("{} is sent to pool {}, though {} has room, is alike and cheaper",
                             name(entry), dear.name, cheap.name));
      }
    }
  }
}

// Only flex and batch work makes room, of which no client has seen a token, for guaranteed work on
// the same replica, and so often at most; then it waits again.
void ShadowBooks::on_preempt(Instant now, const Preempt& preempt) {
  Entry* known = entry(preempt.request);
  if (known == nullptr || known->state != State::kInFlight || *known->replica != preempt.replica) {
    return violated("preemption",
                    fmt::format("request {} is taken off replica {}, which has it not",
                                preempt.request.number(), preempt.replica.number()));
  }
  Entry& entry = *known;
  const Replica& replica = replicas_[preempt.replica.number()];
  const ServiceClass service_class = entry.request.service_class;
  const std::string taken =
      fmt::format("{} is taken off replica {}", name(entry), preempt.replica.number());
  if (fleet_.placement.kind != PlacementKind::kMedley ||
      !fleet_.placement.has(ScorePart::kDisplacement)) {
    violated("preemption", taken + " by a policy that does no such thing");
  }
  if (service_class != ServiceClass::kFlex && service_class != ServiceClass::kBatch)
    violated("preemption", taken + ", and makes room for nobody");
  if (entry.first_token && (service_class != ServiceClass::kBatch || entry.request.streamed))
    violated("preemption", taken + " after its client may have seen a token");
  if (!replica.live || fleet_.pool(replica.pool).metered)
    violated("preemption", taken + ", where nothing is gained by it");
  if (made_room_ && *made_room_ != preempt.replica)
    violated("preemption", taken + " while room is made on another one");
  if (entry.preemptions >= kMostPreemptions)
    violated("preemption", taken + fmt::format(" after {} times before", entry.preemptions));
  made_room_ = preempt.replica;
  leave(entry, now);
  ++entry.preemptions;
  entry.state = State::kWaiting;
  entry.first_token = false;
  starts_waiting(entry);
  ++count(entry).preempted;
}

bool ShadowBooks::idle_for(Instant now, const Entry& entry, ReplicaId id) {
  const Replica& replica = replicas_[id.number()];
  return replica.live && replica.outstanding() == 0 && may_have(entry, id) &&
         quota_surely_free(now, entry, replica.pool) && !may_bill_too_much(entry, replica.pool);
}

// medley's flex and batch work may stay away from a rented service for what it bills
// (docs/decisions/0109-what-waits-bids-late.md).
bool ShadowBooks::may_bill_too_much(const Entry& entry, PoolId pool) const {
  const Pool& facts = fleet_.pool(pool);
  if (!plain_medley_ || !facts.metered || is_interactive(entry.request.service_class))
    return false;
  constexpr double kMostRent = 0.8;  // of its value
  const Tokens longest = entry.request.output_cap.value_or(Tokens(perf_.pool(pool).max_context));
  return facts.metered->price(entry.request.prompt_tokens, longest) >
         kMostRent * fleet_.policy(entry.request.service_class).value.value();
}

void ShadowBooks::on_reject(Instant now, const Reject& reject) {
  Entry* known = entry(reject.request);
  if (known == nullptr || known->state != State::kWaiting) {
    return violated("answered once",
                    fmt::format("request {} is rejected {}", reject.request.number(),
                                known == nullptr                   ? "without having arrived"
                                : known->state == State::kInFlight ? "while it is in flight"
                                                                   : "after it was over"));
  }
  Entry& entry = *known;
  const std::string refused =
      fmt::format("{} is refused ({})", name(entry), name_of(reject.reason));
  const bool final =
      reject.reason == RejectReason::kNoLawfulPool || reject.reason == RejectReason::kTooLong;
  if (final ? reject.retry_after != Duration(0)
            : reject.retry_after < kLeastRetryAfter || reject.retry_after > kMostRetryAfter) {
    violated("retry-after",
             refused + fmt::format(" until {} s later", to_seconds(reject.retry_after).value()));
  }
  // Whether the reason is true.
  bool a_pool_is_lawful = false, an_owned_one_fits = false;
  for (std::size_t p = 0; p < fleet_.pools.size(); ++p) {
    if (!lawful(entry.request, PoolId(p)))
      continue;
    a_pool_is_lawful = true;
    an_owned_one_fits =
        an_owned_one_fits || (!fleet_.pools[p].metered && context_holds(entry.request, PoolId(p)));
  }
  if (reject.reason == RejectReason::kNoLawfulPool && a_pool_is_lawful)
    violated("reason", refused + ", though a pool is lawful");
  if (reject.reason != RejectReason::kNoLawfulPool && !a_pool_is_lawful)
    violated("reason", refused + ", though no pool is lawful");
  if (reject.reason == RejectReason::kTooLong && an_owned_one_fits)
    violated("reason", refused + ", though a pool can hold it");
  if (reject.reason == RejectReason::kTimedOut) {
    if (now < half_way_to_expiry(entry))
      violated("reason", refused + ", though less than half of its target has passed");
  }
  const bool gave_up = entry.failures >= kMostDispatches;
  if (reject.reason == RejectReason::kNoReplica && !gave_up && (plain_medley_ || plain_simple_)) {
    const bool waits_for_lost = plain_medley_ && !is_interactive(entry.request.service_class);
    for (std::size_t r = 0; r < replicas_.size(); ++r) {
      const Replica& replica = replicas_[r];
      if ((replica.live || waits_for_lost) && !fleet_.pool(replica.pool).metered &&
          may_have(entry, ReplicaId(r))) {
        violated("reason", refused + fmt::format(", though replica {} is {}", r,
                                                 replica.live ? "live" : "to return"));
      }
    }
  }
  if (!final && !gave_up && (plain_medley_ || plain_simple_)) {
    for (std::size_t r = 0; r < replicas_.size(); ++r) {
      if (idle_for(now, entry, ReplicaId(r)))
        violated("refused beside idle", refused + fmt::format(" while replica {} is idle", r));
    }
  }
  stops_waiting(entry);
  entry.state = State::kOver;
  ++count(entry).rejected;
}

// --- after the event
// -------------------------------------------------------------------------------

// What base/linear_program.h promises of a program, whatever the fleet has come to.
void ShadowBooks::check_program(const LinearProgram& program) {
  const auto sound = [](double number) { return std::isfinite(number) && number >= 0; };
  bool ok = program.start.size() == program.columns() + 1 && program.start.front() == 0 &&
            std::is_sorted(program.start.begin(), program.start.end()) &&
            program.start.back() == static_cast<int>(program.row.size()) &&
            program.amount.size() == program.row.size();
  for (const int row : program.row)
    ok = ok && row >= 0 && static_cast<std::size_t>(row) < program.rows();
  for (const std::vector<double>* numbers : {&program.limit, &program.gain, &program.amount})
    ok = ok && std::all_of(numbers->begin(), numbers->end(), sound);
  if (!ok)
    violated("program", "a program for prices that is none");
}

void ShadowBooks::check_starving(Instant now) {
  if (!plain_medley_)
    return;
  for (const RequestId id : waiting_) {
    const Entry& entry = entries_[id.number()];
    // With targets of its own it may wait for a faster replica; near its deadline nobody wants it.
    if (entry.request.targets != fleet_.policy(entry.request.service_class).targets ||
        now >= half_way_to_expiry(entry)) {
      continue;
    }
    for (std::size_t r = 0; r < replicas_.size(); ++r) {
      const Replica& replica = replicas_[r];
      // What costs more there than it is worth may wait for hardware that is busy.
      if (fleet_.pool(replica.pool).metered)
        continue;
      const Duration idle = now - replica.idle_since, waits = now - entry.request.arrived_at;
      if (waits > kStarving && idle > kIdle && idle_for(now, entry, ReplicaId(r))) {
        return violated(
            "starving",
            fmt::format("{} has waited {} s, and replica {} been idle for {} s", name(entry),
                        to_seconds(waits).value(), r, to_seconds(idle).value()));
      }
    }
  }
}

void ShadowBooks::after(Instant now, const Event& event, const Scheduler& scheduler) {
  if (violation_)
    return;
  if (to_cancel_)
    violated("answered once", "a cancelled request is not stopped on its replica");
  if (made_room_)
    violated("preemption", "room was made for nobody");

  const SchedulerStats stats = scheduler.stats();
  for (const ServiceClass service_class : kServiceClasses) {
    const std::size_t i = index_of(service_class);
    const ClassStats &its = stats.classes[i], &ours = counts_[i];
    const auto compare = [&](std::string_view what, long long a, long long b) {
      if (a != b) {
        violated("books", fmt::format("{}: the scheduler counts {} {}, we {}",
                                      name_of(service_class), a, what, b));
      }
    };
    compare("arrived", its.arrived, ours.arrived);
    compare("waiting", its.waiting, ours.waiting);
    compare("in flight", its.in_flight, ours.in_flight);
    compare("rejected", its.rejected, ours.rejected);
    compare("cancelled", its.cancelled, ours.cancelled);
    compare("finished", its.finished, ours.finished);
    compare("broken", its.broken, ours.broken);
    compare("dispatched", its.dispatched, ours.dispatched);
    compare("preempted", its.preempted, ours.preempted);
    if (its.arrived !=
        its.waiting + its.in_flight + its.rejected + its.cancelled + its.finished + its.broken) {
      violated("books", fmt::format("{}: the sums do not match", name_of(service_class)));
    }
    const auto capacity = static_cast<long long>(Backlog::capacity(service_class));
    if (waiting_fresh_[i] > capacity) {
      violated("backlog", fmt::format("{} {} requests wait, of {} at most", waiting_fresh_[i],
                                      name_of(service_class), capacity));
    }
  }
  if (stats.in_flight != in_flight_)
    violated("books", fmt::format("{} in flight, we count {}", stats.in_flight, in_flight_));

  bool any_live = false, all_full = true, any_held = false;
  for (const Replica& replica : replicas_) {
    if (!replica.live)
      continue;
    any_live = true;
    any_held = any_held || replica.outstanding() > 0;
    all_full = all_full && replica.outstanding() >= perf_.pool(replica.pool).max_running;
  }
  const double saturation = stats.saturation;
  if (!std::isfinite(saturation) || saturation < 0 || saturation > 1 ||
      (any_live && !any_held && saturation != 0) || (all_full && saturation < 1 - 1e-9)) {
    violated("saturation", fmt::format("{} with {} live, {} held, {} full", saturation,
                                       any_live ? "some" : "none", any_held ? "some" : "none",
                                       all_full ? "all" : "not all"));
  }

  const bool rang = std::holds_alternative<AlarmRang>(event);
  if (!waiting_.empty()) {
    if (!alarm_) {
      return violated("alarm",
                      fmt::format("{} requests wait and no alarm is set", waiting_.size()));
    }
    const bool interactive = counts_[0].waiting + counts_[1].waiting > 0;
    const Instant latest = std::min(now + (interactive ? kInteractiveTick : kLongestTick),
                                    std::max(now, useless_.begin()->first));
    if (*alarm_ > latest) {
      violated("alarm", fmt::format("the alarm is set for {} s, {} s after what it should ring for",
                                    in_seconds(*alarm_), to_seconds(*alarm_ - latest).value()));
    }
    if (rang && *alarm_ <= now)
      violated("alarm", "an alarm that rang asks for another at once");
    if (rang && useless_.begin()->first <= now) {
      violated("expiry", fmt::format("{} waits beyond its target",
                                     name(entries_[useless_.begin()->second.number()])));
    }
    if (rang)
      check_starving(now);
  }
  if (touched_) {
    const std::optional<Prediction> predicted = scheduler.prediction(*touched_);
    if (predicted && !held_by(*touched_))
      violated("prediction", "of a request that is not in flight");
    if (predicted && !(std::isfinite(predicted->ttft_s) && std::isfinite(predicted->tpot_s) &&
                       predicted->tpot_s >= 0)) {
      violated("prediction",
               fmt::format("ttft {} s, tpot {} s", predicted->ttft_s, predicted->tpot_s));
    }
  }
}

}  // namespace medley::sched
