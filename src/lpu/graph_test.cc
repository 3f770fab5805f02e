#include "lpu/graph.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/prng.h"
#include "data/gguf_writer.h"
#include "lpu/testing_models.h"

namespace medley::lpu {
namespace {

std::string error_of(const std::string& bytes) {
  const auto file = ModelFile::parse(bytes, "m.gguf");
  if (!file.ok())
    return file.error().message;
  const auto graph = build_graph(*file);
  return graph.ok() ? "" : graph.error().message;
}

// The bytes of a small model with one text in them replaced by another of the same length.
std::string changed(const std::string& from, const std::string& to) {
  std::string bytes = *synthesise({});
  const std::size_t at = bytes.find(from);
  EXPECT_NE(at, std::string::npos);
  return bytes.replace(at, from.size(), to);
}

TEST(Graph, KnowsTheFamilies) {
  for (const char* family : {"llama", "qwen2", "qwen3", "gemma"}) {
    const auto model = test_model({.family = family});
    const Graph& g = model->graph;
    EXPECT_EQ(g.layers, 2);
    EXPECT_EQ(g.heads_per_kv_head(), 2);
    // Embedding, 15 a layer, norm, head, choice.
    EXPECT_EQ(g.nodes.size(), 1 + 2 * 15 + 3U) << family;
    EXPECT_EQ(g.nodes.back().kind, NodeKind::kChoose);
    EXPECT_EQ(g.nodes[static_cast<std::size_t>(g.logits())].size, 512);
    for (std::size_t i = 0; i < g.nodes.size(); ++i) {
      for (const int input : g.nodes[i].inputs)
        EXPECT_LT(input, static_cast<int>(i));
    }
  }
}

TEST(Graph, AMixtureHasARouteAndMatricesForEachOfTheChosen) {
  const auto model = test_model({.family = "qwen3moe", .experts = 6, .experts_per_token = 2});
  const Graph& g = model->graph;
  // Of a layer: 10 up to the norm of the feed-forward, router, route, 4 for each of the chosen,
  // and the sums.
  EXPECT_EQ(g.nodes.size(), 1 + 2 * (10 + 2 + 2 * 4 + 2) + 3U);
  int stacked = 0;
  for (const Node& node : g.nodes) {
    if (node.kind != NodeKind::kMatrix || node.chosen < 0)
      continue;
    ++stacked;
    EXPECT_EQ(node.weight->rows, 6LL * node.size);
    EXPECT_EQ(g.nodes[static_cast<std::size_t>(node.inputs[1])].kind, NodeKind::kRoute);
  }
  EXPECT_EQ(stacked, 2 * 2 * 3);
}

TEST(Graph, NamesWhatItDoesNotSupport) {
  std::string bytes = *synthesise({});
  const std::size_t at = bytes.find("llama", bytes.find("general.architecture"));
  bytes.replace(at, 5, "mamba");
  // Its keys are called llama.* still, so that its facts are missing before its kind is refused.
  EXPECT_NE(error_of(bytes).find("mamba.block_count"), std::string::npos) << error_of(bytes);

  data::GgufWriter other;
  other.entry("general.architecture", "phi3")
      .entry("phi3.block_count", 1U)
      .entry("phi3.embedding_length", 32U)
      .entry("phi3.attention.head_count", 1U)
      .tensor("token_embd.weight", {32, 300}, 0, 32 * 300 * 4);
  std::string file;
  const auto append = [&](std::string_view more) { file += more; };
  other.write(append,
              [](std::size_t, const auto& write) { write(std::string(32 * 300 * 4, '\0')); });
  EXPECT_EQ(error_of(file),
            "m.gguf: architecture 'phi3' is not supported; supported: llama (Mistral, Mixtral), "
            "qwen2, qwen3, qwen3moe, gemma");
}

// The bytes of a small model with a number more among its facts. A fact without meaning beside it
// makes 64 bytes of both, so that the tensors stay where they may be.
std::string with_number(const std::string& key, float value) {
  std::string more;
  const auto put = [&more](const auto& number) {
    more.append(reinterpret_cast<const char*>(&number), sizeof number);
  };
  for (const std::string& name : {key, std::string(32 - key.size(), 'x')}) {
    put(static_cast<std::uint64_t>(name.size()));
    more += name;
    put(std::uint32_t{6});  // a float
    put(value);
  }
  std::string bytes = *synthesise({});
  std::uint64_t facts = 0;
  std::memcpy(&facts, &bytes[16], sizeof facts);
  facts += 2;
  std::memcpy(&bytes[16], &facts, sizeof facts);
  return bytes.insert(24, more);
}

// As libllama has it: files of long contexts with a factor alone are meant to be linear.
TEST(Graph, AFactorOfPositionsWithoutAKindIsLinear) {
  for (const char* key : {"llama.rope.scaling.factor", "llama.rope.scale_linear"}) {
    const std::string bytes = with_number(key, 4);
    const auto file = ModelFile::parse(bytes, "m.gguf");
    ASSERT_TRUE(file.ok()) << file.error().message;
    const auto graph = build_graph(*file);
    ASSERT_TRUE(graph.ok()) << graph.error().message;
    EXPECT_EQ(graph->rope.scale, 0.25F) << key;
  }
}

TEST(Graph, NamesTheKeyThatItDoesNotFollow) {
  EXPECT_EQ(error_of(with_number("llama.rope.scaling.factor", -2)),
            "m.gguf: llama.rope.scaling.factor: expected a positive number, got -2");
  EXPECT_EQ(error_of(with_number("llama.attn_logit_softcapping", 50)),
            "m.gguf: llama.attn_logit_softcapping = 50 is not supported");
  data::GgufWriter yarn;
  yarn.entry("general.architecture", "llama")
      .entry("llama.block_count", 1U)
      .entry("llama.embedding_length", 32U)
      .entry("llama.attention.head_count", 1U)
      .entry("llama.attention.layer_norm_rms_epsilon", 1e-5F)
      .entry("llama.rope.scaling.type", "yarn")
      .tensor("token_embd.weight", {32, 300}, 0, 32 * 300 * 4);
  std::string file;
  yarn.write([&](std::string_view more) { file += more; },
             [](std::size_t, const auto& write) { write(std::string(32 * 300 * 4, '\0')); });
  EXPECT_EQ(error_of(file),
            "m.gguf: llama.rope.scaling.type = yarn is not supported; supported: none, linear");
}

// Of queries and keys, beside their rotation (exactness_test holds it against libllama).
TEST(Graph, AFactorOfAttentionIsTheGainOfTheRotation) {
  const char* key = "llama.rope.scaling.attn_factor";
  const std::string bytes = with_number(key, 1.5F);
  const auto file = ModelFile::parse(bytes, "m.gguf");
  ASSERT_TRUE(file.ok()) << file.error().message;
  const auto graph = build_graph(*file);
  ASSERT_TRUE(graph.ok()) << graph.error().message;
  std::vector<float> angles(16);
  rope_angles(graph->rope, 0, angles.data());
  EXPECT_EQ(angles[0], 1.5F);
  EXPECT_EQ(angles[1], 0);
  EXPECT_EQ(error_of(with_number(key, 0)),
            "m.gguf: llama.rope.scaling.attn_factor: expected a positive number");
}

// Its number of the feed-forward where the file tells it, in every layer.
TEST(Graph, FeedForwardsAreAsLongAsTheFileSaysAndAlike) {
  const auto put = [](std::string& bytes, std::size_t at, auto value) {
    std::memcpy(&bytes[at], &value, sizeof value);
  };
  std::string lies = *synthesise({});
  const std::string key = "llama.feed_forward_length";
  put(lies, lies.find(key) + key.size() + 4, std::uint32_t{160});
  EXPECT_EQ(error_of(lies),
            "m.gguf: tensor 'blk.0.ffn_gate.weight' has 96 rows of 64 numbers, expected 160 of 64");

  std::string differs = changed("feed_forward_length", "feed_forward_lengtx");
  EXPECT_EQ(error_of(differs), "");
  const std::string gate = "blk.1.ffn_gate.weight";  // then its dimensions: how many, and they
  put(differs, differs.find(gate) + gate.size() + 4 + 8, std::uint64_t{64});
  EXPECT_EQ(error_of(differs),
            "m.gguf: tensor 'blk.1.ffn_gate.weight' has 64 rows of 64 numbers, expected 96 of 64");
}

TEST(Graph, NamesTensorsThatAreMissingOrStrange) {
  EXPECT_EQ(error_of(changed("blk.1.ffn_up.weight", "blk.1.ffn_uq.weight")),
            "m.gguf: tensor 'blk.1.ffn_up.weight' is missing");
  // Without it the embedding would be the head, but what this is is not known.
  std::string bytes = *synthesise({});
  bytes.replace(bytes.rfind("output.weight"), 6, "ouxput");
  EXPECT_EQ(error_of(bytes),
            "m.gguf: tensor 'ouxput.weight' is not one of architecture 'llama' as it is supported");
}

TEST(ModelFile, RefusesTensorsThatLie) {
  const auto with_tensor = [](std::vector<std::uint64_t> shape, std::uint32_t type,
                              std::uint64_t shift) {
    data::GgufWriter writer;
    writer.entry("general.architecture", "llama")
        .tensor("a", {32}, 0, 128)
        .tensor("b", shape, type, 128);
    std::string file;
    writer.write([&](std::string_view more) { file += more; },
                 [](std::size_t, const auto& write) { write(std::string(128, '\0')); });
    // The offset of b is the last number of the front, before padding: at most 31 bytes of it.
    const std::uint64_t offset = 128;
    const std::size_t at =
        file.rfind(std::string(reinterpret_cast<const char*>(&offset), sizeof offset));
    std::memcpy(&file[at], &shift, sizeof shift);
    return error_of(file);
  };
  EXPECT_EQ(with_tensor({32}, 0, 96), "m.gguf: tensor 'b': overlaps tensor 'a'");
  EXPECT_EQ(with_tensor({32}, 0, 0), "m.gguf: tensor 'b': overlaps tensor 'a'");
  EXPECT_EQ(with_tensor({32}, 0, 100), "m.gguf: tensor 'b': offset 100 is no multiple of 32");
  EXPECT_NE(with_tensor({32}, 0, 1 << 20).find("ends at byte"), std::string::npos);
  EXPECT_EQ(with_tensor({30}, 8, 128),
            "m.gguf: tensor 'b': rows of 30 numbers are no whole blocks of Q8_0");
  EXPECT_NE(with_tensor({32}, 17, 128).find("format 17 is not supported"), std::string::npos);
  EXPECT_NE(with_tensor({1ULL << 40, 1ULL << 40}, 0, 128).find("tensor 'b'"), std::string::npos);
  EXPECT_NE(with_tensor({0}, 0, 128).find("a size of 0"), std::string::npos);
}

TEST(ModelFile, SurvivesAnyDamage) {
  const std::string whole = *synthesise({.layers = 1, .vocabulary = 300});
  const std::size_t front = whole.find("output.weight") + 100;
  Prng prng(7);
  int refused = 0;
  for (int i = 0; i < 2000; ++i) {
    std::string bytes = whole;
    for (std::uint64_t n = 1 + prng.below(4); n > 0; --n)
      bytes[prng.below(front)] = static_cast<char>(prng.next());
    if (prng.below(4) == 0)
      bytes.resize(prng.below(bytes.size()));
    refused += error_of(bytes).empty() ? 0 : 1;
  }
  EXPECT_GT(refused, 500);
}

}  // namespace
}  // namespace medley::lpu
