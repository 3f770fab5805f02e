// `medley serve`: a fleet behind an OpenAI-compatible door.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

namespace medley::cli {

struct ServeOptions {
  std::string fleet;  // the file; empty: the built-in model on this machine
  std::string listen =
      "127.0.0.1:8080";    // port 0: any free one; the line that says "ready" names it
  std::string catalog;     // its folder; empty: data::default_catalog_folder()
  std::string decisions;   // where the decision log goes; empty: nowhere
  std::string usage;       // what usage is appended to; empty: nowhere
  std::uint64_t seed = 1;  // of emulated answers' lengths and latency laws
};

// Serves until SIGINT or SIGTERM, then lets answers under way end, for five seconds at most. Once
// it takes requests it prints one line with its URL to `out`. Answers the exit code.
int run_serve(const ServeOptions& options, std::FILE* out, std::FILE* err);

}  // namespace medley::cli
