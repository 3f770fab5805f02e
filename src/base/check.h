// MEDLEY_CHECK: a broken invariant of ours stops the process, in release too.
#pragma once

#include <string_view>

namespace medley {

// Prints file, line, the condition and `detail` (seed, request id: what replays it) to stderr and
// aborts.
[[noreturn]] void check_failed(const char* file, int line, const char* condition,
                               std::string_view detail);

}  // namespace medley

#define MEDLEY_CHECK(condition, ...)                                                           \
  do {                                                                                         \
    if (!(condition)) [[unlikely]]                                                             \
      ::medley::check_failed(__FILE__, __LINE__, #condition, ::std::string_view{__VA_ARGS__}); \
  } while (false)
