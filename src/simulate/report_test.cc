#include "simulate/report.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace medley::simulate {
namespace {

TEST(Report, TellsTheShareOfTheBoundOrWhyThereIsNone) {
  Report report;
  report.value_kept = 10;
  report.request_money = 1;
  EXPECT_EQ(bound_text(report), "") << "nobody asked for one";
  report.bound = NetValueBound{.net_value = 10, .gap = 0.004};
  EXPECT_EQ(bound_text(report),
            "90.0 % of the bound, which no policy could exceed (it may be up to 0.4 % too high)");
  const boost::json::value told = boost::json::parse(to_json(report, Fleet()));
  EXPECT_EQ(told.at("share_of_bound").to_number<double>(), 0.9);
  EXPECT_EQ(told.at("bound_gap").to_number<double>(), 0.004);
  report.bound->net_value = 0;
  EXPECT_FALSE(report.share_of_bound());
  EXPECT_NE(bound_text(report).find("no request is worth what it costs"), std::string::npos);
  report.bound.reset();
  report.bound_left_out = "since it is long";
  EXPECT_NE(bound_text(report).find("not worked out, since it is long"), std::string::npos);
  const boost::json::value left_out = boost::json::parse(to_json(report, Fleet()));
  EXPECT_TRUE(left_out.at("share_of_bound").is_null());
  EXPECT_EQ(left_out.at("bound_left_out"), "since it is long");
}

}  // namespace
}  // namespace medley::simulate
