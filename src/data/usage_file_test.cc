#include "data/usage_file.h"

#include <gtest/gtest.h>

namespace medley::data {
namespace {

UsageSpan a_span() {
  UsageSpan span{
      .from_unix_s = 1'764'532'800, .hour = 20, .seconds = 600, .kinds = {}, .pools = {}};
  UsageKind kind;
  kind.service_class = "standard";
  kind.label = "internal";
  kind.model = "chat";
  kind.arrived = 3;
  kind.completed = 2;
  kind.kept = 1;
  kind.rejected = 1;
  for (const int tokens : {100, 120, 4000})
    kind.prompt_tokens.add(tokens);
  kind.output_tokens.add(17);
  kind.gaps = 2;
  kind.gap_sum_s = 4.5;
  span.kinds.push_back(kind);
  span.pools.push_back({.name = "chat \"h100\"",
                        .device = "h100_sxm",
                        .model = "llama-3.1-8b",
                        .replicas = 2,
                        .up = 1,
                        .completed = 2,
                        .joules = 12.5,
                        .money = {},
                        .ttft_ratio = {},
                        .tpot_ratio = 1.07});
  return span;
}

std::string message_of(std::string_view text) {
  const auto read = parse_usage(text, "usage.jsonl");
  return read.ok() ? "" : read.error().message;
}

TEST(UsageFile, WhatIsWrittenIsReadBack) {
  const std::string line = usage_line(a_span());
  const auto read = parse_usage(line + "\n" + line + "\n", "usage.jsonl");
  ASSERT_TRUE(read.ok()) << read.error().message;
  ASSERT_EQ(read->size(), 2u);
  EXPECT_EQ(usage_line((*read)[1]), line);
  EXPECT_EQ((*read)[0].kinds[0].prompt_tokens.count(), 3);
  EXPECT_EQ((*read)[0].pools[0].tpot_ratio, 1.07);
  EXPECT_FALSE((*read)[0].pools[0].money);
}

TEST(UsageFile, ALastLineThatWasCutOffIsLeftOut) {
  const std::string line = usage_line(a_span());
  const auto read = parse_usage(line + "\n" + line.substr(0, line.size() / 2), "usage.jsonl");
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->size(), 1u);
  // In the middle it is no such accident.
  EXPECT_NE(message_of(line + "\n" + line.substr(0, 40) + "\n" + line).find("usage.jsonl:2: "),
            std::string::npos);
}

TEST(UsageFile, SaysLineAndKeyOfWhatItCannotUse) {
  std::string line = usage_line(a_span());
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = line;
    changed.replace(changed.find(from), from.size(), to);
    return message_of(changed);
  };
  EXPECT_EQ(with("\"hour\":20", "\"hour\":24"),
            "usage.jsonl:1: hour: expected a whole number from 0 to 23, got 24");
  EXPECT_EQ(with("\"standard\"", "\"urgent\""),
            "usage.jsonl:1: kinds[0].class: expected guaranteed, standard, flex or batch, got "
            "\"urgent\"");
  EXPECT_EQ(with("\"kept\":1", "\"kept\":3"),
            "usage.jsonl:1: kinds[0].kept: expected at most `completed`, got 3");
  EXPECT_NE(with("\"arrived\":3,", "").find("kinds[0]: missing key 'arrived'"), std::string::npos);
  EXPECT_NE(with("\"schema\":1", "\"schema\":2").find("this version of medley reads"),
            std::string::npos);
  EXPECT_NE(message_of("").find("nothing is recorded in it"), std::string::npos);
  EXPECT_NE(message_of("at_s,prompt\n1,2\n").find("usage.jsonl:1: expected a line"),
            std::string::npos);
}

TEST(UsageFile, LengthsAreKnownToAQuarterOfAnOctave) {
  LengthCounts lengths;
  for (int tokens = 1; tokens <= 1000; ++tokens)
    lengths.add(tokens);
  EXPECT_EQ(lengths.count(), 1000);
  EXPECT_EQ(lengths.mean(), 500.5);
  const LengthLaw law = lengths.law();
  for (const double share : {0.1, 0.5, 0.9})
    EXPECT_NEAR(law.quantiles.at(share), share * 1000, share * 1000 * 0.02) << share;
  EXPECT_EQ(law.quantiles.points.front().first, 0);
  EXPECT_EQ(law.quantiles.points.back().first, 1);
  EXPECT_LE(lengths.up_to.size(), 40u);
}

TEST(UsageFile, ALawStepsOverLengthsThatNeverCame) {
  LengthCounts lengths;
  for (int i = 0; i < 50; ++i) {
    lengths.add(10);
    lengths.add(100'000);
  }
  const LengthLaw law = lengths.law();
  EXPECT_LT(law.quantiles.at(0.49), 11);
  EXPECT_GT(law.quantiles.at(0.51), 80'000);
}

}  // namespace
}  // namespace medley::data
