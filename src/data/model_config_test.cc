#include "data/model_config.h"

#include <gtest/gtest.h>

#include "base/prng.h"
#include "data/catalog.h"

namespace medley::data {
namespace {

// The figures of published configurations (the numbers only).
struct Published {
  const char* catalogue_id;
  const char* config;
};
const Published kPublished[] = {
    {"llama-3.1-8b",
     R"({"model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
         "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 131072,
         "tie_word_embeddings": false, "torch_dtype": "bfloat16"})"},
    {"llama-3.1-70b",
     R"({"model_type": "llama", "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80,
         "num_attention_heads": 64, "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 131072,
         "tie_word_embeddings": false, "torch_dtype": "bfloat16"})"},
    {"mistral-7b",
     R"({"model_type": "mistral", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
         "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 32768, "max_position_embeddings": 32768,
         "sliding_window": null, "tie_word_embeddings": false, "torch_dtype": "bfloat16"})"},
    {"mixtral-8x7b",
     R"({"model_type": "mixtral", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
         "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 32000, "max_position_embeddings": 32768,
         "num_local_experts": 8, "num_experts_per_tok": 2, "sliding_window": null, "tie_word_embeddings": false,
         "torch_dtype": "bfloat16"})"},
    {"qwen2.5-7b",
     R"({"model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
         "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064, "max_position_embeddings": 131072,
         "sliding_window": 131072, "use_sliding_window": false, "tie_word_embeddings": false, "torch_dtype": "bfloat16"})"},
    {"qwen3-8b",
     R"({"model_type": "qwen3", "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36, "head_dim": 128,
         "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 151936, "max_position_embeddings": 40960,
         "tie_word_embeddings": false, "torch_dtype": "bfloat16"})"},
    {"qwen3-30b-a3b",
     R"({"model_type": "qwen3_moe", "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 48, "head_dim": 128,
         "num_attention_heads": 32, "num_key_value_heads": 4, "vocab_size": 151936, "max_position_embeddings": 40960,
         "num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768, "decoder_sparse_step": 1,
         "mlp_only_layers": [], "tie_word_embeddings": false, "torch_dtype": "bfloat16"})"},
    {"gemma-2-9b",
     R"({"model_type": "gemma2", "hidden_size": 3584, "intermediate_size": 14336, "num_hidden_layers": 42, "head_dim": 256,
         "num_attention_heads": 16, "num_key_value_heads": 8, "vocab_size": 256000, "max_position_embeddings": 8192,
         "sliding_window": 4096, "torch_dtype": "bfloat16"})"},
    {"gpt-oss-20b",
     R"({"model_type": "gpt_oss", "hidden_size": 2880, "intermediate_size": 2880, "num_hidden_layers": 24, "head_dim": 64,
         "num_attention_heads": 64, "num_key_value_heads": 8, "vocab_size": 201088, "max_position_embeddings": 131072,
         "num_local_experts": 32, "num_experts_per_tok": 4, "attention_bias": true, "sliding_window": 128,
         "tie_word_embeddings": false, "quantization_config": {"quant_method": "mxfp4"}})"},
    {"deepseek-v3.1",
     R"({"model_type": "deepseek_v3", "hidden_size": 7168, "intermediate_size": 18432, "num_hidden_layers": 61,
         "num_attention_heads": 128, "num_key_value_heads": 128, "vocab_size": 129280, "max_position_embeddings": 163840,
         "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8, "moe_intermediate_size": 2048,
         "first_k_dense_replace": 3, "moe_layer_freq": 1, "kv_lora_rank": 512, "q_lora_rank": 1536, "qk_nope_head_dim": 128,
         "qk_rope_head_dim": 64, "v_head_dim": 128, "tie_word_embeddings": false,
         "quantization_config": {"quant_method": "fp8"}, "torch_dtype": "bfloat16"})"},
};

