#include "lpu/graph.h"

#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <set>

#include "base/nearest.h"

namespace medley::lpu {
namespace {

constexpr int kInnerGranule = 32;
// Of any vector: sixteen times that of the largest vocabularies, and in bytes still a whole number.
constexpr int kMostSize = 1 << 22;

// Of mixtures: beyond any that is known.
constexpr int kMostExperts = 4096, kMostChosen = 32;

constexpr std::array<std::string_view, 9> kKindNames = {
    "embed", "norm", "matrix", "rotate", "attend", "route", "gate", "add", "choose"};

struct Family {
  std::string_view name;
  bool rope_halves = false;
  Activation activation = Activation::kSilu;
  bool scaled_embedding = false;  // by the root of the width
  bool head_norms = false;        // of queries and keys
  bool experts = false;           // may have a mixture in place of its feed-forward
};
constexpr Family kFamilies[] = {
    {"llama", false, Activation::kSilu, false, false, true},
    {"qwen2", true},
    {"qwen3", true, Activation::kSilu, false, true},
    {"qwen3moe", true, Activation::kSilu, false, true, true},
    {"gemma", true, Activation::kGelu, true},
};

// Keys that change what is computed, and that we do not know how to follow.
constexpr std::string_view kUnsupportedKeys[] = {
    "expert_shared_count", "expert_group_count",     "logit_scale",
    "embedding_scale",     "residual_scale",         "attention.scale",
    "attention.clamp_kqv", "attn_logit_softcapping", "final_logit_softcapping",
};

std::optional<double> number(const data::Gguf& gguf, const std::string& key) {
  const auto found = gguf.metadata.find(key);
  if (found == gguf.metadata.end())
    return std::nullopt;
  if (const auto* value = std::get_if<double>(&found->second))
    return *value;
  if (const auto whole = gguf.whole(key))
    return static_cast<double>(*whole);
  return std::nullopt;
}

class Builder {
 public:
  explicit Builder(const ModelFile& file) : file_(file) {}

  Result<Graph> build() {
    MEDLEY_TRY_STATUS(read_facts());
    add_nodes();
    if (!error_.empty())
      return fail(error_);
    for (const auto& [name, tensor] : file_.tensors()) {
      if (!used_.contains(name)) {
        return fail(fmt::format("tensor '{}' is not one of architecture '{}' as it is supported",
                                name, graph_.family));
      }
    }
    return std::move(graph_);
  }

 private:
  Error fail(const std::string& message) const {
    return {ErrorCode::kInvalid, fmt::format("{}: {}", file_.name(), message), {}};
  }
  std::string key(std::string_view suffix) const {
    return fmt::format("{}.{}", graph_.family, suffix);
  }

