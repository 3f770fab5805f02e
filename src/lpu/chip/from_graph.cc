#include "lpu/chip/from_graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"
#include "lpu/model_file.h"

namespace medley::lpu::chip {
namespace {

const Node* find(const Graph& graph, int layer, std::string_view role) {
  const auto found = std::find_if(graph.nodes.begin(), graph.nodes.end(), [&](const Node& node) {
    return node.layer == layer && node.role == role;
  });
  return found == graph.nodes.end() ? nullptr : &*found;
}

struct Matrix {
  std::size_t columns = 1;
  std::size_t expert = 0;  // numbers of one, of those that are stacked
  std::vector<float> numbers;
};
using Matrices = std::map<std::pair<Weight, int>, Matrix>;

void keep(Matrices& matrices, Weight weight, int layer, const Tensor* tensor, int experts = 0) {
  if (tensor == nullptr)
    return;
  // A vector is one row: its numbers are outputs here.
  const bool vector = tensor->rows == 1;
  Matrix matrix{.columns = vector ? 1 : static_cast<std::size_t>(tensor->columns)};
  const auto columns = static_cast<std::size_t>(tensor->columns);
  matrix.numbers.resize(static_cast<std::size_t>(tensor->rows) * columns);
  for (long long row = 0; row < tensor->rows; ++row) {
    dequantise(tensor->format, tensor->row(row),
               std::span(matrix.numbers).subspan(static_cast<std::size_t>(row) * columns, columns));
  }
  if (experts > 0)
    matrix.expert = matrix.numbers.size() / static_cast<std::size_t>(experts);
  matrices[{weight, layer}] = std::move(matrix);
}

std::optional<Weight> bias_of(Weight weight) {
  switch (weight) {
    case Weight::kQuery:
      return Weight::kQueryBias;
    case Weight::kKey:
      return Weight::kKeyBias;
    case Weight::kValue:
      return Weight::kValueBias;
    default:
      return std::nullopt;
  }
}

}  // namespace

const Tensor* unsupported_bias(const Graph& graph) {
  const auto found = std::find_if(graph.nodes.begin(), graph.nodes.end(), [](const Node& node) {
    return node.bias != nullptr && node.role != "q" && node.role != "k" && node.role != "v";
  });
  return found == graph.nodes.end() ? nullptr : found->bias;
}

Shape shape_of(const Graph& graph) {
  Shape shape{.name = graph.name.empty() ? graph.family : graph.name,
              .layers = graph.layers,
              .width = graph.width,
              .heads = graph.heads,
              .kv_heads = graph.kv_heads,
              .head_size = graph.head_size,
              .vocabulary = graph.vocabulary,
              .trained_context = graph.trained_context};
  const Node* gate = find(graph, 0, "gate");
  const Node* q = find(graph, 0, "q");
  const Node* turned = find(graph, 0, "q_rotate");
  MEDLEY_CHECK(gate != nullptr && q != nullptr && turned != nullptr);
  if (gate->experts > 0) {
    const Node* route = find(graph, 0, "route");
    MEDLEY_CHECK(route != nullptr);
    shape.experts = gate->experts;
    shape.experts_per_token = route->size / 2;
    shape.expert_inner = gate->size;
  } else {
    shape.inner = gate->size;
  }
  shape.biases = q->bias != nullptr;
  shape.head_norms = turned->weight != nullptr;
  shape.kinds = {{.experts = gate->experts > 0}};
  shape.kind_of_layer.assign(static_cast<std::size_t>(graph.layers), 0);
  return shape;
}

ModelNumbers numbers_of(const Graph& graph) {
  auto matrices = std::make_shared<Matrices>();
  for (const Node& node : graph.nodes) {
    static constexpr std::pair<std::string_view, Weight> kRoles[] = {
        {"embed", Weight::kEmbedding},  {"attn_norm", Weight::kAttnNorm},
        {"q", Weight::kQuery},          {"k", Weight::kKey},
        {"v", Weight::kValue},          {"q_rotate", Weight::kQueryNorm},
        {"k_rotate", Weight::kKeyNorm}, {"attn_out", Weight::kAttnOut},
        {"ffn_norm", Weight::kFfnNorm}, {"router", Weight::kRouter},
        {"gate", Weight::kGate},        {"up", Weight::kUp},
        {"down", Weight::kDown},        {"output_norm", Weight::kOutputNorm},
        {"output", Weight::kHead}};
    for (const auto& [role, weight] : kRoles) {
      // Of experts each place among the chosen has a node, all of one stack.
      if (node.role != role || node.chosen > 0)
        continue;
      keep(*matrices, weight, node.layer, node.weight, node.experts);
      const std::optional<Weight> bias = bias_of(weight);
      MEDLEY_CHECK(bias || node.bias == nullptr, node.role);  // see unsupported_bias
      if (bias)
        keep(*matrices, *bias, node.layer, node.bias);
    }
  }
  ModelNumbers numbers;
  numbers.weight = [matrices](Weight weight, int layer, int expert, int row, int column) {
    const auto found = matrices->find({weight, layer});
    MEDLEY_CHECK(found != matrices->end(), name_of(weight));
    const Matrix& matrix = found->second;
    const std::size_t before = expert < 0 ? 0 : static_cast<std::size_t>(expert) * matrix.expert;
    return matrix.numbers[before + static_cast<std::size_t>(row) * matrix.columns +
                          static_cast<std::size_t>(column)];
  };
  numbers.angles = [rope = graph.rope](long long position) {
    std::vector<float> angles(static_cast<std::size_t>(rope.dimensions));
    rope_angles(rope, position, angles.data());
    return angles;
  };
  numbers.halves = graph.rope.halves;
  numbers.turned = graph.rope.dimensions;
  numbers.norm_epsilon = graph.norm_epsilon;
  numbers.gelu = graph.activation == Activation::kGelu;
  const Node* embed = find(graph, -1, "embed");
  numbers.embedding_factor = embed != nullptr ? embed->factor : 1;
  return numbers;
}

Result<Shape> shape_for(const Model& model, const std::string& gguf_path) {
  if (gguf_path.empty())
    return shape_of(model);
  MEDLEY_TRY(const ModelFile file, ModelFile::open(gguf_path));
  MEDLEY_TRY(const Graph graph, build_graph(file));
  if (const Tensor* bias = unsupported_bias(graph)) {
    return Error{ErrorCode::kInvalid,
                 fmt::format("'{}': tensor '{}': schedules for chips have biases of queries, keys "
                             "and values only",
                             gguf_path, bias->name),
                 {}};
  }
  return shape_of(graph);
}

}  // namespace medley::lpu::chip
