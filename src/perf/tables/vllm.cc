#include "perf/tables/vllm.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "base/check.h"
#include "perf/tables/piecewise.h"

namespace medley::perf {
namespace {

constexpr std::string_view kEmbedding = "embedding", kLayerNorm = "layernorm",
                           kFinalLayerNorm = "final_layernorm";

std::map<std::string, Piecewise> by_layer(std::vector<VllmLayerRow> rows) {
  std::sort(rows.begin(), rows.end(), [](const VllmLayerRow& a, const VllmLayerRow& b) {
    return std::tie(a.layer, a.size) < std::tie(b.layer, b.size);
  });
  std::map<std::string, Piecewise> layers;
  for (const VllmLayerRow& row : rows) {
    Piecewise& layer = layers[row.layer];
    layer.points.push_back(static_cast<double>(row.size));
    layer.values.push_back(row.time_us);
  }
  return layers;
}

// The table over (prefill_chunk, kv_prefill, n_decode, kv_decode).
class Attention {
 public:
  explicit Attention(std::vector<VllmAttentionRow> rows) {
    std::sort(rows.begin(), rows.end(), [](const VllmAttentionRow& a, const VllmAttentionRow& b) {
      return std::tie(a.prefill_chunk, a.n_decode, a.kv_prefill, a.kv_decode) <
             std::tie(b.prefill_chunk, b.n_decode, b.kv_prefill, b.kv_decode);
    });
    for (const VllmAttentionRow& row : rows) {
      const auto chunk = static_cast<double>(row.prefill_chunk);
      const auto decodes = static_cast<double>(row.n_decode);
      if (chunks_.empty() || chunks_.back() != chunk) {
        chunks_.push_back(chunk);
        by_chunk_.emplace_back();
      }
      std::vector<Pair>& pairs = by_chunk_.back();
      if (pairs.empty() || pairs.back().decodes != decodes) {
        pairs.push_back({.decodes = decodes});
        decodes_.push_back(decodes);
      }
      Pair& pair = pairs.back();
      const auto kv_prefill = static_cast<double>(row.kv_prefill);
      if (pair.kv_prefill.empty() || pair.kv_prefill.back() != kv_prefill) {
        pair.kv_prefill.push_back(kv_prefill);
        pair.by_kv_decode.emplace_back();
      }
      pair.by_kv_decode.back().points.push_back(static_cast<double>(row.kv_decode));
      pair.by_kv_decode.back().values.push_back(row.time_us);
    }
    std::sort(decodes_.begin(), decodes_.end());
    decodes_.erase(std::unique(decodes_.begin(), decodes_.end()), decodes_.end());
  }

  struct Query {
    long long prefill_chunk = 0, kv_prefill = 0, n_decode = 0, kv_decode = 0;
  };
  double at(const Query& query, bool& beyond) const {
    const auto kv_prefill = static_cast<double>(query.kv_prefill);
    const auto kv_decode = static_cast<double>(query.kv_decode);
    const PlaceAmong chunk =
        place_among(chunks_, static_cast<double>(query.prefill_chunk), BelowFirst::kFlat);
    const PlaceAmong decode =
        place_among(decodes_, static_cast<double>(query.n_decode), BelowFirst::kFlat);
    beyond = beyond || chunk.share > 1 || decode.share > 1;
    const auto corner = [&](std::size_t chunk_index, std::size_t decode_index, double weight) {
      if (weight == 0)
        return 0.0;
      const double decodes = decodes_[decode_index];
      const auto [distance, found] = nearest(chunk_index, decodes);
      const Pair& pair = *found;
      // Nothing is measured for a step without work; any other absent pair is a hole.
      const bool empty_step = chunks_[chunk_index] == 0 && decodes == 0;
      const PlaceAmong place = place_among(pair.kv_prefill, kv_prefill, BelowFirst::kFlat);
      const Piecewise &low = pair.by_kv_decode[place.low], &high = pair.by_kv_decode[place.high];
      beyond = beyond || (distance > 0 && !empty_step) || kv_prefill > pair.kv_prefill.back() ||
               (query.n_decode > 0 && kv_decode > low.points.back());
      return weight * place.between(low.at(kv_decode, BelowFirst::kFlat),
                                    high.at(kv_decode, BelowFirst::kFlat));
    };
    return corner(chunk.low, decode.low, (1 - chunk.share) * (1 - decode.share)) +
           corner(chunk.low, decode.high, (1 - chunk.share) * decode.share) +
           corner(chunk.high, decode.low, chunk.share * (1 - decode.share)) +
           corner(chunk.high, decode.high, chunk.share * decode.share);
  }

