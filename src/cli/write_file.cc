#include "cli/write_file.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace medley::cli {

Status write_file(const std::string& path, std::string_view text) {
  std::FILE* file = std::fopen(path.c_str(), "w");
  const bool written =
      file != nullptr && std::fwrite(text.data(), 1, text.size(), file) == text.size();
  const bool closed = file != nullptr && std::fclose(file) == 0;
  if (written && closed)
    return Done{};
  return Error{
      ErrorCode::kInvalid, fmt::format("cannot write '{}': {}", path, std::strerror(errno)), {}};
}

}  // namespace medley::cli
