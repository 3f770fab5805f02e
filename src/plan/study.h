// Everything a buyer is told: the chosen fleet and its proof, the other fleets and why not them,
// which limits bind, what moves the answer, and what an LPU is for.
//
// Every comparison is the same program on changed requirements, with the safety that the proof of
// the chosen fleet asked for.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "plan/proof.h"

namespace medley::plan {

// A fleet that could be had instead: the requirements with some offers left out.
struct Candidate {
  std::string name;
  std::vector<PoolType> types;
  Plan plan;
  std::string fleet;  // "3 x chat-h100, 1 x voice-lpu"; empty where there is none
  std::string why;    // why not, or "chosen"
  std::optional<Proof> proof;
};

// A limit whose lifting makes the plan cheaper, and by how much a year.
struct Binding {
  std::string limit;
  double saving = 0;
};

struct Sensitivity {
  std::string what;
  std::optional<double> cost;  // a year; empty: no plan
  bool same_fleet = false;
};

struct Duty {
  std::string bought, rented;
  std::optional<double> break_even;  // share of hours; empty: renting is cheaper at any
  double planned = 0;  // of the chosen fleet's replicas of that device, at its peak and
                       // through the day
};

// The cheapest fleet when everybody waits for tokens so many times shorter.
struct FrontPoint {
  double factor = 1;
  double tokens_per_s = 0;  // of the tightest demand's target
  std::optional<double> cost;
  bool has_scheduled = false;  // LPUs in it
};

// What each kind of device does at a demand's token rate.
struct Truth {
  std::string demand;
  double tokens_per_s_asked = 0;  // 0: no target
  struct Reach {
    std::string pool;
    double fastest = 0;                      // tokens a second of one user
    std::optional<double> joules_per_token;  // at the target; empty: it is not reached
    double joules_per_token_fastest = 0;
  };
  std::optional<Reach> batched, scheduled;  // the best of each kind
  bool needs_scheduled = false;             // no batched device that may be had reaches it
  double scheduled_share = 0;               // of its requests, in the chosen fleet
  std::string verdict;                      // one sentence
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
  double tokens_a_year = 0;               // output tokens, of all demands

  double per_million_tokens(double a_year) const {
    return tokens_a_year > 0 ? a_year / tokens_a_year * 1e6 : 0;
  }
};

struct StudyOptions {
  ProofOptions proof;
  bool prove = true;
  bool compare = true;  // candidates, sensitivity and the rest
};

// Where no fleet can be: the outcome of chosen.plan says so (infeasible.h says why).
Result<Study> study(const data::Requirements& requirements, const data::Catalog& catalog,
                    const StudyOptions& options);

// "3 x chat-h100, 1 x voice-lpu".
std::string fleet_name(const std::vector<PoolType>& types, const std::vector<int>& replicas);

// The largest share of a pool type's replicas that the plan has busy in any period.
double busy_at_peak(const data::Requirements& requirements, const std::vector<PoolType>& types,
                    const Plan& plan, std::size_t type);

// What a proof kept of each class, whole fleet; empty of classes without demands.
std::array<std::optional<double>, kServiceClassCount> kept_by_class(
    const data::Requirements& requirements, const Proof& proof);

// Why a demand has no pool to go to, from the nearest miss of all types; empty where it has one.
std::string no_pool_for(const data::Requirements& requirements, const PoolTypes& pools,
                        std::size_t demand);

}  // namespace medley::plan
