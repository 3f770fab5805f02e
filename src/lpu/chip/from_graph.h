// A model file's graph as the compiler for chips takes it: its shape, and its numbers for the
// emulator.
#pragma once

#include "lpu/chip/emulator.h"
#include "lpu/chip/shape.h"
#include "lpu/graph.h"

namespace medley::lpu::chip {

Shape shape_of(const Graph& graph);
// Dequantises every matrix once; the graph and its file may go.
ModelNumbers numbers_of(const Graph& graph);

}  // namespace medley::lpu::chip
