#include "simulate/vllm_profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "data/csv.h"
#include "data/yaml.h"

namespace medley::simulate {
namespace {

Error at_row(const data::CsvTable& table, std::size_t row, const std::string& message) {
  return {ErrorCode::kInvalid, fmt::format("{}: {}", table.where(row), message), {}};
}

// A column of sizes, 0 or more.
Result<std::vector<long long>> sizes(const data::CsvTable& table, std::string_view column) {
  constexpr long long kLargest = 1'000'000'000;
  MEDLEY_TRY(std::vector<long long> values, table.wholes(column));
  for (std::size_t row = 0; row < values.size(); ++row) {
    if (values[row] < 0 || values[row] > kLargest) {
      return at_row(table, row,
                    fmt::format("{}: expected 0 to {}, got {}", column, kLargest, values[row]));
    }
  }
  return values;
}

Result<std::vector<double>> times(const data::CsvTable& table) {
  MEDLEY_TRY(std::vector<double> values, table.numbers("time_us"));
  for (std::size_t row = 0; row < values.size(); ++row) {
    if (!(values[row] > 0)) {
      return at_row(table, row,
                    fmt::format("time_us: expected a positive time, got {}", values[row]));
    }
  }
  return values;
}

// Fails at the first row whose key another one has. `key_of` takes a row's number.
template <typename KeyOf>
Status unique_rows(const data::CsvTable& table, const KeyOf& key_of) {
  std::set<decltype(key_of(std::size_t{0}))> seen;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    if (!seen.insert(key_of(row)).second)
      return at_row(table, row, "a second row for the same layer and sizes");
  }
  return Done{};
}

Result<std::vector<perf::VllmLayerRow>> read_layers(const std::string& path,
                                                    std::string_view size_column) {
  MEDLEY_TRY(const data::CsvTable table, data::read_csv(path));
  MEDLEY_TRY(const auto layer, table.texts("layer"));
  MEDLEY_TRY(const auto size, sizes(table, size_column));
  MEDLEY_TRY(const auto time_us, times(table));
  MEDLEY_TRY_STATUS(
      unique_rows(table, [&](std::size_t i) { return std::pair(layer[i], size[i]); }));
  std::vector<perf::VllmLayerRow> rows;
  rows.reserve(size.size());
  for (std::size_t i = 0; i < size.size(); ++i)
    rows.push_back({std::string(layer[i]), size[i], time_us[i]});
  return rows;
}

Result<std::vector<perf::VllmAttentionRow>> read_attention(const std::string& path) {
  MEDLEY_TRY(const data::CsvTable table, data::read_csv(path));
  MEDLEY_TRY(const auto prefill_chunk, sizes(table, "prefill_chunk"));
  MEDLEY_TRY(const auto kv_prefill, sizes(table, "kv_prefill"));
  MEDLEY_TRY(const auto n_decode, sizes(table, "n_decode"));
  MEDLEY_TRY(const auto kv_decode, sizes(table, "kv_decode"));
  MEDLEY_TRY(const auto time_us, times(table));
  MEDLEY_TRY_STATUS(unique_rows(table, [&](std::size_t i) {
    return std::tuple(prefill_chunk[i], n_decode[i], kv_prefill[i], kv_decode[i]);
  }));
  std::vector<perf::VllmAttentionRow> rows;
  rows.reserve(time_us.size());
  for (std::size_t i = 0; i < time_us.size(); ++i)
    rows.push_back({prefill_chunk[i], kv_prefill[i], n_decode[i], kv_decode[i], time_us[i]});
  return rows;
}

Result<data::Node> child(const data::Node& parent, std::string_view key) {
  if (const auto found = parent.find(key))
    return *found;
  return parent.error(fmt::format("missing key '{}'", key));
}

// The axes of a bucket as meta.yaml and skew_fit.csv name them, in the order of VllmSkew::Axis.
struct AxisNames {
  const char *bins, *labels, *column;
};
constexpr std::array<AxisNames, perf::VllmSkew::kAxes> kAxisNames = {{
    {"n_bins", "n_labels", "n_label"},
    {"skew_rate_bins", "skew_rate_labels", "skew_rate_label"},
    {"kv_big_bins", "kv_big_labels", "kv_big_label"},
    {"kp_bins", "kp_labels", "kp_label"},
}};

Result<perf::VllmSkew> read_skew(const data::Node& fit, const std::string& path, int ranks) {
  perf::VllmSkew skew;
  MEDLEY_TRY(const data::Node per_rank, child(fit, "per_tp"));
  MEDLEY_TRY(const data::Node of_ranks, child(per_rank, std::to_string(ranks)));
  MEDLEY_TRY(const data::Node alpha_default, child(of_ranks, "alpha_default"));
  MEDLEY_TRY(skew.alpha_default, alpha_default.number({.min = -1e6, .max = 1e6}));

  MEDLEY_TRY(const data::CsvTable table, data::read_csv(path));
  MEDLEY_TRY(const auto prefill_chunk, sizes(table, "pc"));
  MEDLEY_TRY(const auto alpha, table.numbers("alpha"));
  skew.rows.resize(alpha.size());
  for (std::size_t row = 0; row < alpha.size(); ++row) {
    skew.rows[row].prefill_chunk = prefill_chunk[row];
    skew.rows[row].alpha = alpha[row];
  }
  MEDLEY_TRY(const data::Node axes, child(fit, "bucket_axes"));
  for (std::size_t axis = 0; axis < kAxisNames.size(); ++axis) {
    MEDLEY_TRY(const data::Node bins, child(axes, kAxisNames[axis].bins));
    MEDLEY_TRY(const std::vector<data::Node> edges, bins.items());
    MEDLEY_TRY(const data::Node label_list, child(axes, kAxisNames[axis].labels));
    MEDLEY_TRY(const std::vector<std::string> labels, label_list.texts());
    if (edges.size() != labels.size() + 1) {
      return bins.error(fmt::format("expected {} edges around the {} of {}, got {}",
                                    labels.size() + 1, labels.size(), kAxisNames[axis].labels,
                                    edges.size()));
    }
    for (std::size_t i = 1; i < edges.size(); ++i) {
      MEDLEY_TRY(const double edge, edges[i].number({.min = -1e300, .max = 1e300}));
      if (!skew.upper_edges[axis].empty() && edge <= skew.upper_edges[axis].back())
        return edges[i].error("expected edges in ascending order");
      skew.upper_edges[axis].push_back(edge);
    }
    MEDLEY_TRY(const auto texts, table.texts(kAxisNames[axis].column));
    for (std::size_t row = 0; row < texts.size(); ++row) {
      const auto found = std::find(labels.begin(), labels.end(), texts[row]);
      if (found == labels.end()) {
        return at_row(table, row,
                      fmt::format("{}: '{}' is none of the {} in {}", kAxisNames[axis].column,
                                  texts[row], kAxisNames[axis].labels, fit.file()));
      }
      skew.rows[row].labels[axis] = static_cast<std::size_t>(found - labels.begin());
    }
  }
  return skew;
}

}  // namespace

Result<perf::VllmProfile> read_vllm_profile(const std::string& folder, int ranks) {
  perf::VllmProfile profile;
  MEDLEY_TRY(profile.dense, read_layers(folder + "/dense.csv", "tokens"));
  MEDLEY_TRY(profile.per_sequence, read_layers(folder + "/per_sequence.csv", "sequences"));
  MEDLEY_TRY(profile.attention, read_attention(folder + "/attention.csv"));
  MEDLEY_TRY(const data::Node meta, data::read_yaml(folder + "/meta.yaml"));
  if (const auto fit = meta.find("skew_fit")) {
    MEDLEY_TRY(const data::Node enabled, child(*fit, "enabled"));
    MEDLEY_TRY(const bool is_enabled, enabled.flag());
    if (is_enabled) {
      MEDLEY_TRY(profile.skew, read_skew(*fit, folder + "/skew_fit.csv", ranks));
    }
  }
  return profile;
}

}  // namespace medley::simulate
