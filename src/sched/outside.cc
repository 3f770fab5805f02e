#include "sched/outside.h"

#include <algorithm>
#include <cmath>

namespace medley::sched {
namespace {

// Between reports little changes.
constexpr Duration kRefreshEvery = std::chrono::milliseconds(200);
// Running means are over so many reports of each replica, or so many requests.
constexpr long long kReports = 30, kRequests = 50;
// A request whose shape nobody knows yet: as at the predictor's operating point.
constexpr double kPromptTokens = 1000;
// On replicas that say `shared`: others may come though none was ever reported. A request more or
// less within half a minute.
constexpr double kLeastVariance = 1, kLeastDriftPerS = 1.0 / 30;

double own(const ReplicaAccount& account, bool late) {
  return account.outstanding() + (late ? account.left_since_signal : 0);
}

}  // namespace

OutsideTraffic::OutsideTraffic(const Fleet& fleet, const perf::PerfModel& perf, Ledger& ledger)
    : ledger_(ledger), pools_(fleet.pools.size()), replicas_(ledger.replicas().size()) {
  for (std::size_t i = 0; i < pools_.size(); ++i) {
    Pool& pool = pools_[i];
    pool.tracked = perf.pools[i].kind != perf::ServingKind::kMetered && perf.pools[i].steps;
    pool.shared = pool.tracked && fleet.pools[i].shared;
    pool.most = perf.pools[i].max_running;
    pool.prompt_tokens = pool.context = kPromptTokens;
    if (pool.shared) {
      pool.variance = kLeastVariance;
      pool.drift_per_s = kLeastDriftPerS;
    }
    any_ = any_ || pool.shared;
  }
}

void OutsideTraffic::reported(Instant now, ReplicaId replica, const LoadSignal& signal) {
  const ReplicaAccount& account = ledger_.replica(replica);
  Pool& pool = pools_[account.pool.number()];
  Replica& last = replicas_[replica.number()];
  const Instant as_of = std::min(signal.as_of, now);
  if (!pool.tracked || !signal.running || *signal.running < 0 ||
      (last.as_of && as_of < *last.as_of))
    return;
  // An engine that claims more than it can hold is not believed; and behind a queue as long as that
  // no target is kept, however much longer it is.
  const double running = std::min<double>(*signal.running, pool.most);
  const double waiting = std::clamp<double>(signal.waiting.value_or(0), 0, pool.most);
  // What left since the report may be in it. What is on its way there is not: then less is found
  // than there is, and nothing of medley's own is taken for others'.
  const double all = running + waiting;
  const double others = std::max(0.0, all - own(account, as_of < now));
  const Replica seen{as_of, all > 0 ? others * running / all : 0,
                     all > 0 ? others * waiting / all : 0};

  const auto replicas = static_cast<long long>(std::max(1, ledger_.live(account.pool)));
  const double weight = 1.0 / static_cast<double>(std::min(++pool.reports, kReports * replicas));
  const double off = others - pool.running - pool.waiting;
  pool.running += weight * (seen.running - pool.running);
  pool.waiting += weight * (seen.waiting - pool.waiting);
  pool.variance += weight * (off * off - pool.variance);
  if (last.as_of) {
    const double step = others - last.running - last.waiting;
    const double elapsed_s = std::max(1e-3, to_seconds(as_of - *last.as_of).value());
    pool.drift_per_s += weight * (step * step / elapsed_s - pool.drift_per_s);
  }
  if (pool.shared) {
    pool.variance = std::max(pool.variance, kLeastVariance);
    pool.drift_per_s = std::max(pool.drift_per_s, kLeastDriftPerS);
  }
  last = seen;
  pool.seen = pool.seen || others > 0;
  any_ = any_ || pool.seen;
  fresh_ = true;
}

void OutsideTraffic::lost(ReplicaId replica) { replicas_[replica.number()] = {}; }

void OutsideTraffic::finished(const Resident& resident, Instant at, Tokens generated) {
  Pool& pool = pools_[ledger_.replica(resident.replica).pool.number()];
  if (!resident.first_token_at)
    return;
  const double weight = 1.0 / static_cast<double>(std::min(++pool.finished, kRequests));
  const auto prompt = static_cast<double>(resident.request.prompt_tokens.count());
  const double context = prompt + static_cast<double>(generated.count()) / 2;
  pool.prompt_tokens += weight * (prompt - pool.prompt_tokens);
  pool.context += weight * (context - pool.context);
  pool.decodes_for_s +=
      weight * (to_seconds(at - *resident.first_token_at).value() - pool.decodes_for_s);
}

OutsideLoad OutsideTraffic::at(Instant now, const ReplicaAccount& account) const {
  const Pool& pool = pools_[account.pool.number()];
  const Replica& last = replicas_[account.id->number()];
  double running = pool.running, waiting = pool.waiting, variance = pool.variance;
  if (pool.reports == 0) {
    running = std::max(1, account.outstanding());
    variance = running * running;
  } else if (last.as_of) {
    const double drift = pool.drift_per_s * to_seconds(now - *last.as_of).value();
    const double weight = drift > 0 ? pool.variance / (pool.variance + drift) : 1;
    running += weight * (last.running - running);
    waiting += weight * (last.waiting - waiting);
    variance *= 1 - weight;
  }
  OutsideLoad load;
  load.decoding = static_cast<int>(std::lround(running));
  load.prefilling = static_cast<int>(std::lround(waiting));
  load.decode_context = std::llround(load.decoding * pool.context);
  load.pending_prompt_tokens = std::llround(load.prefilling * pool.prompt_tokens);
  // Little's law: so many that decode for so long come at this rate, each with a prompt.
  if (pool.decodes_for_s > 0)
    load.prompt_tokens_per_s = running * pool.prompt_tokens / pool.decodes_for_s;
  load.deviation = std::sqrt(variance);
  return load;
}

void OutsideTraffic::refresh(Instant now) {
  if (!any_ || (!fresh_ && refreshed_at_ && now - *refreshed_at_ < kRefreshEvery))
    return;
  refreshed_at_ = now;
  fresh_ = false;
  for (const ReplicaAccount& account : ledger_.replicas()) {
    const Pool& pool = pools_[account.pool.number()];
    if (!account.live || !(pool.shared || pool.seen))
      continue;
    if (const OutsideLoad load = at(now, account); load != account.outside)
      ledger_.replica(*account.id).outside = load;
  }
}

}  // namespace medley::sched
