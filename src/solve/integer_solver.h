// Mixed integer programs, behind one interface.
#pragma once

#include <memory>

#include "base/integer_program.h"
#include "base/result.h"

namespace medley::solve {

class IntegerSolver {
 public:
  virtual ~IntegerSolver() = default;
  // A status word is not believed: x is rounded where it is whole and all rows and its value are
  // recomputed. The same program gives the same answer where no limit of time is reached. Errors:
  // kUnavailable without a solver on this machine, kInvalid for a number that is none, kInternal
  // where the check fails (an unbounded program among them). Programs are solved one after the
  // other, whoever asks: the library has state of its own.
  virtual Result<IntegerSolution> solve(const IntegerProgram& program,
                                        const IntegerOptions& options) = 0;
};

// medley's own branch and bound, whose bounds are proved, cross-checked by CBC.
std::unique_ptr<IntegerSolver> make_integer_solver();

// One of the two alone.
enum class IntegerMethod { kBranchAndBound, kCbc };
std::unique_ptr<IntegerSolver> make_integer_solver(IntegerMethod method);

}  // namespace medley::solve
