#include "cli/table.h"

#include <gtest/gtest.h>

namespace medley::cli {
namespace {

TEST(Table, AlignsColumnsAndLeavesNoSpacesAtLineEnds) {
  Table table({{"device"}, {"GB", Align::kRight}, {"note"}});
  table.add_row({"h100_sxm", "85.9", "x"});
  table.add_row({"l4", "24"});
  table.add_rule();
  table.add_row({"sum", "109.9"});
  EXPECT_EQ(table.text(),
            "device       GB  note\n"
            "--------  -----  ----\n"
            "h100_sxm   85.9  x\n"
            "l4           24\n"
            "--------  -----  ----\n"
            "sum       109.9\n");
  EXPECT_EQ(table.rows(), 4u);
}

TEST(Table, CountsWhatATerminalShowsNotBytes) {
  EXPECT_EQ(display_width("plain"), 5u);
  EXPECT_EQ(display_width("µs ±2"), 5u);
  EXPECT_EQ(display_width("e\u0301"), 1u);
  EXPECT_EQ(display_width("模型"), 4u);
  EXPECT_EQ(display_width("\xFFx\xE2\x82"), 4u);
  EXPECT_EQ(display_width(""), 0u);
}

}  // namespace
}  // namespace medley::cli
