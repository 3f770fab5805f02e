// Solves the core's program for prices off the path of decisions: on a thread of its own, the
// answer posted to the loop.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/linear_program.h"
#include "engine/loop.h"

namespace medley::serve {

class PriceSolver {
 public:
  // On the loop's thread, never inside solve(). Empty duals: it could not be solved.
  using Done = std::function<void(std::vector<double> duals)>;

  virtual ~PriceSolver() = default;
  // While one program is in work another one is left out: `done` is then never called.
  virtual void solve(LinearProgram program, Done done) = 0;
};

// `loop` must outlive it. What is in work when it goes is waited for, and answered to nobody.
std::unique_ptr<PriceSolver> make_threaded_price_solver(engine::Loop& loop);
// For manual clocks: solves at once and answers `takes` later, at Phase::kPrices.
std::unique_ptr<PriceSolver> make_delayed_price_solver(engine::Loop& loop, Duration takes);

}  // namespace medley::serve