 private:
  struct Pair {
    double decodes = 0;
    std::vector<double> kv_prefill;       // ascending
    std::vector<Piecewise> by_kv_decode;  // at each of them
  };
  struct Near {
    double distance = std::numeric_limits<double>::infinity();
    const Pair* pair = nullptr;
  };

  // The nearest present pair by the sum of the distances in prefill_chunk and n_decode; ties go to
  // the smaller chunk, then to fewer decodes. From the chunk outwards until no row can be nearer:
  // the pairs of a table that is all holes are too many to look at, or to keep.
  Near nearest(std::size_t chunk, double decodes) const {
    Near best;
    const auto look = [&](std::size_t row, double away, bool tie_wins) {
      const std::vector<Pair>& pairs = by_chunk_[row];
      const auto above =
          std::lower_bound(pairs.begin(), pairs.end(), decodes,
                           [](const Pair& pair, double wanted) { return pair.decodes < wanted; });
      Near here;
      if (above != pairs.begin())
        here = {away + decodes - (above - 1)->decodes, &*(above - 1)};
      if (above != pairs.end() && away + above->decodes - decodes < here.distance)
        here = {away + above->decodes - decodes, &*above};
      if (here.distance < best.distance || (tie_wins && here.distance == best.distance))
        best = here;
    };
    for (std::size_t row = chunk + 1; row-- > 0;) {
      const double away = chunks_[chunk] - chunks_[row];
      if (away > best.distance)
        break;
      look(row, away, true);
    }
    for (std::size_t row = chunk + 1; row < chunks_.size(); ++row) {
      const double away = chunks_[row] - chunks_[chunk];
      if (away >= best.distance)
        break;
      look(row, away, false);
    }
    return best;
  }

  std::vector<double> chunks_, decodes_;     // the two axes of the pairs
  std::vector<std::vector<Pair>> by_chunk_;  // as chunks_; by decodes, those that are there
};

class SkewTable {
 public:
  explicit SkewTable(const VllmSkew& skew)
      : edges_(skew.upper_edges), alpha_default_(skew.alpha_default) {
    for (const VllmSkew::Row& row : skew.rows)
      alphas_[{row.prefill_chunk, row.labels}] = row.alpha;
  }
  double alpha(long long prefill_chunk, const std::array<double, VllmSkew::kAxes>& values) const {
    std::array<std::size_t, VllmSkew::kAxes> labels{};
    for (std::size_t axis = 0; axis < values.size(); ++axis) {
      const std::vector<double>& edges = edges_[axis];
      labels[axis] = static_cast<std::size_t>(
          std::lower_bound(edges.begin(), edges.end(), values[axis]) - edges.begin());
    }
    const auto found = alphas_.find({prefill_chunk, labels});
    return found == alphas_.end() ? alpha_default_ : found->second;
  }

 private:
  std::array<std::vector<double>, VllmSkew::kAxes> edges_;
  std::map<std::pair<long long, std::array<std::size_t, VllmSkew::kAxes>>, double> alphas_;
  double alpha_default_;
};

class VllmModel final : public StepModel {
 public:
  VllmModel(const VllmProfile& profile, int layers,
            const std::optional<StepTable::AllReduce>& all_reduce)
      : attention_(profile.attention), layers_(layers) {
    for (auto& [name, layer] : by_layer(profile.dense)) {
      const double times = name == kEmbedding || name == kFinalLayerNorm ? 1
                           : name == kLayerNorm                          ? 2.0 * layers
                                                                         : layers;
      by_tokens_.push_back({std::move(layer), times});
    }
    for (auto& [name, layer] : by_layer(profile.per_sequence))
      by_sequences_.push_back({std::move(layer), 1});
    if (profile.skew)
      skew_.emplace(*profile.skew);
    if (all_reduce && all_reduce->ranks > 1) {
      const double ranks = all_reduce->ranks;
      collective_us_per_token_ = 2 * (ranks - 1) / ranks * all_reduce->bytes_per_token /
                                 (all_reduce->bandwidth_gb_per_s * 1e9) * 1e6;
      collective_us_ = 2 * (ranks - 1) * all_reduce->latency_us;
    }
  }

