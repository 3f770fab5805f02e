#include "base/tournament.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/prng.h"

namespace medley {
namespace {

TEST(Tournament, FindsTheLeastAfterEveryChange) {
  Prng prng(1);
  for (const std::size_t size : {1, 2, 3, 7, 8, 9, 100}) {
    Tournament<std::uint64_t> tournament(size, 5);
    std::vector<std::uint64_t> keys(size, 5);
    for (int change = 0; change < 500; ++change) {
      const std::size_t place = prng.below(size);
      keys[place] = prng.below(12);  // few values, so that there are ties
      tournament.set(place, keys[place]);
      const auto least = std::min_element(keys.begin(), keys.end());
      ASSERT_EQ(tournament.least(), static_cast<std::size_t>(least - keys.begin())) << size;
      ASSERT_EQ(tournament.least_key(), *least);
    }
  }
}

TEST(Tournament, OfEqualKeysTheLowerPlaceWins) {
  Tournament<int> tournament(5, 3);
  EXPECT_EQ(tournament.least(), 0);
  tournament.set(0, 4);
  EXPECT_EQ(tournament.least(), 1);
  tournament.set(4, 2);
  tournament.set(2, 2);
  EXPECT_EQ(tournament.least(), 2);
}

}  // namespace
}  // namespace medley
