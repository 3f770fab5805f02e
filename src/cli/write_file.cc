#include "cli/write_file.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace medley::cli {

Status write_file(const std::string& path, std::string_view text) {
  std::FILE* file = std::fopen(path.c_str(), "w");
  if (file == nullptr) {
    return Error{ErrorCode::kInvalid,
                 fmt::format("cannot write '{}': {}", path, std::strerror(errno))};
  }
  int failed = std::fwrite(text.data(), 1, text.size(), file) == text.size() ? 0 : errno;
  if (std::fclose(file) != 0 && failed == 0)
    failed = errno;
  if (failed == 0)
    return Done{};
  return Error{ErrorCode::kUnavailable,
               fmt::format("'{}' is incomplete: {}", path, std::strerror(failed))};
}

}  // namespace medley::cli
