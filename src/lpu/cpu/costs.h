// How long each instruction of a program takes on one core of this machine: predicted from a few
// constants that are measured at start, and measured.
//
// An operation takes a fixed time, a time for each number (of matrices: for each 16 rows) and,
// where it reads weights or cache, a time for each byte. Every byte of a model is read once a
// token, so what it comes from, a cache or memory, is where the whole of a token's bytes fits:
// constants are measured with kernels that walk through as many bytes.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "lpu/cpu/machine.h"
#include "lpu/program.h"

namespace medley::lpu::cpu {

struct Cost {
  double fixed_s = 0, number_s = 0, byte_s = 0;

  double seconds(double numbers, double bytes) const {
    return fixed_s + number_s * numbers + byte_s * bytes;
  }
};

// A call of a kernel and how long it took.
struct TimedWork {
  double numbers = 0, bytes = 0, seconds = 0;
};
// The costs that come nearest, by the squares of the relative errors; none is negative.
// Precondition: every time is above zero.
Cost fit(const std::vector<TimedWork>& timed);

class Costs {
 public:
  // Which costs an instruction has: the operation, and the format of a matrix.
  using Key = std::pair<Operation, WeightFormat>;

  // Runs the kernels that the program uses on made-up numbers, at the ends of the sizes it has:
  // within a second or two. Uses one core. Errors: no memory for the walk (at most 400 MB).
  static Result<Costs> measure(const Graph& graph, const Program& program, Isa isa);

  // Of one core's instruction, at a position.
  double predict(const Instruction& instruction, const Program& program, int position) const;

  const std::map<Key, Cost>& all() const { return costs_; }
  double took_s() const { return took_s_; }
  std::int64_t walked_bytes() const { return walked_bytes_; }

  static Key key_of(const Instruction& instruction);

 private:
  std::map<Key, Cost> costs_;
  double took_s_ = 0;
  std::int64_t walked_bytes_ = 0;
};

// The median times of the first unit's instructions at a position, over so many tokens; what the
// clock itself takes is not counted. Precondition: the program is for one unit.
std::vector<double> measured(Machine& machine, int position, int tokens);

}  // namespace medley::lpu::cpu
