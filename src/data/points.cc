#include "data/points.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <span>

#include "base/check.h"
#include "base/nearest.h"
#include "data/csv.h"
#include "data/yaml.h"

namespace medley::data {
namespace {

enum class Kind {
  kText,
  kPositive,
  kCount,   // devices, sequences, tokens: whole, 1 to a million
  kAmount,  // a mean of such: 1 to a million
  kNumber
};
constexpr double kMost = 1e6;

struct Key {
  const char* name;
  Kind kind = Kind::kPositive;
  bool required = true;
};

struct Group {
  const char* name;
  std::vector<Key> keys;
};

constexpr bool kMaybe = false;

// What each group of a file may say; the meaning of the fields stands in docs/perf.md.
const std::vector<Group>& groups() {
  static const std::vector<Group> all = {
      {"ml_energy",
       {{"model", Kind::kText},
        {"task", Kind::kText, kMaybe},
        {"gpu", Kind::kText},
        {"n", Kind::kCount},
        {"tp", Kind::kCount},
        {"ep", Kind::kCount, kMaybe},
        {"prec", Kind::kText},
        {"batch", Kind::kAmount},
        {"out_len", Kind::kAmount},
        {"itl_ms"},
        {"itl_p99_ms", Kind::kPositive, kMaybe},
        {"tps"},
        {"W_gpu"},
        {"J_tok"}}},
      {"splitwise",
       {{"model", Kind::kText},
        {"gpu", Kind::kText},
        {"tp", Kind::kCount},
        {"prompt", Kind::kCount},
        {"batch", Kind::kCount},
        {"prompt_ms"},
        {"token_ms"}}},
      {"blis_h100",
       {{"model", Kind::kText},
        {"workload", Kind::kText, kMaybe},
        {"tp", Kind::kCount},
        {"prec", Kind::kText},
        {"ttft_mean_ms"},
        {"ttft_p99_ms", Kind::kPositive, kMaybe},
        {"itl_mean_ms"},
        {"e2e_mean_ms"}}},
      {"llmservingsim",
       {{"model", Kind::kText},
        {"gpu", Kind::kText},
        {"tp", Kind::kCount, kMaybe},
        {"dp", Kind::kCount, kMaybe},
        {"ep", Kind::kCount, kMaybe},
        {"prec", Kind::kText},
        {"kv_tokens", Kind::kPositive, kMaybe},
        {"ttft_mean_ms"},
        {"tpot_mean_ms"},
        {"tpot_p99_ms", Kind::kPositive, kMaybe}}},
      {"lpu_v1",
       {{"model", Kind::kText},
        {"active_params"},
        {"layers", Kind::kCount},
        {"published_tok_s_user"},
        {"pred", Kind::kNumber, kMaybe},
        {"err_pct", Kind::kNumber, kMaybe},
        {"src", Kind::kText, kMaybe}}},
      {"npu_cpu",
       {{"device", Kind::kText},
        {"model", Kind::kText},
        {"prec", Kind::kText},
        {"ctx", Kind::kCount, kMaybe},
        {"tok_s"},
        {"W", Kind::kPositive, kMaybe},
        {"src", Kind::kText, kMaybe}}},
  };
  return all;
}

Result<Point> read_point(const Node& node, const Group& group, std::size_t index) {
  Point point;
  point.group = group.name;
  point.index = index;
  point.line = node.line();
  Fields fields(node);
  constexpr Bounds kAny{.min = -1e300}, kFromOne{.min = 1, .max = kMost};
  for (const Key& key : group.keys) {
    if (key.kind == Kind::kText) {
      std::string text = key.required ? fields.required_text(key.name) : fields.text(key.name);
      if (!text.empty())
        point.texts[key.name] = std::move(text);
      continue;
    }
    if (key.kind == Kind::kCount) {
      const Whole range{1, static_cast<long long>(kMost)};
      const auto count = key.required ? std::optional(fields.required_whole(key.name, range))
                                      : fields.whole(key.name, range);
      if (count)
        point.numbers[key.name] = static_cast<double>(*count);
      continue;
    }
    const Bounds& bounds = key.kind == Kind::kPositive ? kPositive
                           : key.kind == Kind::kAmount ? kFromOne
                                                       : kAny;
    if (key.required) {
      point.numbers[key.name] = fields.required_number(key.name, bounds);
    } else if (const auto number = fields.number(key.name, bounds)) {
      point.numbers[key.name] = *number;
    }
  }
  MEDLEY_TRY_STATUS(fields.finish());
  return point;
}

Result<PointsFile> read_document(const Node& node) {
  PointsFile result;
  result.file = node.file();
  Fields fields(node);
  fields.ignore("schema_version");
  result.as_of = fields.text("as_of");
  const auto table = fields.required("validation_points");
  MEDLEY_TRY_STATUS(fields.finish());
  MEDLEY_TRY(const auto entries, table->entries());
  std::vector<std::string> names;
  for (const Group& group : groups())
    names.emplace_back(group.name);
  for (const auto& [name, list] : entries) {
    const auto group =
        std::find_if(groups().begin(), groups().end(),
                     [&, wanted = name](const Group& g) { return g.name == wanted; });
    if (group == groups().end()) {
      return list.key_error(
          fmt::format("no group of points '{}'{}", name, suggestion(name, names)));
    }
    MEDLEY_TRY(const std::vector<Node> items, list.items());
    for (std::size_t i = 0; i < items.size(); ++i) {
      MEDLEY_TRY(Point point, read_point(items[i], *group, i));
      result.points.push_back(std::move(point));
    }
  }
  if (result.points.empty())
    return table->error("expected at least one point");
  return result;
}

}  // namespace

double Point::number(std::string_view key) const {
  const auto found = numbers.find(key);
  MEDLEY_CHECK(found != numbers.end(), std::string(key));
  return found->second;
}

std::optional<double> Point::maybe(std::string_view key) const {
  const auto found = numbers.find(key);
  return found == numbers.end() ? std::nullopt : std::optional(found->second);
}

const std::string& Point::text(std::string_view key) const {
  static const std::string none;
  const auto found = texts.find(key);
  return found == texts.end() ? none : found->second;
}

Result<PointsFile> read_points(const std::string& path) {
  MEDLEY_TRY(const Node node, read_yaml(path));
  return read_document(node);
}

Result<PointsFile> parse_points(std::string_view text, std::string name) {
  MEDLEY_TRY(const Node node, parse_yaml(text, std::move(name)));
  return read_document(node);
}

namespace {

// Columns that say nothing this reader needs.
constexpr std::string_view kIgnored[] = {"gemm_quant_mode", "moe_quant_mode", "source"};
constexpr std::string_view kRequired[] = {
    "system", "backend", "model_path", "mode", "isl", "osl", "silicon_ttft_ms", "silicon_tpot_ms"};
constexpr std::string_view kOptional[] = {"id", "backend_version", "precision", "concurrency",
                                          "measured"};
// One column each for the whole, the prefill and the decode side; the last two carry a prefix.
constexpr std::string_view kSide[] = {"tp_size",     "pp_size",     "attention_dp_size",
                                      "moe_tp_size", "moe_ep_size", "batch_size"};
constexpr std::string_view kPrefixes[] = {"", "prefill_", "decode_"};
constexpr std::string_view kWorkers[] = {"prefill_num_workers", "decode_num_workers"};

class RowReader {
 public:
  explicit RowReader(const CsvTable& table) : table_(table) {
    for (std::size_t i = 0; i < table.columns().size(); ++i)
      places_[table.columns()[i]] = i;
  }

