#include "data/csv.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdio>
#include <filesystem>
#include <limits>

#include "base/prng.h"
#include "data/testing_shared.h"

namespace medley::data {
namespace {

TEST(Csv, ReadsColumnsByName) {
  const auto table = parse_csv("a,b,name\n1,2.5,x\n-3,4e-3,y\n", "t.csv");
  ASSERT_TRUE(table.ok());
  EXPECT_EQ(table->rows(), 2u);
  EXPECT_EQ(*table->wholes("a"), (std::vector<long long>{1, -3}));
  EXPECT_EQ(*table->numbers("b"), (std::vector<double>{2.5, 0.004}));
  EXPECT_EQ(*table->texts("name"), (std::vector<std::string_view>{"x", "y"}));
  EXPECT_EQ(table->where(1), "t.csv:3");
}

TEST(Csv, TakesWhatOtherToolsWrite) {
  for (const char* text : {"a,b\r\n1,2\r\n", "a,b\n1,2",
                           "\xEF\xBB\xBF"
                           "a,b\n1,2\n\n",
                           "a, b\n 1, \"2\"\n"}) {
    const auto table = parse_csv(text, "t.csv");
    ASSERT_TRUE(table.ok()) << text;
    EXPECT_EQ(table->wholes("a")->front(), 1) << text;
    EXPECT_EQ(table->wholes("b")->front(), 2) << text;
  }
}

TEST(Csv, SaysWhatIsWrongAndWhere) {
  const auto error = [](std::string text) {
    const auto table = parse_csv(std::move(text), "t.csv");
    return table.ok() ? std::string() : table.error().message;
  };
  EXPECT_EQ(error("a,b\n1,2\n1\n"), "t.csv:3: expected 2 cells as in the first line, got 1");
  EXPECT_EQ(error("a,b\n1,2,3\n"), "t.csv:2: expected 2 cells as in the first line, got 3");
  EXPECT_EQ(error(""), "t.csv:1: expected a line with the columns' names");
  EXPECT_EQ(error("a,a\n"), "t.csv:1: two columns called 'a'");
  EXPECT_EQ(error("a\n1\n\n2\n"), "t.csv:3: an empty line between rows");

  const auto table = parse_csv("time_us,n\n1,2\nfast,3.5\n", "t.csv");
  EXPECT_EQ(table->numbers("time_us").error().message,
            "t.csv:3: time_us: expected a number, got 'fast'");
  EXPECT_EQ(table->wholes("n").error().message, "t.csv:3: n: expected a whole number, got '3.5'");
  EXPECT_EQ(table->numbers("time_ms").error().message,
            "t.csv:1: no column 'time_ms', did you mean 'time_us'?");
  const auto infinite = parse_csv("a\ninf\n", "t.csv");
  EXPECT_FALSE(infinite->numbers("a").ok());
}

TEST(Csv, ReadsGzippedFiles) {
  const std::string path = own_temporary("medley_csv_test.csv.gz");
  gzFile file = gzopen(path.c_str(), "wb");
  ASSERT_NE(file, nullptr);
  gzputs(file, "a\n42\n");
  gzclose(file);
  const auto table = read_csv(path);
  std::filesystem::remove(path);
  ASSERT_TRUE(table.ok()) << table.error().message;
  EXPECT_EQ(table->wholes("a")->front(), 42);
}

TEST(Csv, WritesFixedDecimals) {
  CsvWriter writer({"id", "at_s", "name"});
  writer.whole(7).number(0.1, 9).text("a,\"b\"").end_row();
  writer.whole(-1).empty().text("x").end_row();
  EXPECT_EQ(writer.str(), "id,at_s,name\n7,0.100000000,\"a,\"\"b\"\"\"\n-1,,x\n");
  CsvWriter huge({"x"});
  huge.number(std::numeric_limits<double>::max(), 9).end_row();
  EXPECT_EQ(huge.str().size(), 2u + 309 + 1 + 9 + 1);
}

// Against the library's own conversion: every size of number, exact halves, and what the quick way
// leaves to it.
TEST(CsvWriter, PrintsFixedDecimalsExactly) {
  Prng prng(4);
  std::vector<double> values = {0,           1,     0.5,   2.5,    3.5,           0x1p-10,
                                3 * 0x1p-10, 5e-10, 4e-10, 1e-300, 5e-324,        8999999999.9,
                                9e9,         -1.5,  1e300, 0.1,    1.0 - 0x1p-53, -0.0};
  for (int i = 0; i < 20000; ++i)
    values.push_back(prng.log_normal(1, 8));
  for (const double value : values) {
    for (const int decimals : {0, 1, 6, 9, 10}) {
      char expected[400];
      std::snprintf(expected, sizeof expected, "%.*f", decimals, value);
      CsvWriter writer({"x"});
      writer.clear();
      writer.number(value, decimals);
      ASSERT_EQ(writer.str(), expected) << decimals;
    }
    char expected[60];
    std::snprintf(expected, sizeof expected, "%.9g", value);
    CsvWriter writer({"x"});
    writer.clear();
    writer.significant(value, 9);
    ASSERT_EQ(writer.str(), expected);
  }
}

}  // namespace
}  // namespace medley::data
