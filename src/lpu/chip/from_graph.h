// A model file's graph as the compiler for chips takes it: its shape, and its numbers for the
// emulator.
#pragma once

#include "lpu/chip/emulator.h"
#include "lpu/chip/shape.h"
#include "lpu/graph.h"

namespace medley::lpu::chip {

// A bias that schedules for chips have no place for: they have those of queries, keys and values.
const Tensor* unsupported_bias(const Graph& graph);
Shape shape_of(const Graph& graph);
// The shape that a model is compiled by: from its GGUF file where there is one (`gguf_path`), so
// that what no schedule carries out is refused by name; else from its facts.
Result<Shape> shape_for(const Model& model, const std::string& gguf_path);
// Precondition: no unsupported_bias. Dequantises every matrix once; the graph and its file may go.
ModelNumbers numbers_of(const Graph& graph);

}  // namespace medley::lpu::chip