  Status check_header() const {
    std::vector<std::string> known;
    for (const auto names :
         {std::span<const std::string_view>(kRequired),
          std::span<const std::string_view>(kOptional), std::span<const std::string_view>(kWorkers),
          std::span<const std::string_view>(kIgnored)})
      known.insert(known.end(), names.begin(), names.end());
    for (const std::string_view prefix : kPrefixes) {
      for (const std::string_view column : kSide)
        known.push_back(fmt::format("{}{}", prefix, column));
    }
    for (const std::string& column : table_.columns()) {
      if (std::find(known.begin(), known.end(), column) == known.end()) {
        return Error{ErrorCode::kInvalid,
                     fmt::format("{}:1: unknown column '{}'{}", table_.file(), column,
                                 suggestion(column, known)),
                     column};
      }
    }
    for (const std::string_view column : kRequired) {
      if (!table_.has_column(column)) {
        return Error{ErrorCode::kInvalid,
                     fmt::format("{}:1: the column '{}' is missing", table_.file(), column),
                     std::string(column)};
      }
    }
    return Done{};
  }

  Result<ServingRow> read(std::size_t row) {
    row_ = row;
    error_.reset();
    ServingRow out;
    out.line = line();
    out.id = text("id");
    out.system = required("system");
    out.backend = required("backend");
    out.backend_version = text("backend_version");
    out.model = required("model_path");
    out.precision = text("precision");
    const std::string mode = required("mode");
    out.disaggregated = mode == "disagg";
    if (mode != "agg" && mode != "disagg")
      fail("mode", fmt::format("expected agg or disagg, got '{}'", mode));
    out.prompt_tokens = tokens("isl");
    out.output_tokens = tokens("osl");
    out.whole = side("");
    out.prefill = side("prefill_");
    out.decode = side("decode_");
    out.sessions = number("concurrency").value_or(0);
    out.ttft_s = positive("silicon_ttft_ms") / 1e3;
    out.tpot_s = positive("silicon_tpot_ms") / 1e3;
    out.measured = text("measured");
    if (!out.disaggregated && out.whole.batch <= 0 && out.sessions <= 0)
      fail("concurrency", "neither concurrency nor batch_size is given");
    if (error_)
      return *error_;
    return out;
  }

