// `medley bench engines`: engines side by side on one model, in one process and interleaved, with
// what the machine itself does to times between them.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

namespace medley::cli {

struct BenchOptions {
  std::string model;                                       // GGUF file
  std::string engines = "static_schedule,llama_embedded";  // separated by commas
  int threads = 1;
  int context = 256;     // tokens of a sequence
  long long tokens = 0;  // of each engine; 0: as many as come in about ten seconds
  double window_us = 0;  // release tokens on such a beat; 0: as fast as they come
  int ahead = 4;         // tokens that may be computed before their beat
  int reference = 0;     // tokens to hold against plain F32 arithmetic
  bool half_kv = false;  // KV caches in F16, else F32
  bool narrow = false;   // no AVX-512
  bool fifo = false;     // under SCHED_FIFO
  bool json = false;
};

// Exit codes: 0 measured, 1 an engine failed, 2 unusable options or model, 4 no such model.
int run_bench_engines(const BenchOptions& options, std::FILE* out, std::FILE* err);

}  // namespace medley::cli
