#include "lpu/chip/shape.h"

#include <gtest/gtest.h>

#include <set>

#include "data/catalog.h"
#include "data/model_config.h"

namespace medley::lpu::chip {
namespace {

std::string error_of(const Model& model) {
  const auto shape = shape_of(model);
  return shape.ok() ? "" : shape.error().message;
}

std::string error_of_config(const std::string& family, const std::string& more = "") {
  const auto model = data::parse_model_config(
      R"({"model_type": ")" + family +
          R"(", "num_hidden_layers": 4, "hidden_size": 256, "num_attention_heads": 8,
              "intermediate_size": 1024, "vocab_size": 1000)" +
          more + "}",
      "config.json");
  EXPECT_TRUE(model.ok()) << model.error().message;
  return error_of(*model);
}

TEST(Shape, NamesArchitecturesThatAreNotLaidOutAsLlamaIs) {
  for (const char* family : {"llama", "mistral", "qwen2", "qwen3", "gemma", "gemma3", "phi3"})
    EXPECT_EQ(error_of_config(family), "") << family;
  for (const char* family :
       {"mamba", "bert", "gpt2", "bloom", "falcon", "qwen2_moe", "llama4_text"})
    EXPECT_EQ(error_of_config(family),
              std::string("model config.json: architecture '") + family +
                  "' is not supported; supported: llama, mistral, mixtral, qwen2, qwen3, "
                  "qwen3_moe, gemma, gemma2, gemma3, phi3, gpt_oss")
        << family;
}

// Phi-2 shares its name with later ones in the catalogue, and has two matrices a feed-forward.
TEST(Shape, NamesBothNumbersOfParametersWhereSizesDoNotMakeThem) {
  EXPECT_EQ(error_of_config("phi"),
            "model config.json: its sizes make 0.00445 billion parameters of the Llama family, or "
            "0.004706 with a last matrix of its own, and it has 0.00366: what is different "
            "(matrices of a feed-forward, shared experts) is not supported");
}

TEST(Shape, TakesTheModelsOfTheCatalogueWhoseParametersItAccountsFor) {
  const auto catalog = data::read_catalog("catalog");
  ASSERT_TRUE(catalog.ok());
  std::set<std::string> refused;
  for (const Model& model : catalog->models()) {
    if (!error_of(model).empty())
      refused.insert(model.id);
  }
  EXPECT_EQ(refused, (std::set<std::string>{"bloom-176b", "deepseek-r1", "deepseek-v3.1", "kimi-k2",
                                            "llama-4-scout"}));
  EXPECT_NE(error_of(*catalog->model("llama-4-scout")).find("and it has 107.8"), std::string::npos);
}

}  // namespace
}  // namespace medley::lpu::chip
