// Each bug that was planted in the compiler for chips (lpu/chip/plant.h) is found by the verifier;
// without one, nothing is found.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "lpu/chip/plant.h"
#include "random_chips.h"

namespace medley::lpu::chip {
namespace {

constexpr std::uint64_t kSeeds = 300;

std::string_view name_of(ScheduleBug bug) {
  static constexpr std::string_view names[] = {
      "none",
      "unit taken twice",
      "bank conflict",
      "port conflict",
      "stream taken twice",
      "result too early",
      "read too early",
      "operand forgotten",
      "link too fast",
      "hop too early",
      "buffers overlap",
      "tiles overlap",
      "tile replaced early",
      "tile too short",
      "cache too early",
      "expert too early",
      "SRAM over",
      "runs overlap",
      "run too early",
      "wrong unit",
      "weights too slow",
      "vectors too fast",
      "end too early",
      "constants overlap",
      "tile forgotten",
      "sum restarted",
      "wrong plane",
      "wrong operand",
      "partial sum forgotten",
      "chip forgotten",
      "chunk elsewhere",
      "layer forgotten",
      "window everywhere",
      "first stage free",
      "choice forgotten",
      "unit of none",
      "link twice",
      "half handed on",
      "group across nodes",
      "node forgotten",
  };
  static_assert(std::size(names) == static_cast<std::size_t>(ScheduleBug::kCount));
  return names[static_cast<std::size_t>(bug)];
}

// The seed that finds the planted bug first, and what was found; seed 0 if none does.
std::pair<std::uint64_t, std::string> first_found() {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const RandomChips r = random_chips(seed);
    const Result<Compiled> result = compile(r.shape, r.target, r.options);
    if (!result.ok())
      continue;
    const verify::Certificate certificate = verify::verify(result->schedule, r.target, r.shape);
    if (!certificate.valid())
      return {seed, certificate.findings.front()};
  }
  return {0, ""};
}

class PlantedScheduleBugs : public testing::Test {
 protected:
  void TearDown() override { planted_bug = ScheduleBug::kNone; }
};

TEST_F(PlantedScheduleBugs, AreEachFoundByTheVerifier) {
  for (int i = 1; i < static_cast<int>(ScheduleBug::kCount); ++i) {
    planted_bug = static_cast<ScheduleBug>(i);
    const auto [seed, found] = first_found();
    EXPECT_NE(seed, 0U) << name_of(planted_bug) << " is not found";
    fmt::print("| {} | {} | {} |\n", name_of(planted_bug), seed, found);
  }
}

TEST_F(PlantedScheduleBugs, WithoutOneNothingIsFound) { EXPECT_EQ(first_found().first, 0U); }

}  // namespace
}  // namespace medley::lpu::chip
