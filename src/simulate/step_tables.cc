#include "simulate/step_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/nearest.h"
#include "data/csv.h"
#include "perf/tables/splitwise.h"
#include "perf/tables/vidur.h"
#include "perf/tables/vllm.h"
#include "simulate/vllm_profile.h"

namespace medley::simulate {
namespace {

// What a model says of its tables as a whole, with the path that they came from.
Result<std::shared_ptr<const perf::StepModel>> at_path(
    const StepTable& table, Result<std::shared_ptr<const perf::StepModel>> model) {
  if (model.ok())
    return model;
  Error error = model.error();
  error.message = fmt::format("{}: {}", table.path, error.message);
  return error;
}

// Fails at the first row that cannot be, or whose key another one has.
template <typename Row, typename KeyOf>
Status check_rows(const data::CsvTable& table, const std::vector<Row>& rows, const KeyOf& key_of) {
  std::set<decltype(key_of(rows[0]))> seen;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::string wrong = perf::complaint(rows[i]);
    if (wrong.empty() && !seen.insert(key_of(rows[i])).second)
      wrong = "a second row for the same sizes";
    if (!wrong.empty())
      return Error{ErrorCode::kInvalid, fmt::format("{}: {}", table.where(i), wrong), {}};
  }
  return Done{};
}

Result<std::vector<perf::VidurPerTokenRow>> read_per_token(const std::string& path) {
  MEDLEY_TRY(const data::CsvTable table, data::read_csv(path));
  MEDLEY_TRY(const std::vector<long long> num_tokens, table.wholes("num_tokens"));
  std::vector<perf::VidurPerTokenRow> rows(num_tokens.size());
  for (std::size_t i = 0; i < rows.size(); ++i)
    rows[i].num_tokens = num_tokens[i];
  using Row = perf::VidurPerTokenRow;
  static constexpr std::pair<const char*, double Row::*> kColumns[] = {
      {"add", &Row::add},
      {"all_reduce", &Row::all_reduce},
      {"attn_kv_cache_save", &Row::attn_kv_cache_save},
      {"attn_post_proj", &Row::attn_post_proj},
      {"attn_pre_proj", &Row::attn_pre_proj},
      {"attn_rope", &Row::attn_rope},
      {"input_layernorm", &Row::input_layernorm},
      {"mlp_act", &Row::mlp_act},
      {"mlp_down_proj", &Row::mlp_down_proj},
      {"mlp_up_proj", &Row::mlp_up_proj},
      {"post_attention_layernorm", &Row::post_attention_layernorm},
  };
  for (const auto& [name, member] : kColumns) {
    MEDLEY_TRY(const std::vector<double> values, table.numbers(name));
    for (std::size_t i = 0; i < rows.size(); ++i)
      rows[i].*member = values[i];
  }
  MEDLEY_TRY_STATUS(check_rows(table, rows, [](const Row& row) { return row.num_tokens; }));
  return rows;
}

Result<perf::VidurTables> read_vidur(const std::string& folder) {
  perf::VidurTables tables;
  MEDLEY_TRY(tables.per_token, read_per_token(folder + "/per_token_ops_steps_ms.csv"));
  {
    MEDLEY_TRY(const data::CsvTable table, data::read_csv(folder + "/attn_decode_ms.csv"));
    MEDLEY_TRY(const auto batch_size, table.wholes("batch_size"));
    MEDLEY_TRY(const auto kv_cache_size, table.wholes("kv_cache_size"));
    MEDLEY_TRY(const auto prediction, table.numbers("prediction"));
    for (std::size_t i = 0; i < batch_size.size(); ++i)
      tables.decode.push_back({batch_size[i], kv_cache_size[i], prediction[i]});
    MEDLEY_TRY_STATUS(check_rows(table, tables.decode, [](const perf::VidurDecodeRow& row) {
      return std::pair(row.batch_size, row.kv_cache_size);
    }));
  }
  MEDLEY_TRY(const data::CsvTable table, data::read_csv(folder + "/attn_prefill_steps_ms.csv"));
  MEDLEY_TRY(const auto kv_cache_size, table.wholes("kv_cache_size"));
  MEDLEY_TRY(const auto chunk_from, table.wholes("prefill_chunk_from"));
  MEDLEY_TRY(const auto prediction, table.numbers("prediction"));
  for (std::size_t i = 0; i < kv_cache_size.size(); ++i)
    tables.prefill.push_back({kv_cache_size[i], chunk_from[i], prediction[i]});
  MEDLEY_TRY_STATUS(check_rows(table, tables.prefill, [](const perf::VidurPrefillRow& row) {
    return std::pair(row.kv_cache_size, row.prefill_chunk_from);
  }));
  return tables;
}

Result<std::shared_ptr<const perf::StepModel>> vidur_steps(const StepTable& table) {
  MEDLEY_TRY(const perf::VidurTables tables, read_vidur(table.path));
  return at_path(table, perf::make_vidur_model(tables, table.layers));
}

// The rows of one (model, hardware, tensor_parallel).
Result<std::shared_ptr<const perf::StepModel>> splitwise_steps(const StepTable& wanted) {
  MEDLEY_TRY(const data::CsvTable table, data::read_csv(wanted.path));
  MEDLEY_TRY(const auto model, table.texts("model"));
  MEDLEY_TRY(const auto hardware, table.texts("hardware"));
  MEDLEY_TRY(const auto tensor_parallel, table.wholes("tensor_parallel"));
  MEDLEY_TRY(const auto prompt_size, table.wholes("prompt_size"));
  MEDLEY_TRY(const auto batch_size, table.wholes("batch_size"));
  MEDLEY_TRY(const auto prompt_time, table.numbers("prompt_time"));
  MEDLEY_TRY(const auto token_time, table.numbers("token_time"));
  std::vector<perf::SplitwiseRow> rows;
  std::set<std::string> present;
  for (std::size_t i = 0; i < table.rows(); ++i) {
    present.insert(fmt::format("{} on {} x {}", model[i], hardware[i], tensor_parallel[i]));
    if (model[i] != wanted.model || hardware[i] != wanted.hardware ||
        tensor_parallel[i] != wanted.tensor_parallel) {
      continue;
    }
    rows.push_back({prompt_size[i], batch_size[i], prompt_time[i], token_time[i]});
    // What is wrong with a row is told with its line; of all rows together, below.
    if (const std::string wrong = perf::complaint(rows.back()); !wrong.empty())
      return Error{ErrorCode::kInvalid, fmt::format("{}: {}", table.where(i), wrong), {}};
  }
  if (rows.empty()) {
    const std::vector<std::string> known(present.begin(), present.end());
    const std::string name =
        fmt::format("{} on {} x {}", wanted.model, wanted.hardware, wanted.tensor_parallel);
    return Error{ErrorCode::kInvalid,
                 fmt::format("{}: no rows for {} (model, hardware, tensor_parallel){}", wanted.path,
                             name, suggestion(name, known)),
                 "step_times"};
  }
  return at_path(wanted, perf::make_splitwise_model(rows));
}

Result<std::shared_ptr<const perf::StepModel>> vllm_steps(const StepTable& table) {
  const int ranks = table.all_reduce ? table.all_reduce->ranks : 1;
  MEDLEY_TRY(const perf::VllmProfile profile, read_vllm_profile(table.path, ranks));
  return at_path(table, perf::make_vllm_model(profile, table.layers, table.all_reduce));
}

Result<std::shared_ptr<const perf::StepModel>> read_steps(const StepTable& table) {
  if (table.format == "splitwise_perf_model")
    return splitwise_steps(table);
  return table.format == "vidur_tables" ? vidur_steps(table) : vllm_steps(table);
}

}  // namespace

Result<perf::PoolModel> make_table_model(const Pool& pool) {
  const auto at_pool = [&](Error error) {
    error.message = fmt::format("pool '{}': {}", pool.name, error.message);
    return error;
  };
  const StepTable& table = pool.table.value();
  if (!pool.batching.kv_blocks) {
    return at_pool({ErrorCode::kInvalid, "a pool with step_times needs kv_blocks", "kv_blocks"});
  }
  perf::PoolModel model;
  Result<std::shared_ptr<const perf::StepModel>> steps = read_steps(table);
  if (!steps.ok())
    return at_pool(steps.error());
  model.steps = std::move(*steps);
  model.kind = perf::ServingKind::kBatched;
  model.max_running = pool.batching.max_running;
  model.kv_tokens = *pool.batching.kv_blocks * pool.batching.block_tokens;
  model.max_context = perf::longest_sequence(pool.batching, *pool.batching.kv_blocks);
  model.max_context = std::min(model.max_context, pool.max_context.value_or(model.max_context));
  model.chunk_tokens =
      pool.batching.kind == BatchingKind::kChunkedPrefill ? pool.batching.chunk_tokens : 0;
  return model;
}

}  // namespace medley::simulate
