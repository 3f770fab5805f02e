#include "lpu/verify/verify.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "lpu/chip/compile.h"

namespace medley::lpu::verify {
namespace {

TEST(Verify, SharesOnlyTheSchedulesDataWithTheCompiler) {
  const std::set<std::string> allowed{"lpu/verify/verify.h", "lpu/chip/schedule.h",
                                      "lpu/chip/target.h"};
  for (const char* path : {"src/lpu/verify/verify.h", "src/lpu/verify/verify.cc"}) {
    std::ifstream in(path);
    ASSERT_TRUE(in.good()) << path;
    for (std::string line; std::getline(in, line);) {
      if (line.starts_with("#include \"")) {
        EXPECT_TRUE(allowed.contains(line.substr(10, line.rfind('"') - 10))) << line;
      }
    }
  }
}

chip::Shape shape() {
  chip::Shape shape{.name = "small",
                    .layers = 3,
                    .width = 128,
                    .heads = 4,
                    .kv_heads = 2,
                    .head_size = 32,
                    .inner = 200,
                    .vocabulary = 500};
  shape.kinds = {{}};
  shape.kind_of_layer = {0, 0, 0};
  return shape;
}

// What the verifier says of a schedule after it was changed by hand.
template <typename Change>
std::string finding(const Change& change) {
  const auto target = chip::find_target("example_chip", "catalog");
  EXPECT_TRUE(target.ok());
  auto compiled = chip::compile(shape(), *target, {.context = 64, .chips = 8, .group = 2});
  EXPECT_TRUE(compiled.ok()) << compiled.error().message;
  EXPECT_TRUE(verify(compiled->schedule, *target).valid());
  change(compiled->schedule);
  const Certificate certificate = verify(compiled->schedule, *target);
  return certificate.valid() ? "" : certificate.findings.front();
}

TEST(Verify, FindsWhatIsChangedByHand) {
  const auto layer = [](chip::Schedule& s) -> chip::Segment& { return s.segments[1]; };
  EXPECT_NE(finding([&](chip::Schedule& s) { layer(s).instructions.back().start -= 1; }), "");
  EXPECT_NE(finding([&](chip::Schedule& s) { layer(s).instructions.pop_back(); }), "");
  EXPECT_NE(finding([&](chip::Schedule& s) { s.stages[1].runs.erase(s.stages[1].runs.begin()); }),
            "");
  EXPECT_NE(finding([&](chip::Schedule& s) { s.token_cycles -= 1; }), "");
  EXPECT_NE(finding([&](chip::Schedule& s) { s.interval_cycles -= 1; }), "");
  EXPECT_NE(finding([&](chip::Schedule& s) { s.streams = 1000; }), "");
  EXPECT_NE(finding([&](chip::Schedule& s) { layer(s).instructions[3].accesses[0].bank = 7; }), "");
}

TEST(Verify, RefusesIndicesThatLeadNowhere) {
  EXPECT_NE(finding([](chip::Schedule& s) { s.stages[0].runs[0].segment = 99; }), "");
  EXPECT_NE(finding([](chip::Schedule& s) {
              for (auto& in : s.segments[1].instructions) {
                if (in.op == chip::Op::kMultiply)
                  in.tile = 1'000'000;
              }
            }),
            "");
}

}  // namespace
}  // namespace medley::lpu::verify
