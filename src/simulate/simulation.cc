#include "simulate/simulation.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/tournament.h"
#include "sched/admission.h"
#include "simulate/timeline.h"
#include "solve/linear_solver.h"

namespace medley::simulate {
namespace {

// When nothing but alarms has happened for this long and nothing is to come, what still waits will
// wait forever: a lost pool that does not return, say. A quota of a day comes back sooner.
constexpr Duration kPatience = std::chrono::hours(7 * 24);

constexpr Instant kNever = Instant::max();

// Ids of what others send count from here, far above any row.
constexpr std::uint64_t kOutsideIds = std::uint64_t{1} << 62;
bool is_outside(RequestId id) { return id.number() >= kOutsideIds; }

const std::vector<OutsideArrival> kNoOutside;

// A step model whose steps can be made to take longer. It knows no runs, since the factor may
// change between two steps.
class SlowableSteps final : public perf::StepModel {
 public:
  explicit SlowableSteps(std::shared_ptr<const perf::StepModel> steps) : steps_(std::move(steps)) {}
  perf::StepCost step(const perf::StepShape& shape) const override {
    perf::StepCost cost = steps_->step(shape);
    cost.time = cost.time * factor_;
    cost.energy = cost.energy * factor_;
    return cost;
  }
  Watts idle_power() const override { return steps_->idle_power(); }
  void set_factor(double factor) { factor_ = factor; }

 private:
  std::shared_ptr<const perf::StepModel> steps_;
  double factor_ = 1;
};

// What the core is told of the fleet.
Fleet fleet_for(const Fleet& fleet, const SimulationOptions& options) {
  Fleet told = fleet;
  if (options.heard_every > Duration(0))
    told.placement.left_out[static_cast<std::size_t>(ScorePart::kDisplacement)] = true;
  return told;
}

// The order within an instant is that of replica::Phase.
class Simulation {
 public:
  Simulation(const Fleet& fleet, const perf::PerfModel& perf, const std::vector<Arrival>& arrivals,
             const std::vector<Fault>& faults, const SimulationOptions& options)
      : fleet_(fleet),
        perf_(perf),
        arrivals_(arrivals),
        scheduler_(fleet_for(fleet, options), perf,
                   {.forecast_error = {.share = options.prediction_error, .seed = options.seed},
                    .heard_every = options.heard_every}),
        owners_(fleet.pools_of_replicas()),
        reports_loads_(fleet.placement.kind == PlacementKind::kLeastQueued),
        records_(options.records),
        timeline_(options.timeline),
        heard_every_(options.heard_every),
        signals_every_(options.signals_every),
        outside_(options.outside != nullptr ? *options.outside : kNoOutside),
        meter_(fleet, perf),
        step_ends_(owners_.size(), kNever) {
    scheduler_.explain_to(options.explanations);
    slowable_.resize(owners_.size());
    for (const Fault& fault : faults) {
      const perf::PoolModel& model = perf.pool(owners_.at(fault.replica.number()));
      if (fault.slowdown && model.steps) {
        slowable_[fault.replica.number()] = std::make_shared<SlowableSteps>(model.steps);
      }
    }
    for (std::size_t i = 0; i < owners_.size(); ++i) {
      perf::PoolModel model = perf.pool(owners_[i]);
      if (slowable_[i])
        model.steps = slowable_[i];
      replicas_.push_back(replica::make_replica(
          fleet.pool(owners_[i]), model,
          {.report_tokens = false, .seed = options.seed, .prefill_error = options.prefill_error}));
    }
    for (std::size_t i = 0; timeline_ != nullptr && i < owners_.size(); ++i)
      timeline_->holds(i, now_, replicas_[i]->load());
    live_.assign(owners_.size(), true);
    lost_since_s_.assign(owners_.size(), 0);
    lost_s_.assign(owners_.size(), 0);
    dirty_.assign(owners_.size(), false);
    if (reports_loads_) {
      for (std::size_t i = 0; i < owners_.size(); ++i)
        load_changes_.push_back(i);
      load_changed_.assign(owners_.size(), true);
    }
    if (signals_every_ > Duration(0))
      signal_at_ = Instant{} + signals_every_;
    result_.prediction_error = options.prediction_error;
    result_.prefill_error = options.prefill_error;
    if (records_ == nullptr)
      result_.requests.reserve(arrivals.size());
    for (const Fault& fault : faults) {
      faults_.push_back({fault.at, fault.replica, fault.slowdown, false});
      if (fault.at + fault.lasts < Instant::max()) {
        faults_.push_back({fault.at + fault.lasts, fault.replica, fault.slowdown, true});
      }
    }
    std::stable_sort(faults_.begin(), faults_.end(),
                     [](const FaultEvent& a, const FaultEvent& b) { return a.at < b.at; });
  }

