#include "serve/driver.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>

#include "base/check.h"

namespace medley::serve {
namespace {

constexpr int kFailuresUntilLost = 3;
constexpr Duration kLostFor = std::chrono::seconds(5);

bool another_may_do(ErrorCode code) {
  return code != ErrorCode::kInvalid && code != ErrorCode::kDenied;
}

}  // namespace

class Driver::Impl final : public engine::GenerationSink {
 public:
  Impl(engine::Loop& loop, const Fleet& fleet, const perf::PerfModel& perf,
       std::vector<std::unique_ptr<engine::Engine>> engines, std::unique_ptr<PriceSolver> prices)
      : loop_(loop),
        fleet_(fleet),
        owners_(fleet.pools_of_replicas()),
        scheduler_(fleet, perf),
        prices_(std::move(prices)),
        engines_(std::move(engines)),
        failures_(engines_.size(), 0),
        up_(engines_.size(), true),
        reports_(engines_.size()) {
    MEDLEY_CHECK(engines_.size() == owners_.size());
    for (std::size_t i = 0; i < engines_.size(); ++i) {
      engines_[i]->report_load_to(
          [this, i](const Result<LoadSignal>& load) { on_load(ReplicaId(i), load); });
    }
  }

  ~Impl() override {
    if (alarm_)
      loop_.cancel(*alarm_);
    for (const auto& [replica, timer] : returns_)
      loop_.cancel(timer);
  }

  void submit(Request request, engine::Generation generation, RequestListener& listener) {
    request.arrived_at = loop_.now();
    generation.id = request.id;
    Entry entry;
    entry.request = request;
    entry.generation = std::move(generation);
    entry.listener = &listener;
    if (usage_ != nullptr)
      usage_->arrived(request);
    MEDLEY_CHECK(entries_.emplace(request.id, std::move(entry)).second,
                 "a request id is used twice");
    tell(sched::RequestArrived{request});
  }

  std::optional<Served> cancel(RequestId request, std::string_view outcome) {
    const auto found = entries_.find(request);
    if (found == entries_.end())
      return std::nullopt;
    Entry& entry = found->second;
    if (entry.first_token_at)  // the gap that the client did not want to see the end of
      entry.itl_max = std::max(entry.itl_max, loop_.now() - entry.last_token_at);
    const Served served = served_so_far(entry);
    const Tokens generated(entry.generated);
    log(entry, outcome);
    entries_.erase(found);
    tell(sched::RequestCancelled{request, generated});
    return served;
  }

  void replica_lost(ReplicaId replica) {
    forget_return(replica);
    lose(replica, {}, {});
  }

  // `culprit` is told what really happened to it, the others that their replica is gone.
  void lose(ReplicaId replica, std::optional<RequestId> culprit, const Error& error) {
    up_[replica.number()] = false;
    tell(sched::ReplicaLost{replica});
    std::vector<RequestId> held;
    for (const auto& [request, entry] : entries_) {
      if (entry.replica == replica)
        held.push_back(request);
    }
    engines_[replica.number()]->reset();
    for (const RequestId request : held) {
      engines_[replica.number()]->cancel(request);
      static const Error kLost{
          ErrorCode::kUnavailable, "the replica that served this request was lost", {}};
      failed(request, request == culprit ? error : kLost, request == culprit);
    }
  }

  void replica_returned(ReplicaId replica) {
    forget_return(replica);
    failures_[replica.number()] = 0;
    up_[replica.number()] = true;
    tell(sched::ReplicaReturned{replica});
  }
  bool replica_up(ReplicaId replica) const { return up_.at(replica.number()); }
  const LoadReports& load_reports(ReplicaId replica) const { return reports_.at(replica.number()); }

  // --- engine::GenerationSink
  // -------------------------------------------------------------------------------

  void on_tokens(RequestId request, std::string_view text, int count) override {
    const auto found = entries_.find(request);
    if (found == entries_.end())
      return;
    Entry& entry = found->second;
    const bool first = entry.generated == 0;
    entry.generated += count;
    entry.answered = true;
    const Instant now = loop_.now();
    if (first) {
      entry.first_token_at = now;
      failures_[entry.replica->number()] = 0;
    } else {
      entry.itl_max = std::max(entry.itl_max, now - entry.last_token_at);
    }
    entry.last_token_at = now;
    if (first)
      events_.emplace_back(now, sched::FirstTokenEmitted{request});
    entry.listener->on_tokens(text, count);
    handle_events();
  }

