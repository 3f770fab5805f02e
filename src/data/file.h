// Whole files into memory, with errors instead of surprises.
#pragma once

#include <cstddef>
#include <string>

#include "base/result.h"

namespace medley::data {

// The bytes of a regular file (or pipe) of at most `max_bytes`. Errors name the path and the
// reason.
Result<std::string> read_file(const std::string& path,
                              std::size_t max_bytes = std::size_t{1} << 30);

// The same, gunzipped where the name ends in ".gz"; the bound holds for what comes out.
Result<std::string> read_file_maybe_gzip(const std::string& path,
                                         std::size_t max_bytes = std::size_t{1} << 30);

}  // namespace medley::data
