// Feeds the scheduler live events and carries out its decisions: the one place where core and
// engines meet.
//
// Works alike on a real and on a manual loop. Single-threaded: everything on the loop's thread. A
// replica that fails three dispatches in a row for reasons of its own counts as lost and is tried
// again after a few seconds.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "engine/engine.h"
#include "sched/decision_log.h"
#include "sched/scheduler.h"
#include "serve/price_solver.h"
#include "serve/usage_recorder.h"

namespace medley::serve {

// A token window that was promised (docs/scheduling.md) and how it went, by every token as it came
// from the engine.
struct ServedWindow {
  TokenWindow promised;
  double itl_max_s = 0;  // the longest gap between two tokens so far
  bool late = false;     // a token came too late, or the dispatch that carried the promise failed
};

// What really happened to a request, for the answer, the metrics and the decision log.
struct Served {
  std::optional<ReplicaId> replica;
  std::optional<sched::Prediction> predicted;
  std::optional<double> ttft_s, tpot_s, e2e_s;  // observed at the driver
  std::optional<ServedWindow> window;
  Tokens prompt_tokens, output_tokens;
  std::optional<Tokens> handed_over;  // of the prompt, as engine::Ending's
  // Energy at the tariff; or, of a metered service, prompt and output that came, broken or not.
  std::optional<double> joules, money;
};

// Hears of one request. Any number of on_tokens and on_restarted, then one of the three ends.
// Nothing after Driver::cancel().
class RequestListener {
 public:
  virtual ~RequestListener() = default;
  virtual void on_dispatched(const sched::Dispatch& dispatch) = 0;
  virtual void on_tokens(std::string_view text, int count) = 0;
  // What came so far is void: it made room for dearer work and starts over. After a token only
  // where the request is not streamed.
  virtual void on_restarted() = 0;
  virtual void on_end(const engine::Ending& ending, const Served& served) = 0;
  virtual void on_rejected(const sched::Reject& rejection) = 0;
  // The engine failed for good: after the first token, or with nowhere else to go.
  virtual void on_failed(const Error& error, const Served& served) = 0;
};

// What a replica's engine said of its load when it was asked, since the start.
struct LoadReports {
  long long heard = 0, failed = 0;
  std::optional<Instant> last;         // when it was asked what it last answered
  std::optional<std::string> trouble;  // why the latest question has no answer
};

class Driver {
 public:
  // `engines` by replica number. All references must outlive the driver. Without `prices` the core
  // decides without prices.
  Driver(engine::Loop& loop, const Fleet& fleet, const perf::PerfModel& perf,
         std::vector<std::unique_ptr<engine::Engine>> engines,
         std::unique_ptr<PriceSolver> prices = nullptr);
  ~Driver();

  // `request.arrived_at` is set to the loop's now(). `listener` must live until its end or
  // cancel().
  void submit(Request request, engine::Generation generation, RequestListener& listener);
  // The client left, or had enough: stops the engine, tells the core, answers what has happened so
  // far (empty: it had ended). `outcome` is the decision log's word for it.
  std::optional<Served> cancel(RequestId request, std::string_view outcome = "cancelled");
  // A replica went away (its requests fail or are placed elsewhere) and came back. What is said
  // here holds: no timer returns the replica after it.
  void replica_lost(ReplicaId replica);
  void replica_returned(ReplicaId replica);
  bool replica_up(ReplicaId replica) const;
  const LoadReports& load_reports(ReplicaId replica) const;

  // Hears of every request's end, for the decision log; placement decisions:
  // scheduler().explain_to().
  void log_results_to(std::function<void(const sched::LoggedResult&)> log);
  // Tells `recorder`, which must outlive the driver, of every arrival and end.
  void record_to(UsageRecorder& recorder);
  // Hears, one line for people, when a replica's reports of load begin to fail and when they come
  // again.
  void warn_to(std::function<void(const std::string&)> warn);
  // Of requests in flight and waiting.
  std::size_t held() const;

  sched::Scheduler& scheduler();
  engine::Engine& engine(ReplicaId replica);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace medley::serve