  StepCost step(const StepShape& shape) const override {
    MEDLEY_CHECK(shape.decodes > 0 || !shape.chunks.empty());
    Attention::Query query{.n_decode = shape.decodes};
    long long sequences = shape.decodes, tokens = shape.decodes, context = shape.decode_context,
              shortest = shape.decode_context_min, longest = shape.decode_context_max;
    for (const PrefillChunk& chunk : shape.chunks) {
      ++sequences;
      tokens += chunk.tokens;
      if (chunk.tokens > 1) {
        query.prefill_chunk += chunk.tokens;
        query.kv_prefill += chunk.context;
        continue;
      }
      shortest = query.n_decode == 0 ? chunk.context : std::min(shortest, chunk.context);
      longest = std::max(longest, chunk.context);
      context += chunk.context;
      ++query.n_decode;
    }
    bool beyond = false;
    double us = layers_ * attention_us(query, context, shortest, longest, beyond);
    us += 2 * layers_ * (collective_us_per_token_ * static_cast<double>(tokens) + collective_us_);
    for (const Layer& layer : by_tokens_)
      us += layer.us(tokens, beyond);
    for (const Layer& layer : by_sequences_)
      us += layer.us(sequences, beyond);
    // Far outside the tables a last segment that falls would lead below nothing.
    StepCost cost{Seconds(std::max(0.0, us) * 1e-6), Joules()};
    cost.extrapolated = beyond;
    return cost;
  }
  Watts idle_power() const override { return {}; }

 private:
  struct Layer {
    Piecewise table;
    double times;  // how often it is run in a step

    double us(long long size, bool& beyond) const {
      const auto value = static_cast<double>(size);
      beyond = beyond || value > table.points.back();
      return times * table.at(value, BelowFirst::kFlat);
    }
  };

  double attention_us(Attention::Query query, long long context, long long shortest,
                      long long longest, bool& beyond) const {
    if (query.n_decode > 0)
      query.kv_decode = context / query.n_decode;
    const double at_mean = attention_.at(query, beyond);
    if (!skew_ || query.n_decode < 2 || longest == shortest)
      return at_mean;
    const double mean = static_cast<double>(context) / static_cast<double>(query.n_decode);
    const double rate =
        (mean - static_cast<double>(shortest)) / static_cast<double>(longest - shortest);
    const double alpha = skew_->alpha(
        query.prefill_chunk, {static_cast<double>(query.n_decode), rate,
                              static_cast<double>(longest), static_cast<double>(query.kv_prefill)});
    query.kv_decode = longest;
    return at_mean + std::max(0.0, alpha * (attention_.at(query, beyond) - at_mean));
  }

  const Attention attention_;
  std::vector<Layer> by_tokens_, by_sequences_;
  std::optional<SkewTable> skew_;
  double layers_;
  double collective_us_per_token_ = 0, collective_us_ = 0;  // of one collective
};

}  // namespace

Result<std::shared_ptr<const StepModel>> make_vllm_model(
    const VllmProfile& profile, int layers, const std::optional<StepTable::AllReduce>& all_reduce) {
  const auto invalid = [](std::string message) {
    return Error{ErrorCode::kInvalid, std::move(message), {}};
  };
  if (layers < 1)
    return invalid(fmt::format("a model has at least one layer, not {}", layers));
  if (profile.attention.empty())
    return invalid("the attention table has no rows");
  if (profile.per_sequence.empty())
    return invalid("the per-sequence table has no rows");
  for (const std::string_view name : {kEmbedding, kLayerNorm, kFinalLayerNorm}) {
    const bool found = std::any_of(profile.dense.begin(), profile.dense.end(),
                                   [&](const VllmLayerRow& row) { return row.layer == name; });
    if (!found)
      return invalid(fmt::format("the dense table has no rows for layer '{}'", name));
  }
  return std::shared_ptr<const StepModel>(std::make_shared<VllmModel>(profile, layers, all_reduce));
}

}  // namespace medley::perf
