#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>

namespace medley {
namespace {

Result<int> half_of(int number) {
  if (number % 2 != 0)
    return Error{ErrorCode::kInvalid, std::to_string(number) + " is odd", "number"};
  return number / 2;
}

Result<int> quarter_of(int number) {
  MEDLEY_TRY(const int half, half_of(number));
  int quarter = 0;
  MEDLEY_TRY(quarter, half_of(half));
  return quarter;
}

Status check_quarter(int number) {
  MEDLEY_TRY_STATUS(half_of(number));
  MEDLEY_TRY_STATUS(half_of(number / 2));
  return Done{};
}

TEST(Result, HoldsAValueOrAnError) {
  const Result<int> good = half_of(8);
  ASSERT_TRUE(good.ok());
  EXPECT_TRUE(good);
  EXPECT_EQ(*good, 4);
  EXPECT_EQ(good.value(), 4);

  const Result<int> bad = half_of(7);
  EXPECT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().code, ErrorCode::kInvalid);
  EXPECT_EQ(bad.error().message, "7 is odd");
  EXPECT_EQ(bad.error().param, "number");
}

TEST(Result, MovesValuesThatCannotBeCopied) {
  Result<std::unique_ptr<int>> made = std::make_unique<int>(3);
  EXPECT_EQ(**made, 3);
  const std::unique_ptr<int> taken = std::move(made).value();
  EXPECT_EQ(*taken, 3);
}

TEST(Result, MayHoldAValueThatLooksLikeAnError) {
  const Result<std::string> text = std::string("not an error");
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(text->size(), 12u);
}

TEST(MedleyTry, GoesOnWithTheValueAndLeavesWithTheError) {
  EXPECT_EQ(quarter_of(12).value(), 3);
  EXPECT_EQ(quarter_of(7).error().message, "7 is odd");
  EXPECT_EQ(quarter_of(6).error().message, "3 is odd");
  EXPECT_TRUE(check_quarter(8).ok());
  EXPECT_EQ(check_quarter(10).error().message, "5 is odd");
}

TEST(ResultDeathTest, StopsWithTheErrorWhenAValueIsTakenThatIsNotThere) {
  const Result<int> bad = half_of(7);
  EXPECT_DEATH((void)bad.value(), "broken invariant.*7 is odd");
  const Result<int> good = half_of(8);
  EXPECT_DEATH((void)good.error(), "broken invariant");
}

TEST(CheckDeathTest, StopsWithTheConditionAndTheDetail) {
  const std::string detail = "seed 42";
  EXPECT_DEATH(MEDLEY_CHECK(1 > 2, detail), "broken invariant: 1 > 2 seed 42");
  EXPECT_DEATH(MEDLEY_CHECK(false), "result_test.cc:[0-9]+: broken invariant: false");
  MEDLEY_CHECK(true, detail);
}

}  // namespace
}  // namespace medley
