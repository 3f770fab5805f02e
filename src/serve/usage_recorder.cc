#include "serve/usage_recorder.h"

#include "sched/admission.h"

namespace medley::serve {
namespace {

bool within(const std::optional<double>& observed_s, const std::optional<Duration>& target) {
  return !target || !observed_s || *observed_s <= to_seconds(*target).value();
}

void add(std::optional<double>& sum, const std::optional<double>& more) {
  if (more)
    sum = sum.value_or(0) + *more;
}

}  // namespace

UsageRecorder::UsageRecorder(const Fleet& fleet) : fleet_(fleet) {
  for (const Pool& pool : fleet.pools) {
    data::UsagePool made;
    made.name = pool.name;
    made.device = pool.device;
    made.model = pool.model.id;
    made.replicas = pool.replicas;
    pools_.push_back(std::move(made));
  }
}

data::UsageKind& UsageRecorder::kind_of(const Request& request) {
  const Key key{index_of(request.service_class), request.label.number(), request.model.number()};
  const auto [at, fresh] = kinds_.try_emplace(key);
  if (fresh) {
    at->second.service_class = name_of(request.service_class);
    at->second.label = fleet_.labels.at(request.label.number()).name;
    at->second.model = fleet_.offers.at(request.model.number()).name;
  }
  return at->second;
}

void UsageRecorder::arrived(const Request& request) {
  data::UsageKind& kind = kind_of(request);
  ++kind.arrived;
  kind.own_targets += request.targets == Targets{} ? 0 : 1;
  const Key key{index_of(request.service_class), request.label.number(), request.model.number()};
  const auto [last, first] = last_arrival_.try_emplace(key, request.arrived_at);
  if (!first) {
    const double gap_s = to_seconds(request.arrived_at - last->second).value();
    kind.gaps += 1;
    kind.gap_sum_s += gap_s;
    kind.gap_sum_s2 += gap_s * gap_s;
    last->second = request.arrived_at;
  }
}

void UsageRecorder::ended(const Request& request, std::string_view outcome, const End& end) {
  data::UsageKind& kind = kind_of(request);
  kind.prompt_tokens.add(request.prompt_tokens.count());
  if (outcome == "completed") {
    ++kind.completed;
    kind.output_tokens.add(end.output_tokens.count());
    const Targets targets = sched::effective_targets(fleet_, request);
    kind.kept += within(end.ttft_s, targets.ttft) && within(end.tpot_s, targets.tpot) &&
                         within(end.e2e_s, targets.deadline)
                     ? 1
                     : 0;
  } else if (outcome == "rejected") {
    ++kind.rejected;
  } else if (outcome == "cancelled") {
    ++kind.cancelled;
  } else {
    ++kind.failed;
  }
  if (!end.pool)
    return;
  data::UsagePool& pool = pools_.at(end.pool->number());
  pool.completed += outcome == "completed" ? 1 : 0;
  add(pool.joules, end.joules);
  add(pool.money, end.money);
}

data::UsageSpan UsageRecorder::take(const sched::Scheduler& scheduler) {
  data::UsageSpan span;
  for (auto& [key, kind] : kinds_)
    span.kinds.push_back(std::move(kind));
  kinds_.clear();
  span.pools = pools_;
  for (std::size_t i = 0; i < pools_.size(); ++i) {
    const sched::Calibration learned = scheduler.calibration(PoolId(i));
    span.pools[i].ttft_ratio = learned.ttft_ratio;
    span.pools[i].tpot_ratio = learned.tpot_ratio;
    pools_[i].completed = 0;
    pools_[i].joules.reset();
    pools_[i].money.reset();
  }
  return span;
}

}  // namespace medley::serve
