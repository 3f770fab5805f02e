// The judge of exactness: the graph computed plainly in F32, one number after the other.
//
// Weights are dequantised to F32, sums are kept in double, activations are rounded to F32 between
// nodes and never quantised. Slow on purpose; everything faster is held against it.
#pragma once

#include <vector>

#include "lpu/graph.h"

namespace medley::lpu {

class Reference {
 public:
  // Keeps references to the graph and its file. Room for `context` positions.
  Reference(const Graph& graph, int context);

  // Takes the next token; the logits that follow it. Precondition: position() < context, and the
  // token is one of the vocabulary.
  const std::vector<float>& step(int token);
  int position() const { return position_; }
  void reset() { position_ = 0; }

 private:
  void compute(std::size_t index, int token);
  static void route(const std::vector<float>& scores, std::vector<float>& out);
  void rotate(const Node& node, std::vector<float>& out);
  void attend(const Node& node, std::vector<float>& out);

  const Graph& graph_;
  const int context_;
  int position_ = 0;
  std::vector<std::vector<float>> values_;               // by node
  std::vector<std::vector<float>> keys_, values_cache_;  // by layer: position, head, dimension
};

}  // namespace medley::lpu