  SimulationResult run() {
    while (const std::optional<Instant> next = next_instant()) {
      now_ = *next;
      if (heard_at_ && *heard_at_ <= now_)
        hear_all();
      if (signal_at_ && *signal_at_ <= now_)
        report_all_loads();
      while (next_outside_ < outside_.size() && outside_[next_outside_].at <= now_)
        enqueue_outside();
      while (next_fault_ < faults_.size() && faults_[next_fault_].at <= now_) {
        last_progress_ = now_;
        hear_all();  // of what a lost replica held no more is to be heard
        apply(faults_[next_fault_++]);
      }
      while (next_arrival_ < arrivals_.size() &&
             arrivals_[next_arrival_].request.arrived_at <= now_) {
        if (reports_loads_)
          report_loads();
        Request request = arrivals_[next_arrival_].request;
        if (fleet_.placement.knows_lengths)
          request.output_known = Tokens(arrivals_[next_arrival_].output_tokens);
        ++next_arrival_;
        last_progress_ = now_;
        open(request);
        tell(sched::RequestArrived{request});
      }
      while (step_ends_.least_key() <= now_)
        end_step(step_ends_.least());
      if (alarm_ && *alarm_ <= now_) {
        alarm_.reset();
        ++result_.wake_ups;
        tell(sched::AlarmRang{});
        const bool more_comes = next_arrival_ < arrivals_.size() || step_ends_.least_key() < kNever;
        if (!more_comes && now_ - last_progress_ > kPatience)
          break;
      }
      if (duals_at_ && *duals_at_ <= now_) {
        duals_at_.reset();
        tell(sched::PricesSolved{std::move(duals_)});
      }
      for (const std::size_t replica : touched_) {
        replicas_[replica]->form_step(now_);
        if (timeline_ != nullptr)
          timeline_->holds(replica, now_, replicas_[replica]->load());
        dirty_[replica] = false;
        set_step_end(replica);
      }
      touched_.clear();
      close_records();
    }
    return finish();
  }

 private:
  struct FaultEvent {
    Instant at;
    ReplicaId replica;
    std::optional<double> slowdown;
    bool ends;
  };

  std::optional<Instant> next_instant() {
    std::optional<Instant> next;
    const auto consider = [&next](Instant at) {
      if (!next || at < *next)
        next = at;
    };
    if (step_ends_.least_key() < kNever)
      consider(step_ends_.least_key());
    if (next_arrival_ < arrivals_.size())
      consider(arrivals_[next_arrival_].request.arrived_at);
    if (alarm_)
      consider(*alarm_);
    if (heard_at_)
      consider(*heard_at_);
    if (duals_at_ && next)  // prices for nobody are nobody's business
      consider(*duals_at_);
    // What others do matters while there is something of medley's own.
    if (!outside_.empty() && next_arrival_ == arrivals_.size() && first_open_ == next_open_)
      return std::nullopt;
    if (signal_at_ && next)
      consider(*signal_at_);
    if (next_outside_ < outside_.size() && next)
      consider(outside_[next_outside_].at);
    // Faults after everything else has ended change nothing; a return may release waiting work.
    if (next_fault_ < faults_.size() && (next || waiting_work()))
      consider(faults_[next_fault_].at);
    return next;
  }

