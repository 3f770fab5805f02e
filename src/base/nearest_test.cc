#include "base/nearest.h"

#include <gtest/gtest.h>

#include <vector>

namespace medley {
namespace {

const std::vector<std::string> kNames = {"h100-sxm", "h200-sxm", "mi300x", "gaudi-3",
                                         "this_machine"};

TEST(NearestName, ForgivesMissingExtraWrongAndSwappedLetters) {
  EXPECT_EQ(nearest_name("h100-sx", kNames), "h100-sxm");
  EXPECT_EQ(nearest_name("mi3000x", kNames), "mi300x");
  EXPECT_EQ(nearest_name("gaudi_3", kNames), "gaudi-3");
  EXPECT_EQ(nearest_name("thsi_machine", kNames), "this_machine");
}

TEST(NearestName, IgnoresCase) {
  EXPECT_EQ(nearest_name("MI300X", kNames), "mi300x");
  EXPECT_EQ(nearest_name("GAUDI-3", kNames), "gaudi-3");
}

TEST(NearestName, SaysNothingWhenNothingIsNear) {
  EXPECT_EQ(nearest_name("toaster", kNames), "");
  EXPECT_EQ(nearest_name("", kNames), "");
  EXPECT_EQ(nearest_name("x", {}), "");
}

TEST(NearestName, GivesTiesToTheEarlierName) {
  // One letter from both.
  EXPECT_EQ(nearest_name("h300-sxm", kNames), "h100-sxm");
}

TEST(NearestName, CountsTwoNeighboursThatSwappedAsOneMistake) {
  const std::vector<std::string> names = {"abx", "bac"};
  EXPECT_EQ(nearest_name("abc", names), "abx");  // a tie at one mistake each
  const std::vector<std::string> swapped = {"axy", "bac"};
  EXPECT_EQ(nearest_name("abc", swapped), "bac");
}

TEST(Suggestion, OffersTheNearestNameElseAllOfThem) {
  EXPECT_EQ(suggestion("h100-sxn", kNames), ", did you mean 'h100-sxm'?");
  EXPECT_EQ(suggestion("toaster", kNames),
            "; known: h100-sxm, h200-sxm, mi300x, gaudi-3, this_machine");
  EXPECT_EQ(suggestion("x", {}), "");
}

TEST(Suggestion, ListsThirtyTwoNamesAtMost) {
  std::vector<std::string> many;
  for (int i = 10; i < 43; ++i)
    many.push_back("name" + std::to_string(i));
  const std::string text = suggestion("zzz", many);
  EXPECT_NE(text.find("name41, ..."), std::string::npos) << text;
  EXPECT_EQ(text.find("name42"), std::string::npos) << text;
}

}  // namespace
}  // namespace medley
