// From a scenario to what a simulation takes: arrivals, faults and models of the pools' speed.
#pragma once

#include <vector>

#include "base/result.h"
#include "data/scenario_file.h"
#include "perf/perf_model.h"
#include "simulate/simulation.h"

namespace medley::simulate {

// The trace's or the generator's requests with class, label, tenant and model drawn from the mix.
// Each request has random streams of its own: a longer trace, another share of one class or another
// rate leaves the other draws alone.
Result<std::vector<Arrival>> make_arrivals(const data::Scenario& scenario);

// What others send past medley, by time, with random streams of their own: until the last of
// `arrivals` has come.
std::vector<OutsideArrival> make_outside(const data::Scenario& scenario,
                                         const std::vector<Arrival>& arrivals);

// How often engines report their load there; 0: never.
Duration signals_every(const data::Scenario& scenario);

// By time. A fault without an end lasts until the simulation's.
Result<std::vector<Fault>> make_faults(const data::Scenario& scenario);

// Step models for pools that name hardware, tables for those with `step_times`.
Result<perf::PerfModel> make_models(const Fleet& fleet);

}  // namespace medley::simulate
