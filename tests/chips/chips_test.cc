// The verifier passes whatever the compiler makes of random small models and targets. A thousand in
// every run of the tests; MEDLEY_CHIP_SEEDS=10000 for the whole.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "random_chips.h"

namespace medley::lpu::chip {
namespace {

TEST(RandomChips, EverySchedulePassesTheVerifier) {
  const char* given = std::getenv("MEDLEY_CHIP_SEEDS");
  const std::uint64_t seeds = given != nullptr ? std::strtoull(given, nullptr, 10) : 1000;
  std::uint64_t compiled = 0, chunked = 0, over_nodes = 0;
  long long instructions = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    const RandomChips r = random_chips(seed);
    const Result<Compiled> result = compile(r.shape, r.target, r.options);
    if (!result.ok())
      continue;  // it does not fit; how many do is checked below
    ++compiled;
    chunked += result->prefill_tokens > 1 ? 1 : 0;
    over_nodes += result->schedule.group > result->schedule.node ? 1 : 0;
    const verify::Certificate certificate = verify::verify(result->schedule, r.target, r.shape);
    instructions += certificate.instructions;
    ASSERT_TRUE(certificate.valid()) << "seed " << seed << ": " << certificate.findings.front();
    if (seed % 10 == 0) {
      const Result<Compiled> again = compile(r.shape, r.target, r.options);
      ASSERT_TRUE(again.ok());
      ASSERT_EQ(result->schedule.digest(), again->schedule.digest()) << "seed " << seed;
    }
  }
  fmt::print(
      "{} of {} random models fit their targets, {} with prompts in chunks, {} in groups over "
      "several nodes; {} instructions verified\n",
      compiled, seeds, chunked, over_nodes, instructions);
  EXPECT_GT(compiled * 10, seeds * 7);
  EXPECT_GT(chunked * 10, seeds);
  EXPECT_GT(over_nodes * 20, seeds);
}

}  // namespace
}  // namespace medley::lpu::chip
