#include "base/finite.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace medley {
namespace {

TEST(Finite, OneNumberThatIsNoneIsFoundAnywhere) {
  using Limits = std::numeric_limits<float>;
  std::vector<float> numbers = {0, -0.0F, Limits::max(), Limits::lowest(), Limits::denorm_min()};
  numbers.resize(67, 1.5F);
  EXPECT_TRUE(all_finite(numbers));
  EXPECT_TRUE(all_finite({}));
  for (const float none : {Limits::infinity(), -Limits::infinity(), Limits::quiet_NaN()}) {
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      std::vector<float> some = numbers;
      some[i] = none;
      EXPECT_FALSE(all_finite(some)) << none << " at " << i;
    }
  }
}

}  // namespace
}  // namespace medley
