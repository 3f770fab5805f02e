// Everything a buyer is told: the chosen fleet and its proof, the other fleets and why not them,
// which limits bind, what moves the answer, and what an LPU is for.
//
// Every comparison is the program that the chosen fleet is the cheapest of, as its proof has
// calibrated it, on changed requirements. One that fails is a line that says so.
#pragma once

#include <array>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "plan/proof.h"

namespace medley::plan {

// A limit whose lifting makes the plan cheaper, and by how much a year; or where that could not be
// said, why.
struct Binding {
  std::string limit;
  double saving = 0;
  std::string none;
};

// A fleet that could be had instead: the requirements with some offers left out.
struct Candidate {
  std::string name;
  data::Requirements requirements;  // with what is left; types and plan go by its offers
  std::vector<PoolType> types;
  Plan plan;
  std::string fleet;  // "3 x chat-h100, 1 x voice-lpu"; empty where there is none
  std::string why;    // why not, or "chosen"; where there is no plan, why there is none
  std::optional<Proof> proof;
  std::vector<Binding> bindings;  // of power, racks, stock and budget, for this fleet
};

struct Sensitivity {
  std::string what;
  std::optional<double> cost;  // a year; empty: no plan, and `none` says why
  bool same_fleet = false;     // the same would be ordered
  std::string none;
};

// One device owned against the same one rented. A plan pays rent for all hours of a year; whoever
// starts and stops what he rents pays for the hours of work alone, and break_even is for him.
struct Duty {
  std::string bought, rented;
  int devices = 0;               // that share what staff costs: the plan's of that kind, or a node
  bool staff_is_there = false;   // the plan owns something else anyway: staff costs nothing more
  double owned = 0, leased = 0;  // of one device a year, at the planned duty; rent for all hours
  std::optional<double> break_even;    // share of hours; empty: renting is cheaper at any
  double planned = 0;                  // share of the hours of a year that the plan keeps them busy
  std::vector<std::string> forbidden;  // demands whose labels forbid the rented one
};

// The cheapest fleet when everybody waits for tokens so many times shorter. Points that another one
// beats in both are left out, but for that which is asked for.
struct FrontPoint {
  double factor = 1;
  double tokens_per_s = 0;     // of the tightest demand's target
  std::optional<double> cost;  // empty: no plan, and `none` says why
  bool has_scheduled = false;  // LPUs in it
  std::string none;
};

// What each kind of device does at a demand's token rate. Joules are of whole replicas, prompts and
// what they draw between steps included, but for one user alone, whose prompt is not counted.
struct Truth {
  std::string demand;
  double tokens_per_s_asked = 0;  // 0: no target
  struct Reach {
    std::string pool;
    double fastest = 0;                    // tokens a second of one user, alone on a replica
    double joules_alone = 0;               // a token then
    std::optional<double> joules_full;     // as many at once as the targets allow; empty: not kept
    std::optional<double> joules_planned;  // where it serves the demand in this plan: all that the
                                           // pool draws in a year, by the tokens it makes
    bool reaches() const { return joules_full.has_value(); }
  };
  std::optional<Reach> batched, scheduled;  // of each kind the one in the plan, else the best
  bool needs_scheduled = false;             // no batched device that may be had reaches it, or …
  bool by_limits = false;                   // … one does, but the limits leave too few of them
  double scheduled_share = 0;               // of its requests, in the chosen fleet, on LPUs …
  double device_share = 0;                  // … and on devices of any kind; the rest on services
  std::string verdict;                      // one sentence
};

// The cheapest fleet of one kind of device and no services, beside the choice.
struct SingleKind {
  std::string fleet;
  double premium = 0;  // what it costs more, a share of the choice; 0 where it is the choice
  bool chosen = false;
  std::optional<bool> keeps_all;  // in simulation; empty: it was not simulated
};

struct PriceRange {
  double low = 0, high = 0;  // a year, the chosen fleet at the ends of all ranges of prices
};

struct Study {
  data::Requirements requirements;
  PoolTypes pools;
  Proven chosen;
  std::string fleet;
  std::vector<Candidate> candidates;                         // the chosen one first
  std::vector<std::pair<std::string, std::string>> why_not;  // offers that are not in it
  std::vector<Binding> bindings;
  std::vector<Sensitivity> sensitivity;
  std::vector<Duty> duties;
  std::vector<FrontPoint> front;
  std::vector<Truth> truths;
  std::optional<PriceRange> price_range;  // where a price is a range
  std::string no_price_range;             // why it is not known, where it should be
  double tokens_a_year = 0;               // output tokens, of all demands