  bool waiting_work() const {
    for (const sched::ClassStats& stats : scheduler_.stats().classes) {
      if (stats.waiting > 0)
        return true;
    }
    return false;
  }

  // Something came to the replica or ended there: it may form a step at this instant, and its next
  // event may be another one.
  void touch(std::size_t replica) {
    set_step_end(replica);
    if (reports_loads_ && !load_changed_[replica]) {
      load_changed_[replica] = true;
      load_changes_.push_back(replica);
    }
    if (dirty_[replica])
      return;
    dirty_[replica] = true;
    touched_.push_back(replica);
  }
  void set_step_end(std::size_t replica) {
    step_ends_.set(replica, replicas_[replica]->next_event().value_or(kNever));
  }

  // --- records, from the first row whose fate is open to the last that arrived ---

  struct OpenRecord {
    RequestRecord record;
    bool held = false;  // by its replica
  };
  OpenRecord& at_row(std::size_t row) { return open_[row & (open_.size() - 1)]; }
  OpenRecord& open_record(RequestId request) {
    const std::size_t row = row_of(request);
    MEDLEY_CHECK(row >= first_open_ && row < next_open_);
    return at_row(row);
  }
  RequestRecord& record_of(RequestId request) { return open_record(request).record; }

  // Of the next row.
  void open(const Request& request) {
    if (next_open_ - first_open_ == open_.size()) {
      std::vector<OpenRecord> wider(open_.size() * 2);
      for (std::size_t row = first_open_; row < next_open_; ++row)
        wider[row & (wider.size() - 1)] = std::move(at_row(row));
      open_ = std::move(wider);
    }
    OpenRecord& opened = at_row(next_open_);
    opened = {};
    opened.record.request = request;
    opened.record.request.targets = sched::effective_targets(fleet_, request);
    opened.record.output_tokens = arrivals_[next_open_++].output_tokens;
    opened.record.arrived_s = to_seconds(request.arrived_at).value();
  }

  std::size_t row_of(RequestId request) const {
    const auto comes_before = [](const Arrival& arrival, RequestId id) {
      return arrival.request.id < id;
    };
    // Ids are rows, or nearly: the guess is right where they count from 0 without a gap.
    const std::size_t guess = request.number();
    if (guess < arrivals_.size() && arrivals_[guess].request.id == request)
      return guess;
    const auto found = std::lower_bound(arrivals_.begin(), arrivals_.end(), request, comes_before);
    MEDLEY_CHECK(found != arrivals_.end() && found->request.id == request,
                 "arrivals are not in the order of their ids");
    return static_cast<std::size_t>(found - arrivals_.begin());
  }
  void close_records() {
    while (first_open_ < next_open_ &&
           at_row(first_open_).record.outcome != RequestOutcome::kUnfinished) {
      close_front();
    }
  }
  void close_front() {
    RequestRecord& record = at_row(first_open_).record;
    break_window(record);  // where it is open still, the answer never ended
    if (record.outcome == RequestOutcome::kCompleted) {
      record.money = money_of(record);
      record.kept = kept(record) && !record.truncated;
    }
    if (records_ != nullptr)
      records_->add(record);
    else
      result_.requests.push_back(record);
    ++first_open_;
  }

  static void break_window(RequestRecord& record) {
    if (record.window_outcome == WindowOutcome::kOpen)
      record.window_outcome = WindowOutcome::kBroken;
  }

