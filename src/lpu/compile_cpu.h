// The compiler for target `cpu`: a unit is a core, its weights lie in its own memory in the order
// of use, and units meet at counted barriers.
//
// Every unit takes whole KV heads with their queries and a slice of the feed-forward, so a layer
// has two meetings; a single unit has none.
#pragma once

#include "base/result.h"
#include "lpu/program.h"

namespace medley::lpu {

struct CpuOptions {
  int units = 1;
  int context = 512;  // positions of a stream; rounded up to a multiple of 64
  int streams = 0;    // linear streams of a matrix: 1, 2 or 4; 0: by where the weights come from
  CpuLayout layout;
};

// The program keeps pointers into the graph's file. Errors: a context or a number of units that
// cannot be, named with what can.
Result<Program> compile_cpu(const Graph& graph, const CpuOptions& options);

// Weights of group after group of 16 rows, in the layout that the kernels read (cpu/kernels.h):
// bytes that 16 rows of so many columns take.
std::int64_t group_bytes(WeightFormat format, int columns);
// Whether F32 weights lose no more as whole numbers of 24 bits than arithmetic loses anyway: no row
// has one that is far larger than the others. A description without bytes: yes.
bool fits_whole24(const Tensor& tensor);

// Fills an instruction's weights (and bias) from its pieces, a few rows in memory at a time.
// `weights` and `bias` are what its ranges stand for.
void pack(const Instruction& instruction, const CpuLayout& layout, std::uint8_t* weights,
          float* bias);

}  // namespace medley::lpu