TEST(ModelConfig, AgreesWithTheCatalogueOnPublishedModels) {
  const auto catalog = read_catalog("catalog");
  ASSERT_TRUE(catalog.ok()) << catalog.error().message;
  for (const auto& [id, config] : kPublished) {
    SCOPED_TRACE(id);
    const auto known = catalog->model(id);
    ASSERT_TRUE(known.ok()) << known.error().message;
    const auto model = parse_model_config(config, "config.json");
    ASSERT_TRUE(model.ok()) << model.error().message;
    EXPECT_NEAR(model->parameters / known->parameters, 1, 1e-3);
    EXPECT_NEAR(model->active_parameters / known->active_parameters, 1, 2e-3);
    EXPECT_EQ(model->layers, known->layers);
    EXPECT_EQ(model->hidden_size, known->hidden_size);
    EXPECT_EQ(model->kv_heads, known->kv_heads);
    EXPECT_EQ(model->vocabulary, known->vocabulary);
    EXPECT_EQ(model->max_context, known->max_context);
    EXPECT_EQ(model->kv_numbers_per_token_and_layer, known->kv_numbers_per_token_and_layer);
    EXPECT_EQ(model->sliding_layers, known->sliding_layers);
    EXPECT_EQ(model->sliding_window, known->sliding_window);
    EXPECT_EQ(model->experts, known->experts);
    EXPECT_EQ(model->experts_per_token, known->experts_per_token);
    EXPECT_EQ(model->expert_layers, known->expert_layers);
    EXPECT_EQ(model->native_precision, known->native_precision);
  }
}

TEST(ModelConfig, SaysWhatIsWrong) {
  const auto error = [](std::string_view text) {
    const auto model = parse_model_config(text, "config.json");
    return model.ok() ? "" : model.error().message;
  };
  EXPECT_EQ(error("{}"), "config.json: missing key 'num_hidden_layers'");
  EXPECT_EQ(error("[]"), "config.json: expected a JSON object");
  EXPECT_EQ(error("{\"a\": ").substr(0, 22), "config.json: not JSON:");
  EXPECT_EQ(error(std::string(100'000, '[')).substr(0, 22), "config.json: not JSON:");
  EXPECT_EQ(
      error(R"({"num_hidden_layers": "many", "hidden_size": 8, "num_attention_heads": 2})"),
      "config.json: num_hidden_layers: expected a whole number from 0 to 1000000, got \"many\"");
  EXPECT_EQ(error(R"({"num_hidden_layers": 2.5, "hidden_size": 8, "num_attention_heads": 2})"),
            "config.json: num_hidden_layers: expected a whole number from 0 to 1000000, got 2.5E0");
  EXPECT_EQ(error(R"({"num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 0})"),
            "config.json: missing key 'num_attention_heads'");
  EXPECT_EQ(
      error(
          R"({"num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 2, "num_experts_per_tok": 4})"),
      "config.json: more experts used than there are");
}

TEST(ModelConfig, ReadsTheTextPartOfAMultimodalModel) {
  const auto model = parse_model_config(
      R"({"model_type": "gemma3", "text_config": {"model_type": "gemma3_text", "hidden_size": 5376, "head_dim": 128,
          "intermediate_size": 21504, "num_hidden_layers": 62, "num_attention_heads": 32, "num_key_value_heads": 16,
          "vocab_size": 262208, "sliding_window": 1024, "sliding_window_pattern": 6, "torch_dtype": "bfloat16"}})",
      "config.json");
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_NEAR(model->parameters, 27.01e9, 0.03e9);
  EXPECT_EQ(model->sliding_layers, 52);
}

TEST(ModelConfig, SurvivesMutatedInput) {
  Prng prng(9);
  for (int round = 0; round < 5000; ++round) {
    std::string text = kPublished[prng.below(std::size(kPublished))].config;
    for (std::uint64_t i = 0; i <= prng.below(4); ++i) {
      const std::size_t at = prng.below(text.size());
      if (prng.below(2) == 0) {
        text[at] = "0123456789-eE.{}[]\",: n"[prng.below(23)];
      } else {
        text.erase(at, 1 + prng.below(10));
      }
    }
    (void)parse_model_config(text, "config.json");
  }
}

}  // namespace
}  // namespace medley::data
