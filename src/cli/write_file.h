// Files that verbs write beside what they print.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace medley::cli {

// Replaces the file's contents. kInvalid: it cannot be opened for writing; kUnavailable: it is
// incomplete (a full disk). Both name the path.
Status write_file(const std::string& path, std::string_view text);

}  // namespace medley::cli
