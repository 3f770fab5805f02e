#include "perf/tables/vidur.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <tuple>

#include "base/check.h"
#include "perf/step_run.h"

namespace medley::perf {
namespace {

constexpr long long kKvGrid = 64;    // Vidur's kv_cache_prediction_granularity
constexpr long long kTokenGrid = 8;  // batches are padded to it
// Added to each of the two collectives of a layer: Vidur's nccl_cpu_launch_overhead, ms.
constexpr double kCollectiveLaunchMs = 0.02;
// More than one decode, more than one chunk: Vidur's attention batching overhead fractions.
constexpr double kBatchingOverhead = 1.1;

// Far beyond any batch or context.
constexpr long long kLargestSize = 1'000'000;

constexpr long long round_up(long long value, long long grid) {
  return (value + grid - 1) / grid * grid;
}

// A step function of a size: a value holds from its start on to the next one's; the first one holds
// below too.
class Steps {
 public:
  // `starts` ascending.
  void add(long long start, double value) {
    starts_.push_back(start);
    values_.push_back(value);
  }
  double at(long long size) const {
    const auto after = std::upper_bound(starts_.begin(), starts_.end(), size);
    return values_[static_cast<std::size_t>(std::max(after - starts_.begin() - 1, 0L))];
  }

 private:
  std::vector<long long> starts_;
  std::vector<double> values_;
};

// Values of sizes: an absent size takes that of the next larger one; the last one holds beyond.
template <typename Value>
class Sizes {
 public:
  // The value of a size no smaller than those before.
  Value& last(long long size) {
    if (sizes_.empty() || sizes_.back() != size) {
      sizes_.push_back(size);
      values_.emplace_back();
    }
    return values_.back();
  }
  const Value& at(long long size) const {
    // Most tables are even grids: then its place follows from the first two.
    if (sizes_.size() > 1 && size >= sizes_.front()) {
      const auto place =
          static_cast<std::size_t>((size - sizes_.front()) / (sizes_[1] - sizes_.front()));
      if (place < sizes_.size() && sizes_[place] == size)
        return values_[place];
    }
    const auto found = std::lower_bound(sizes_.begin(), sizes_.end() - 1, size);
    return values_[static_cast<std::size_t>(found - sizes_.begin())];
  }
  bool is_beyond(long long size) const { return size > sizes_.back(); }

 private:
  std::vector<long long> sizes_;
  std::vector<Value> values_;
};

class VidurModel final : public StepModel {
 public:
  VidurModel(VidurTables tables, int layers) : layers_(layers) {
    std::sort(tables.per_token.begin(), tables.per_token.end(),
              [](const auto& a, const auto& b) { return a.num_tokens < b.num_tokens; });
    for (const VidurPerTokenRow& row : tables.per_token) {
      padded_.add(row.num_tokens, row.attn_pre_proj + row.attn_rope + row.attn_post_proj +
                                      row.mlp_up_proj + row.mlp_act + row.mlp_down_proj +
                                      row.input_layernorm + row.post_attention_layernorm + row.add +
                                      2 * (row.all_reduce + kCollectiveLaunchMs));
      kv_save_.add(row.num_tokens, row.attn_kv_cache_save);
    }

    std::sort(tables.decode.begin(), tables.decode.end(), [](const auto& a, const auto& b) {
      return std::tie(a.batch_size, a.kv_cache_size) < std::tie(b.batch_size, b.kv_cache_size);
    });
    for (const VidurDecodeRow& row : tables.decode)
      decode_.last(row.batch_size).last(row.kv_cache_size) = row.prediction;

    std::sort(tables.prefill.begin(), tables.prefill.end(), [](const auto& a, const auto& b) {
      return std::tie(a.kv_cache_size, a.prefill_chunk_from) <
             std::tie(b.kv_cache_size, b.prefill_chunk_from);
    });
    for (const VidurPrefillRow& row : tables.prefill)
      prefill_.last(row.kv_cache_size).add(row.prefill_chunk_from, row.prediction);
  }