  void apply(const FaultEvent& fault) {
    const std::size_t replica = fault.replica.number();
    if (fault.slowdown) {
      if (slowable_[replica])
        slowable_[replica]->set_factor(fault.ends ? 1 : *fault.slowdown);
      return;
    }
    if (fault.ends) {
      if (live_[replica])
        return;
      live_[replica] = true;
      end_loss(replica);
      tell(sched::ReplicaReturned{fault.replica});
      return;
    }
    if (!live_[replica])
      return;
    live_[replica] = false;
    lost_since_s_[replica] = to_seconds(now_).value();
    tell(sched::ReplicaLost{fault.replica});
    std::vector<RequestId> held;  // by id
    for (std::size_t row = first_open_; row < next_open_; ++row) {
      const OpenRecord& open = at_row(row);
      if (open.held && open.record.replica == fault.replica)
        held.push_back(open.record.request.id);
    }
    replicas_[replica]->reset(now_);
    worked(replica);
    for (const RequestId request : held) {
      open_record(request).held = false;
      RequestRecord& record = record_of(request);
      if (record.window_outcome == WindowOutcome::kOpen)
        record.window_outcome = WindowOutcome::kLost;
      if (record.first_token_s) {
        record.outcome = RequestOutcome::kFailed;
        long long generated = 0;
        if (const auto& metered = fleet_.pool(owners_[replica]).metered) {
          // What a rented service processed is paid, as in serve: the prompt and the tokens that
          // came.
          const double streamed_s = to_seconds(now_).value() - *record.first_token_s;
          generated =
              std::min(record.output_tokens,
                       1 + static_cast<long long>(streamed_s / std::max(metered->tpot_s, 1e-9)));
          record.output_tokens = generated;
          record.money = money_of(record);
        }
        tell(sched::RequestFinished{request, Tokens(generated), false});
      } else {
        tell(sched::DispatchFailed{request});
      }
    }
    touch(replica);
  }

  void end_loss(std::size_t replica) {
    const double now_s = to_seconds(now_).value();
    lost_s_[replica] += now_s - lost_since_s_[replica];
    meter_.lost(replica, lost_since_s_[replica], now_s);
  }

  // Tells those who watch the replicas over time.
  void worked(std::size_t replica) {
    const replica::Usage usage = replicas_[replica]->usage();
    meter_.worked(replica, to_seconds(now_).value(), usage);
    if (timeline_ != nullptr)
      timeline_->worked(replica, now_, usage);
  }

  void end_step(std::size_t replica) {
    last_progress_ = now_;
    reports_.clear();
    replicas_[replica]->advance(now_, reports_);
    worked(replica);
    touch(replica);
    // Carrying out decisions may not touch reports_: only this function fills it.
    for (const replica::Report& report : reports_) {
      if (is_outside(report.request))
        continue;
      // It was preempted at this instant, after this was reported; it may be held anew by now.
      const OpenRecord& reported = open_record(report.request);
      if (!reported.held || *reported.record.dispatched_s >= to_seconds(now_).value())
        continue;
      switch (report.kind) {
        case replica::ReportKind::kFirstToken:
          record_of(report.request).first_token_s = report.at_s;
          tell_when_heard(sched::FirstTokenEmitted{report.request});
          break;
        case replica::ReportKind::kFinished: {
          OpenRecord& open = open_record(report.request);
          open.held = false;
          RequestRecord& record = open.record;
          record.finished_s = report.at_s;
          record.joules += report.joules;
          record.outcome = RequestOutcome::kCompleted;
          if (record.window_outcome == WindowOutcome::kOpen) {
            const bool kept = record.window.kept_by(round_to_duration(Seconds(*record.ttft_s())),
                                                    round_to_duration(Seconds(report.itl_max_s)));
            record.window_outcome = kept ? WindowOutcome::kKept : WindowOutcome::kBroken;
          }
          tell_when_heard(sched::RequestFinished{report.request, Tokens(report.generated)});
          break;
        }
        case replica::ReportKind::kEvicted:
        case replica::ReportKind::kToken:
          break;
      }
    }
  }

