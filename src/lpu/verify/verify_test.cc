#include "lpu/verify/verify.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "lpu/chip/compile.h"

namespace medley::lpu::verify {
namespace {

TEST(Verify, SharesOnlyTheSchedulesDataWithTheCompiler) {
  const std::set<std::string> allowed{"lpu/verify/verifier.h", "lpu/verify/verify.h",
                                      "lpu/chip/schedule.h", "lpu/chip/shape.h",
                                      "lpu/chip/target.h"};
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator("src/lpu/verify")) {
    const std::string path = entry.path().string();
    if (path.ends_with("_test.cc"))
      continue;
    ++files;
    std::ifstream in(path);
    ASSERT_TRUE(in.good()) << path;
    for (std::string line; std::getline(in, line);) {
      if (line.starts_with("#include \"")) {
        EXPECT_TRUE(allowed.contains(line.substr(10, line.rfind('"') - 10))) << path << line;
      }
    }
  }
  EXPECT_GE(files, 6);
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
  EXPECT_TRUE(verify(compiled->schedule, *target, shape()).valid());
  change(compiled->schedule);
  const Certificate certificate = verify(compiled->schedule, *target, shape());
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

// What rules of its own each of these needs: schedules that fit in time and place, and are wrong.
TEST(Verify, FindsWorkThatIsNotTheModels) {
  const auto says = [&](const auto& change, const char* what) {
    const std::string found = finding(change);
    EXPECT_FALSE(found.empty()) << what;
    EXPECT_NE(found.find(what), std::string::npos) << what << ": " << found;
  };
  const auto each = [](chip::Op op, auto&& change) {
    return [op, change](chip::Schedule& s) {
      for (chip::Instruction& in : s.segments[1].instructions) {
        if (in.op == op)
          change(in);
      }
    };
  };
  using chip::Instruction;
  using chip::Op;
  says(each(Op::kMultiply, [](Instruction& in) { in.k = 0; }), "with another tile than it says");
  says(each(Op::kSend, [](Instruction& in) { in.unit = {.kind = chip::UnitKind::kVector}; }),
       "cannot do it");
  says(each(Op::kNorm, [](Instruction& in) { in.unit.index = 1; }), "there is no such unit");
  says(each(Op::kNorm, [](Instruction& in) { in.unit.count = 0; }), "there is no such unit");
  says(each(Op::kSwap, [](Instruction& in) { in.unit.count = 0; }), "there is no such unit");
  says(each(Op::kSend, [](Instruction& in) { in.unit.count = 2; }), "there is no such unit");
  says(
      [](chip::Schedule& s) {
        for (chip::Segment& segment : s.segments) {
          if (segment.kind == chip::SegmentKind::kHandOn)
            segment.instructions.front().accesses.back().lanes -= 1;
        }
      },
      "leaves something else than it takes");
  says([](chip::Schedule& s) { s.segments[1].cycles -= 1; }, "after the segment's");
  // Groups of two on nodes of four: two stages a node, so every other hop leaves one.
  const auto handed = [](int leaves_node) {
    return [leaves_node](chip::Schedule& s) {
      for (chip::Segment& segment : s.segments) {
        for (Instruction& in : segment.instructions) {
          if (in.op == Op::kHandOn)
            in.detail = leaves_node;
        }
      }
    };
  };
  says(handed(0), "reaches chip 4 of another node by a link within its own");
  says(handed(1), "");
  // Layers 1 and 2 change places, or the last is left out.
  says(
      [](chip::Schedule& s) {
        for (chip::Stage& stage : s.stages) {
          for (chip::Run& run : stage.runs) {
            if (run.layer > 0)
              run.layer = 3 - run.layer;
          }
        }
      },
      "where 1 is due");
  says(
      [](chip::Schedule& s) {
        for (chip::Stage& stage : s.stages) {
          for (std::size_t i = 0; i < stage.runs.size(); ++i) {
            if (stage.runs[i].layer == 2)
              stage.runs.erase(stage.runs.begin() + static_cast<std::ptrdiff_t>(i--));
          }
        }
      },
      "of 3 layers");
  says([](chip::Schedule& s) { s.stages.front().start = 0; },
       "the first stage is not kept when the token chosen arrives");
  says([](chip::Schedule& s) { s.stages.back().runs.pop_back(); }, "the first stage");
  // A chunk of a prompt that looks for a tile in another row.
  says(
      [](chip::Schedule& s) {
        for (chip::Segment& segment : s.segments) {
          for (chip::Instruction& in : segment.instructions) {
            if (segment.chunk_of >= 0 && in.op == Op::kInstall && in.accesses.front().row > 0 &&
                in.accesses.front().area == chip::Area::kWeights)
              in.accesses.front().row -= 1;
          }
        }
      },
      "row");
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
