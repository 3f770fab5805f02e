// Feeds files, or all files of folders, to a fuzz target: the corpus as a test, a finding to look
// at.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <vector>

#include "data/file.h"
#include "fuzz.h"

int main(int argc, char** argv) {
  std::vector<std::string> files;
  for (int i = 1; i < argc; ++i) {
    if (!std::filesystem::is_directory(argv[i])) {
      files.emplace_back(argv[i]);
      continue;
    }
    for (const auto& entry : std::filesystem::directory_iterator(argv[i]))
      files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  if (files.empty()) {
    std::fputs("no files: name some, or folders of them\n", stderr);
    return 2;
  }
  for (const std::string& file : files) {
    std::printf("%s\n", file.c_str());
    std::fflush(stdout);  // the last line names what crashed
    const auto text = medley::data::read_file(file);
    if (!text.ok()) {
      std::fprintf(stderr, "%s\n", text.error().message.c_str());
      return 2;
    }
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(text->data()), text->size());
  }
  return 0;
}