  Status read_facts() {
    const data::Gguf& gguf = file_.gguf();
    // What is needed of any decoder, with its own messages.
    MEDLEY_TRY(const Model model, data::gguf_model(gguf, file_.name()));
    for (const Family& family : kFamilies) {
      if (family.name == model.family)
        family_ = &family;
    }
    if (family_ == nullptr) {
      return fail(fmt::format(
          "architecture '{}' is not supported; supported: llama (Mistral, Mixtral), qwen2, qwen3, "
          "qwen3moe, gemma",
          model.family));
    }
    graph_.name = model.name;
    graph_.family = model.family;
    MEDLEY_TRY_STATUS(read_experts(model));
    for (const std::string_view suffix : kUnsupportedKeys) {
      if (const auto value = number(gguf, key(suffix)); value && *value != 0)
        return fail(fmt::format("{} = {} is not supported", key(suffix), *value));
    }
    graph_.layers = model.layers;
    graph_.width = model.hidden_size;
    graph_.heads = model.heads;
    graph_.kv_heads = model.kv_heads;
    graph_.head_size = model.head_size;
    graph_.trained_context = gguf.whole(key("context_length")).value_or(0);
    graph_.activation = family_->activation;
    if (graph_.heads % graph_.kv_heads != 0) {
      return fail(
          fmt::format("{} heads are no multiple of {} KV heads", graph_.heads, graph_.kv_heads));
    }
    if (graph_.layers > 4096 || graph_.width > kMostSize || graph_.heads > kMostSize ||
        graph_.head_size > kMostSize ||
        static_cast<long long>(graph_.heads) * graph_.head_size > kMostSize) {
      return fail("layers, width, heads or head size are beyond what can be");
    }
    if (const auto* array = array_of("attention.head_count_kv"))
      return fail(fmt::format("{} differs by layer, which is not supported ({} values)",
                              key("attention.head_count_kv"), array->count));
    inner_ = model.intermediate_size;
    if (gguf.whole(key("attention.value_length")).value_or(graph_.head_size) != graph_.head_size)
      return fail(fmt::format("{} differs from that of keys", key("attention.value_length")));
    const double epsilon =
        number(gguf, key("attention.layer_norm_rms_epsilon")).value_or(std::nan(""));
    if (!(epsilon >= 0 && epsilon < 1)) {
      return fail(fmt::format("{}: expected a number from 0 to 1",
                              key("attention.layer_norm_rms_epsilon")));
    }
    graph_.norm_epsilon = static_cast<float>(epsilon);
    return read_rope();
  }

  // Mixtures whose router's softmax is over the chosen experts alone.
  Status read_experts(const Model& model) {
    experts_ = model.experts;
    chosen_ = model.experts_per_token;
    if (experts_ == 0)
      return Done{};
    const data::Gguf& gguf = file_.gguf();
    if (!family_->experts)
      return fail(fmt::format("{} = {} is not supported", key("expert_count"), experts_));
    if (chosen_ < 1 || chosen_ > kMostChosen || experts_ > kMostExperts) {
      return fail(fmt::format("{} of {} experts a token: expected 1 to {} of at most {}", chosen_,
                              experts_, kMostChosen, kMostExperts));
    }
    // 1: softmax.
    if (const auto gating = number(gguf, key("expert_gating_func")); gating && *gating > 1)
      return fail(fmt::format("{} = {} is not supported", key("expert_gating_func"), *gating));
    if (const auto scale = number(gguf, key("expert_weights_scale"));
        scale && *scale != 0 && *scale != 1) {
      return fail(fmt::format("{} = {} is not supported", key("expert_weights_scale"), *scale));
    }
    expert_inner_ = gguf.whole(key("expert_feed_forward_length")).value_or(0);
    return Done{};
  }

  const data::GgufArray* array_of(std::string_view suffix) const {
    const auto found = file_.gguf().metadata.find(key(suffix));
    return found == file_.gguf().metadata.end() ? nullptr
                                                : std::get_if<data::GgufArray>(&found->second);
  }

