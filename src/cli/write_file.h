// Files that verbs write beside what they print.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace medley::cli {

// Replaces the file's contents. kInvalid: it cannot be opened for writing; kUnavailable: it is
// incomplete (a full disk). Both name the path.
Status write_file(const std::string& path, std::string_view text);

struct NamedFile {
  std::string name;  // of the option or argument
  std::string path;
};

// kInvalid where a file that is written would replace one that is read, or another that is written,
// by whatever path they are named. Devices and pipes are no such files.
Status check_apart(const std::vector<NamedFile>& read, const std::vector<NamedFile>& written);

}  // namespace medley::cli
