#include "base/nearest.h"

#include <algorithm>
#include <cctype>
#include <vector>

namespace medley {
namespace {

char lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

// Optimal string alignment distance (Damerau 1964, restricted).
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before_last(b.size() + 1), last(b.size() + 1), current(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j)
    last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    current[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const bool same = lower(a[i - 1]) == lower(b[j - 1]);
      current[j] = std::min({last[j] + 1, current[j - 1] + 1, last[j - 1] + (same ? 0 : 1)});
      if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
          lower(a[i - 2]) == lower(b[j - 1])) {
        current[j] = std::min(current[j], before_last[j - 2] + 1);
      }
    }
    before_last.swap(last);
    last.swap(current);
  }
  return last[b.size()];
}

}  // namespace

std::string_view nearest_name(std::string_view given, std::span<const std::string> candidates) {
  std::string_view best;
  std::size_t best_distance = 0;
  for (const std::string& candidate : candidates) {
    const std::size_t distance = edit_distance(given, candidate);
    if (distance * 3 > std::max(given.size(), candidate.size()))
      continue;
    if (best.empty() || distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

constexpr std::size_t kMostNames = 32;

std::string suggestion(std::string_view given, std::span<const std::string> candidates) {
  if (const std::string_view near = nearest_name(given, candidates); !near.empty()) {
    return ", did you mean '" + std::string(near) + "'?";
  }
  std::string text;
  for (std::size_t i = 0; i < candidates.size() && i < kMostNames; ++i) {
    text += (i == 0 ? "; known: " : ", ") + candidates[i];
  }
  if (candidates.size() > kMostNames)
    text += ", ...";
  return text;
}

}  // namespace medley
