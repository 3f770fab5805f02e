// Bounded least squares with prior knowledge: how constants are found from measurements, whether
// from published points, from a measured curve or from what an engine reports as it serves.
//
// Minimises  Σ ρ(r_i / noise) + Σ ((x_k − start_k) / spread_k)²  over the box [low, high] by
// Levenberg and Marquardt's method: forward differences, steps projected onto the box (Nocedal and
// Wright, Numerical Optimization, 10.3 and 16.7). ρ is 2(√(1 + z²) − 1), which grows linearly for
// outliers (pseudo-Huber), so that one bad row does not decide. A residual is a relative error, so
// that a millisecond and a minute weigh alike; `noise` is the relative error a residual is expected
// to have whatever the constants, and so what a measurement weighs against the start values.
//
// A constant is identified when the measurements at least halve the doubt there was about it: its
// spread after the fit (from the curvature at the solution, Laplace's approximation) is at most
// half of `spread`. One on which no residual depends keeps its start value and its spread.
//
// Pure and deterministic.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

namespace medley::perf {

// A number to find.
struct Unknown {
  std::string name;
  double start = 0;   // what is believed before the measurements
  double spread = 0;  // how far off that may be (one standard deviation); 0: held at start
  double low = 0, high = 0;
};

struct Found {
  double value = 0;
  double spread = 0;        // standard deviation after the fit; the unknown's own when held
  bool held = false;        // spread 0: it was not to be found
  bool felt = false;        // some residual depends on it
  bool identified = false;  // felt, and at most half of the doubt is left
  bool at_bound = false;    // the measurements push it beyond what is allowed
};

struct Fit {
  std::vector<Found> found;  // in the order of the unknowns
  bool converged = false;
  int iterations = 0;
  std::vector<double> values() const;
};

struct FitOptions {
  double noise = 0.1;
  int max_iterations = 60;
  double step = 1e-5;  // of a spread: the differences that the curvature is taken from
  // False: the residuals jump a little from value to value, as those of a simulation do. Where no
  // step helps any more is then the minimum, whatever the slope seems to be.
  bool smooth = true;
  std::span<const double> weights;  // of the residuals; empty: 1 each
};

// Writes the residuals for these values of all unknowns. Must be finite for values within bounds.
using Residuals = std::function<void(std::span<const double> values, std::span<double> residuals)>;

// Preconditions: low <= start <= high for each unknown; noise > 0.
Fit fit(std::span<const Unknown> unknowns, std::size_t residual_count, const Residuals& residuals,
        const FitOptions& options = {});

}  // namespace medley::perf
