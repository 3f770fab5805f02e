#include "perf/tables/vidur.h"

#include <gtest/gtest.h>

#include <array>

namespace medley::perf {
namespace {

// Round numbers in the shape of the real tables, so that a step can be added up by hand.
VidurTables tables() {
  VidurTables tables;
  const auto per_token = [](long long from, double factor) {
    return VidurPerTokenRow{.num_tokens = from,
                            .add = 1 * factor,
                            .all_reduce = 2 * factor,
                            .attn_kv_cache_save = 100 * factor,
                            .attn_post_proj = 3 * factor,
                            .attn_pre_proj = 4 * factor,
                            .attn_rope = 5 * factor,
                            .input_layernorm = 6 * factor,
                            .mlp_act = 7 * factor,
                            .mlp_down_proj = 8 * factor,
                            .mlp_up_proj = 9 * factor,
                            .post_attention_layernorm = 10 * factor};
  };
  tables.per_token = {per_token(16, 10), per_token(1, 1)};
  for (const long long batch : {1, 2}) {
    for (const long long kv : {0, 64, 128}) {
      tables.decode.push_back(
          {batch, kv, 1000.0 * static_cast<double>(batch) + static_cast<double>(kv)});
    }
  }
  tables.prefill = {{0, 1, 10000}, {0, 50, 20000}, {64, 1, 30000}, {128, 1, 40000}};
  return tables;
}

// A layer's operations but attention: 53 of the plain ones plus twice the all-reduce with its
// launch.
constexpr double kPlain = 53 + 2 * (2 + 0.02);
constexpr double kPlainTen = 530 + 2 * (20 + 0.02);

double layer_ms(const StepShape& shape) {
  const auto model = make_vidur_model(tables(), 3);
  return (*model)->step(shape).time.value() * 1e3 / 3;
}

TEST(VidurTables, AddUpADecode) {
  // 5 tokens processed: the size 64 holds for 1 to 64; the mean of two is cut before it is rounded
  // up.
  EXPECT_NEAR(layer_ms({.decodes = 1, .decode_context = 5}), kPlain + 100 + 1064, 1e-9);
  EXPECT_NEAR(layer_ms({.decodes = 2, .decode_context = 129}), kPlain + 100 + 2064 * 1.1, 1e-9);
  EXPECT_NEAR(layer_ms({.decodes = 2, .decode_context = 130}), kPlain + 100 + 2128 * 1.1, 1e-9);
}

TEST(VidurTables, PadTheBatchToEightExceptForTheCacheWrite) {
  std::array chunk = {PrefillChunk{.tokens = 9}};
  // 9 tokens are padded to 16, where the second row starts; the cache write is looked up at 9.
  EXPECT_NEAR(layer_ms({.chunks = chunk}), kPlainTen + 100 + 10000, 1e-9);
  chunk[0].tokens = 16;
  EXPECT_NEAR(layer_ms({.chunks = chunk}), kPlainTen + 1000 + 10000, 1e-9);
}

TEST(VidurTables, TakeTheRootOfTheSumOfSquaresOfSeveralChunks) {
  const std::array chunks = {PrefillChunk{.tokens = 30, .context = 1},
                             PrefillChunk{.tokens = 40, .context = 64}};
  // Each context rounds up to 64, together 128.
  EXPECT_NEAR(layer_ms({.chunks = chunks}), kPlainTen + 1000 + 40000 * 1.1, 1e-9);
  const std::array fresh = {PrefillChunk{.tokens = 30}, PrefillChunk{.tokens = 40}};
  EXPECT_NEAR(layer_ms({.chunks = fresh}), kPlainTen + 1000 + 20000 * 1.1, 1e-9);
}

TEST(VidurTables, AddADecodeAndAChunk) {
  const std::array chunk = {PrefillChunk{.tokens = 4}};
  EXPECT_NEAR(layer_ms({.chunks = chunk, .decodes = 1, .decode_context = 0}),
              kPlain + 100 + 1000 + 10000, 1e-9);
}

TEST(VidurTables, HoldTheirLastRowBeyondTheEnd) {
  EXPECT_NEAR(layer_ms({.decodes = 3, .decode_context = 3000}), kPlain + 100 + 2128 * 1.1, 1e-9);
}

// What is kept is as much as the rows, not as the gaps between them.
TEST(VidurTables, TakeTheNextLargerRowForAbsentOnes) {
  VidurTables sparse = tables();
  for (const long long kv : {64, 64'000})
    sparse.decode.push_back({1'000'000, kv, 5000.0 + static_cast<double>(kv)});
  sparse.prefill.push_back({960'000, 1'000'000, 50000});
  const auto model = make_vidur_model(sparse, 1);
  const auto ms = [&](const StepShape& shape) { return (*model)->step(shape).time.value() * 1e3; };
  EXPECT_NEAR(ms({.decodes = 3, .decode_context = 3}), kPlain + 100 + 5064 * 1.1, 1e-9);
  EXPECT_NEAR(ms({.decodes = 3, .decode_context = 3 * 65}), kPlain + 100 + 69000 * 1.1, 1e-9);
  const std::array chunk = {PrefillChunk{.tokens = 4, .context = 129}};
  EXPECT_NEAR(ms({.chunks = chunk}), kPlain + 100 + 50000, 1e-9);
}

TEST(VidurTables, SayWhenTheyAreAskedBeyondTheEnd) {
  const auto model = *make_vidur_model(tables(), 3);
  const auto extrapolated = [&](const StepShape& shape) { return model->step(shape).extrapolated; };
  EXPECT_EQ(extrapolated({.decodes = 2, .decode_context = 256}), 0);
  EXPECT_EQ(extrapolated({.decodes = 2, .decode_context = 258}), 1);
  EXPECT_EQ(extrapolated({.decodes = 3, .decode_context = 3}), 1);
  std::array chunk = {PrefillChunk{.tokens = 9, .context = 128}};
  EXPECT_EQ(extrapolated({.chunks = chunk}), 0);
  chunk[0].context = 129;
  EXPECT_EQ(extrapolated({.chunks = chunk}), 1);
}

TEST(VidurTables, RefuseRowsThatCannotBe) {
  EXPECT_FALSE(make_vidur_model({}, 80).ok());
  EXPECT_FALSE(make_vidur_model(tables(), 0).ok());
  const auto decode = [](const VidurDecodeRow& row) { return complaint(row); };
  EXPECT_EQ(decode({1, 64, 1}), "");
  EXPECT_EQ(decode({1, 65, 1}), "kv_cache_size 65: expected a multiple of 64");
  EXPECT_EQ(decode({1'000'001, 64, 1}),
            "batch_size 1000001, kv_cache_size 64: expected 0 to 1000000");
  EXPECT_EQ(decode({1, 64, 0}), "prediction 0: expected positive milliseconds");
  EXPECT_EQ(complaint(VidurPrefillRow{64, 1, -5}), "prediction -5: expected positive milliseconds");
  EXPECT_EQ(complaint(VidurPerTokenRow{.num_tokens = 1}), "");
  EXPECT_EQ(complaint(VidurPerTokenRow{.num_tokens = 1, .mlp_act = -2}),
            "a time of -2: expected milliseconds, 0 or more");
  VidurTables wrong = tables();
  wrong.decode.front().prediction = 0;
  EXPECT_FALSE(make_vidur_model(wrong, 1).ok());
}

}  // namespace
}  // namespace medley::perf
