// The cheapest fleet that serves all demands, as an integer program (docs/plan.md, decision 0074).
//
// Columns: whole replicas n_p of each pool type, whole nodes N of each device and zone, by period
// replicas lent to training, devices that only train and gangs of devices; continuous: requests a
// second x_gpt of demand g on pool type p in period t, device-hours a day that job j takes of what
// trains in period t of the days of a span. Rows, with X the requests a second of a replica
// (capacity.h) and u the utilisation planned with:
//
//   Σ_p x_gpt = rate_gt;  batch: what comes in an hour, over the hours that its deadline leaves
//   Σ_g safety_g·x_gpt/(u·X_gp) + lent_pt <= n_p
//   x_gpt/rate_g <= n_p                                    where it takes little of a replica
//   n of width w and more, in units of w, <= Σ_f ⌊d_fk/w⌋·N_f by device, zone and group k of widths
//       that divide one another, where a node of filling f leaves d_fk devices to the group; a
//       replica wider than a node takes whole nodes; devices that train are of width 1, in their
//       hours
//   by job: its work in the days until its deadline (span_of); by what trains: device-hours of all
//       jobs <= those of its hours, on every day of a span; by gang: hours of the jobs that take
//       turns on it likewise, and no job more than an hour in an hour (decision 0076)
//   nodes <= stock, whole racks (rack_groups); watts·PUE <= limit, whichever jobs run; capital <=
//   budget; tokens and requests <= quotas by what may be lost: the protected demands' rates again,
//   batch in the hours it was planned for, on n_p less what is lost and within quotas; where that
//   is a node: each pool's own nodes, and nodes one by one that hold several
//
// Cost a year: annuity of capital, maintenance, staff, rent, metered prices, and energy: the idle
// draw of every replica and the joules of every request, at the tariff of their hours.
//
// Its rooms, each of a kind of work: program_hours.h, program_terms.h (what all are stated in),
// program_draft.h (rows and columns), program_demands.h, program_nodes.h, program_training.h,
// program_losses.h, program_reading.h.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/integer_program.h"
#include "base/result.h"
#include "plan/pool_types.h"
#include "plan/program_hours.h"
#include "plan/tco.h"
#include "solve/integer_solver.h"

namespace medley::plan {

// Whether redundancy keeps the promises to a demand when something is lost.
bool is_protected(const data::Requirements& requirements, std::size_t demand);

struct PlanOptions {
  std::vector<double> safety;  // by demand: how much larger it counts; empty: 1
  double gap = 1e-4;           // relative
  double time_limit_s = 8;
  // By pool type, held at; empty: free. Of a service only none counts: then it is not used.
  std::vector<std::optional<int>> replicas;
  std::optional<std::size_t> with;  // a pool type of which there is one replica at least
  std::map<std::pair<std::size_t, std::string>, int> nodes;  // at least, by device offer and zone
  // What a given fleet costs, where simulation says what it keeps: replicas are planned with full,
  // and nothing is lost.
  bool given_fleet = false;
};

struct Plan {
  enum class Outcome { kFound, kInfeasible, kUnknown };
  Outcome outcome = Outcome::kUnknown;
  std::vector<int> replicas;  // by pool type; services: 1 where used, be it in a failure alone
  std::map<std::pair<std::size_t, std::string>, int> nodes;  // by device offer and zone
  std::map<std::pair<std::size_t, std::string>, int>
      owned;  // of them, those that are there already
  std::vector<std::vector<std::vector<double>>>
      rate;                            // by demand, pool type and period: requests/s
  std::vector<std::vector<int>> lent;  // by pool type and period: replicas that train
  // Where a node may be lost: nodes that hold what is said here, be it of several pools. All other
  // nodes hold one pool each, and are filled before the next is begun.
  struct Node {
    std::size_t device;
    std::string zone;
    std::map<std::size_t, int> replicas;  // by pool type
  };
  std::vector<Node> mixed;
  // Devices that only train, by device offer and zone: as many as in the hour with most of them.
  std::map<std::pair<std::size_t, std::string>, int> trainers;
  // What a job does on one kind of device in one zone.
  struct Training {
    std::size_t job, device;
    std::string zone;
    double device_hours = 0, kwh = 0;  // of a run
    std::array<bool, 24> hours{};      // of the day, in which it runs
    int done_day = 0;  // of what is done once: days from now until this part of it is done
  };
  std::vector<Training> training;
  Costs costs;
  double capital = 0;             // to be spent, integration included
  double kwh = 0, carbon_kg = 0;  // a year, at the meter; what the carbon of a grid is unknown of
                                  // counts 0 (carbon_is_known)
  std::map<std::string, double>
      watts;       // by zone, at the meter, all that is in use at its TDP in the worst hour
  double gap = 0;  // relative: how far from the cheapest this may be
  // Not all that nodes may hold was looked at (decision 0095): where a node may be lost and many
  // nodes could stand in a place, only fleets of which few nodes there hold several pools, and
  // those that survive the loss of any zone. Where there is none of them, another may be.
  bool within_rule = false;
  bool survives_zones = false;  // it is of the latter
  double total() const { return costs.total(); }
  double bound() const { return total() * (1 - gap); }
  int owned_of(const std::pair<std::size_t, std::string>& place) const {
    const auto found = owned.find(place);
    return found == owned.end() ? 0 : found->second;
  }
  bool has_work(std::size_t type) const;  // with nothing lost
};

// Paid to rented services for a second of a period's work.
double metered_per_s(const data::Requirements& requirements, const std::vector<PoolType>& types,
                     const Plan& plan, std::size_t period);

// Whole racks that a plan takes in a zone.
int racks_of(const data::Requirements& requirements, const Plan& plan, const std::string& zone);

// Whether the carbon of a kWh is known wherever a plan has devices.
bool carbon_is_known(const data::Requirements& requirements, const Plan& plan);

// kInternal and kUnavailable come from the solver; that nothing can be is an outcome.
Result<Plan> cheapest(const data::Requirements& requirements, const std::vector<PoolType>& types,
                      solve::IntegerSolver& solver, const PlanOptions& options = {});

}  // namespace medley::plan
