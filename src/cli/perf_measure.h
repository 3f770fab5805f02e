// `medley perf measure`: how fast a deployment that is served elsewhere really is, and how well its
// behaviour under load can be told from that.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

namespace medley::cli {

struct PerfMeasureOptions {
  std::string url;                // base, as http://127.0.0.1:8080/v1
  std::string model = "builtin";  // name to ask for
  std::string key_env;            // environment variable that holds the API key; empty: none
  int rounds = 5;
  int max_concurrency = 32;
  long long max_prompt = 512;    // tokens, about
  long long chunk_tokens = 384;  // prompt tokens that a step of the engine takes at most
  int mixed_requests = 60;       // of the run that nothing is fitted to, each round
  double mixed_load = 0.5;       // of what the deployment can do
  bool chat = false;
  std::uint64_t seed = 1;
  std::string out;  // file for a pool's `measured:`; empty: none
  bool json = false;
  std::string command;  // as typed, for the file
};

// Sends requests for about a minute or as long as it takes. Exit codes: 0 measured, 1 the endpoint
// failed or the constants are not told, 2 unusable options.
int run_perf_measure(const PerfMeasureOptions& options, std::FILE* out, std::FILE* err);

}  // namespace medley::cli
