// The core in virtual time: replays arrivals and faults against model-made replicas.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/digest.h"
#include "domain/fleet.h"
#include "domain/request.h"
#include "perf/perf_model.h"
#include "replica/replica.h"
#include "sched/scheduler.h"
#include "simulate/power_meter.h"

namespace medley::simulate {

// Prices come so long after they were asked for: far longer than the solver takes.
inline constexpr Duration kSolvingTakes = std::chrono::milliseconds(50);

// One request of the workload. `request.arrived_at` says when; ids are unique and ascend with their
// rows.
struct Arrival {
  Request request;
  long long output_tokens = 1;  // the true length: the replica knows it, the core does not
};

// A replica that is lost, or slower by a factor, for a time.
struct Fault {
  ReplicaId replica;
  Instant at;
  Duration lasts{};
  std::optional<double> slowdown;  // its steps take this many times as long; empty: lost
};

// A request that others send to a replica past medley: it takes its time there, and nobody here
// hears of it.
struct OutsideArrival {
  Instant at;
  ReplicaId replica;
  long long prompt_tokens = 1, output_tokens = 1;
};

enum class RequestOutcome { kUnfinished, kCompleted, kRejected, kFailed };
std::string_view name_of(RequestOutcome outcome);

// What became of a promised token window. Broken: a token came late, or the dispatch that carried
// the promise failed. Lost: broken since its replica was lost; what happens elsewhere later does
// not mend it.
enum class WindowOutcome { kNone, kOpen, kKept, kBroken, kLost };
std::string_view name_of(WindowOutcome outcome);  // kNone and kOpen: empty

// What became of one request. Times are seconds since the start; empty where it did not get there.
struct RequestRecord {
  Request request;
  long long output_tokens =
      0;  // of the answer: the true length, or less where a replica's context is full
  RequestOutcome outcome = RequestOutcome::kUnfinished;
  std::optional<sched::RejectReason> reason;
  std::optional<ReplicaId> replica;
  double arrived_s = 0;
  std::optional<double> dispatched_s, first_token_s, finished_s;
  std::optional<sched::Prediction> predicted;
  double joules = 0;       // its share of the steps it was in, those before a preemption too
  double money = 0;        // energy at the tariff, or the metered price
  bool truncated = false;  // its answer was cut where the replica's context was full
  bool kept = false;       // every target, by a whole answer
  int preemptions = 0;     // how often it had to make room and start over
  bool scheduled = false;  // it was dispatched to a statically scheduled device
  TokenWindow window{};    // promised, unless its outcome is kNone
  WindowOutcome window_outcome = WindowOutcome::kNone;

  std::optional<double> ttft_s() const;
  std::optional<double> tpot_s() const;  // more than one token only
  std::optional<double> e2e_s() const;
};

struct ReplicaRecord {
  PoolId pool;
  replica::Usage usage;
  double lost_s = 0;
  std::optional<double> idle_joules;  // owned hardware, between steps while it is not lost; empty
                                      // where its idle power is unknown
};

// Hears what became of every request, in row order, as soon as it is known of all rows up to it.
class RecordSink {
 public:
  virtual ~RecordSink() = default;
  virtual void add(const RequestRecord& record) = 0;
};

struct SimulationResult {
  std::vector<RequestRecord> requests;  // by row; empty where a sink took them
  std::vector<ReplicaRecord> replicas;
  double simulated_s = 0;  // until the last effect
  long long evictions = 0, steps = 0, wake_ups = 0, preemptions = 0;
  std::vector<Money> energy_cost;  // by pool, with idle hardware; 0 for rented services
  PowerFigures power;
  double prediction_error = 0, prefill_error = 0;  // as in the options
  Digest digest;
};

class Timeline;

struct SimulationOptions {
  std::uint64_t seed = 1;
  sched::ExplanationSink* explanations = nullptr;
  // Takes the records in place of SimulationResult::requests, so that a long run need not hold
  // them.
  RecordSink* records = nullptr;
  Timeline* timeline = nullptr;  // told what the replicas do over time
  double prediction_error = 0;   // put upon the core's forecasts (sched::ForecastError)
  double prefill_error = 0;      // of the devices, unknown to the core (replica::Options)
  // The core hears of first tokens and ends at multiples of this only, as if it polled its engines
  // instead of relaying their streams; whom it could preempt is then uncertain, so it preempts
  // nobody. 0: at once.
  Duration heard_every{};
  // Engines report their load to the core at multiples of this. 0: never.
  Duration signals_every{};
  const std::vector<OutsideArrival>* outside = nullptr;  // by `at`; outlives the call
};

// Preconditions: arrivals sorted by (arrived_at, id) with ids that ascend, faults by `at`; every
// request's offer and label exist. The same arguments give the same result.
SimulationResult simulate(const Fleet& fleet, const perf::PerfModel& perf,
                          const std::vector<Arrival>& arrivals, const std::vector<Fault>& faults,
                          const SimulationOptions& options);

}  // namespace medley::simulate
