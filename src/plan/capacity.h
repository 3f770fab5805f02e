// What one replica of a pool can do for a demand while the demand's targets hold.
//
// Batched devices, with B sequences at once, mean prompt P and answer O, prompt tokens a step
// c = chunk − B (whole prompts where steps are not chunked), steps t_d without and t_m with a
// chunk:
//
//   f    = B·P/(O·c)                      share of steps with a chunk, at most 1
//   TPOT = t_d + f·(t_m − t_d)            hardware.md 2.1, steady state: q = B·P/O
//   X    = B/(O·TPOT)                     requests a second
//   TTFT = P/c·t_m + t_d + wait           wait: M/G/1 for the prompts (Pollaczek and Khinchine)
//
// B may be below one: requests so few that there is none at times. Where no B keeps the targets, a
// request alone on an idle replica is asked, which waits for nobody: TPOT is t_d, TTFT the steps of
// its prompt. What that does not reach, no fleet does.
//
// Slots of a static schedule, with token time T, lane time l a prompt and M slots:
//
//   TPOT = T,  X = min(M/(l + O·T), 1/l),  TTFT = l + T + wait in front of the lane
//
// TTFT and TPOT are taken where the demand's share of promises lies, not at their means: waits have
// an exponential tail, prompts their own length law, and a request meets a binomial number of
// chunks. The fastest state that keeps the targets is the answer. It is an estimate from means; how
// much more is needed is found by simulation (proof.h).
#pragma once

#include <optional>
#include <string>

#include "data/requirements_file.h"
#include "perf/perf_model.h"

namespace medley::plan {

struct Operation {
  double requests_per_s = 0;      // of one replica in this state
  double sequences = 0;           // at once
  double ttft_s = 0, tpot_s = 0;  // that the demand's share of requests keeps
  double busy_w = 0;              // of the replica's devices
  double joules_per_request = 0;  // above what they draw between steps
  double joules_per_token = 0;    // all of busy_w, by output token
};

// Why a demand cannot use a pool.
enum class Obstacle { kNone, kModel, kLabel, kContext, kTpot, kTtft, kDeadline, kQuota, kMemory };
std::string_view name_of(Obstacle obstacle);

struct Use {
  Obstacle obstacle = Obstacle::kNone;
  std::string why;       // in words, where there is an obstacle
  double reached_s = 0;  // where that is a target: the best that can be done; 0: no figure
  Operation operation;   // where there is none
  bool ok() const { return obstacle == Obstacle::kNone; }
};

// `utilisation`: of the replica, at which waits are counted.
Use use_of(const Pool& pool, const perf::PoolModel& model, const data::Demand& demand,
           double utilisation);

// The most tokens a second that one user can get of the pool, for a prompt of the demand, and the
// joules a token takes then, where nobody else uses the replica. Empty for rented services, whose
// energy is unknown.
struct Fastest {
  double tokens_per_s = 0, joules_per_token = 0;
};
std::optional<Fastest> fastest(const perf::PoolModel& model, const data::Demand& demand);

// Tokens of prompt and answer that all but one in a thousand of each stay below.
double long_request(const data::Demand& demand);

}  // namespace medley::plan
