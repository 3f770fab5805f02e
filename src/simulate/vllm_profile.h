// The reader of a vLLM layer profile: dense.csv, per_sequence.csv, attention.csv, meta.yaml and,
// where its skew_fit is enabled, skew_fit.csv of one folder.
#pragma once

#include <string>

#include "base/result.h"
#include "perf/tables/vllm.h"

namespace medley::simulate {

// `ranks`: tensor parallel degree, whose alpha_default of meta.yaml is taken. Errors name file and
// line, and the column, key or layer.
Result<perf::VllmProfile> read_vllm_profile(const std::string& folder, int ranks);

}  // namespace medley::simulate