  StepCost step(const StepShape& shape) const override {
    MEDLEY_CHECK(shape.decodes > 0 || !shape.chunks.empty());
    long long tokens = shape.decodes, kv_before = 0;
    double chunk_squares = 0;
    for (const PrefillChunk& chunk : shape.chunks) {
      tokens += chunk.tokens;
      kv_before += round_up(chunk.context, kKvGrid);
      chunk_squares += static_cast<double>(chunk.tokens) * static_cast<double>(chunk.tokens);
    }
    bool beyond = false;
    double layer_ms = operations(tokens);
    if (shape.decodes > 0) {
      const Sizes<double>& sizes = decode_.at(shape.decodes);
      const long long size = round_up(shape.decode_context / shape.decodes, kKvGrid);
      beyond = decode_.is_beyond(shape.decodes) || sizes.is_beyond(size);
      layer_ms += attention(sizes, shape.decodes, size);
    }
    if (!shape.chunks.empty()) {
      const double of_chunks = prefill_.at(kv_before).at(std::llround(std::sqrt(chunk_squares)));
      beyond = beyond || prefill_.is_beyond(kv_before);
      layer_ms += shape.chunks.size() > 1 ? of_chunks * kBatchingOverhead : of_chunks;
    }
    StepCost cost{seconds(layer_ms), Joules()};
    cost.extrapolated = beyond;
    return cost;
  }
  // The mean context, rounded down, grows by one a step; steps of one kv_cache_size are equal.
  std::optional<StepCost> run(const StepShape& first, long long steps) const override {
    const Sizes<double>& sizes = decode_.at(first.decodes);
    const bool beyond_batches = decode_.is_beyond(first.decodes);
    const double operations_ms = operations(first.decodes);
    long long mean = first.decode_context / first.decodes;
    StepCost sum;
    for (long long done = 0; done < steps;) {
      const long long size = round_up(mean, kKvGrid);
      const long long equal = std::min(size - mean + 1, steps - done);
      const double layer_ms = operations_ms + attention(sizes, first.decodes, size);
      sum.time += seconds(layer_ms) * static_cast<double>(equal);
      sum.extrapolated += equal * (beyond_batches || sizes.is_beyond(size) ? 1 : 0);
      done += equal;
      mean += equal;
    }
    return sum;
  }
  Watts idle_power() const override { return {}; }

 private:
  // Milliseconds of a layer.
  double operations(long long tokens) const {
    return padded_.at(round_up(tokens, kTokenGrid)) + kv_save_.at(tokens);
  }
  static double attention(const Sizes<double>& sizes, long long decodes, long long size) {
    const double of_one = sizes.at(size);
    return decodes > 1 ? of_one * kBatchingOverhead : of_one;
  }
  Seconds seconds(double layer_ms) const { return Seconds(layer_ms * layers_ * 1e-3); }

  double layers_;
  Steps padded_;                 // all operations looked up at the padded token count
  Steps kv_save_;                // the one looked up at the true count
  Sizes<Sizes<double>> decode_;  // by batch, then by kv_cache_size
  Sizes<Steps> prefill_;         // by kv_cache_size
};

std::string attention_complaint(const char* size_name, long long size, long long kv_cache_size,
                                double prediction) {
  if (std::min(size, kv_cache_size) < 0 || std::max(size, kv_cache_size) > kLargestSize) {
    return fmt::format("{} {}, kv_cache_size {}: expected 0 to {}", size_name, size, kv_cache_size,
                       kLargestSize);
  }
  if (kv_cache_size % kKvGrid != 0)
    return fmt::format("kv_cache_size {}: expected a multiple of {}", kv_cache_size, kKvGrid);
  if (!(prediction > 0))
    return fmt::format("prediction {}: expected positive milliseconds", prediction);
  return {};
}

template <typename Row>
Status check(const char* table, const std::vector<Row>& rows) {
  if (rows.empty())
    return Error{ErrorCode::kInvalid, fmt::format("the {} table has no rows", table), {}};
  for (const Row& row : rows) {
    if (std::string wrong = complaint(row); !wrong.empty())
      return Error{ErrorCode::kInvalid, std::move(wrong), {}};
  }
  return Done{};
}

}  // namespace

std::string complaint(const VidurPerTokenRow& row) {
  if (row.num_tokens < 0 || row.num_tokens > kLargestSize)
    return fmt::format("num_tokens {}: expected 0 to {}", row.num_tokens, kLargestSize);
  // Vidur rounds what is quicker than it can tell to 0.
  const double least =
      std::min({row.add, row.all_reduce, row.attn_kv_cache_save, row.attn_post_proj,
                row.attn_pre_proj, row.attn_rope, row.input_layernorm, row.mlp_act,
                row.mlp_down_proj, row.mlp_up_proj, row.post_attention_layernorm});
  if (!(least >= 0))
    return fmt::format("a time of {}: expected milliseconds, 0 or more", least);
  return {};
}
std::string complaint(const VidurDecodeRow& row) {
  return attention_complaint("batch_size", row.batch_size, row.kv_cache_size, row.prediction);
}
std::string complaint(const VidurPrefillRow& row) {
  return attention_complaint("prefill_chunk_from", row.prefill_chunk_from, row.kv_cache_size,
                             row.prediction);
}

Result<std::shared_ptr<const StepModel>> make_vidur_model(const VidurTables& tables, int layers) {
  if (layers < 1) {
    return Error{ErrorCode::kInvalid,
                 fmt::format("a model has at least one layer, not {}", layers)};
  }
  MEDLEY_TRY_STATUS(check("per-token", tables.per_token));
  MEDLEY_TRY_STATUS(check("decode attention", tables.decode));
  MEDLEY_TRY_STATUS(check("prefill attention", tables.prefill));
  return std::shared_ptr<const StepModel>(std::make_shared<VidurModel>(tables, layers));
}

}  // namespace medley::perf
