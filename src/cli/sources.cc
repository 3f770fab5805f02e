#include "cli/sources.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/table.h"

namespace medley::cli {

std::vector<std::string> split_sources(const std::string& joined) {
  std::vector<std::string> keys;
  for (std::size_t at = 0; at < joined.size();) {
    const std::size_t comma = std::min(joined.find(", ", at), joined.size());
    keys.push_back(joined.substr(at, comma - at));
    at = comma + 2;
  }
  return keys;
}

std::string sources_text(const std::vector<std::string>& keys, const data::SourceTable& table) {
  std::string text;
  std::size_t width = 0;
  for (const std::string& key : keys)
    width = std::max(width, key.size());
  for (const std::string& key : keys) {
    const auto found = table.find(key);
    text += fmt::format("  {:<{}}  {}\n", key, width,
                        found == table.end() ? "unknown" : printable(found->second));
  }
  return text;
}

std::string confidence_of(const Accelerator& accelerator, std::string_view group,
                          std::string_view finer) {
  auto found = accelerator.confidence.find(std::string(finer));
  if (found == accelerator.confidence.end())
    found = accelerator.confidence.find(std::string(group));
  return found == accelerator.confidence.end() ? std::string() : found->second;
}

}  // namespace medley::cli
