#include "data/json.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cmath>

namespace medley::data {
namespace {

namespace json = boost::json;

TEST(Json, WritesNumbersAsPeopleDo) {
  const json::value value = {{"a", 8.5}, {"b", 80.0},    {"c", 1e300},  {"d", NAN},
                             {"e", 7},   {"f", nullptr}, {"g", "x\"\n"}};
  EXPECT_EQ(json_text(value),
            "{\"a\":8.5,\"b\":80,\"c\":1e+300,\"d\":null,\"e\":7,\"f\":null,\"g\":\"x\\\"\\n\"}");
  const double third = 1.0 / 3;
  EXPECT_EQ(json::parse(json_text(json::value(third))).as_double(), third);
}

TEST(Json, IsUtf8WhateverItsTextsAre) {
  EXPECT_EQ(json_text({{"\xffk", "a\xc3\xa9\xe2\x82 \xf0\x9f\x98\x80\xed\xa0\x80"}}),
            "{\"\xef\xbf\xbdk\":\"a\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd "
            "\xf0\x9f\x98\x80\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"}");
}

TEST(Json, KeepsShortThingsOnOneLine) {
  EXPECT_EQ(
      json_pretty({{"list", {1, 2}}, {"deep", {{"x", {{"y", {1}}}}}}}),
      "{\n  \"list\": [1, 2],\n  \"deep\": {\n    \"x\": {\n      \"y\": [1]\n    }\n  }\n}\n");
  EXPECT_EQ(json_pretty(json::array{}), "[]\n");
  EXPECT_EQ(json_pretty(json::value(3)), "3\n");
}

}  // namespace
}  // namespace medley::data
