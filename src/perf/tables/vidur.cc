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

// Far beyond any batch or context; the tables are kept as arrays over their sizes.
constexpr long long kLargestSize = 1'000'000;

constexpr long long round_up(long long value, long long grid) {
  return (value + grid - 1) / grid * grid;
}

// A step function of a size: values at 0, 1, 2, … up to the last step's start, which holds beyond.
class Steps {
 public:
  // `starts` ascending; below the first start its value holds.
  void add(long long start, double value) {
    if (values_.empty())
      values_.push_back(value);
    values_.resize(static_cast<std::size_t>(start), values_.back());
    values_.push_back(value);
  }
  double at(long long size) const {
    return values_[std::min(static_cast<std::size_t>(size), values_.size() - 1)];
  }
  bool empty() const { return values_.empty(); }

 private:
  std::vector<double> values_;
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
    for (const VidurDecodeRow& row : tables.decode) {
      decode_.resize(static_cast<std::size_t>(row.batch_size) + 1);
      fill_to(decode_.back(), row.kv_cache_size / kKvGrid, row.prediction);
    }
    fill_gaps(decode_);

    std::sort(tables.prefill.begin(), tables.prefill.end(), [](const auto& a, const auto& b) {
      return std::tie(a.kv_cache_size, a.prefill_chunk_from) <
             std::tie(b.kv_cache_size, b.prefill_chunk_from);
    });
    for (const VidurPrefillRow& row : tables.prefill) {
      prefill_.resize(static_cast<std::size_t>(row.kv_cache_size / kKvGrid) + 1);
      prefill_.back().add(row.prefill_chunk_from, row.prediction);
    }
    fill_gaps(prefill_);
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
    double layer_ms = padded_.at(round_up(tokens, kTokenGrid)) + kv_save_.at(tokens);
    if (shape.decodes > 0) {
      const auto& sizes = at_or_last(decode_, shape.decodes);
      const long long mean = shape.decode_context / shape.decodes;
      const long long size = round_up(mean, kKvGrid) / kKvGrid;
      const double attention = at_or_last(sizes, size);
      beyond = is_beyond(decode_, shape.decodes) || is_beyond(sizes, size);
      layer_ms += shape.decodes > 1 ? attention * kBatchingOverhead : attention;
    }
    if (!shape.chunks.empty()) {
      const double attention =
          at_or_last(prefill_, kv_before / kKvGrid).at(std::llround(std::sqrt(chunk_squares)));
      beyond = beyond || is_beyond(prefill_, kv_before / kKvGrid);
      layer_ms += shape.chunks.size() > 1 ? attention * kBatchingOverhead : attention;
    }
    StepCost cost{Seconds(layer_ms * layers_ * 1e-3), Joules()};
    cost.extrapolated = beyond;
    return cost;
  }
  // The mean context, rounded down, grows by one a step; steps of one kv_cache_size are equal.
  std::optional<StepCost> run(const StepShape& first, long long steps) const override {
    StepCost sum;
    for (long long done = 0; done < steps;) {
      const StepShape shape = later_step(first, done);
      const long long mean = shape.decode_context / shape.decodes;
      const long long equal = std::min(round_up(mean, kKvGrid) - mean + 1, steps - done);
      const StepCost each = step(shape);
      sum.time += each.time * static_cast<double>(equal);
      sum.extrapolated += each.extrapolated * equal;
      done += equal;
    }
    return sum;
  }
  Watts idle_power() const override { return {}; }

 private:
  // Appends `value` at `index`; the places before it that had no row get it too.
  static void fill_to(std::vector<double>& values, long long index, double value) {
    values.resize(static_cast<std::size_t>(index) + 1, value);
  }
  // A place without rows takes those of the next one that has some; the last one always has.
  template <typename Row>
  static void fill_gaps(std::vector<Row>& rows) {
    for (std::size_t i = rows.size() - 1; i-- > 0;) {
      if (rows[i].empty())
        rows[i] = rows[i + 1];
    }
  }
  template <typename Value>
  static const Value& at_or_last(const std::vector<Value>& values, long long index) {
    return values[std::min(static_cast<std::size_t>(index), values.size() - 1)];
  }

  template <typename Value>
  static bool is_beyond(const std::vector<Value>& values, long long index) {
    return static_cast<std::size_t>(index) >= values.size();
  }

  double layers_;
  Steps padded_;                             // all operations looked up at the padded token count
  Steps kv_save_;                            // the one looked up at the true count
  std::vector<std::vector<double>> decode_;  // [batch][kv_cache_size / 64]
  std::vector<Steps> prefill_;               // [kv_cache_size / 64]
};

// The first complaint about a table's keys, or nothing.
template <typename Row, typename Key>
std::optional<std::string> complaint(std::string_view table, const std::vector<Row>& rows,
                                     Key key) {
  if (rows.empty())
    return fmt::format("the {} table has no rows", table);
  std::vector<std::tuple<long long, long long>> keys;
  keys.reserve(rows.size());
  for (const Row& row : rows)
    keys.push_back(key(row));
  std::sort(keys.begin(), keys.end());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const auto [first, second] = keys[i];
    if (std::min(first, second) < 0 || std::max(first, second) > kLargestSize) {
      return fmt::format("the {} table has a size out of range ({}, {})", table, first, second);
    }
    if (i > 0 && keys[i] == keys[i - 1]) {
      return fmt::format("the {} table has two rows for ({}, {})", table, first, second);
    }
  }
  return std::nullopt;
}

}  // namespace

Result<std::shared_ptr<const StepModel>> make_vidur_model(const VidurTables& tables, int layers) {
  const auto invalid = [](std::string message) {
    return Error{ErrorCode::kInvalid, std::move(message)};
  };
  if (layers < 1)
    return invalid(fmt::format("a model has at least one layer, not {}", layers));
  using Key = std::tuple<long long, long long>;
  if (auto wrong = complaint("per-token", tables.per_token,
                             [](const auto& row) { return Key(row.num_tokens, 0); })) {
    return invalid(*std::move(wrong));
  }
  if (auto wrong = complaint("decode attention", tables.decode, [](const auto& row) {
        return Key(row.batch_size, row.kv_cache_size);
      })) {
    return invalid(*std::move(wrong));
  }
  if (auto wrong = complaint("prefill attention", tables.prefill, [](const auto& row) {
        return Key(row.kv_cache_size, row.prefill_chunk_from);
      })) {
    return invalid(*std::move(wrong));
  }
  for (const VidurDecodeRow& row : tables.decode) {
    if (row.kv_cache_size % kKvGrid != 0) {
      return invalid(fmt::format("decode attention: kv_cache_size {} is not a multiple of {}",
                                 row.kv_cache_size, kKvGrid));
    }
  }
  for (const VidurPrefillRow& row : tables.prefill) {
    if (row.kv_cache_size % kKvGrid != 0) {
      return invalid(fmt::format("prefill attention: kv_cache_size {} is not a multiple of {}",
                                 row.kv_cache_size, kKvGrid));
    }
  }
  return std::shared_ptr<const StepModel>(std::make_shared<VidurModel>(tables, layers));
}

}  // namespace medley::perf