 private:
  ServingSide side(const std::string& prefix) {
    ServingSide side;
    side.tensor = width(prefix + "tp_size");
    side.pipeline = width(prefix + "pp_size");
    side.attention_groups = width(prefix + "attention_dp_size");
    side.moe_tensor = width(prefix + "moe_tp_size");
    side.moe_expert = width(prefix + "moe_ep_size");
    side.batch = number(prefix + "batch_size").value_or(0);
    if (!prefix.empty())
      side.workers = width(prefix + "num_workers");
    return side;
  }
  int line() const {
    const std::string where = table_.where(row_);
    return std::atoi(where.c_str() + where.rfind(':') + 1);
  }
  void fail(std::string_view column, const std::string& message) {
    if (!error_) {
      error_ =
          Error{ErrorCode::kInvalid, fmt::format("{}: {}: {}", table_.where(row_), column, message),
                std::string(column)};
    }
  }
  std::string text(std::string_view column) const {
    const auto found = places_.find(column);
    return found == places_.end() ? "" : std::string(table_.cell(row_, found->second));
  }
  std::string required(std::string_view column) {
    std::string value = text(column);
    if (value.empty())
      fail(column, "is missing");
    return value;
  }
  std::optional<double> number(std::string_view column) {
    const std::string cell = text(column);
    if (cell.empty())
      return std::nullopt;
    const auto value = parse_number(cell);
    if (!value || *value < 0 || *value > 1e9) {
      fail(column, fmt::format("expected a number from 0 to 1e9, got '{}'", cell.substr(0, 40)));
      return std::nullopt;
    }
    return value;
  }
  double positive(std::string_view column) {
    if (required(column).empty())
      return 0;
    const double value = number(column).value_or(0);
    if (value <= 0)
      fail(column, fmt::format("expected a positive number, got '{}'", text(column).substr(0, 40)));
    return value;
  }
  long long tokens(std::string_view column) {
    const double value = positive(column);
    if (!error_ && (value < 1 || value != std::floor(value)))
      fail(column, fmt::format("expected a whole number, got '{}'", text(column).substr(0, 40)));
    return static_cast<long long>(value);
  }
  int width(std::string_view column) {
    const double value = number(column).value_or(0);
    if (value != std::floor(value) || value > 1 << 20) {
      fail(column, fmt::format("expected a whole number, got '{}'", text(column).substr(0, 40)));
      return 0;
    }
    return static_cast<int>(value);
  }

  const CsvTable& table_;
  std::map<std::string, std::size_t, std::less<>> places_;
  std::size_t row_ = 0;
  std::optional<Error> error_;
};

Result<std::vector<ServingRow>> serving_rows(const CsvTable& table) {
  RowReader reader(table);
  MEDLEY_TRY_STATUS(reader.check_header());
  std::vector<ServingRow> rows;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    MEDLEY_TRY(ServingRow one, reader.read(row));
    rows.push_back(std::move(one));
  }
  if (rows.empty()) {
    return Error{
        ErrorCode::kInvalid, fmt::format("{}: expected at least one row", table.file()), {}};
  }
  return rows;
}

}  // namespace

bool is_table(std::string_view path) { return path.ends_with(".csv") || path.ends_with(".csv.gz"); }

Result<std::vector<ServingRow>> read_serving_rows(const std::string& path) {
  MEDLEY_TRY(const CsvTable table, read_csv(path));
  return serving_rows(table);
}

Result<std::vector<ServingRow>> parse_serving_rows(std::string text, std::string name) {
  MEDLEY_TRY(const CsvTable table, parse_csv(std::move(text), std::move(name)));
  return serving_rows(table);
}

}  // namespace medley::data
