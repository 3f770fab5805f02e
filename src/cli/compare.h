// `medley simulate --compare`: policies side by side over loads and seeds (docs/arena.md).
#pragma once

#include <cstdio>

namespace medley::cli {

struct SimulateOptions;

// As run_simulate, with `compare` not empty. A progress bar goes to `err` while it is a terminal.
int run_compare(const SimulateOptions& options, std::FILE* out, std::FILE* err);

}  // namespace medley::cli
