#include "engine/emulated/filler.h"

#include <array>

namespace medley::engine {
namespace {

constexpr auto kWords = std::to_array<std::string_view>({
    " These",   " words", " stand",      " in",      " for",      " the",   " answer",
    " of",      " a",     " model;",     " their",   " timing",   " is",    " that",
    " of",      " the",   " catalogue",  " device,", " computed", " from",  " its",
    " memory,", " its",   " arithmetic", " and",     " the",      " other", " sequences",
    " in",      " the",   " batch.",     " Nothing", " was",      " read",  " and",
    " nothing", " was",   " thought",    " about.",
});

}  // namespace

std::string filler_token(std::string_view device, std::uint64_t variant, long long index) {
  if (index == 0)
    return "[emulated " + std::string(device) + "]";
  // Sentences begin at words 0 and 31.
  const std::uint64_t start = variant % 2 == 0 ? 0 : 31;
  return std::string(kWords[(start + static_cast<std::uint64_t>(index) - 1) % kWords.size()]);
}

}  // namespace medley::engine
