// For tests: the shelf of real traces and models beside the checkout, where there is one.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace medley::data {

// $MEDLEY_SHARED, else ../shared from the source tree that the tests run in; empty where it is
// absent.
inline std::string shared_folder() {
  const char* given = std::getenv("MEDLEY_SHARED");
  const std::string folder = given != nullptr ? given : "../shared";
  return std::filesystem::is_directory(folder) ? folder : "";
}

}  // namespace medley::data
