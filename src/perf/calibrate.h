// Step constants found from measurements: which constants there are, how far off each may be, and
// the fit of them to what was measured. Callers choose the measurements; leaving some out is
// theirs.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "perf/closed_loop.h"
#include "perf/fit.h"

namespace medley::perf {

// One measured time and what it follows from.
struct Measured {
  enum class Figure {
    kStep,    // a decode step without prompts
    kTpot,    // mean time per token
    kTtft,    // mean time to first token
    kPrompt,  // the one step that processes `terms.prompt`
    kCycle    // per token of one session, everything included: sessions / tokens per second
  };
  LoopTerms terms;
  Figure figure = Figure::kStep;
  double seconds = 0;
  double weight = 1;
};

// What the fit finds.
struct Constants {
  RooflineConstants roofline;
  LoopHabits habits;
};
double predicted(const Measured& measured, const Constants& constants);

// The constants that can be found, by the names of catalog/step_constants.yaml; habits follow as
// "own", "burst", "wait" and "first". `start` is what is believed beforehand; `doubt` scales how
// far off it may be (1: as little is known as before any measurement of a device).
std::vector<Unknown> roofline_unknowns(const Constants& start, double doubt);
inline constexpr std::size_t kHabits = 4;  // the last ones

struct Calibration {
  Constants constants;
  Fit fit;  // in the order of the unknowns
};
// `noise`: the relative error of a prediction that is as good as it gets.
Calibration calibrate(std::span<const Measured> measured, std::span<const Unknown> unknowns,
                      const Constants& start, double noise);

// Watts of one device while it serves: intercept, per_mfu and per_mbu of the power law.
struct MeasuredPower {
  double mfu = 0, mbu = 0, watts = 0;
};
struct PowerCalibration {
  PowerLaw law;
  Fit fit;  // intercept, per_mfu, per_mbu
};
// `start.cap_w` must be positive; spreads are shares of it.
PowerCalibration calibrate_power(std::span<const MeasuredPower> measured, const PowerLaw& start,
                                 double noise);
double predicted_watts(const PowerLaw& law, double mfu, double mbu);

// Tokens per second of one stream on a statically scheduled device.
struct MeasuredStream {
  double layers = 0, moe_layers = 0;
  Seconds weights;  // active weight bytes over the feed of one group of chips
  double tokens_per_s = 0;
};
struct StreamCalibration {
  DataflowConstants constants;
  Fit fit;  // t_layer, t_moe_layer
};
StreamCalibration calibrate_streams(std::span<const MeasuredStream> measured,
                                    const DataflowConstants& start, double noise);
double predicted_tokens_per_s(const MeasuredStream& stream, const DataflowConstants& constants);

}  // namespace medley::perf