  void on_end(RequestId request, const engine::Ending& ending) override {
    const auto found = entries_.find(request);
    if (found == entries_.end())
      return;
    Entry entry = std::move(found->second);
    entries_.erase(found);
    entry.generated = ending.output_tokens.count();
    entry.answered = true;
    entry.request.prompt_tokens = ending.prompt_tokens;
    entry.joules = ending.joules;
    entry.handed_over = ending.handed_over;
    const Served served = served_so_far(entry);
    log(entry, "completed");
    events_.emplace_back(loop_.now(), sched::RequestFinished{request, ending.output_tokens});
    entry.listener->on_end(ending, served);
    handle_events();
  }

  void on_failed(RequestId request, const Error& error) override {
    const auto found = entries_.find(request);
    if (found == entries_.end())
      return;
    const ReplicaId replica = *found->second.replica;
    const bool blames_replica = another_may_do(error.code) && up_[replica.number()];
    if (!blames_replica || ++failures_[replica.number()] < kFailuresUntilLost) {
      failed(request, error);
    } else {
      returns_[replica] =
          loop_.call_at(loop_.now() + kLostFor, replica::Phase::kFault, replica.number(),
                        [this, replica] { replica_returned(replica); });
      lose(replica, request, error);
    }
  }

  void log_results_to(std::function<void(const sched::LoggedResult&)> log) {
    log_ = std::move(log);
  }
  void record_to(UsageRecorder& recorder) { usage_ = &recorder; }
  void warn_to(std::function<void(const std::string&)> warn) { warn_ = std::move(warn); }
  std::size_t held() const { return entries_.size(); }
  sched::Scheduler& scheduler() { return scheduler_; }
  engine::Engine& engine(ReplicaId replica) { return *engines_.at(replica.number()); }

 private:
  struct Entry {
    Request request;
    engine::Generation
        generation;  // kept whole, so that another replica can take over before the first token
    RequestListener* listener = nullptr;
    std::optional<ReplicaId> replica;
    std::optional<sched::Prediction> predicted;
    bool answered = false;  // a token or the end came: the prompt has been processed
    std::optional<Instant> first_token_at;
    Instant last_token_at;
    Duration itl_max{};                 // the longest gap between two tokens
    std::optional<TokenWindow> window;  // promised with its first dispatch
    bool window_failed = false;         // that dispatch did
    long long generated = 0;
    std::optional<double> joules;
    std::optional<Tokens> handed_over;
    std::optional<Error> last_error;
  };

  // No report is no report: the core is told nothing, and what it knew counts for less and less.
  void on_load(ReplicaId replica, const Result<LoadSignal>& load) {
    LoadReports& reports = reports_[replica.number()];
    const bool troubled = reports.trouble.has_value();
    if (load.ok()) {
      ++reports.heard;
      reports.last = load->as_of;
      reports.trouble.reset();
      if (up_[replica.number()])
        tell(sched::LoadReported{replica, *load});
    } else {
      ++reports.failed;
      reports.trouble = load.error().message;
    }
    if (warn_ && troubled == load.ok()) {
      warn_(fmt::format("pool '{}': {}", fleet_.pool(owners_[replica.number()]).name,
                        load.ok() ? "its load is reported again"
                                  : "its load is not known: " + load.error().message));
    }
  }

  // Events that arise while decisions are carried out wait their turn: the core sees them one after
  // the other. What a listener is told stands in events_ before it is: what it submits or cancels
  // in turn comes after.
  void tell(const sched::Event& event) {
    events_.emplace_back(loop_.now(), event);
    handle_events();
  }

  void handle_events() {
    if (telling_)
      return;
    telling_ = true;
    while (!events_.empty()) {
      const auto [at, next] = std::move(events_.front());
      events_.pop_front();
      decisions_.clear();
      scheduler_.handle(at, next, decisions_);
      for (const sched::Decision& decision : std::vector<sched::Decision>(decisions_))
        carry_out(decision);
    }
    telling_ = false;
  }

