// What the Prometheus pages of inference servers say of their load.
#pragma once

#include <string_view>

#include "base/result.h"
#include "domain/load_signal.h"

namespace medley::engine {

// `server` is a value of a pool's key `metrics`: vllm, sglang, tensorrt_llm, tgi or llama_cpp.
// Where its page is, from the server's root.
std::string_view load_metrics_path(std::string_view server);

// The page's running and waiting requests, summed over its series (one a data-parallel rank), and
// the fullest KV cache among them where the server says. `as_of` and `source` are left to the
// caller. kGarbled where one of the counts is missing or is no count: servers rename their
// metrics, and what is missing must not read as idle.
Result<LoadSignal> read_load_metrics(std::string_view server, std::string_view page);

}  // namespace medley::engine
