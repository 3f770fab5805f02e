#include "plan/training_rows.h"

#include <gtest/gtest.h>

#include "plan/testing_requirements.h"

namespace medley::plan {
namespace {

TEST(PlanTraining, HoursAreSaidAsTheyWrapAroundMidnight) {
  std::array<bool, 24> hours{};
  for (const std::size_t hour : {22, 23, 0, 1, 12})
    hours[hour] = true;
  EXPECT_EQ(hours_in_words(hours), "12-13, 22-2");
  hours.fill(false);
  hours[23] = true;
  EXPECT_EQ(hours_in_words(hours), "23-24");
  hours.fill(true);
  EXPECT_EQ(hours_in_words(hours), "all day");
}

TEST(PlanTraining, ARowSaysWhereAJobRunsAndWhenItIsDone) {
  const auto asked = data::parse_requirements(
      "jobs:\n"
      "  - {name: tune, device_hours: {h100_sxm: 40}, gang: 8, deadline_days: 14, start_day: 3}\n"
      "  - {name: index, device_hours: {h100_sxm: 5}, every_days: 7, deadline_days: 2}\n"
      "devices: [{device: h100_sxm, price: 30000}]\n",
      "buy.yaml", test_catalog());
  ASSERT_TRUE(asked.ok()) << asked.error().message;
  EXPECT_EQ(days_in_words(asked->jobs[0]), "once, in 14 days after day 3");
  EXPECT_EQ(days_in_words(asked->jobs[1]), "every 7 days, in 2");
  Plan plan;
  plan.training.push_back({.job = 0, .device = 0, .zone = "here", .device_hours = 40, .kwh = 28});
  plan.training[0].hours.fill(true);
  plan.training[0].done_day = 17;
  const auto rows = training_rows(*asked, plan);
  ASSERT_EQ(rows.size(), 1);
  EXPECT_EQ(rows[0].size(), training_titles().size());
  EXPECT_EQ(rows[0], (std::vector<std::string>{"tune", "once, in 14 days after day 3", "h100_sxm",
                                               "here", "all day", "40", "8", "day 17", "28"}));
  EXPECT_EQ(trainers_in_words(*asked, plan), "");
  plan.trainers[{0, "here"}] = 1;
  EXPECT_EQ(trainers_in_words(*asked, plan), "1 device of h100_sxm in here only trains.");
  plan.trainers[{0, "here"}] = 2;
  EXPECT_EQ(trainers_in_words(*asked, plan), "2 devices of h100_sxm in here only train.");
}

}  // namespace
}  // namespace medley::plan
