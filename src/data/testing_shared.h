// For tests: the shelf of real traces and models beside the checkout, where there is one; files of
// a test's own.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

namespace medley::data {

// $MEDLEY_SHARED, else ../shared from the source tree that the tests run in; empty where it is
// absent.
inline std::string shared_folder() {
  const char* given = std::getenv("MEDLEY_SHARED");
  const std::string folder = given != nullptr ? given : "../shared";
  return std::filesystem::is_directory(folder) ? folder : "";
}

// A path for this process alone (ctest runs each test in a process of its own, several at once);
// what is there when the process ends, file or folder, is removed then.
inline std::string own_temporary(const std::string& name) {
  struct Paths {
    ~Paths() {
      for (const std::string& path : all) {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
      }
    }
    std::vector<std::string> all;
  };
  static Paths paths;
  return paths.all.emplace_back(testing::TempDir() + std::to_string(getpid()) + "_" + name);
}

}  // namespace medley::data