  std::optional<double> per_million_tokens(double a_year) const {  // empty: nobody asks for any
    return tokens_a_year > 0 ? std::optional(a_year / tokens_a_year * 1e6) : std::nullopt;
  }
};

struct StudyOptions {
  ProofOptions proof;
  bool prove = true;
  bool compare = true;  // candidates, sensitivity and the rest
};

// Where no fleet can be: the outcome of chosen.plan says so (infeasible.h says why). Errors are
// those of the choice alone, and a job that may run on a device whose draw is unknown.
Result<Study> study(const data::Requirements& requirements, const data::Catalog& catalog,
                    solve::IntegerSolver& solver, const StudyOptions& options);

// "3 x chat-h100, 1 x voice-lpu".
std::string fleet_name(const std::vector<PoolType>& types, const std::vector<int>& replicas);

// The same, and devices that only train: "4 x l40s to train".
std::string fleet_name(const data::Requirements& requirements, const std::vector<PoolType>& types,
                       const Plan& plan);

// Empty: nothing was compared, no such fleet can be, or the choice costs nothing.
std::optional<SingleKind> single_kind(const Study& study);
// In a sentence, with what simulation says of it; empty where there is none.
std::string single_kind_in_words(const Study& study);
// In words, both assumptions of it stated.
std::string duty_in_words(const Study& study, const Duty& duty);

// Share of the replicas of a plan's busiest pool that has nothing to do in its busiest hour; lent
// replicas are busy. Empty: no pool of devices.
std::optional<double> headroom(const data::Requirements& requirements,
                               const std::vector<PoolType>& types, const Plan& plan);

// Of the least kept demand, whole or with what redundancy names lost; empty: nothing was simulated.
std::optional<double> kept_at_worst(const data::Requirements& requirements, const Proof& proof);

// Of candidates, the same in the table and in the report: the titles of what is kept, what they
// mean, and of one that was found its name, MWh, t CO2, kept by class, kept at worst, headroom and
// binding limits.
inline constexpr char kKeptByClass[] = "whole g/s/f/b %", kKeptAtWorst[] = "least, with losses %";
extern const char kKeptNote[];
// Which comparisons are of the program alone.
extern const char kProgramOnlyNote[];
std::vector<std::string> kept_row(const Candidate& candidate);

// What a neighbour of the chosen fleet keeps, in words.
std::string kept_by(const Study& study, const Proven::Neighbour& neighbour);

// Of each other zone than the site's in which a plan here has devices: PUE, tariff and grid, or
// that they are told at the site's. Empty: there is none.
std::string other_zones_in_words(const Study& study);
// Of one plan: zones of which nobody stated some of these.
std::vector<std::string> silent_zones(const data::Requirements& requirements, const Plan& plan);

// Rented services that a plan uses: nobody says what they draw.
std::vector<std::string> services_in(const std::vector<PoolType>& types, const Plan& plan);
// A plan's energy or carbon: "5.0", "at least 5.0" beside rented services, "unknown" of these
// alone.
std::string known_part(const std::vector<PoolType>& types, const Plan& plan, std::string figure);
// Whether any of it is known.
bool draw_is_known(const std::vector<PoolType>& types, const Plan& plan);

// Where redundancy asks for nodes: what was not looked at, beside a gap and in place of a fleet.
extern const char kWithinRule[], kNoneWithinRule[];

// That energy costs nothing in the figures, where no tariff is stated; else empty.
std::string no_tariff_in_words(const data::Requirements& requirements);

// What follows the device of an offer where another offer is of the same device: its name, in
// brackets; else empty.
std::string apart(const data::Requirements& requirements, const data::DeviceOffer& offer);

// A gap in percent, "0.01"; what rounding leaves is none.
std::string gap_text(double gap);

// "+4.0 %" of `is` against `was`; "-" where `was` is nothing.
std::string change_text(double is, double was);

// The largest share of a pool type's replicas that the plan has busy in any period.
double busy_at_peak(const data::Requirements& requirements, const std::vector<PoolType>& types,
                    const Plan& plan, std::size_t type);

// What a proof kept of each class, whole fleet; empty of classes without demands.
std::array<std::optional<double>, kServiceClassCount> kept_by_class(
    const data::Requirements& requirements, const Proof& proof);

// Why a demand has no pool to go to, from the nearest miss of all types, of those that miss it by
// one of these obstacles if there are any; empty where it has one.
std::string no_pool_for(const data::Requirements& requirements, const PoolTypes& pools,
                        std::size_t demand, const std::set<Obstacle>& of = {});

}  // namespace medley::plan
