// `medley plan --from-usage`: what to add, move or switch off in a fleet that serves, from what
// `serve` recorded.
//
// The record gives the demands (rates by hour of day, lengths, burstiness) and how fast the pools
// really were; the fleet file gives what stands, which costs no capital any more; a requirements
// file, where there is one, what else may be had, at which price, and the money. Then it is the
// plan of any other requirements: the program, and the proof by simulation.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/usage_file.h"
#include "plan/proof.h"

namespace medley::plan {

struct UsageInput {
  std::string usage_file, fleet_file;  // for messages
  std::vector<data::UsageSpan> spans;
  Fleet fleet;
  std::optional<data::Requirements> asked;  // from a file; its demands only lend their `attain`
};

// The requirements that a record and a fleet make, and how the record compares.
struct Usage {
  data::Requirements requirements;
  std::vector<data::UsageKind> recorded;  // by demand, all spans together
  double hours = 0;                       // recorded
  int days = 0, hours_of_day = 0;         // touched
  std::optional<double> kwh, money;       // of the requests recorded, the idle draw not in it
  std::vector<std::string> notes;         // what was left out, assumed or is unknown
};

// Errors: kInvalid where nothing that was recorded can be planned for.
Result<Usage> requirements_of(const UsageInput& input, const data::Catalog& catalog);

struct Replan {
  Usage usage;
  PoolTypes pools;
  std::vector<int> now;  // replicas by pool type
  // The fleet as it stands, by the same program and simulation as the plan; not found where it
  // could not carry the recorded load, or is not within the limits.
  Plan standing;
  std::optional<Proof> standing_proof;
  Proven planned;
  bool worth_it = true;  // else what stands is kept: the plan saves too little to touch anything

  struct Change {
    std::size_t type = 0;
    int now = 0, then = 0;
    std::string what;  // "add 2 (8 to buy)", "move 1 to chat-8b, switch off 1"
  };
  std::vector<Change> changes;  // of all pools that stand or are to

  // Hours of the day in which some of the planned replicas have nothing to do, and what simulation
  // keeps without them.
  struct Quiet {
    int from_hour = 0, hours = 0;
    std::vector<int> off;       // replicas by pool type
    double kwh = 0, money = 0;  // saved a year
    std::vector<Kept> kept;     // by demand, in those hours
  };
  std::optional<Quiet> quiet;
};

// Where no fleet can be the outcome of planned.plan says so.
Result<Replan> replan(Usage usage, const data::Catalog& catalog, const ProofOptions& options);

}  // namespace medley::plan
