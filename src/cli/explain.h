// `medley explain`: why a request went where it went, from the decision log of serve or simulate.
#pragma once

#include <cstdio>
#include <string>

namespace medley::cli {

struct ExplainOptions {
  std::string request;    // "req-0000002a" or a trace's row
  std::string decisions;  // the log file
  bool json = false;
};

// Exit status: 0 answered, 2 unusable log or name, 4 no such request in the log.
int run_explain(const ExplainOptions& options, std::FILE* out, std::FILE* err);

}  // namespace medley::cli
