#include "data/model_config.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <optional>

#include "base/nearest.h"
#include "data/file.h"

namespace medley::data {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxBytes = 16 << 20;

// The keys of a config, the first mistake remembered.
class Config {
 public:
  explicit Config(const json::object& object) : object_(object) {}

  const json::value* find(std::string_view key) const {
    const json::value* value = object_.if_contains(json::string_view(key.data(), key.size()));
    return value == nullptr || value->is_null() ? nullptr : value;
  }
  // The first of several spellings that is there.
  std::optional<double> number(std::initializer_list<std::string_view> keys, double most = 1e6) {
    for (const std::string_view key : keys) {
      const json::value* value = find(key);
      if (value == nullptr)
        continue;
      double number = std::numeric_limits<double>::quiet_NaN();
      if (value->is_int64())
        number = static_cast<double>(value->get_int64());
      if (value->is_uint64())
        number = static_cast<double>(value->get_uint64());
      if (value->is_double())
        number = value->get_double();
      if (number >= 0 && number <= most && std::trunc(number) == number)
        return number;
      if (wrong_.empty()) {
        wrong_ = fmt::format("{}: expected a whole number from 0 to {:.0f}, got {}", key, most,
                             json::serialize(*value).substr(0, 40));
      }
      return std::nullopt;
    }
    return std::nullopt;
  }
  int whole(std::initializer_list<std::string_view> keys, int fallback, double most = 1e6) {
    const auto value = number(keys, most);
    return value ? static_cast<int>(*value) : fallback;
  }
  int required(std::initializer_list<std::string_view> keys) {
    const auto value = number(keys);
    if (value && *value >= 1)
      return static_cast<int>(*value);
    if (wrong_.empty())
      wrong_ = fmt::format("missing key '{}'", *keys.begin());
    return 1;
  }
  bool flag(std::string_view key, bool fallback) const {
    const json::value* value = find(key);
    return value != nullptr && value->is_bool() ? value->get_bool() : fallback;
  }
  std::string text(std::string_view key) const {
    const json::value* value = find(key);
    return value != nullptr && value->is_string() ? std::string(value->get_string())
                                                  : std::string();
  }
  const std::string& wrong() const { return wrong_; }