  void report_load(std::size_t replica) {
    const replica::Load load = replicas_[replica]->load();
    LoadSignal signal;
    signal.running = load.running;
    signal.waiting = load.waiting;
    signal.as_of = now_;
    tell(sched::LoadReported{ReplicaId(replica), signal});
  }

  void report_loads() {
    std::sort(load_changes_.begin(), load_changes_.end());
    for (const std::size_t replica : load_changes_) {
      load_changed_[replica] = false;
      report_load(replica);
    }
    load_changes_.clear();
  }

  void report_all_loads() {
    signal_at_ = now_ + signals_every_;
    for (std::size_t replica = 0; replica < replicas_.size(); ++replica) {
      if (live_[replica])
        report_load(replica);
    }
  }

  void enqueue_outside() {
    const OutsideArrival& arrival = outside_[next_outside_];
    const std::size_t replica = arrival.replica.number();
    const replica::Sequence sequence{RequestId(kOutsideIds + next_outside_++),
                                     to_seconds(now_).value(), arrival.prompt_tokens,
                                     arrival.output_tokens};
    if (!live_[replica] || !replicas_[replica]->fits(sequence))
      return;
    replicas_[replica]->enqueue(now_, sequence);
    touch(replica);
  }

  void tell_when_heard(const sched::Event& event) {
    if (heard_every_ <= Duration(0))
      return tell(event);
    unheard_.push_back(event);
    if (!heard_at_)
      heard_at_ = now_ + heard_every_ - now_.time_since_epoch() % heard_every_;
  }

  void hear_all() {
    heard_at_.reset();
    for (const sched::Event& event : std::exchange(unheard_, {}))
      tell(event);
  }

  // Hands the event to the core and carries out what it decides.
  void tell(const sched::Event& event) {
    const std::size_t first = decisions_.size();
    scheduler_.handle(now_, event, decisions_);
    for (std::size_t i = first; i < decisions_.size(); ++i) {
      const sched::Decision decision = decisions_[i];
      if (!std::holds_alternative<sched::WakeAt>(decision) &&
          !std::holds_alternative<sched::SolvePrices>(decision))
        last_progress_ = now_;
      if (const auto* dispatch = std::get_if<sched::Dispatch>(&decision)) {
        const std::size_t row = row_of(dispatch->request);
        OpenRecord& open = at_row(row);
        RequestRecord& record = open.record;
        record.replica = dispatch->replica;
        record.dispatched_s = to_seconds(now_).value();
        record.predicted = scheduler_.prediction(dispatch->request);
        if (dispatch->window) {
          MEDLEY_CHECK(record.window_outcome == WindowOutcome::kNone,
                       "a second promise would cover up a broken one");
          record.window = *dispatch->window;
          record.window_outcome = WindowOutcome::kOpen;
        }
        const std::size_t replica = dispatch->replica.number();
        record.scheduled |= perf_.pool(owners_[replica]).kind == perf::ServingKind::kSlotted;
        record.output_tokens = arrivals_[row].output_tokens;
        record.truncated = false;
        if (const perf::PoolModel& model = perf_.pool(owners_[replica]); model.max_context > 0) {
          // An engine ends an answer where its context is full.
          const long long room = model.max_context - record.request.prompt_tokens.count();
          record.output_tokens = std::clamp(record.output_tokens, 1LL, std::max(1LL, room));
          record.truncated = record.output_tokens < arrivals_[row].output_tokens;
        }
        // To the replica it arrives now, whenever it came to the core.
        const replica::Sequence sequence{dispatch->request, *record.dispatched_s,
                                         record.request.prompt_tokens.count(), record.output_tokens,
                                         record.request.prefix};
        if (!replicas_[replica]->fits(sequence)) {
          // As an engine would: limits that the core does not know, such as a prompt above
          // max_batched_tokens.
          unfit_.push_back(dispatch->request);
          continue;
        }
        replicas_[replica]->enqueue(now_, sequence);
        open.held = true;
        touch(replica);
      } else if (const auto* reject = std::get_if<sched::Reject>(&decision)) {
        RequestRecord& record = record_of(reject->request);
        record.outcome = RequestOutcome::kRejected;
        record.reason = reject->reason;
      } else if (const auto* cancel = std::get_if<sched::Cancel>(&decision)) {
        replicas_[cancel->replica.number()]->cancel(now_, cancel->request);
        open_record(cancel->request).held = false;
        touch(cancel->replica.number());
      } else if (const auto* preempt = std::get_if<sched::Preempt>(&decision)) {
        const std::size_t replica = preempt->replica.number();
        OpenRecord& open = open_record(preempt->request);
        open.held = false;
        open.record.first_token_s.reset();
        ++open.record.preemptions;
        ++result_.preemptions;
        // Spent for nothing, and paid.
        open.record.joules += replicas_[replica]->cancel(now_, preempt->request).value_or(0);
        for (const replica::Report& report : reports_) {
          if (report.request == preempt->request)  // it ended at this instant
            open.record.joules += report.joules;
        }
        touch(replica);
      } else if (const auto* solve = std::get_if<sched::SolvePrices>(&decision)) {
        // In virtual time the answer takes as long each time.
        Result<LinearSolution> solution = solver_->solve(solve->program);
        duals_ = solution.ok() ? std::move(solution->dual) : std::vector<double>();
        duals_at_ = now_ + kSolvingTakes;
      } else {
        alarm_ = std::get<sched::WakeAt>(decision).at;
      }
    }
    decisions_.resize(first);
    while (!unfit_.empty()) {
      const RequestId request = unfit_.back();
      unfit_.pop_back();
      break_window(record_of(request));
      tell(sched::DispatchFailed{request});
    }
  }