  void carry_out(const sched::Decision& decision) {
    if (const auto* dispatch = std::get_if<sched::Dispatch>(&decision)) {
      const auto found = entries_.find(dispatch->request);
      if (found == entries_.end())
        return;  // cancelled meanwhile: the core will hear of it next
      Entry& entry = found->second;
      entry.replica = dispatch->replica;
      entry.predicted = scheduler_.prediction(dispatch->request);
      if (dispatch->window)
        entry.window = dispatch->window;
      entry.listener->on_dispatched(*dispatch);
      engines_[dispatch->replica.number()]->start(entry.generation, *this);
    } else if (const auto* reject = std::get_if<sched::Reject>(&decision)) {
      const auto found = entries_.find(reject->request);
      if (found == entries_.end())
        return;
      Entry entry = std::move(found->second);
      entries_.erase(found);
      log(entry, entry.last_error ? "failed" : "rejected");
      if (entry.last_error) {
        entry.listener->on_failed(*entry.last_error, served_so_far(entry));
      } else {
        entry.listener->on_rejected(*reject);
      }
    } else if (const auto* cancel = std::get_if<sched::Cancel>(&decision)) {
      engines_[cancel->replica.number()]->cancel(cancel->request);
    } else if (const auto* preempt = std::get_if<sched::Preempt>(&decision)) {
      engines_[preempt->replica.number()]->cancel(preempt->request);
      const auto found = entries_.find(preempt->request);
      if (found == entries_.end())
        return;  // cancelled meanwhile: the core will hear of it next
      Entry& entry = found->second;
      MEDLEY_CHECK(entry.generated == 0 || !entry.request.streamed, "what was seen starts over");
      entry.replica.reset();
      entry.answered = false;
      entry.first_token_at.reset();
      entry.itl_max = {};
      entry.generated = 0;
      entry.listener->on_restarted();
    } else if (const auto* program = std::get_if<sched::SolvePrices>(&decision)) {
      if (prices_) {
        prices_->solve(program->program, [this](std::vector<double> duals) {
          tell(sched::PricesSolved{std::move(duals)});
        });
      }
    } else {
      if (alarm_)
        loop_.cancel(*alarm_);
      alarm_ =
          loop_.call_at(std::get<sched::WakeAt>(decision).at, replica::Phase::kAlarm, 0, [this] {
            alarm_.reset();
            tell(sched::AlarmRang{});
          });
    }
  }

  // Whoever returns a lost replica, or loses it for good, goes before the timer.
  void forget_return(ReplicaId replica) {
    const auto found = returns_.find(replica);
    if (found == returns_.end())
      return;
    loop_.cancel(found->second);
    returns_.erase(found);
  }

  void failed(RequestId request, const Error& error, bool lost_its_replica = false) {
    const auto found = entries_.find(request);
    if (found == entries_.end())
      return;  // ended by a listener that heard of another's failure
    Entry& entry = found->second;
    entry.window_failed = entry.window.has_value();
    if (entry.generated == 0 && another_may_do(error.code)) {
      entry.last_error = error;
      entry.replica.reset();
      tell(sched::DispatchFailed{request, lost_its_replica});
      return;
    }
    Entry ended = std::move(entry);
    entries_.erase(found);
    log(ended, "failed");
    events_.emplace_back(loop_.now(),
                         sched::RequestFinished{request, Tokens(ended.generated), false});
    ended.listener->on_failed(error, served_so_far(ended));
    handle_events();
  }

  Served served_so_far(const Entry& entry) const {
    Served served;
    served.replica = entry.replica;
    served.predicted = entry.predicted;
    served.prompt_tokens = entry.request.prompt_tokens;
    served.output_tokens = Tokens(entry.generated);
    served.joules = entry.joules;
    served.handed_over = entry.handed_over;
    const Instant now = loop_.now();
    served.e2e_s = to_seconds(now - entry.request.arrived_at).value();
    if (entry.first_token_at) {
      served.ttft_s = to_seconds(*entry.first_token_at - entry.request.arrived_at).value();
      if (entry.generated > 1) {
        served.tpot_s = to_seconds(now - *entry.first_token_at).value() /
                        static_cast<double>(entry.generated - 1);
      }
    }
    if (entry.window) {
      // What has not come yet is late once its time has passed.
      const Duration ttft = entry.first_token_at.value_or(now) - entry.request.arrived_at;
      served.window = {*entry.window, to_seconds(entry.itl_max).value(),
                       entry.window_failed || !entry.window->kept_by(ttft, entry.itl_max)};
    }
    if (!entry.replica)
      return served;
    const Pool& pool = fleet_.pool(owners_[entry.replica->number()]);
    if (pool.metered) {
      // What the provider processed is paid, whole answer or broken: the prompt and the output that
      // came. Before the first token nothing says that it processed anything.
      if (!entry.answered)
        return served;
      served.money = pool.metered->price(entry.request.prompt_tokens, Tokens(entry.generated));
    } else if (entry.joules) {
      served.money = (Joules(*entry.joules) * fleet_.energy_price(now)).value();
    }
    return served;
  }

