// `vllm_layer_profile`: step times added up from the profile of vLLM's layers on one card.
//
// Pure: the simulator reads the folder of a `step_times: {format: vllm_layer_profile}` and hands
// the rows over. The form of the profile is that of LLMServingSim; microseconds. With T tokens and
// S sequences a step takes
//
//   embedding(T) + layers · block + final_layernorm(T) + every per-sequence layer at S
//   block = 2 · layernorm(T) + every other dense layer at T + attention
//         + 2 collectives of T · bytes_per_token on several ranks, each
//           2 (r−1)/r · bytes / bandwidth + 2 (r−1) · latency     (ring all-reduce,
//           hardware.md 2.1)
//
// Tables are linear between points, flat below the first, on the last segment beyond. Attention is
// a table over (prefill_chunk, kv_prefill, n_decode, kv_decode), linear on each axis; an absent
// (prefill_chunk, n_decode) pair takes the nearest present. It is looked up at the decodes' mean
// context, rounded down; decodes of different lengths add alpha · (attention at the longest − at
// the mean) where that is positive. A sequence with one token is a decode, even when it is the end
// of a prompt. Energy is not modelled: it is 0.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "domain/fleet.h"
#include "perf/step_model.h"

namespace medley::perf {

// A row of dense.csv (`size`: tokens) or per_sequence.csv (`size`: sequences).
struct VllmLayerRow {
  std::string layer;
  long long size = 0;
  double time_us = 0;
};

struct VllmAttentionRow {
  long long prefill_chunk = 0, kv_prefill = 0, n_decode = 0, kv_decode = 0;
  double time_us = 0;
};

// How much of the way to its longest decode a batch of unequal ones goes: alpha by bucket.
struct VllmSkew {
  // The axes of a bucket, and the upper edges of each axis's labels, ascending: a value belongs to
  // the first label whose upper edge is not below it.
  enum Axis { kDecodes, kSkewRate, kLongest, kKvPrefill };
  static constexpr std::size_t kAxes = 4;
  std::array<std::vector<double>, kAxes> upper_edges;
  struct Row {
    long long prefill_chunk = 0;  // exactly
    std::array<std::size_t, kAxes> labels{};
    double alpha = 0;
  };
  std::vector<Row> rows;
  double alpha_default = 0;  // where no row fits
};

struct VllmProfile {
  std::vector<VllmLayerRow> dense, per_sequence;
  std::vector<VllmAttentionRow> attention;
  std::optional<VllmSkew> skew;
};

// Preconditions: no row appears twice, sizes are not negative, times are positive. Fails when a
// table is empty or lacks a layer that the formula names, or `layers` < 1. A step that asks a table
// beyond its last point, or for a pair that is absent, counts as extrapolated.
Result<std::shared_ptr<const StepModel>> make_vllm_model(
    const VllmProfile& profile, int layers, const std::optional<StepTable::AllReduce>& all_reduce);

}  // namespace medley::perf
