// `vidur_tables`: step times looked up in the per-operation tables of Vidur's trained predictor.
//
// Pure: the simulator reads the three CSV files of a `step_times: {format: vidur_tables}` folder
// and hands the rows over. The formula is that of Vidur 2024 (Agrawal et al., MLSys 2024), as
// shared/traces/README.md spells it out. Vidur knows no energy: it is 0.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "perf/step_model.h"

namespace medley::perf {

// A row of per_token_ops_steps_ms.csv: `num_tokens`, then the columns of the same names,
// milliseconds of one layer. It holds from `num_tokens` on until the next row starts.
struct VidurPerTokenRow {
  long long num_tokens = 0;
  double add = 0, all_reduce = 0, attn_kv_cache_save = 0, attn_post_proj = 0, attn_pre_proj = 0,
         attn_rope = 0, input_layernorm = 0, mlp_act = 0, mlp_down_proj = 0, mlp_up_proj = 0,
         post_attention_layernorm = 0;
};

// A row of attn_decode_ms.csv: `batch_size`, `kv_cache_size` (multiples of 64), `prediction` in
// milliseconds.
struct VidurDecodeRow {
  long long batch_size = 0, kv_cache_size = 0;
  double prediction = 0;
};

// A row of attn_prefill_steps_ms.csv: `kv_cache_size` (multiples of 64), `prefill_chunk_from`,
// `prediction` in milliseconds. It holds from that chunk size on until the next row of the same
// kv_cache_size starts.
struct VidurPrefillRow {
  long long kv_cache_size = 0, prefill_chunk_from = 0;
  double prediction = 0;
};

struct VidurTables {
  std::vector<VidurPerTokenRow> per_token;
  std::vector<VidurDecodeRow> decode;
  std::vector<VidurPrefillRow> prefill;
};

// What is wrong with a row, or nothing: sizes are in range and on the grid of 64, attention takes
// some time and no operation less than none.
std::string complaint(const VidurPerTokenRow& row);
std::string complaint(const VidurDecodeRow& row);
std::string complaint(const VidurPrefillRow& row);

// Rows may come in any order. Precondition: no row appears twice. Fails when a table is empty,
// `layers` < 1, or at a complaint. Beyond a table's last row the last row holds; an
// absent (batch, size) of the decode table takes the next larger size of that batch, an absent
// kv_cache_size of the prefill table the next larger one present. A step beyond the largest batch
// or kv_cache_size counts as extrapolated (the last rows of the other axes say not how far they
// hold).
Result<std::shared_ptr<const StepModel>> make_vidur_model(const VidurTables& tables, int layers);

}  // namespace medley::perf
