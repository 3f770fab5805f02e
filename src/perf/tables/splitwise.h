// `splitwise_perf_model`: step times from splitwise-sim's measurements of whole prompts and tokens.
//
// Pure: the simulator reads the CSV of a `step_times: {format: splitwise_perf_model}` and hands
// over the rows of one (model, hardware, tensor_parallel). The rule is that of splitwise-sim's
// performance model (Patel et al., Splitwise, ISCA 2024):
//
//   x = prompt_size · batch_size; prompt(x), token(x) = medians over the rows of each x, linear
//   between them, on the outer segments beyond; t = prompt tokens + decodes of the step
//   prompts alone: prompt(t)     decodes alone: token(t)     both: 1.1 · prompt(t)
//
// A decode's time ignores its context. Energy is not modelled: it is 0.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "perf/step_model.h"

namespace medley::perf {

// A measurement: milliseconds of the prompt phase and of one token after it.
struct SplitwiseRow {
  long long prompt_size = 0, batch_size = 0;
  double prompt_ms = 0, token_ms = 0;
};

// What is wrong with a row, or nothing: sizes and times are positive.
std::string complaint(const SplitwiseRow& row);

// Rows may come in any order. Fails at a complaint, or when there are fewer
// than two values of x. A step outside the smallest and largest x counts as extrapolated; its time
// is at least 0.
Result<std::shared_ptr<const StepModel>> make_splitwise_model(
    const std::vector<SplitwiseRow>& rows);

}  // namespace medley::perf
