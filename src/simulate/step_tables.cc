#include "simulate/step_tables.h"

#include <fmt/format.h>

#include <algorithm>

#include "data/csv.h"
#include "perf/tables/vidur.h"

namespace medley::simulate {
namespace {

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
    for (std::size_t i = 0; i < batch_size.size(); ++i) {
      tables.decode.push_back({batch_size[i], kv_cache_size[i], prediction[i]});
    }
  }
  MEDLEY_TRY(const data::CsvTable table, data::read_csv(folder + "/attn_prefill_steps_ms.csv"));
  MEDLEY_TRY(const auto kv_cache_size, table.wholes("kv_cache_size"));
  MEDLEY_TRY(const auto chunk_from, table.wholes("prefill_chunk_from"));
  MEDLEY_TRY(const auto prediction, table.numbers("prediction"));
  for (std::size_t i = 0; i < kv_cache_size.size(); ++i) {
    tables.prefill.push_back({kv_cache_size[i], chunk_from[i], prediction[i]});
  }
  return tables;
}

}  // namespace

Result<perf::PoolModel> make_table_model(const Pool& pool) {
  const StepTable& table = pool.table.value();
  if (table.format != "vidur_tables") {
    return Error{
        ErrorCode::kInvalid,
        fmt::format(
            "pool '{}': step_times format '{}' is not supported by this version; vidur_tables is",
            pool.name, table.format),
        "step_times.format"};
  }
  if (!pool.batching.kv_blocks) {
    return Error{ErrorCode::kInvalid,
                 fmt::format("pool '{}': a pool with step_times needs kv_blocks", pool.name),
                 "kv_blocks"};
  }
  MEDLEY_TRY(const perf::VidurTables tables, read_vidur(table.path));
  perf::PoolModel model;
  MEDLEY_TRY(model.steps, perf::make_vidur_model(tables, table.layers));
  model.kind = perf::ServingKind::kBatched;
  model.max_running = pool.batching.max_running;
  model.kv_tokens = *pool.batching.kv_blocks * pool.batching.block_tokens;
  // At admission the watermark stays free, and a decode needs one free block.
  const auto kept_free = static_cast<long long>(pool.batching.watermark *
                                                static_cast<double>(*pool.batching.kv_blocks));
  model.max_context = std::max(1LL, *pool.batching.kv_blocks - std::max(1LL, kept_free)) *
                      pool.batching.block_tokens;
  model.chunk_tokens =
      pool.batching.kind == BatchingKind::kChunkedPrefill ? pool.batching.chunk_tokens : 0;
  return model;
}

}  // namespace medley::simulate
