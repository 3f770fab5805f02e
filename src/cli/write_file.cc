#include "cli/write_file.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

namespace medley::cli {
namespace {

namespace fs = std::filesystem;

bool same_file(const std::string& a, const std::string& b) {
  std::error_code none;
  if (fs::exists(a, none) && fs::exists(b, none))
    return fs::is_regular_file(a, none) && fs::equivalent(a, b, none);
  return fs::weakly_canonical(fs::absolute(a), none) == fs::weakly_canonical(fs::absolute(b), none);
}

}  // namespace

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

Status check_apart(const std::vector<NamedFile>& read, const std::vector<NamedFile>& written) {
  for (std::size_t i = 0; i < written.size(); ++i) {
    const NamedFile& file = written[i];
    const auto refused = [&](const NamedFile& other, std::string_view what) -> Error {
      return {ErrorCode::kInvalid, fmt::format("{} would {} '{}', which is {}'s too: name another "
                                               "file for {}",
                                               file.name, what, file.path, other.name, file.name)};
    };
    for (const NamedFile& other : read) {
      if (same_file(file.path, other.path))
        return refused(other, "replace");
    }
    for (std::size_t j = 0; j < i; ++j) {
      if (same_file(file.path, written[j].path))
        return refused(written[j], "overwrite");
    }
  }
  return Done{};
}

}  // namespace medley::cli
