// Which seeds a simulation test runs, and the command that runs one of them again.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace medley {

// `filter` names the tests it is about, as --gtest_filter takes them; all of them where empty.
inline std::string replay_command(std::uint64_t seed, std::string_view filter = {}) {
  return fmt::format("replay: MEDLEY_SEED={} build/release/tests/tests_simulation_test{}{}", seed,
                     filter.empty() ? "" : " --gtest_filter=", filter);
}

// The seeds of this run: MEDLEY_SEED alone when it is set, else `count` from 1.
inline std::vector<std::uint64_t> seeds_for_this_run(std::uint64_t count) {
  if (const char* only = std::getenv("MEDLEY_SEED"))
    return {std::strtoull(only, nullptr, 10)};
  std::vector<std::uint64_t> seeds;
  for (std::uint64_t seed = 1; seed <= count; ++seed)
    seeds.push_back(seed);
  return seeds;
}

}  // namespace medley