 private:
  const json::object& object_;
  std::string wrong_;
};

std::optional<Precision> precision_of(const Config& config) {
  if (const json::value* quantization = config.find("quantization_config");
      quantization != nullptr && quantization->is_object()) {
    const std::string method = Config(quantization->get_object()).text("quant_method");
    if (method == "fp8")
      return Precision::kFp8;
    if (method == "mxfp4")
      return Precision::kFp4;
    if (method == "awq" || method == "gptq")
      return Precision::kInt4;
  }
  std::string type = config.text("torch_dtype");
  if (type.empty())
    type = config.text("dtype");
  if (type == "bfloat16")
    return Precision::kBf16;
  if (type == "float16")
    return Precision::kFp16;
  if (type == "float32")
    return Precision::kFp32;
  return std::nullopt;
}

// How many of the layers see only a window: by the list of layer types, else by the family's
// pattern.
int sliding_layers(const Config& config, const std::string& family, int layers) {
  if (const json::value* types = config.find("layer_types");
      types != nullptr && types->is_array()) {
    int count = 0;
    for (const json::value& type : types->get_array()) {
      count += type.is_string() && type.get_string() == "sliding_attention";
    }
    return std::min(count, layers);
  }
  if (const json::value* pattern = config.find("sliding_window_pattern");
      pattern != nullptr && pattern->is_int64()) {
    const auto every = pattern->get_int64();
    return every > 0 ? layers - static_cast<int>(layers / every) : layers;
  }
  if (family == "gemma2" || family == "gpt_oss")
    return layers / 2;
  if (family == "gemma3" || family == "gemma3_text")
    return layers - layers / 6;
  return layers;
}

Result<Model> model_of(const json::object& root, const std::string& name) {
  const auto fail = [&](const std::string& message) {
    return Error{ErrorCode::kInvalid, fmt::format("{}: {}", name, message), {}};
  };
  // Multimodal models keep the text network one level down.
  const json::value* text = root.if_contains("text_config");
  Config config(text != nullptr && text->is_object() ? text->get_object() : root);
  std::string family = config.text("model_type");
  if (family.empty())
    family = Config(root).text("model_type");

  Model model;
  model.id = model.name = name;
  if (const std::string given = Config(root).text("_name_or_path"); !given.empty())
    model.name = given;
  model.family = family;
  model.layers = config.required({"num_hidden_layers", "n_layer", "n_layers"});
  model.hidden_size = config.required({"hidden_size", "n_embd", "d_model"});
  model.heads = config.required({"num_attention_heads", "n_head", "n_heads"});
  model.kv_heads = config.whole({"num_key_value_heads", "num_kv_heads"}, model.heads);
  model.head_size = config.whole({"head_dim"}, model.hidden_size / model.heads);
  model.intermediate_size = config.whole({"intermediate_size", "n_inner"}, 0, 1e8);
  model.vocabulary = config.whole({"vocab_size"}, 0, 1e8);
  if (const int context = config.whole({"max_position_embeddings", "n_positions"}, 0, 1e9);
      context > 0) {
    model.max_context = context;
  }
  model.experts = config.whole({"num_local_experts", "num_experts", "n_routed_experts"}, 0);
  model.experts_per_token = config.whole({"num_experts_per_tok", "experts_per_token"}, 0);
  const int shared_experts = config.whole({"n_shared_experts"}, 0);
  const double expert_size = config.whole({"moe_intermediate_size"}, model.intermediate_size, 1e8);
  const int first_dense = config.whole({"first_k_dense_replace"}, 0);
  const int expert_step = std::max(1, config.whole({"decoder_sparse_step", "moe_layer_freq"}, 1));
  const int latent = config.whole({"kv_lora_rank"}, 0);
  const int query_latent = config.whole({"q_lora_rank"}, 0);
  const int rope = config.whole({"qk_rope_head_dim"}, 0);
  const int unrotated = config.whole({"qk_nope_head_dim"}, 0);
  const int value_size = config.whole({"v_head_dim"}, model.head_size);
  if (const json::value* window = config.find("sliding_window");
      window != nullptr && config.flag("use_sliding_window", true)) {
    model.sliding_window = config.whole({"sliding_window"}, 0, 1e9);
    if (model.sliding_window > 0)
      model.sliding_layers = sliding_layers(config, family, model.layers);
  }
  if (!config.wrong().empty())
    return fail(config.wrong());
  if (model.kv_heads < 1 || model.head_size < 1)
    return fail("expected at least one key-value head of size 1");
  if (model.experts_per_token > model.experts)
    return fail("more experts used than there are");

  // Parameters from the shapes: embeddings, attention, feed-forward, experts with their router,
  // norms.
  const double d = model.hidden_size, layers = model.layers;
  const double heads = model.heads, kv_heads = model.kv_heads, head = model.head_size;
  const bool gpt2 = family == "gpt2" || family == "bloom";
  const bool gated = !gpt2 && family != "falcon" && family != "gpt_neox" && family != "opt" &&
                     family != "phi" && family != "starcoder2";
  const double matrices = gated ? 3 : 2;
  const bool tied_by_family = family.starts_with("gemma") || gpt2;
  const bool tied = config.flag("tie_word_embeddings", tied_by_family);
  double attention = 0;
  if (latent > 0) {
    const double query_width = heads * (unrotated + rope);
    attention = (query_latent > 0 ? d * query_latent + query_latent * query_width + query_latent
                                  : d * query_width) +
                d * (latent + rope) + latent + latent * heads * (unrotated + value_size) +
                heads * value_size * d;
    model.head_size = unrotated + rope;
    model.kv_numbers_per_token_and_layer = latent + rope;
  } else {
    attention = d * heads * head + 2 * d * kv_heads * head + heads * head * d;
    model.kv_numbers_per_token_and_layer = 2 * kv_heads * head;
    const bool qkv_bias =
        family.starts_with("qwen2") || gpt2 || config.flag("attention_bias", family == "gpt_oss");
    if (qkv_bias)
      attention += (heads + 2 * kv_heads) * head;
    if (family == "gpt_oss")
      attention += d + heads;  // output bias, sinks
    if (family.starts_with("qwen3") || family.starts_with("gemma3"))
      attention += 2 * head;  // norms of q and k
  }
  const double norms = (family == "gemma2" || family.starts_with("gemma3") ? 4 : 2) * d;
  const double dense =
      matrices * d * (model.intermediate_size > 0 ? model.intermediate_size : 4 * d);
  double feed_forward = layers * dense;
  if (model.experts > 0) {
    const double bias = family == "gpt_oss" ? 2 * expert_size + d : 0;
    model.expert_layers = std::max(0, (model.layers - first_dense) / expert_step);
    model.expert_parameters = matrices * d * expert_size + bias;
    const double router =
        d * model.experts + (family == "gpt_oss" || latent > 0 ? model.experts : 0);
    const double one_layer = (model.experts + shared_experts) * model.expert_parameters + router;
    feed_forward = model.expert_layers * one_layer + (layers - model.expert_layers) * dense;
  }
  const double embedding = static_cast<double>(model.vocabulary) * d;
  model.parameters = embedding * (tied ? 1 : 2) + layers * (attention + norms) + feed_forward + d;
  model.active_parameters = model.parameters - static_cast<double>(model.expert_layers) *
                                                   (model.experts - model.experts_per_token) *
                                                   model.expert_parameters;
  model.native_precision = precision_of(config);
  model.source = "the file";
  return model;
}

}  // namespace

Result<Model> parse_model_config(std::string_view text, const std::string& name) {
  json::error_code failure;
  json::parse_options options;
  options.max_depth = 32;
  const json::value value =
      json::parse(json::string_view(text.data(), text.size()), failure, {}, options);
  if (failure) {
    return Error{ErrorCode::kInvalid, fmt::format("{}: not JSON: {}", name, failure.message()), {}};
  }
  if (!value.is_object())
    return Error{ErrorCode::kInvalid, fmt::format("{}: expected a JSON object", name), {}};
  return model_of(value.get_object(), name);
}

Result<Model> read_model_config(const std::string& path) {
  MEDLEY_TRY(const std::string text, read_file(path, kMaxBytes));
  return parse_model_config(text, path);
}

}  // namespace medley::data
