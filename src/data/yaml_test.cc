#include "data/yaml.h"

#include <gtest/gtest.h>

#include "base/prng.h"

namespace medley::data {
namespace {

Node yaml(std::string_view text) {
  auto node = parse_yaml(text, "fleet.yaml");
  EXPECT_TRUE(node.ok()) << (node.ok() ? "" : node.error().message);
  return std::move(node).value();
}

std::string error_of(std::string_view text) {
  auto node = parse_yaml(text, "fleet.yaml");
  return node.ok() ? "" : node.error().message;
}

TEST(Yaml, ErrorsNameFileLineColumnAndPath) {
  const Node root = yaml("pools:\n  - name: a\n    replicas: three\n");
  const auto pools = root.find("pools")->items();
  Fields fields((*pools)[0]);
  fields.required_text("name");
  fields.whole("replicas", 1, {.min = 1});
  const auto status = fields.finish();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(
      status.error().message,
      "fleet.yaml:3:15: pools[0].replicas: expected a whole number of at least 1, got 'three'");
  EXPECT_EQ(status.error().param, "pools[0].replicas");
  EXPECT_EQ(status.error().code, ErrorCode::kInvalid);
}

TEST(Yaml, NamesTheNearestKeyBeforeAnyOtherMistake) {
  Fields fields(yaml("site:\n  zone: here\nreplcas: 3\n"));
  fields.required("replicas");
  fields.ignore("site");
  EXPECT_EQ(fields.finish().error().message,
            "fleet.yaml:3:1: unknown key 'replcas', did you mean 'replicas'?");
}

TEST(Yaml, NamesTheKnownKeysWhereNoneIsNear) {
  const Node root = yaml("site: {zone: here, colour: red}\n");
  Fields fields(*root.find("site"));
  fields.text("zone");
  fields.number("pue", 1);
  EXPECT_EQ(fields.finish().error().message,
            "fleet.yaml:1:20: site: unknown key 'colour'; known: zone, pue");
}

TEST(Yaml, NamesAMissingKey) {
  Fields fields(yaml("a: 1\n"));
  fields.ignore("a");
  fields.required_text("name");
  EXPECT_EQ(fields.finish().error().message, "fleet.yaml:1:1: missing key 'name'");
}

TEST(Yaml, RefusesDuplicateKeys) {
  EXPECT_EQ(error_of("a: 1\nb: {c: 1, c: 2}\n"),
            "fleet.yaml:2:11: key 'c' stands here twice, first in line 2");
}

TEST(Yaml, NamesTheNearestOfAChoice) {
  const std::vector<std::string> names = {"guaranteed", "standard", "flex", "batch"};
  const Node root = yaml("class: granteed\n");
  EXPECT_EQ(root.find("class")->choice(names).error().message,
            "fleet.yaml:1:8: class: unknown value 'granteed', did you mean 'guaranteed'?");
  EXPECT_EQ(*yaml("class: flex\n").find("class")->choice(names), 2u);
}

TEST(Yaml, ReadsSizes) {
  const auto bytes = [](std::string_view text) { return parse_bytes(text); };
  EXPECT_EQ(*bytes("16GiB"), 16.0 * (1 << 30));
  EXPECT_EQ(*bytes("4GB"), 4e9);
  EXPECT_EQ(*bytes("1.5 MiB"), 1.5 * (1 << 20));
  EXPECT_EQ(*bytes("512"), 512);
  for (const char* wrong : {"", "GB", "4GiBs", "-1GB", "4 G", "nan", "inf", "1e400GB", "4..GB"}) {
    EXPECT_FALSE(bytes(wrong).ok()) << wrong;
  }
  EXPECT_EQ(yaml("m: 4 Gibs\n").find("m")->bytes().error().message,
            "fleet.yaml:1:4: m: expected a size like 16GiB or 4GB, got '4 Gibs'");
}

TEST(Yaml, ReadsDurations) {
  EXPECT_EQ(*parse_seconds("200ms"), 0.2);
  EXPECT_EQ(*parse_seconds("1.5s"), 1.5);
  EXPECT_EQ(*parse_seconds("2m"), 120);
  EXPECT_EQ(*parse_seconds("24h"), 86400);
  EXPECT_EQ(*parse_seconds("7d"), 604800);
  EXPECT_EQ(*parse_seconds("90us"), 90e-6);
  EXPECT_EQ(*parse_seconds("90µs"), 90e-6);
  EXPECT_EQ(*parse_seconds("0.05"), 0.05);
  for (const char* wrong : {"", "s", "-1s", "1 fortnight", "1e999s", "nan"}) {
    EXPECT_FALSE(parse_seconds(wrong).ok()) << wrong;
  }
  EXPECT_EQ(yaml("t: soon\n").find("t")->seconds().error().message,
            "fleet.yaml:1:4: t: expected a duration like 200ms, 1.5s, 2m or 24h, got 'soon'");
  EXPECT_EQ(yaml("t: 0\n").find("t")->seconds(kPositive).error().message,
            "fleet.yaml:1:4: t: expected a duration above 0 seconds, got '0'");
}

TEST(Yaml, RefusesNumbersThatMakeNoSense) {
  const Node root =
      yaml("a: .inf\nb: nan\nc: -1\nd: 1e999\ne: '3'\nf: 3.5\ng: 1e6\nh: +5\ni: [1]\nj: 1_000\n");
  EXPECT_EQ(root.find("a")->number().error().message,
            "fleet.yaml:1:4: a: expected a number of at least 0, got '.inf'");
  EXPECT_FALSE(root.find("b")->number().ok());
  EXPECT_FALSE(root.find("c")->number().ok());
  EXPECT_FALSE(root.find("d")->number().ok());
  EXPECT_FALSE(root.find("e")->number().ok());
  EXPECT_EQ(root.find("f")->whole({1, 64}).error().message,
            "fleet.yaml:6:4: f: expected a whole number from 1 to 64, got '3.5'");
  EXPECT_EQ(*root.find("g")->whole(), 1'000'000);
  EXPECT_EQ(*root.find("h")->whole(), 5);
  EXPECT_EQ(root.find("i")->number().error().message,
            "fleet.yaml:9:4: i: expected a number of at least 0, got a list");
  EXPECT_FALSE(root.find("j")->whole().ok());
  EXPECT_EQ(root.find("c")->number(kShare).error().message,
            "fleet.yaml:3:4: c: expected a number from 0 to 1, got '-1'");
}

TEST(Yaml, TreatsNullAsAbsent) {
  Fields fields(yaml("a:\nb: null\nc: ~\nd: x\n"));
  EXPECT_EQ(fields.text("a", "default"), "default");
  EXPECT_EQ(fields.whole("b", 7), 7);
  EXPECT_FALSE(fields.has("c"));
  fields.ignore("c");
  EXPECT_EQ(fields.text("d"), "x");
  EXPECT_TRUE(fields.finish().ok());
}

TEST(Yaml, ReadsFlagsListsAndAliases) {
  const Node root = yaml("on: true\nlist: &l [a, 'b c', 3]\nsame: *l\n");
  EXPECT_TRUE(*root.find("on")->flag());
  EXPECT_EQ(*root.find("same")->texts(), (std::vector<std::string>{"a", "b c", "3"}));
  EXPECT_EQ(yaml("on: maybe\n").find("on")->flag().error().message,
            "fleet.yaml:1:5: on: expected true or false, got 'maybe'");
}

TEST(Yaml, SaysWhereTheSyntaxIsWrong) {
  EXPECT_EQ(error_of("a: [1, 2\nb: 3\n").substr(0, 13), "fleet.yaml:2:");
  EXPECT_EQ(error_of("a: \"open\n"), "fleet.yaml:1:4: a quoted text that does not end");
  EXPECT_EQ(error_of("b: 'it''s'\na: 'it''s\n"), "fleet.yaml:2:4: a quoted text that does not end");
  EXPECT_EQ(error_of("b: \"\\\"\"\na: 'it''s'\n"), "");
  EXPECT_EQ(error_of("a: \"µ\"\nb: \"x\""), "");
  EXPECT_EQ(error_of("a: 1\n---\nb: 2\n"), "fleet.yaml:3:1: a second document; one is expected");
  EXPECT_EQ(error_of("? [a, b]\n: 1\n"), "fleet.yaml:1:3: a key must be a single word or text");
  EXPECT_EQ(error_of("a: &x [*x]\n"),
            "fleet.yaml:1:8: an alias cannot stand inside the value it names");
}

TEST(Yaml, RefusesControlCharactersWhereverTheyStand) {
  for (const char* text : {R"(a: "x\e[31m")", R"("a\a": x)", R"(a: ["\x9b2J"])"})
    EXPECT_NE(error_of(text).find("holds a control character"), std::string::npos) << text;
  EXPECT_EQ(error_of("a: |\r\n  two\r\n  lines\r\nb: \"tab\\t\""), "");
}

TEST(Yaml, AnswersNullForAnEmptyFile) {
  EXPECT_TRUE(yaml("").is_null());
  EXPECT_TRUE(yaml("# nothing\n").is_null());
  Fields fields(yaml(""));
  EXPECT_EQ(fields.finish().error().message,
            "fleet.yaml:1:1: expected a map of keys and values, got nothing");
}

TEST(Yaml, BoundsDepthAndSize) {
  const std::string deep(100'000, '[');
  EXPECT_NE(error_of(deep).find("more than 64 levels deep"), std::string::npos);
  EXPECT_EQ(error_of(std::string(30, '[') + std::string(30, ']')), "");
  std::string blocks;
  for (int i = 0; i < 200; ++i)
    blocks += std::string(static_cast<std::size_t>(i), ' ') + "a:\n";
  EXPECT_NE(error_of(blocks).find("more than 64 levels deep"), std::string::npos);
  // Each line doubles the one before: a few lines stand for more values than memory has.
  std::string laughs = "a0: &a0 [x, x]\n";
  for (int i = 1; i < 60; ++i)
    laughs += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [*a" +
              std::to_string(i - 1) + ", *a" + std::to_string(i - 1) + "]\n";
  EXPECT_NE(error_of(laughs).find("more than 2000000 values"), std::string::npos);
  EXPECT_EQ(error_of(std::string((16 << 20) + 1, ' ')), "fleet.yaml: larger than 16 MiB");
}

TEST(Yaml, ResolvesPathsFromTheFile) {
  const Node root = *parse_yaml("a: 1\n", "scenarios/day/x.yaml");
  EXPECT_EQ(root.folder(), "scenarios/day");
  EXPECT_EQ(root.resolve("../traces/t.csv"), "scenarios/traces/t.csv");
  EXPECT_EQ(root.resolve("/abs/t.csv"), "/abs/t.csv");
  EXPECT_EQ(parse_yaml("a: 1\n", "x.yaml")->resolve("t.csv"), "t.csv");
}

TEST(Yaml, NamesAFileThatIsNotThere) {
  const auto node = read_yaml("no/such/file.yaml");
  EXPECT_EQ(node.error().message, "no/such/file.yaml: No such file or directory");
  EXPECT_EQ(node.error().code, ErrorCode::kNotFound);
}

// Whatever stands in the file, the answer is a value or an error: no exception, no crash.
TEST(Yaml, SurvivesMutatedInput) {
  const std::string seed_text =
      "site: {zone: a, tariff: [1, 2.5, -3]}\npools:\n  - &p {name: x, urls: [\"http://a\", "
      "'b']}\n  - *p\n"
      "text: |\n  block\n  of text\nfolded: >-\n  more\n? key\n: value\n# end\n";
  Prng prng(7);
  for (int round = 0; round < 1000; ++round) {
    std::string text = seed_text;
    const std::uint64_t changes = 1 + prng.below(6);
    for (std::uint64_t i = 0; i < changes; ++i) {
      const std::size_t at = prng.below(text.size());
      switch (prng.below(4)) {
        case 0:
          text[at] = static_cast<char>(prng.below(256));
          break;
        case 1:
          text.erase(at, 1 + prng.below(5));
          break;
        case 2:
          text.insert(at, 1, "[]{}:,&*!|>'\"%@`#-?\n\t "[prng.below(23)]);
          break;
        default:
          text += text.substr(at, 20);
      }
      if (text.empty())
        text = "x";
    }
    const auto node = parse_yaml(text, "fuzz.yaml");
    if (!node.ok()) {
      ASSERT_EQ(node.error().message.substr(0, 9), "fuzz.yaml");
      continue;
    }
    Fields fields(*node);
    fields.texts("pools");
    fields.number("site", 1);
    (void)fields.finish();
  }
}

}  // namespace
}  // namespace medley::data
