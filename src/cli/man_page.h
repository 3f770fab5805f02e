// The manual page, written from the description that --help shows.
#pragma once

#include <cstdio>

namespace CLI {
class App;
}

namespace medley::cli {

// Roff for man(1). Answers 0.
int print_man_page(const CLI::App& app, std::FILE* out);

}  // namespace medley::cli
