// What is left of an integer program when no column need be whole: a linear program whose column
// limits change from one solve to the next, as a branch and bound changes them.
#pragma once

#include <memory>
#include <vector>

#include "base/integer_program.h"
#include "base/result.h"

namespace medley::solve {

// What it answers is for others to check: prices of any kind prove a bound (Lagrange), so a wrong
// one proves less and nothing false.
class Relaxation {
 public:
  enum class Outcome {
    kSolved,
    kCutOff,  // no x keeps to the rows, or none costs less than the cutoff
    kUnbounded,
    kGaveUp,
  };

  virtual ~Relaxation() = default;
  virtual void set_limits(std::size_t column, double least, double most) = 0;
  // From where the last one ended.
  virtual Outcome solve(double cutoff) = 0;
  // Of the last one solved.
  virtual void read_x(std::vector<double>& x) const = 0;            // by column
  virtual void read_prices(std::vector<double>& prices) const = 0;  // by row
};

// Columns have two finite limits where the prices are to prove something. kUnavailable without a
// solver on this machine. `program` is copied.
Result<std::unique_ptr<Relaxation>> make_relaxation(const IntegerProgram& program);

}  // namespace medley::solve
