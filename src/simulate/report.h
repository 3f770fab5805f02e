// What a run amounts to: the figures of tables, JSON and reports, worked out once.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/statistics.h"
#include "data/csv.h"
#include "simulate/simulation.h"

namespace medley::simulate {

struct Latencies {
  Summary ttft_s, tpot_s,
      e2e_s;  // over completed requests; tpot over those with more than one output token
};

// (value, share of requests at or below), for pictures.
struct LatencyCurves {
  std::vector<std::pair<double, double>> ttft_s, tpot_s, e2e_s;
};

// Token-window promises: requests that went to statically scheduled devices, those of them that
// were promised a window, and what became of it.
struct WindowCounts {
  long long admitted = 0, promised = 0, kept = 0;
  long long broken = 0;  // promised − kept
  long long lost = 0;    // of the broken: their replica was lost
  // Of those without a promise: nobody said how long their answer may get, so that each is taken to
  // need its pool's whole context (sched/promise.h).
  long long no_limit = 0;

  WindowCounts& operator+=(const WindowCounts& other);
};

struct ClassReport {
  ServiceClass service_class = ServiceClass::kStandard;
  long long requests = 0, completed = 0, rejected = 0, failed = 0, unfinished = 0;
  long long kept = 0;
  double attainment = 0;         // kept / requests: a request turned away missed its promise
  double goodput_per_s = 0;      // kept / simulated time
  double money = 0, joules = 0;  // of its completed requests, and of rented answers that broke
  WindowCounts windows;
  Latencies latencies;
  LatencyCurves curves;  // empty unless asked for
};

struct TenantReport {
  TenantId tenant;
  long long requests = 0, completed = 0, rejected = 0, kept = 0;
  long long prompt_tokens = 0, output_tokens = 0;  // of the completed
  double value_offered = 0, value_kept = 0;
  std::array<long long, kServiceClassCount> class_requests{}, class_kept{};

  double attainment() const {
    return requests > 0 ? static_cast<double>(kept) / static_cast<double>(requests) : 0;
  }
};

struct PoolReport {
  PoolId pool;
  long long requests = 0;                          // completed there
  long long prompt_tokens = 0, output_tokens = 0;  // of those
  double use = 0;                     // busy share of its replicas' time; for metered pools 0
  double joules = 0;                  // busy and, where known, idle; 0 where unknown or metered
  std::optional<double> idle_joules;  // part of them; empty where the idle power is unknown
  double money = 0;  // those joules at the tariff of their hours, or the metered price
  long long steps = 0, extrapolated_steps = 0;  // of the latter: outside the range of its table
  long long reused_tokens = 0;  // of prompts, found in the cache; of all requests that were there
};

// What no policy could exceed on the same requests (bound.h).
struct NetValueBound {
  double net_value = 0;  // money: value kept less what the requests cost
  double gap = 0;        // how far the bound may still come down, as a share of it
};

struct Report {
  std::string name;
  long long requests = 0, completed = 0, rejected = 0, failed = 0, unfinished = 0, kept = 0;
  long long truncated = 0;  // of the completed: answers that a full context cut; they are not kept
  long long evictions = 0, preemptions = 0, steps = 0, wake_ups = 0;
  long long extrapolated_steps = 0;  // of the steps: timed outside the range of a measured table
  long long prompt_tokens = 0, output_tokens = 0;  // of completed requests
  double simulated_s = 0, attainment = 0, goodput_per_s = 0;
  double joules = 0, money = 0;  // of the fleet, with the idle hardware whose power is known
  double request_joules = 0,
         request_money = 0;  // the part that requests account for: what the CSV adds up to
  double value_kept = 0, value_offered = 0;  // money: of kept requests, of all, by their classes
  Latencies latencies;
  std::vector<ClassReport> classes;   // those that occur
  std::vector<PoolReport> pools;      // all, in file order
  std::vector<TenantReport> tenants;  // all, in file order
  PowerFigures power;                 // of owned hardware
  double prediction_error = 0;        // put upon forecasts
  double prefill_error = 0;           // put upon the devices
  std::string decision_digest;
  std::map<std::string, long long> refused_for;  // reason to requests
  std::optional<NetValueBound> bound;            // put in by who has it
  std::string bound_left_out;                    // why there is none

  // Share of all value that was kept; empty where nothing is worth anything.
  std::optional<double> value_goodput() const;
  // Of the value kept, what is left after what the requests cost, kept or not. Idle hardware is not
  // in it: no decision about a request changes that.
  double net_value() const { return value_kept - request_money; }
  // net_value() as a share of the bound; empty where none is known or it is worth nothing.
  std::optional<double> share_of_bound() const;
  // Of the fleet, idle hardware included, by kept requests; empty where none was kept, or where no
  // energy is known.
  std::optional<double> money_per_good() const;
  std::optional<double> joules_per_good() const;
  // Over the tenants with requests: of their attainment, and of the tokens they had per weight.
  double jain_of_attainment() const;
  double jain_of_service(const Fleet& fleet) const;
};

// Adds records up; they need not be kept.
class ReportBuilder {
 public:
  // `fleet` must outlive the builder. `curves`: also those of the latencies.
  explicit ReportBuilder(const Fleet& fleet, bool curves = false);
  void add(const RequestRecord& record);
  // With what `result` says of the replicas and the whole run; its requests are not looked at.
  Report finish(const std::string& name, const SimulationResult& result) &&;

 private:
  struct Samples {
    std::vector<double> ttft_s, tpot_s, e2e_s;
  };
  const Fleet& fleet_;
  const bool curves_;
  const std::vector<PoolId> owners_;
  Report report_;
  std::array<ClassReport, kServiceClassCount> classes_;
  std::array<Samples, kServiceClassCount> samples_;
};

// "98.0 % of the bound, ...", or why it is not known; empty where nothing is said of one.
std::string bound_text(const Report& report);

// What is not in the sums of energy and money, since unknown: "the energy of a, the idle draw of
// b".
std::string unknown_energy(const Report& report, const Fleet& fleet);

// "peak draw 38.2 kW, 95.5 % of the site's limit; above it for 0 s"; empty where no draw is known.
std::string power_text(const PowerFigures& power);

// "guaranteed: 40 admitted on scheduled devices, 39 of them (97.5 %) with a token window, 39 kept,
// 0 broken"; empty where none was admitted there, and for classes that are promised none.
std::string windows_text(const ClassReport& of_class);

// Of a result that has its requests.
Report make_report(const std::string& name, const Fleet& fleet, const SimulationResult& result);

// One JSON value, one line (docs/simulate.md lists its keys).
std::string to_json(const Report& report, const Fleet& fleet);

// One row a request, in the order they are added (columns: docs/simulate.md).
class RequestsCsv {
 public:
  explicit RequestsCsv(const Fleet& fleet);
  void add(const RequestRecord& record);
  // What has been built and not been written out yet; clear() after having done so.
  const std::string& str() const { return writer_.str(); }
  void clear() { writer_.clear(); }

 private:
  const std::vector<PoolId> owners_;
  std::vector<std::string> labels_, models_, pools_, tenants_;  // names as CSV has them
  data::CsvWriter writer_;
};

}  // namespace medley::simulate
