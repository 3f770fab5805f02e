#include "lpu/chip/shape.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string_view>
#include <tuple>

namespace medley::lpu::chip {
namespace {

// Architectures of a config.json, and families of the catalogue, that are laid out as Llama is:
// three matrices a feed-forward, one after the other with attention. What some add to it (norms
// after, soft caps, sinks) has no part in schedules.
constexpr std::string_view kFamilies[] = {
    "llama",  "mistral", "mixtral", "qwen2",       "qwen3", "qwen3_moe", "gemma",   "gemma2",
    "gemma3", "phi3",    "gpt_oss", "gemma3_text", "qwen",  "phi",       "gpt-oss", "deepseek"};
constexpr int kNamed = 11;  // of these, in messages

// What norms, biases and rounded numbers of parameters make up at most.
constexpr double kBeside = 0.03;

}  // namespace

double parameters_of(const Shape& shape, bool own_head) {
  const double width = shape.width;
  const double attention = 2 * width * shape.head_size * (shape.heads + shape.kv_heads);
  double sum = (own_head ? 2 : 1) * width * shape.vocabulary;
  for (const int index : shape.kind_of_layer) {
    const bool experts = shape.kinds[static_cast<std::size_t>(index)].experts;
    sum += attention + (experts ? width * shape.experts * (1 + 3.0 * shape.expert_inner)
                                : 3 * width * shape.inner);
  }
  return sum;
}

Result<Shape> shape_of(const Model& model) {
  const auto fail = [&](const std::string& message) {
    return Error{ErrorCode::kInvalid, fmt::format("model {}: {}", model.id, message), {}};
  };
  if (model.layers <= 0 || model.hidden_size <= 0 || model.heads <= 0 || model.head_size <= 0 ||
      model.vocabulary <= 0) {
    return fail("layers, width, heads or vocabulary are unknown");
  }
  if (model.shares_kv_latent())
    return fail("attention with one latent for all heads is not supported");
  if (!model.family.empty() &&
      std::find(std::begin(kFamilies), std::end(kFamilies), model.family) == std::end(kFamilies)) {
    return fail(fmt::format("architecture '{}' is not supported; supported: {}", model.family,
                            fmt::join(kFamilies, kFamilies + kNamed, ", ")));
  }
  Shape shape{.name = model.name.empty() ? model.id : model.name,
              .layers = model.layers,
              .width = model.hidden_size,
              .heads = model.heads,
              .kv_heads = model.kv_heads > 0 ? model.kv_heads : model.heads,
              .head_size = model.head_size,
              .inner = model.intermediate_size,
              .vocabulary = model.vocabulary,
              .trained_context = model.max_context.value_or(0),
              .parameters = model.parameters};
  constexpr int kMostLayers = 4096, kMostSize = 1 << 22;  // as of a graph
  for (const auto& [what, size, most] :
       {std::tuple("layers", shape.layers, kMostLayers),
        std::tuple("width", shape.width, kMostSize), std::tuple("heads", shape.heads, kMostSize),
        std::tuple("size of a head", shape.head_size, kMostSize),
        std::tuple("size of the feed-forward", shape.inner, kMostSize),
        std::tuple("vocabulary", shape.vocabulary, kMostSize),
        std::tuple("experts", model.experts, kMostSize)}) {
    if (size > most)
      return fail(fmt::format("{} of {}: at most {} can be", what, size, most));
  }
  if (static_cast<long long>(shape.heads) * shape.head_size > kMostSize)
    return fail(fmt::format("{} heads of {}: together at most {} can be", shape.heads,
                            shape.head_size, kMostSize));
  if (shape.heads % shape.kv_heads != 0)
    return fail(
        fmt::format("{} heads are no multiple of {} KV heads", shape.heads, shape.kv_heads));
  int expert_layers = 0;
  if (model.is_mixture()) {
    shape.experts = model.experts;
    shape.experts_per_token = model.experts_per_token;
    // Three matrices an expert.
    shape.expert_inner =
        static_cast<int>(std::lround(model.expert_parameters / (3.0 * model.hidden_size)));
    expert_layers = std::min(model.expert_layers, model.layers);
    if (shape.experts_per_token <= 0 || shape.experts_per_token > shape.experts ||
        shape.expert_inner <= 0) {
      return fail("experts a token or the size of an expert are unknown");
    }
  }
  if (expert_layers < shape.layers && shape.inner <= 0)
    return fail("the size of the feed-forward is unknown");
  for (int layer = 0; layer < shape.layers; ++layer) {
    // Which layers see a window is not told: they are spread evenly, as all models have it.
    const bool windowed =
        model.sliding_window > 0 && (layer + 1) * model.sliding_layers / model.layers >
                                        layer * model.sliding_layers / model.layers;
    const LayerKind kind{.window = windowed ? model.sliding_window : 0,
                         .experts = layer >= shape.layers - expert_layers};
    auto found = std::find(shape.kinds.begin(), shape.kinds.end(), kind);
    if (found == shape.kinds.end())
      found = shape.kinds.insert(found, kind);
    shape.kind_of_layer.push_back(static_cast<int>(found - shape.kinds.begin()));
  }
  const double tied = parameters_of(shape, false), own = parameters_of(shape, true);
  const auto beside = [&](double sum) { return std::abs(model.parameters / sum - 1); };
  if (model.parameters > 0 && std::min(beside(tied), beside(own)) > kBeside) {
    return fail(fmt::format(
        "its sizes make {:.4g} billion parameters of the Llama family, or {:.4g} with a last "
        "matrix of its own, and it has {:.4g}: what is different (matrices of a feed-forward, "
        "shared experts) is not supported",
        tied / 1e9, own / 1e9, model.parameters / 1e9));
  }
  return shape;
}

}  // namespace medley::lpu::chip
