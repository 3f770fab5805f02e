#include <gtest/gtest.h>

#include "lpu/cpu/costs.h"
#include "lpu/testing_models.h"

namespace medley::lpu::cpu {
namespace {

// How near predictions are to what is measured is for `medley compile --target cpu --measure` to
// say: tests run beside others.
TEST(Costs, KnowEveryInstructionOfAProgram) {
  for (const TensorFormat format : {TensorFormat::kF32, TensorFormat::kQ8_0}) {
    const auto model = test_model({.family = "qwen3", .format = format});
    const Isa isa = best_isa();
    const auto program =
        compile_cpu(model->graph, {.context = 128, .layout = layout_of(isa, false)});
    ASSERT_TRUE(program.ok());
    const auto costs = Costs::measure(model->graph, *program, isa);
    ASSERT_TRUE(costs.ok()) << costs.error().message;
    const auto machine = Machine::make(model->graph, *program, {.isa = isa});
    ASSERT_TRUE(machine.ok());
    const std::vector<Instruction>& instructions = program->units.front().instructions;
    const std::vector<double> times = measured(**machine, program->context - 1, 3);
    ASSERT_EQ(times.size(), instructions.size());
    for (std::size_t i = 0; i < instructions.size(); ++i) {
      EXPECT_GT(times[i], 0);
      if (instructions[i].operation == Operation::kEmbed)
        continue;  // one look-up a token
      EXPECT_GT(costs->predict(instructions[i], *program, program->context - 1), 0)
          << name_of(instructions[i].operation);
    }
    // Attention takes longer over more positions.
    for (const Instruction& in : instructions) {
      if (in.operation == Operation::kAttend) {
        EXPECT_GT(costs->predict(in, *program, 127), costs->predict(in, *program, 0));
      }
    }
  }
}

// The head has most rows, and the way down most columns: no matrix has both, nor is there room.
TEST(Costs, AreMeasuredOfAModelWhoseMatricesAreLongOrWide) {
  const auto model = test_model({.layers = 1, .inner = 8192, .vocabulary = 32768});
  const Isa isa = best_isa();
  const auto program = compile_cpu(model->graph, {.context = 64, .layout = layout_of(isa, false)});
  ASSERT_TRUE(program.ok());
  const auto costs = Costs::measure(model->graph, *program, isa);
  ASSERT_TRUE(costs.ok()) << costs.error().message;
  for (const Instruction& in : program->units.front().instructions) {
    if (in.operation == Operation::kMatrix) {
      EXPECT_GT(costs->predict(in, *program, 0), 0);
    }
  }
}

}  // namespace
}  // namespace medley::lpu::cpu