  Status read_rope() {
    const data::Gguf& gguf = file_.gguf();
    Rope& rope = graph_.rope;
    rope.halves = family_->rope_halves;
    rope.dimensions =
        static_cast<int>(gguf.whole(key("rope.dimension_count")).value_or(graph_.head_size));
    if (rope.dimensions < 2 || rope.dimensions > graph_.head_size || rope.dimensions % 2 != 0) {
      return fail(fmt::format("{}: expected an even number up to the head size of {}, got {}",
                              key("rope.dimension_count"), graph_.head_size, rope.dimensions));
    }
    rope.base = static_cast<float>(number(gguf, key("rope.freq_base")).value_or(10000));
    if (!(rope.base > 0 && std::isfinite(rope.base)))
      return fail(fmt::format("{}: expected a positive number", key("rope.freq_base")));
    const std::string scaling = gguf.text(key("rope.scaling.type")).value_or("linear");
    // 0 says that there is none; the second name is the older one.
    double factor = number(gguf, key("rope.scaling.factor"))
                        .value_or(number(gguf, key("rope.scale_linear")).value_or(0));
    if (factor == 0)
      factor = 1;
    if (scaling == "none") {
      factor = 1;
    } else if (scaling == "linear" && !(factor > 0 && std::isfinite(factor))) {
      return fail(fmt::format("{}: expected a positive number, got {}", key("rope.scaling.factor"),
                              factor));
    } else if (scaling != "linear") {
      return fail(fmt::format("{} = {} is not supported; supported: none, linear",
                              key("rope.scaling.type"), scaling));
    }
    rope.scale = static_cast<float>(1 / factor);
    rope.gain = static_cast<float>(number(gguf, key("rope.scaling.attn_factor")).value_or(1));
    if (!(rope.gain > 0 && std::isfinite(rope.gain)))
      return fail(fmt::format("{}: expected a positive number", key("rope.scaling.attn_factor")));
    if (const Tensor* tensor = file_.find("rope_freqs.weight")) {
      used_.insert(tensor->name);
      if (tensor->rows != 1 || tensor->columns != rope.dimensions / 2)
        return fail(fmt::format("tensor 'rope_freqs.weight' has {}x{} numbers, expected {}",
                                tensor->rows, tensor->columns, rope.dimensions / 2));
      rope.divisors.resize(static_cast<std::size_t>(tensor->columns));
      dequantise(tensor->format, tensor->bytes, rope.divisors);
      for (const float divisor : rope.divisors) {
        if (!(divisor > 0 && std::isfinite(divisor)))
          return fail("tensor 'rope_freqs.weight': expected positive numbers");
      }
    }
    return Done{};
  }

  // Null, with error_ set, where it is missing (and not optional) or of another shape.
  const Tensor* tensor(const std::string& name, long long rows, long long columns,
                       bool optional = false) {
    const Tensor* found = file_.find(name);
    if (found == nullptr) {
      if (!optional && error_.empty())
        error_ = fmt::format("tensor '{}' is missing", name);
      return nullptr;
    }
    used_.insert(name);
    if (found->rows > kMostSize && error_.empty())
      error_ =
          fmt::format("tensor '{}' has {} rows, at most {} can be", name, found->rows, kMostSize);
    if (found->columns != columns || (rows > 0 && found->rows != rows)) {
      if (error_.empty())
        error_ = fmt::format("tensor '{}' has {} rows of {} numbers, expected {} of {}", name,
                             found->rows, found->columns, rows, columns);
      return nullptr;
    }
    return found;
  }
  const Tensor* of_layer(int layer, std::string_view name, long long rows, long long columns,
                         bool optional = false) {
    return tensor(fmt::format("blk.{}.{}", layer, name), rows, columns, optional);
  }

  int add(Node node) {
    graph_.nodes.push_back(std::move(node));
    return static_cast<int>(graph_.nodes.size()) - 1;
  }
  int add_norm(std::string_view role, int layer, int input, const Tensor* weight) {
    return add({.kind = NodeKind::kNorm,
                .role = role,
                .layer = layer,
                .inputs = {input, kNoNode, kNoNode},
                .weight = weight,
                .size = graph_.width});
  }
  int add_matrix(std::string_view role, int layer, int input, const std::string& name, int rows,
                 int columns, Split split, int granule = 0) {
    const std::string whole = fmt::format("blk.{}.{}", layer, name);
    return add({.kind = NodeKind::kMatrix,
                .role = role,
                .layer = layer,
                .inputs = {input, kNoNode, kNoNode},
                .weight = tensor(whole + ".weight", rows, columns),
                .bias = tensor(whole + ".bias", 1, rows, true),
                .size = rows,
                .split = split,
                .granule = granule});
  }
  int add_sum(std::string_view role, int layer, int first, int second) {
    return add({.kind = NodeKind::kAdd,
                .role = role,
                .layer = layer,
                .inputs = {first, second, kNoNode},
                .size = graph_.width});
  }

