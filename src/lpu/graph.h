// A model as a graph of operations on vectors: what one token's pass through it computes.
//
// A node's value is a vector; nodes stand in an order in which they can be computed. Nothing here
// knows a target: the compiler lowers the graph for one, the reference (reference.h) walks it as it
// is. Families: Llama, Mistral and Mixtral (`llama`), Qwen2, Qwen3 (with experts, too), Gemma.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "lpu/model_file.h"

namespace medley::lpu {

enum class NodeKind {
  kEmbed,   // the token's row of `weight`, times `factor`
  kNorm,    // RMS norm, times `weight`
  kMatrix,  // `weight` times the input, plus `bias`
  kRotate,  // for each head: RMS norm times `weight` where there is one, then RoPE by the position
  kAttend,  // inputs q, k, v: k and v join the layer's cache; causal attention over all of it
  kRoute,   // of the input, by expert: the chosen ones' numbers and shares, one after the other
  kGate,    // activation(first input) times the second; of an expert times its share
  kAdd,     // the sum of two inputs
  kChoose,  // the index of the largest number of the input
};
std::string_view name_of(NodeKind kind);  // "matrix"

// How a matrix may be divided among units that compute together: by rows each unit needs the whole
// input and has a part of the output (whole heads of attention); by columns it needs only its part
// of the input and has a summand of the output.
enum class Split { kRows, kColumns };

enum class Activation { kSilu, kGelu };  // Gelu: its tanh approximation

inline constexpr int kNoNode = -1;

struct Node {
  NodeKind kind = NodeKind::kAdd;
  std::string_view
      role;        // of a layer: "q", "k", "v", "attn_out", "gate", "up", "down", "router", …
  int layer = -1;  // outside the layers: -1
  std::array<int, 3> inputs{kNoNode, kNoNode, kNoNode};
  const Tensor* weight = nullptr;
  const Tensor* bias = nullptr;
  int size = 0;  // numbers in its value
  Split split = Split::kRows;
  // Numbers of the value that stay together when it is divided among units: all queries of a KV
  // head, 32 of the feed-forward (a quantised block of the next matrix). 0: it is not divided.
  int granule = 0;
  float factor = 1;
  // Of mixtures. kRoute: experts there are. kMatrix of an expert: those stacked in `weight`, of
  // which a token takes one; `chosen` is its place among the chosen, the last input the route.
  int experts = 0;
  int chosen = -1;  // kMatrix, kGate
};

// Position p turns the i-th pair of a head by p · scale / divisor_i · base^(−2i/dimensions), and
// makes it `gain` times as long.
struct Rope {
  int dimensions = 0;  // of a head, the first ones
  float base = 10000;
  float scale = 1;                // of positions
  float gain = 1;                 // attn_factor
  bool halves = false;            // pairs (i, i + dimensions/2), else (2i, 2i + 1)
  std::vector<float> divisors{};  // of the frequencies, by pair; empty: all 1
};

struct Graph {
  std::string name, family;
  int layers = 0, width = 0, heads = 0, kv_heads = 0, head_size = 0, vocabulary = 0;
  long long trained_context = 0;
  float norm_epsilon = 1e-5F;
  Activation activation = Activation::kSilu;
  Rope rope;
  std::vector<Node> nodes;  // the last chooses the next token by the logits, its only input

  int logits() const { return nodes.back().inputs[0]; }
  int heads_per_kv_head() const { return heads / kv_heads; }
};

// The tensors stay the file's, which outlives the graph. Errors name the file and the key, tensor
// or architecture that is not supported.
Result<Graph> build_graph(const ModelFile& file);

// cos and sin of position `position`, times the gain, one after the other for each pair: 2 ·
// dimensions/2 numbers. In the same steps of single precision as ggml, so that long contexts do not
// drift apart.
void rope_angles(const Rope& rope, long long position, float* out);

}  // namespace medley::lpu
