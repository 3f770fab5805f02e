// What of a model decides its schedule: sizes, no weights.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "domain/model.h"

namespace medley::lpu::chip {

// Layers of one kind have one schedule.
struct LayerKind {
  long long window = 0;  // positions that attention sees at most; 0: all
  bool experts = false;  // a router and experts in place of one feed-forward

  bool operator==(const LayerKind&) const = default;
};

struct Shape {
  std::string name;
  int layers = 0, width = 0, heads = 0, kv_heads = 0, head_size = 0;
  int inner = 0;  // numbers between the matrices of the feed-forward; of an expert: expert_inner
  int vocabulary = 0;
  int experts = 0, experts_per_token = 0, expert_inner = 0;
  bool head_norms = false;  // of queries and keys
  bool biases = false;      // of queries, keys and values
  long long trained_context = 0;
  std::vector<LayerKind> kinds;    // those there are
  std::vector<int> kind_of_layer;  // index into kinds
  double parameters = 0;           // as the description says; 0: it does not

  int heads_per_kv_head() const { return heads / kv_heads; }
};

// Weights of the shape without its norms and biases; with `own_head` the last matrix is not the
// table of words.
double parameters_of(const Shape& shape, bool own_head);

// Of a description without tensors: the sizes are taken for those of the Llama family. Errors name
// the model and what of it is unknown or not supported: latent attention, other architectures, and
// sizes that do not make the parameters it is said to have (other numbers of matrices, shared
// experts).
Result<Shape> shape_of(const Model& model);

}  // namespace medley::lpu::chip