  void log(const Entry& entry, std::string_view outcome) const {
    if (!log_ && usage_ == nullptr)
      return;
    const Served served = served_so_far(entry);
    if (usage_ != nullptr) {
      usage_->ended(entry.request, outcome,
                    {entry.replica ? std::optional(owners_[entry.replica->number()]) : std::nullopt,
                     served.ttft_s, served.tpot_s, served.e2e_s, served.output_tokens,
                     served.joules, served.money});
    }
    if (!log_)
      return;
    sched::LoggedResult result{entry.request.id, std::string(outcome), served.ttft_s, served.tpot_s,
                               served.e2e_s,     served.joules,        served.money,  {}};
    if (entry.generated > 0)
      result.output_tokens = entry.generated;
    if (entry.handed_over)
      result.handed_over = entry.handed_over->count();
    log_(result);
  }

  engine::Loop& loop_;
  const Fleet& fleet_;
  const std::vector<PoolId> owners_;
  sched::Scheduler scheduler_;
  std::map<RequestId, Entry> entries_;  // waiting and in flight, in id order
  std::deque<std::pair<Instant, sched::Event>> events_;
  std::vector<sched::Decision> decisions_;
  bool telling_ = false;
  std::optional<engine::TimerId> alarm_;
  std::map<ReplicaId, engine::TimerId> returns_;
  std::function<void(const sched::LoggedResult&)> log_;
  UsageRecorder* usage_ = nullptr;
  std::function<void(const std::string&)> warn_;
  std::unique_ptr<PriceSolver> prices_;
  // Last, so that engines go first: they may still hold timers and work of theirs.
  std::vector<std::unique_ptr<engine::Engine>> engines_;
  std::vector<int> failures_;  // dispatches in a row that a replica failed
  std::vector<bool> up_;
  std::vector<LoadReports> reports_;
};

Driver::Driver(engine::Loop& loop, const Fleet& fleet, const perf::PerfModel& perf,
               std::vector<std::unique_ptr<engine::Engine>> engines,
               std::unique_ptr<PriceSolver> prices)
    : impl_(std::make_unique<Impl>(loop, fleet, perf, std::move(engines), std::move(prices))) {}
Driver::~Driver() = default;

void Driver::submit(Request request, engine::Generation generation, RequestListener& listener) {
  impl_->submit(std::move(request), std::move(generation), listener);
}
std::optional<Served> Driver::cancel(RequestId request, std::string_view outcome) {
  return impl_->cancel(request, outcome);
}
void Driver::replica_lost(ReplicaId replica) { impl_->replica_lost(replica); }
void Driver::replica_returned(ReplicaId replica) { impl_->replica_returned(replica); }
void Driver::log_results_to(std::function<void(const sched::LoggedResult&)> log) {
  impl_->log_results_to(std::move(log));
}
void Driver::record_to(UsageRecorder& recorder) { impl_->record_to(recorder); }
void Driver::warn_to(std::function<void(const std::string&)> warn) {
  impl_->warn_to(std::move(warn));
}
const LoadReports& Driver::load_reports(ReplicaId replica) const {
  return impl_->load_reports(replica);
}
std::size_t Driver::held() const { return impl_->held(); }
bool Driver::replica_up(ReplicaId replica) const { return impl_->replica_up(replica); }
sched::Scheduler& Driver::scheduler() { return impl_->scheduler(); }
engine::Engine& Driver::engine(ReplicaId replica) { return impl_->engine(replica); }

}  // namespace medley::serve
