#include "lpu/compile_cpu.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

#include "lpu/cpu/machine.h"
#include "lpu/testing_models.h"

namespace medley::lpu {
namespace {

Program compiled(const Graph& graph, CpuOptions options) {
  auto program = compile_cpu(graph, options);
  MEDLEY_CHECK(program.ok(), program.ok() ? "" : program.error().message);
  return std::move(program).value();
}

TEST(CompileCpu, GivesTheSameProgramEachTime) {
  const auto model = test_model({});
  EXPECT_EQ(compiled(model->graph, {}).digest(), compiled(model->graph, {}).digest());
  EXPECT_NE(compiled(model->graph, {}).digest(), compiled(model->graph, {.units = 2}).digest());
}

// Every number of every matrix stands in exactly one piece.
TEST(CompileCpu, PacksEveryWeightOnce) {
  const auto model =
      test_model({.heads = 6, .kv_heads = 3, .head_size = 8, .inner = 172, .vocabulary = 331});
  for (const int units : {1, 2, 3}) {
    const Program program = compiled(model->graph, {.units = units});
    std::map<const Tensor*, long long> covered;
    std::int64_t macs = 0;
    for (const UnitProgram& unit : program.units) {
      for (const Instruction& i : unit.instructions) {
        if (i.operation != Operation::kMatrix)
          continue;
        for (const Piece& p : i.pieces) {
          covered[p.weight] +=
              static_cast<long long>(p.row_end - p.row_begin) * (p.column_end - p.column_begin);
        }
        macs += i.macs;
      }
    }
    for (const auto& [tensor, numbers] : covered)
      EXPECT_EQ(numbers, tensor->rows * tensor->columns) << tensor->name;
    EXPECT_EQ(covered.size(), 2 * 7 + 1U);
    EXPECT_EQ(macs, program.macs());
  }
}

// For whichever is chosen: those of all experts, once, however many are chosen.
TEST(CompileCpu, PacksEveryExpertOnceAndMeetsOnceForAllOfThem) {
  const auto model = test_model({.experts = 6, .experts_per_token = 3});
  const auto dense = test_model({});
  for (const int units : {1, 2}) {
    const Program program = compiled(model->graph, {.units = units});
    EXPECT_EQ(program.meetings, compiled(dense->graph, {.units = units}).meetings);
    std::map<const Tensor*, long long> covered;
    int experts = 0;
    for (const UnitProgram& unit : program.units) {
      for (const Instruction& i : unit.instructions) {
        for (const Piece& p : i.pieces) {
          if (i.operation == Operation::kMatrix && i.chosen >= 0) {
            covered[p.weight] += static_cast<long long>(p.row_end - p.row_begin) *
                                 (p.column_end - p.column_begin) * i.experts;
          }
        }
        experts += i.operation == Operation::kMatrix && i.chosen >= 0 ? 1 : 0;
      }
    }
    EXPECT_EQ(experts, units * 2 * 3 * 2) << "gate and up together, down; of each of the chosen";
    EXPECT_EQ(covered.size(), 2 * 3U);
    for (const auto& [tensor, numbers] : covered)
      EXPECT_EQ(numbers, tensor->rows * tensor->columns) << tensor->name;
  }
}

// No two slots that hold something at the same time share a byte; everything read was written.
TEST(CompileCpu, PlacesBuffersApart) {
  const auto model = test_model({.layers = 3});
  for (const int units : {1, 2}) {
    const Program program = compiled(model->graph, {.units = units});
    std::int64_t all = 0;
    for (const UnitProgram& unit : program.units) {
      for (std::size_t a = 0; a < unit.slots.size(); ++a) {
        const Slot& s = unit.slots[a];
        all += s.size;
        EXPECT_LE(s.offset + s.size, unit.buffer_bytes);
        EXPECT_EQ(s.offset % 64, 0);
        for (std::size_t b = a + 1; b < unit.slots.size(); ++b) {
          const Slot& t = unit.slots[b];
          const bool together = s.first <= t.last && t.first <= s.last;
          const bool overlap = s.offset < t.offset + t.size && t.offset < s.offset + s.size;
          EXPECT_FALSE(together && overlap) << a << " and " << b;
        }
      }
      std::set<int> written;
      for (const Instruction& i : unit.instructions) {
        for (const Operand& input : i.inputs)
          EXPECT_TRUE(written.contains(input.slot)) << name_of(i.operation);
        written.insert(i.output.slot);
      }
    }
    EXPECT_LT(program.units[0].buffer_bytes, all / 2);
  }
}

// What others read stays until the meeting after they did.
TEST(CompileCpu, KeepsSharedBuffersUntilTheNextMeeting) {
  const auto model = test_model({.layers = 3});
  const Program program = compiled(model->graph, {.units = 2});
  EXPECT_EQ(program.meetings, 2 * 3);
  const UnitProgram& unit = program.units[1];
  int shared = 0;
  for (const Slot& slot : unit.slots) {
    if (!slot.shared)
      continue;
    ++shared;
    const auto end = static_cast<std::size_t>(slot.last);
    EXPECT_TRUE(end + 1 == unit.instructions.size() ||
                unit.instructions[end].operation == Operation::kMeet);
  }
  EXPECT_EQ(shared, 2 * 3);
}

TEST(CompileCpu, SaysWhatCannotBe) {
  const auto model = test_model({});
  EXPECT_EQ(compile_cpu(model->graph, {.units = 3}).error().message,
            "3 threads: expected 1 to 2, for 2 KV heads are divided");
  EXPECT_FALSE(compile_cpu(model->graph, {.units = 0}).ok());
  EXPECT_EQ(compile_cpu(model->graph, {.context = 0}).error().message,
            "a context of 0 tokens: expected 1 to 1048576");
  EXPECT_FALSE(compile_cpu(model->graph, {.context = 1 << 30}).ok());
}

TEST(FitsWhole24, RefusesRowsWhoseLargestHidesTheOthers) {
  std::vector<float> numbers(2 * 4096);
  const Tensor tensor{.name = "t",
                      .rows = 2,
                      .columns = 4096,
                      .bytes = reinterpret_cast<const std::uint8_t*>(numbers.data())};
  EXPECT_TRUE(fits_whole24(tensor)) << "nothing but zeros";
  for (std::size_t i = 0; i < numbers.size(); ++i)
    numbers[i] = i % 3 == 0 ? -0.01F : 0.02F;
  EXPECT_TRUE(fits_whole24(tensor));
  for (const float bad : {2.0F, std::nanf(""), INFINITY}) {
    numbers[5000] = bad;
    EXPECT_FALSE(fits_whole24(tensor)) << bad;
  }
  numbers[5000] = 0;
  std::fill(numbers.begin() + 4096, numbers.end(), 1e-30F);
  EXPECT_FALSE(fits_whole24(tensor)) << "scales would not be normal numbers";
  EXPECT_TRUE(fits_whole24({.rows = 2, .columns = 4096})) << "a description";
}

}  // namespace
}  // namespace medley::lpu
