// Pictures of a schedule. For chips: a token's way over the stages, and a layer by unit and cycle;
// for a processor: a token, and a layer of it, by operation and time.
#pragma once

#include <string>
#include <vector>

#include "lpu/chip/compile.h"
#include "lpu/chip/target.h"
#include "lpu/graph.h"
#include "lpu/program.h"

namespace medley::cli {

std::string picture_of(const lpu::chip::Compiled& compiled, const lpu::chip::Target& target);

// One of a core's, in their order.
struct TimedInstruction {
  std::string operation, what;  // "matrix Q8_0", "down"
  int layer = -1;
  std::size_t work = 3;  // its colour, see work_of
  double seconds = 0;
};
// What it is for, as the picture tells apart.
std::size_t work_of(const lpu::Instruction& instruction, const lpu::Graph& graph);
std::string picture_of(const std::string& model, const std::string& core,
                       const std::vector<TimedInstruction>& program);

}  // namespace medley::cli
