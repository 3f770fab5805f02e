#include "lpu/reference.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"

namespace medley::lpu {
namespace {

std::vector<float> numbers(const Tensor& tensor, long long row) {
  std::vector<float> out(static_cast<std::size_t>(tensor.columns));
  dequantise(tensor.format, tensor.row(row), out);
  return out;
}

void norm(const float* in, std::size_t size, const Tensor& weight, float epsilon, float* out) {
  double squares = 0;
  for (std::size_t i = 0; i < size; ++i)
    squares += static_cast<double>(in[i]) * static_cast<double>(in[i]);
  const double scale =
      1 / std::sqrt(squares / static_cast<double>(size) + static_cast<double>(epsilon));
  const std::vector<float> weights = numbers(weight, 0);
  for (std::size_t i = 0; i < size; ++i) {
    out[i] =
        static_cast<float>(static_cast<double>(in[i]) * scale * static_cast<double>(weights[i]));
  }
}

double activate(Activation activation, double x) {
  if (activation == Activation::kSilu)
    return x / (1 + std::exp(-x));
  // 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))), the approximation models are trained with.
  return 0.5 * x * (1 + std::tanh(0.79788456080286536 * (x + 0.044715 * x * x * x)));
}

}  // namespace

Reference::Reference(const Graph& graph, int context)
    : graph_(graph),
      context_(context),
      values_(graph.nodes.size()),
      keys_(static_cast<std::size_t>(graph.layers)),
      values_cache_(static_cast<std::size_t>(graph.layers)) {
  for (std::size_t i = 0; i < graph.nodes.size(); ++i)
    values_[i].resize(static_cast<std::size_t>(graph.nodes[i].size));
  const auto room = static_cast<std::size_t>(context) *
                    static_cast<std::size_t>(graph.kv_heads * graph.head_size);
  for (std::size_t layer = 0; layer < keys_.size(); ++layer) {
    keys_[layer].resize(room);
    values_cache_[layer].resize(room);
  }
}

const std::vector<float>& Reference::step(int token) {
  MEDLEY_CHECK(position_ < context_ && token >= 0 && token < graph_.vocabulary);
  for (std::size_t i = 0; i < graph_.nodes.size(); ++i)
    compute(i, token);
  ++position_;
  return values_[static_cast<std::size_t>(graph_.logits())];
}

void Reference::compute(std::size_t index, int token) {
  const Node& node = graph_.nodes[index];
  std::vector<float>& out = values_[index];
  const auto input = [&](int i) -> const std::vector<float>& {
    return values_[static_cast<std::size_t>(node.inputs[static_cast<std::size_t>(i)])];
  };
  switch (node.kind) {
    case NodeKind::kEmbed:
      out = numbers(*node.weight, token);
      for (float& number : out)
        number *= node.factor;
      return;
    case NodeKind::kNorm:
      norm(input(0).data(), out.size(), *node.weight, graph_.norm_epsilon, out.data());
      return;
    case NodeKind::kMatrix: {
      const std::vector<float>& in = input(0);
      const std::vector<float> bias =
          node.bias != nullptr ? numbers(*node.bias, 0) : std::vector<float>(out.size());
      const long long first =
          node.chosen < 0
              ? 0
              : static_cast<long long>(input(1)[2 * static_cast<std::size_t>(node.chosen)]) *
                    node.size;
      for (std::size_t row = 0; row < out.size(); ++row) {
        const std::vector<float> weights =
            numbers(*node.weight, first + static_cast<long long>(row));
        double sum = static_cast<double>(bias[row]);
        for (std::size_t i = 0; i < in.size(); ++i)
          sum += static_cast<double>(weights[i]) * static_cast<double>(in[i]);
        out[row] = static_cast<float>(sum);
      }
      return;
    }
    case NodeKind::kRotate:
      return rotate(node, out);
    case NodeKind::kAttend:
      return attend(node, out);
    case NodeKind::kRoute:
      return route(input(0), out);
    case NodeKind::kGate: {
      const float share =
          node.chosen < 0 ? 1 : input(2)[2 * static_cast<std::size_t>(node.chosen) + 1];
      for (std::size_t i = 0; i < out.size(); ++i) {
        out[i] = static_cast<float>(activate(graph_.activation, static_cast<double>(input(0)[i])) *
                                    static_cast<double>(input(1)[i]) * static_cast<double>(share));
      }
      return;
    }
    case NodeKind::kAdd:
      for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = input(0)[i] + input(1)[i];
      return;
    case NodeKind::kChoose: {
      const std::vector<float>& in = input(0);
      out[0] = static_cast<float>(std::max_element(in.begin(), in.end()) - in.begin());
      return;
    }
  }
}

void Reference::route(const std::vector<float>& scores, std::vector<float>& out) {
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  double sum = 0;
  const auto weight = [&](std::size_t i) {
    return std::exp(static_cast<double>(scores[order[i]]) - static_cast<double>(scores[order[0]]));
  };
  for (std::size_t i = 0; i < out.size() / 2; ++i)
    sum += weight(i);
  for (std::size_t i = 0; i < out.size() / 2; ++i) {
    out[2 * i] = static_cast<float>(order[i]);
    out[2 * i + 1] = static_cast<float>(weight(i) / sum);
  }
}

void Reference::rotate(const Node& node, std::vector<float>& out) {
  const std::vector<float>& in = values_[static_cast<std::size_t>(node.inputs[0])];
  const auto size = static_cast<std::size_t>(graph_.head_size);
  const Rope& rope = graph_.rope;
  std::vector<float> angles(static_cast<std::size_t>(rope.dimensions));
  rope_angles(rope, position_, angles.data());
  for (std::size_t head = 0; head < out.size(); head += size) {
    if (node.weight != nullptr) {
      norm(&in[head], size, *node.weight, graph_.norm_epsilon, &out[head]);
    } else {
      std::copy_n(&in[head], size, &out[head]);
    }
    const int pairs = rope.dimensions / 2;
    for (int i = 0; i < pairs; ++i) {
      float& a = out[head + static_cast<std::size_t>(rope.halves ? i : 2 * i)];
      float& b = out[head + static_cast<std::size_t>(rope.halves ? i + pairs : 2 * i + 1)];
      const float cosine = angles[static_cast<std::size_t>(2 * i)];
      const float sine = angles[static_cast<std::size_t>(2 * i + 1)];
      const float turned = a * cosine - b * sine;
      b = a * sine + b * cosine;
      a = turned;
    }
  }
}

void Reference::attend(const Node& node, std::vector<float>& out) {
  const auto value = [&](int i) -> const std::vector<float>& {
    return values_[static_cast<std::size_t>(node.inputs[static_cast<std::size_t>(i)])];
  };
  const auto size = static_cast<std::size_t>(graph_.head_size);
  const std::size_t row = static_cast<std::size_t>(graph_.kv_heads) * size;
  const auto past = static_cast<std::size_t>(position_);
  std::vector<float>& keys = keys_[static_cast<std::size_t>(node.layer)];
  std::vector<float>& values = values_cache_[static_cast<std::size_t>(node.layer)];
  std::copy_n(value(1).data(), row, &keys[past * row]);
  std::copy_n(value(2).data(), row, &values[past * row]);
  std::vector<double> weights(past + 1);
  for (int head = 0; head < graph_.heads; ++head) {
    const float* query = &value(0)[static_cast<std::size_t>(head) * size];
    const std::size_t kv = static_cast<std::size_t>(head / graph_.heads_per_kv_head()) * size;
    double most = -INFINITY, sum = 0;
    for (std::size_t p = 0; p <= past; ++p) {
      double score = 0;
      for (std::size_t i = 0; i < size; ++i)
        score += static_cast<double>(query[i]) * static_cast<double>(keys[p * row + kv + i]);
      weights[p] = score / std::sqrt(static_cast<double>(size));
      most = std::max(most, weights[p]);
    }
    for (double& weight : weights) {
      weight = std::exp(weight - most);
      sum += weight;
    }
    for (std::size_t i = 0; i < size; ++i) {
      double total = 0;
      for (std::size_t p = 0; p <= past; ++p)
        total += weights[p] * static_cast<double>(values[p * row + kv + i]);
      out[static_cast<std::size_t>(head) * size + i] = static_cast<float>(total / sum);
    }
  }
}

}  // namespace medley::lpu
