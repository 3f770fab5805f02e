#include "perf/tables/vllm.h"

#include <gtest/gtest.h>

#include <array>

namespace medley::perf {
namespace {

// Round numbers: an iteration's layers but attention are worth 1000 + T outside and 10 a layer, the
// sampler 100 · S; attention is 1 + 2 for each prompt token, 0.5 for each token before, and for
// each decode 3 + 0.25 for each token of its context. Two layers.
VllmProfile profile() {
  VllmProfile profile;
  for (const long long tokens : {0, 1000}) {
    profile.dense.push_back({"embedding", tokens, 400 + static_cast<double>(tokens)});
    profile.dense.push_back({"final_layernorm", tokens, 600});
    profile.dense.push_back({"layernorm", tokens, 1});
    profile.dense.push_back({"qkv_proj", tokens, 3});
    profile.dense.push_back({"act_fn", tokens, 5});
  }
  for (const long long sequences : {1, 50})
    profile.per_sequence.push_back({"sampler", sequences, 100 * static_cast<double>(sequences)});
  for (const long long chunk : {0, 100}) {
    for (const long long decodes : {0, 4, 8}) {
      if (chunk == 0 && decodes == 0)
        continue;
      for (const long long before : {0, 1000}) {
        for (const long long kv : {0, 1000}) {
          if ((chunk == 0 && before > 0) || (decodes == 0 && kv > 0))
            continue;
          profile.attention.push_back(
              {chunk, before, decodes, kv,
               1 + 2.0 * static_cast<double>(chunk) + 0.5 * static_cast<double>(before) +
                   static_cast<double>(decodes) * (3 + 0.25 * static_cast<double>(kv))});
        }
      }
    }
  }
  return profile;
}

double us(const VllmProfile& profile, const StepShape& shape) {
  return (*make_vllm_model(profile, 2, {}))->step(shape).time.value() * 1e6;
}
constexpr double kLayers = 2;

StepShape decodes_of(long long count, long long context) {
  return {.decodes = count,
          .decode_context = count * context,
          .decode_context_min = context,
          .decode_context_max = context};
}

TEST(VllmProfile, AddsUpADecodeStep) {
  EXPECT_NEAR(us(profile(), decodes_of(6, 100)), 1000 + 6 + 600 + kLayers * (10 + 1 + 6 * (3 + 25)),
              1e-6);
}

TEST(VllmProfile, AddsUpAChunkBesideDecodes) {
  const std::array chunk = {PrefillChunk{.tokens = 50, .context = 200}};
  StepShape shape = decodes_of(6, 100);
  shape.chunks = chunk;
  EXPECT_NEAR(us(profile(), shape),
              1000 + 56 + 700 + kLayers * (10 + 1 + 100 + 100 / 2 + 6 * (3 + 25)), 1e-6)
      << "tokens before count half here: without a chunk the table knows none";
}

TEST(VllmProfile, TakesTheEndOfAPromptForADecode) {
  const std::array chunks = {PrefillChunk{.tokens = 1, .context = 100}};
  StepShape shape = decodes_of(5, 100);
  shape.chunks = chunks;
  EXPECT_NEAR(us(profile(), shape), us(profile(), decodes_of(6, 100)), 1e-6);
}

TEST(VllmProfile, LooksUpDecodesOfDifferentLengthsAtTheirMeanAndGoesSomeOfTheWayToTheLongest) {
  VllmProfile skewed = profile();
  StepShape shape = decodes_of(4, 100);
  shape.decode_context = 401;  // 20, 20, 20, 341: the mean 100.25 is cut to 100
  shape.decode_context_min = 20;
  shape.decode_context_max = 341;
  EXPECT_NEAR(us(skewed, shape), us(skewed, decodes_of(4, 100)), 1e-6) << "without skew_fit";

  // (100.25 - 20) / 321 = exactly 0.25; 341 is in the second bucket of the longest.
  skewed.skew = VllmSkew{.upper_edges = {{{4, 1e9}, {0.25, 1}, {340, 1e9}, {0, 1e9}}},
                         .rows = {{.prefill_chunk = 0, .labels = {0, 0, 1, 0}, .alpha = 0.5},
                                  {.prefill_chunk = 7, .labels = {0, 0, 1, 0}, .alpha = 0.9}},
                         .alpha_default = 0.1};
  const double whole_way = us(profile(), decodes_of(4, 341)) - us(profile(), decodes_of(4, 100));
  EXPECT_NEAR(us(skewed, shape) - us(skewed, decodes_of(4, 100)), 0.5 * whole_way, 1e-6);
  shape.decode_context_max = 342;
  EXPECT_NEAR(us(skewed, shape) - us(skewed, decodes_of(4, 100)),
              0.5 * (us(profile(), decodes_of(4, 342)) - us(profile(), decodes_of(4, 100))), 1e-6);
  shape.decode_context = 410;  // the rate is in the second bucket now, which has no row
  EXPECT_NEAR(us(skewed, shape) - us(skewed, decodes_of(4, 102)),
              0.1 * (us(profile(), decodes_of(4, 342)) - us(profile(), decodes_of(4, 102))), 1e-6);
  skewed.skew->alpha_default = -0.1;
  EXPECT_NEAR(us(skewed, shape), us(skewed, decodes_of(4, 102)), 1e-6) << "never less";
}

TEST(VllmProfile, AddsTwoCollectivesALayer) {
  const StepTable::AllReduce all_reduce{
      .ranks = 4, .bytes_per_token = 8e3, .bandwidth_gb_per_s = 10, .latency_us = 2};
  const double with =
      (*make_vllm_model(profile(), 2, all_reduce))->step(decodes_of(6, 100)).time.value() * 1e6;
  // 6 tokens · 8 kB · 2 · 3/4 over 10 GB/s is 7.2 us; 2 · 3 latencies are 12.
  EXPECT_NEAR(with - us(profile(), decodes_of(6, 100)), kLayers * 2 * (7.2 + 12), 1e-6);
}

TEST(VllmProfile, TakesTheNearestPairForAnAbsentOne) {
  VllmProfile holed = profile();
  std::erase_if(holed.attention, [](const VllmAttentionRow& row) {
    return row.prefill_chunk == 100 && row.n_decode == 8;
  });
  const std::array chunk = {PrefillChunk{.tokens = 100}};
  StepShape shape = decodes_of(8, 100);
  shape.chunks = chunk;
  StepShape of_four = decodes_of(4, 100);
  of_four.chunks = chunk;
  // Attention as with 4 decodes; 4 more tokens and sequences outside it.
  EXPECT_NEAR(us(holed, shape) - us(holed, of_four), 4 + 400, 1e-6);
}

TEST(VllmProfile, TakesTheSmallerChunkAndThenFewerDecodesOfPairsAsNear) {
  VllmProfile holed = profile();
  holed.attention.clear();
  // Four pairs around (20, 20), each 10 away, and the axes' points that make it a pair of its own.
  int us_of_layer = 0;
  for (const auto& [chunk, decodes] : {std::pair{10, 20}, {20, 10}, {20, 30}, {30, 20}})
    holed.attention.push_back({chunk, 0, decodes, 0, 100.0 * ++us_of_layer});
  const std::array chunks = {PrefillChunk{.tokens = 20}};
  StepShape shape = decodes_of(20, 0);
  shape.chunks = chunks;
  const double all_else = 1000 + 40 + 2100 + kLayers * 10;
  EXPECT_NEAR(us(holed, shape), all_else + kLayers * 100, 1e-6);
  holed.attention.erase(holed.attention.begin());
  EXPECT_NEAR(us(holed, shape), all_else + kLayers * 200, 1e-6);
  holed.attention.erase(holed.attention.begin());
  EXPECT_NEAR(us(holed, shape), all_else + kLayers * 300, 1e-6);
}

// Every row with sizes of its own: the pairs that are absent are the square of those there.
TEST(VllmProfile, KeepsNothingForAbsentPairs) {
  VllmProfile scattered = profile();
  constexpr long long kRows = 100'000;
  for (long long i = 1; i <= kRows; ++i)
    scattered.attention.push_back({1000 * i, 0, 10 + (i * 7919) % kRows, 16, 50});
  const auto model = *make_vllm_model(scattered, 2, {});
  const std::array chunk = {PrefillChunk{.tokens = 50'000}};
  StepShape shape = decodes_of(40'000, 16);
  shape.chunks = chunk;
  EXPECT_EQ(model->step(shape).extrapolated, 1);
}

TEST(VllmProfile, SaysWhenItIsAskedBeyondItsTables) {
  const auto model = *make_vllm_model(profile(), 2, {});
  const auto extrapolated = [&](const StepShape& shape) { return model->step(shape).extrapolated; };
  EXPECT_EQ(extrapolated(decodes_of(8, 1000)), 0);
  EXPECT_EQ(extrapolated(decodes_of(9, 1000)), 1);
  EXPECT_EQ(extrapolated(decodes_of(8, 1001)), 1);
  std::array chunk = {PrefillChunk{.tokens = 100, .context = 1000}};
  EXPECT_EQ(extrapolated({.chunks = chunk}), 0);
  chunk[0].context = 1001;
  EXPECT_EQ(extrapolated({.chunks = chunk}), 1);
  chunk[0] = {.tokens = 101, .context = 0};
  StepShape shape = decodes_of(4, 0);
  shape.chunks = chunk;
  EXPECT_EQ(extrapolated(shape), 1);
  EXPECT_NEAR(us(profile(), shape), 1000 + 105 + 500 + kLayers * (10 + 1 + 202 + 12), 1e-6)
      << "on the last segment";
}

TEST(VllmProfile, RefusesAProfileWithoutTheLayersOfTheFormula) {
  VllmProfile lacking = profile();
  std::erase_if(lacking.dense, [](const VllmLayerRow& row) { return row.layer == "layernorm"; });
  EXPECT_EQ(make_vllm_model(lacking, 2, {}).error().message,
            "the dense table has no rows for layer 'layernorm'");
  EXPECT_FALSE(make_vllm_model(profile(), 0, {}).ok());
  EXPECT_FALSE(make_vllm_model({}, 2, {}).ok());
}

}  // namespace
}  // namespace medley::perf