  SimulationResult finish() {
    const double end_s = to_seconds(now_).value();
    result_.simulated_s = end_s;
    for (std::size_t i = 0; i < replicas_.size(); ++i) {
      if (!live_[i])
        end_loss(i);
      worked(i);  // what was done since its last step's end
      ReplicaRecord record{owners_[i], replicas_[i]->usage(), lost_s_[i], {}};
      const perf::PoolModel& model = perf_.pool(owners_[i]);
      if (model.steps && model.steps->idle_power().value() > 0) {
        const double idle_s = std::max(0.0, end_s - record.usage.busy_s - record.lost_s);
        record.idle_joules = model.steps->idle_power().value() * idle_s;
      }
      result_.evictions += record.usage.evictions;
      result_.steps += record.usage.steps;
      result_.replicas.push_back(record);
    }
    meter_.end(end_s);
    for (std::size_t pool = 0; pool < fleet_.pools.size(); ++pool)
      result_.energy_cost.push_back(meter_.money(PoolId(pool)));
    result_.power = meter_.figures();
    // Left over: what waits for ever, and rows that time never came to.
    while (first_open_ < arrivals_.size()) {
      if (first_open_ == next_open_)
        open(arrivals_[next_open_].request);
      close_front();
    }
    result_.digest = scheduler_.digest();
    if (timeline_ != nullptr)
      timeline_->end(now_);
    return std::move(result_);
  }

  double money_of(const RequestRecord& record) const {
    const Pool& pool = fleet_.pool(owners_[record.replica->number()]);
    if (pool.metered) {
      return pool.metered->price(record.request.prompt_tokens, Tokens(record.output_tokens));
    }
    return (Joules(record.joules) *
            fleet_.energy_price(round_to_instant(Seconds(*record.finished_s))))
        .value();
  }

  static bool kept(const RequestRecord& record) {
    const Targets& targets = record.request.targets;
    const auto met = [](const std::optional<Duration>& target, std::optional<double> observed) {
      return !target || !observed || *observed <= to_seconds(*target).value();
    };
    return met(targets.ttft, record.ttft_s()) && met(targets.tpot, record.tpot_s()) &&
           met(targets.deadline, record.e2e_s());
  }

