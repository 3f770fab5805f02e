// The static schedule and libllama held against each other, and both against plain F32 arithmetic.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/stepper.h"
#include "engine/testing_local.h"
#include "lpu/reference.h"
#include "lpu/synth.h"

namespace medley::engine::static_schedule {
namespace {

std::unique_ptr<Stepper> stepper(EngineType type, const std::string& path, int threads = 1,
                                 int context = 256) {
  auto made =
      make_stepper({.engine = type, .model_path = path, .threads = threads, .context = context});
  MEDLEY_CHECK(made.ok(), made.ok() ? "" : made.error().message);
  return std::move(made).value();
}

double difference(std::span<const float> a, std::span<const float> b) {
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    most = std::max(most, static_cast<double>(std::fabs(a[i] - b[i])));
  return most;
}

// The largest difference of logits over a greedy sequence from the beginning of a text.
void agree(const std::string& path, double most) {
  const auto llama = stepper(EngineType::kLlamaEmbedded, path);
  for (const int threads : {1, 2}) {
    llama->reset();
    const auto ours = stepper(EngineType::kStaticSchedule, path, threads);
    int token = 1;
    for (int i = 0; i < 256; ++i) {
      ASSERT_TRUE(llama->step(token).ok());
      ASSERT_TRUE(ours->step(token).ok());
      ASSERT_LT(difference(llama->logits(), ours->logits()), most) << "position " << i;
      ASSERT_EQ(llama->choice(), ours->choice()) << "position " << i;
      token = ours->choice();
    }
  }
}

TEST(Exactness, AgreesWithLibllamaOnStories) {
  std::string why_not;
  const auto path = stories_model(why_not);
  if (!path)
    GTEST_SKIP() << why_not;
  agree(*path, 1e-4);
}

struct File {
  explicit File(const lpu::SynthShape& shape, const std::string& name = "synth.gguf")
      : path(data::own_temporary(name)) {
    const Status written = lpu::synthesise(shape, path);
    MEDLEY_CHECK(written.ok(), written.ok() ? "" : written.error().message);
  }
  std::string path;
};

// The reference itself, by another's arithmetic: F32 weights of every family.
TEST(Exactness, ReferenceAgreesWithLibllamaOnEveryFamily) {
  for (const auto& [family, experts] :
       {std::pair("llama", 0), std::pair("qwen2", 0), std::pair("qwen3", 0), std::pair("gemma", 0),
        std::pair("llama", 4), std::pair("qwen3moe", 8)}) {
    const File file({.family = family,
                     .width = 96,
                     .heads = 6,
                     .kv_heads = 2,
                     .head_size = 16,
                     .experts = experts,
                     .experts_per_token = 2});
    const auto llama = stepper(EngineType::kLlamaEmbedded, file.path);
    const auto model = lpu::ModelFile::open(file.path);
    ASSERT_TRUE(model.ok());
    const auto graph = lpu::build_graph(*model);
    ASSERT_TRUE(graph.ok()) << graph.error().message;
    lpu::Reference reference(*graph, 40);
    // ggml looks Gelu up in a table of F16.
    const double most = graph->activation == lpu::Activation::kGelu ? 3e-3 : 1e-4;
    for (int i = 0; i < 40; ++i) {
      const int token = 1 + 7 * i % 500;
      ASSERT_TRUE(llama->step(token).ok());
      ASSERT_LT(difference(reference.step(token), llama->logits()), most) << family << " " << i;
    }
  }
}

TEST(Exactness, AgreesWithLibllamaOnMixturesOfExperts) {
  for (const char* family : {"llama", "qwen3moe"}) {
    const File file({.family = family,
                     .width = 96,
                     .heads = 6,
                     .kv_heads = 2,
                     .head_size = 16,
                     .experts = 8,
                     .experts_per_token = 3});
    agree(file.path, 1e-4);
  }
}

TEST(Exactness, AgreesWithLibllamaOnAFactorOfAttention) {
  const File file({.width = 96, .heads = 6, .attn_factor = 1.5F});
  const File plain({.width = 96, .heads = 6}, "plain.gguf");
  agree(file.path, 1e-4);
  // Not for want of an effect.
  const auto with = stepper(EngineType::kStaticSchedule, file.path);
  const auto without = stepper(EngineType::kStaticSchedule, plain.path);
  for (const int token : {1, 8, 15}) {
    ASSERT_TRUE(with->step(token).ok());
    ASSERT_TRUE(without->step(token).ok());
  }
  EXPECT_GT(difference(with->logits(), without->logits()), 1e-2);
}

struct Errors {
  double ours = 0, theirs = 0;
};
// The largest of logits, against F32 arithmetic on the same weights.
Errors errors_of(const std::string& path, int tokens) {
  const auto llama = stepper(EngineType::kLlamaEmbedded, path);
  const auto ours = stepper(EngineType::kStaticSchedule, path);
  const auto model = lpu::ModelFile::open(path);
  MEDLEY_CHECK(model.ok());
  const auto graph = lpu::build_graph(*model);
  MEDLEY_CHECK(graph.ok());
  lpu::Reference reference(*graph, tokens);
  Errors errors;
  for (int i = 0; i < tokens; ++i) {
    const int token = 1 + 7 * i % 500;
    EXPECT_TRUE(llama->step(token).ok());
    EXPECT_TRUE(ours->step(token).ok());
    const std::vector<float>& expected = reference.step(token);
    errors.ours = std::max(errors.ours, difference(expected, ours->logits()));
    errors.theirs = std::max(errors.theirs, difference(expected, llama->logits()));
  }
  return errors;
}

TEST(Exactness, IsExactOnTheBuiltInModel) {
  std::string why_not;
  const auto path = builtin_model(why_not);
  if (!path)
    GTEST_SKIP() << why_not;
  // Its weights are F16, and libllama rounds activations to F16 for them; we do not.
  const Errors errors = errors_of(*path, 20);
  EXPECT_LT(errors.ours, 1e-4);
  EXPECT_LE(errors.ours, errors.theirs);
}

TEST(Exactness, IsAtLeastAsExactAsLibllamaOnQuantisedWeights) {
  for (const lpu::TensorFormat format :
       {lpu::TensorFormat::kF16, lpu::TensorFormat::kBf16, lpu::TensorFormat::kQ8_0,
        lpu::TensorFormat::kQ4_0, lpu::TensorFormat::kQ4_1, lpu::TensorFormat::kQ5_0,
        lpu::TensorFormat::kQ5_1, lpu::TensorFormat::kQ4_K, lpu::TensorFormat::kQ5_K,
        lpu::TensorFormat::kQ6_K}) {
    const File file(
        {.width = 256, .heads = 4, .kv_heads = 2, .head_size = 64, .inner = 512, .format = format});
    const Errors errors = errors_of(file.path, 30);
    EXPECT_LE(errors.ours, errors.theirs) << name_of(format);
    EXPECT_LT(errors.ours, 0.05) << name_of(format);  // of logits of about 4
  }
}

TEST(Exactness, IsAtLeastAsExactAsLibllamaOnQuantisedExperts) {
  for (const lpu::TensorFormat format : {lpu::TensorFormat::kQ8_0, lpu::TensorFormat::kQ4_0}) {
    const File file({.family = "qwen3moe",
                     .width = 256,
                     .heads = 4,
                     .kv_heads = 2,
                     .head_size = 64,
                     .inner = 128,
                     .experts = 8,
                     .experts_per_token = 2,
                     .format = format});
    const Errors errors = errors_of(file.path, 30);
    EXPECT_LE(errors.ours, errors.theirs) << name_of(format);
    EXPECT_LT(errors.ours, 0.05) << name_of(format);
  }
}

// libllama reads the prompt, the static schedule goes on from its KV cache: the same text as alone.
TEST(Exactness, GoesOnFromLibllamasCache) {
  std::string why_not;
  const auto path = stories_model(why_not);
  if (!path)
    GTEST_SKIP() << why_not;
  const auto llama = stepper(EngineType::kLlamaEmbedded, *path);
  const auto alone = stepper(EngineType::kStaticSchedule, *path);
  const auto after = stepper(EngineType::kStaticSchedule, *path, 2);
  int token = 1;
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(llama->step(token).ok());
    ASSERT_TRUE(alone->step(token).ok());
    token = llama->choice();
  }
  const auto state = llama->export_kv();
  ASSERT_TRUE(state.ok()) << state.error().message;
  EXPECT_EQ(state->positions, 40);
  ASSERT_TRUE(after->import_kv(*state).ok());
  for (int i = 0; i < 150; ++i) {
    ASSERT_TRUE(llama->step(token).ok());
    ASSERT_TRUE(alone->step(token).ok());
    ASSERT_TRUE(after->step(token).ok());
    ASSERT_LT(difference(after->logits(), llama->logits()), 1e-4);
    ASSERT_EQ(after->choice(), llama->choice());
    ASSERT_EQ(after->choice(), alone->choice());
    token = after->choice();
  }
  KvState wrong = *state;
  wrong.layers = 4;
  EXPECT_FALSE(after->import_kv(wrong).ok());
}

TEST(Stepper, RefusesEnginesWithoutSteps) {
  const auto made = make_stepper({.engine = EngineType::kEmulated, .model_path = "x"});
  EXPECT_EQ(made.error().message,
            "engine emulated cannot be stepped; static_schedule and llama_embedded can");
}

}  // namespace
}  // namespace medley::engine::static_schedule
