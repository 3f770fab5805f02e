// What a replica-second is worth when it is scarce.
//
// States the linear program of DESIGN.md section 4 from the rates of the last minutes:
//
//     maximise Σ (v_k·P_kj − c_kj)·x_kj   subject to   Σ_j x_kj ≤ λ_k ,  Σ_k a_kj·x_kj ≤ capacity
//
// k a group of requests (Arrivals::groups), j a pool that may have it and keeps its targets when
// idle. Capacities are by pool: seconds of batched replicas, seconds of a serial prompt lane and of
// slots, tokens a minute and requests a day of a rented service; and the site's power. The core
// asks its driver to solve it (SolvePrices) and goes on with the prices it has. Prices are rounded
// before they decide, so that solvers that differ in their last digits decide alike.
#pragma once

#include <optional>
#include <vector>

#include "base/linear_program.h"
#include "sched/arrivals.h"
#include "sched/predictor.h"

namespace medley::sched {

class Market {
 public:
  // All must outlive it.
  Market(const Fleet& fleet, const perf::PerfModel& perf, const Predictor& predictor,
         const Ledger& ledger, const Arrivals& arrivals);

  // The program to solve now, where it is time for one. Asked for at every event.
  std::optional<LinearProgram> due(Instant now);
  // Duals of the program last stated, or none: prices vanish until the next solution.
  void solved(Instant now, const std::vector<double>& duals);

  // Whether there are prices that decide: not before the first solution, and not when the last one
  // is old.
  bool has_prices(Instant now) const;
  // Money that what the request takes of the pool is worth there when it is full. 0 without prices.
  double price(Instant now, PoolId pool, const Request& request) const;
  // The same of one unit of it: of a second of a batched replica or of a serial prompt lane, of a
  // token of a rented service's minute. Empty without prices.
  std::optional<double> unit_price(Instant now, PoolId pool) const;
  // The same of the site's power, which is short on all replicas at once, idle ones too.
  double power_price(Instant now, PoolId pool, const Request& request) const;

 private:
  // What one request takes of a pool's capacities.
  struct Usage {
    double main = 0;   // seconds of a replica or of the prompt lane, tokens of a rented service
    double other = 0;  // seconds of a slot, requests of a day
    double joules = 0;
    double added_joules = 0;  // of these, beyond what an idle replica draws: what power is short of
  };
  double added_joules(PoolId pool, const Usage& usage, double output_tokens,
                      const Forecast& alone) const;
  Usage usage(PoolId pool, const Request& request, const Forecast& alone) const;
  Forecast alone(Instant now, PoolId pool, const Request& request) const;
  LinearProgram state(Instant now);

  // Duals of the rows of a pool; -1: no such row.
  struct Rows {
    int main = -1, other = -1;
  };

  const Fleet& fleet_;
  const perf::PerfModel& perf_;
  const Predictor& predictor_;
  const Ledger& ledger_;
  const Arrivals& arrivals_;
  std::optional<Instant> asked_at_, solved_at_;
  std::vector<Rows> stated_;  // of the program asked for last
  int stated_power_ = -1;
  double scale_ = 1;  // gains of the program are in these, money
  struct Prices {
    double main = 0, other = 0;  // money per unit
  };
  std::vector<Prices> prices_;  // by pool; empty: none
  double power_price_ = 0;      // money per joule
};

}  // namespace medley::sched