  const Fleet& fleet_;
  const perf::PerfModel& perf_;
  const std::vector<Arrival>& arrivals_;
  sched::Scheduler scheduler_;
  const std::vector<PoolId> owners_;
  const bool reports_loads_;
  std::vector<std::unique_ptr<replica::VirtualReplica>> replicas_;
  std::vector<std::shared_ptr<SlowableSteps>>
      slowable_;  // by replica; empty for those that never slow down
  std::vector<FaultEvent> faults_;
  std::size_t next_arrival_ = 0, next_fault_ = 0;

  Instant now_{};
  Instant last_progress_{};  // the last arrival, fault, step's end or decision but WakeAt
  std::optional<Instant> alarm_;
  std::vector<std::size_t> touched_;  // replicas that may form a step at this instant
  std::vector<bool> live_, dirty_;
  std::vector<double> lost_since_s_, lost_s_;  // by replica; the sum without a loss that lasts
  // least_queued: replicas whose load the core has not heard of, each once.
  std::vector<std::size_t> load_changes_;
  std::vector<bool> load_changed_;
  std::vector<OpenRecord> open_{1};             // a ring, its size a power of two: see at_row()
  std::size_t first_open_ = 0, next_open_ = 0;  // rows
  RecordSink* const records_;                   // null: result_.requests takes them
  Timeline* const timeline_;                    // null: nobody asks
  const Duration heard_every_;
  const Duration signals_every_;
  std::optional<Instant> signal_at_;
  const std::vector<OutsideArrival>& outside_;
  std::size_t next_outside_ = 0;
  std::vector<sched::Event> unheard_;  // until heard_at_
  std::optional<Instant> heard_at_;
  PowerMeter meter_;
  Tournament<Instant> step_ends_;  // by replica; kNever: none is due
  const std::unique_ptr<solve::LinearSolver> solver_ = solve::make_linear_solver();
  std::optional<Instant> duals_at_;  // when prices come
  std::vector<double> duals_;
  std::vector<sched::Decision> decisions_;
  std::vector<RequestId> unfit_;  // dispatched to a replica that can never hold them
  std::vector<replica::Report> reports_;
  SimulationResult result_;
};

}  // namespace

std::string_view name_of(RequestOutcome outcome) {
  switch (outcome) {
    case RequestOutcome::kUnfinished:
      return "unfinished";
    case RequestOutcome::kCompleted:
      return "completed";
    case RequestOutcome::kRejected:
      return "rejected";
    case RequestOutcome::kFailed:
      return "failed";
  }
  return "";
}

std::string_view name_of(WindowOutcome outcome) {
  switch (outcome) {
    case WindowOutcome::kNone:
    case WindowOutcome::kOpen:
      return "";
    case WindowOutcome::kKept:
      return "kept";
    case WindowOutcome::kBroken:
      return "broken";
    case WindowOutcome::kLost:
      return "lost";
  }
  return "";
}

std::optional<double> RequestRecord::ttft_s() const {
  if (!first_token_s)
    return std::nullopt;
  return *first_token_s - arrived_s;
}

std::optional<double> RequestRecord::tpot_s() const {
  if (!finished_s || output_tokens < 2)
    return std::nullopt;
  return (*finished_s - *first_token_s) / static_cast<double>(output_tokens - 1);
}

std::optional<double> RequestRecord::e2e_s() const {
  if (!finished_s)
    return std::nullopt;
  return *finished_s - arrived_s;
}

SimulationResult simulate(const Fleet& fleet, const perf::PerfModel& perf,
                          const std::vector<Arrival>& arrivals, const std::vector<Fault>& faults,
                          const SimulationOptions& options) {
  return Simulation(fleet, perf, arrivals, faults, options).run();
}

}  // namespace medley::simulate
