// What was seen of one request from outside: the raw material of calibration.
#pragma once

namespace medley::perf {

// Times are seconds since the run's start. The first token ends the prefill; `finished_s` is when
// the last one came.
struct Observation {
  double sent_s = 0, first_token_s = 0, finished_s = 0;
  long long prompt_tokens = 1, output_tokens = 1;  // as the server counted them

  double ttft_s() const { return first_token_s - sent_s; }
  // Precondition: output_tokens > 1.
  double tpot_s() const {
    return (finished_s - first_token_s) / static_cast<double>(output_tokens - 1);
  }
};

}  // namespace medley::perf