  void add_nodes() {
    const Tensor* embedding = tensor("token_embd.weight", 0, graph_.width);
    if (embedding == nullptr)
      return;
    graph_.vocabulary = static_cast<int>(embedding->rows);
    int stream = add(
        {.kind = NodeKind::kEmbed,
         .role = "embed",
         .weight = embedding,
         .size = graph_.width,
         .factor = family_->scaled_embedding ? std::sqrt(static_cast<float>(graph_.width)) : 1.0F});
    for (int layer = 0; layer < graph_.layers && error_.empty(); ++layer)
      stream = add_layer(layer, stream);

    const int norm =
        add_norm("output_norm", -1, stream, tensor("output_norm.weight", 1, graph_.width));
    const Tensor* head = tensor("output.weight", graph_.vocabulary, graph_.width, true);
    const int logits = add({.kind = NodeKind::kMatrix,
                            .role = "output",
                            .inputs = {norm, kNoNode, kNoNode},
                            .weight = head != nullptr ? head : embedding,
                            .bias = tensor("output.bias", 1, graph_.vocabulary, true),
                            .size = graph_.vocabulary,
                            .split = Split::kRows,
                            .granule = 16});
    add({.kind = NodeKind::kChoose,
         .role = "choose",
         .inputs = {logits, kNoNode, kNoNode},
         .size = 1});
  }

  int add_layer(int layer, int stream) {
    const int width = graph_.width, size = graph_.head_size;
    const int q_rows = graph_.heads * size, kv_rows = graph_.kv_heads * size;
    const auto rotate = [&](std::string_view role, int input, int rows, const char* norm) {
      return add({.kind = NodeKind::kRotate,
                  .role = role,
                  .layer = layer,
                  .inputs = {input, kNoNode, kNoNode},
                  .weight = family_->head_norms ? of_layer(layer, norm, 1, size) : nullptr,
                  .size = rows,
                  .granule = rows / graph_.kv_heads});
    };
    const int normed =
        add_norm("attn_norm", layer, stream, of_layer(layer, "attn_norm.weight", 1, width));
    const int q = add_matrix("q", layer, normed, "attn_q", q_rows, width, Split::kRows,
                             q_rows / graph_.kv_heads);
    const int k = add_matrix("k", layer, normed, "attn_k", kv_rows, width, Split::kRows, size);
    const int v = add_matrix("v", layer, normed, "attn_v", kv_rows, width, Split::kRows, size);
    const int q_turned = rotate("q_rotate", q, q_rows, "attn_q_norm.weight");
    const int k_turned = rotate("k_rotate", k, kv_rows, "attn_k_norm.weight");
    const int attended = add({.kind = NodeKind::kAttend,
                              .role = "attend",
                              .layer = layer,
                              .inputs = {q_turned, k_turned, v},
                              .size = q_rows,
                              .granule = q_rows / graph_.kv_heads});
    const int out =
        add_matrix("attn_out", layer, attended, "attn_output", width, q_rows, Split::kColumns);
    stream = add_sum("attn_add", layer, stream, out);

    const int ffn =
        add_norm("ffn_norm", layer, stream, of_layer(layer, "ffn_norm.weight", 1, width));
    return experts_ > 0 ? add_experts(layer, stream, ffn) : add_forward(layer, stream, ffn);
  }

  int add_forward(int layer, int stream, int ffn) {
    const int width = graph_.width;
    // As the file says; where it does not, as the first layer has it.
    const Tensor* gate_weight = of_layer(layer, "ffn_gate.weight", inner_, width);
    if (gate_weight != nullptr)
      inner_ = gate_weight->rows;
    const int inner = gate_weight == nullptr ? 1 : static_cast<int>(inner_);
    const int gate =
        add_matrix("gate", layer, ffn, "ffn_gate", inner, width, Split::kRows, kInnerGranule);
    const int up =
        add_matrix("up", layer, ffn, "ffn_up", inner, width, Split::kRows, kInnerGranule);
    const int gated = add({.kind = NodeKind::kGate,
                           .role = "activate",
                           .layer = layer,
                           .inputs = {gate, up, kNoNode},
                           .size = inner,
                           .granule = kInnerGranule});
    const int down = add_matrix("down", layer, gated, "ffn_down", width, inner, Split::kColumns);
    return add_sum("ffn_add", layer, stream, down);
  }

