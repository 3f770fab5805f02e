// Whole files out, with errors instead of surprises.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace medley::cli {

// Writes `text` to `path`, replacing what is there.
Status write_file(const std::string& path, std::string_view text);

}  // namespace medley::cli