  int add_experts(int layer, int stream, int ffn) {
    const int width = graph_.width;
    // As the file says; where it does not, as the first layer has it.
    if (expert_inner_ == 0) {
      const Tensor* stack = file_.find(fmt::format("blk.{}.ffn_gate_exps.weight", layer));
      expert_inner_ = stack != nullptr ? std::max(1LL, stack->rows / experts_) : 1;
    }
    if (expert_inner_ > kMostSize / experts_) {
      error_ =
          fmt::format("{} experts of {} numbers are beyond what can be", experts_, expert_inner_);
      return stream;
    }
    const int inner = static_cast<int>(expert_inner_);
    const int router =
        add_matrix("router", layer, ffn, "ffn_gate_inp", experts_, width, Split::kRows);
    const int route = add({.kind = NodeKind::kRoute,
                           .role = "route",
                           .layer = layer,
                           .inputs = {router, kNoNode, kNoNode},
                           .size = 2 * chosen_,
                           .experts = experts_});
    const auto matrix = [&](std::string_view role, int chosen, int input, const char* name,
                            int rows, int columns, Split split, int granule) {
      return add({.kind = NodeKind::kMatrix,
                  .role = role,
                  .layer = layer,
                  .inputs = {input, route, kNoNode},
                  .weight = of_layer(layer, name, 1LL * experts_ * rows, columns),
                  .size = rows,
                  .split = split,
                  .granule = granule,
                  .experts = experts_,
                  .chosen = chosen});
    };
    std::vector<int> downs;
    for (int chosen = 0; chosen < chosen_; ++chosen) {
      const int gate = matrix("gate", chosen, ffn, "ffn_gate_exps.weight", inner, width,
                              Split::kRows, kInnerGranule);
      const int up = matrix("up", chosen, ffn, "ffn_up_exps.weight", inner, width, Split::kRows,
                            kInnerGranule);
      const int gated = add({.kind = NodeKind::kGate,
                             .role = "activate",
                             .layer = layer,
                             .inputs = {gate, up, route},
                             .size = inner,
                             .granule = kInnerGranule,
                             .chosen = chosen});
      downs.push_back(
          matrix("down", chosen, gated, "ffn_down_exps.weight", width, inner, Split::kColumns, 0));
    }
    for (const int down : downs)
      stream = add_sum("ffn_add", layer, stream, down);
    return stream;
  }

  const ModelFile& file_;
  const Family* family_ = nullptr;
  Graph graph_;
  std::set<std::string> used_;
  int experts_ = 0, chosen_ = 0;  // 0: no mixture
  long long expert_inner_ = 0;
  long long inner_ = 0;  // numbers between the matrices of a feed-forward; 0: not known yet
  std::string error_;    // the first
};

}  // namespace

std::string_view name_of(NodeKind kind) { return kKindNames[static_cast<std::size_t>(kind)]; }

Result<Graph> build_graph(const ModelFile& file) { return Builder(file).build(); }

void rope_angles(const Rope& rope, long long position, float* out) {
  const float step = std::pow(rope.base, -2.0F / static_cast<float>(rope.dimensions));
  float angle = static_cast<float>(position);
  for (int i = 0; i < rope.dimensions / 2; ++i) {
    const float divisor = rope.divisors.empty() ? 1.0F : rope.divisors[static_cast<std::size_t>(i)];
    const float turned = rope.scale * (angle / divisor);
    out[2 * i] = std::cos(turned) * rope.gain;
    out[2 * i + 1] = std::sin(turned) * rope.gain;
    angle *= step;
  }
}

}  // namespace medley::lpu
