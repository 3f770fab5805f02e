#include "lpu/cpu/machine.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <cmath>
#include <thread>

#include "base/prng.h"
#include "lpu/reference.h"
#include "lpu/testing_models.h"

namespace medley::lpu::cpu {
namespace {

struct How {
  Isa isa = Isa::kPortable;
  int units = 1, streams = 4;
  bool half_kv = false;
};

std::unique_ptr<Machine> machine_of(const Graph& graph, const How& how, int slots = 1,
                                    int context = 100) {
  auto program = compile_cpu(graph, {.units = how.units,
                                     .context = context,
                                     .streams = how.streams,
                                     .layout = layout_of(how.isa, how.half_kv)});
  MEDLEY_CHECK(program.ok(), program.ok() ? "" : program.error().message);
  auto machine = Machine::make(graph, *program, {.isa = how.isa, .slots = slots});
  MEDLEY_CHECK(machine.ok(), machine.ok() ? "" : machine.error().message);
  return std::move(machine).value();
}

// The largest difference to the reference over a run of tokens, as a share of the logits' size.
double worst_error(const TestModel& model, const How& how, int tokens = 70) {
  const auto machine = machine_of(model.graph, how);
  Reference reference(model.graph, tokens);
  std::vector<float> logits(static_cast<std::size_t>(machine->vocabulary()));
  Prng prng(5);
  double worst = 0;
  for (int position = 0; position < tokens; ++position) {
    const auto token = static_cast<int>(prng.below(logits.size()));
    const std::vector<float>& expected = reference.step(token);
    machine->run(0, token, position);
    machine->copy_logits(logits);
    EXPECT_EQ(machine->choice(), std::max_element(logits.begin(), logits.end()) - logits.begin());
    double size = 0, error = 0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      size = std::max(size, static_cast<double>(std::fabs(expected[i])));
      error = std::max(error, static_cast<double>(std::fabs(expected[i] - logits[i])));
    }
    worst = std::max(worst, error / size);
  }
  return worst;
}

std::vector<Isa> isas() {
  std::vector<Isa> all;
  for (const Isa isa : {Isa::kPortable, Isa::kAvx2, Isa::kAvx512}) {
    if (can_run(isa))
      all.push_back(isa);
  }
  return all;
}

TEST(Machine, ComputesEveryFamilyAsTheReferenceDoes) {
  for (const char* family : {"llama", "qwen2", "qwen3", "gemma"}) {
    const auto model = test_model({.family = family});
    for (const Isa isa : isas()) {
      for (const int units : {1, 2})
        EXPECT_LT(worst_error(*model, {.isa = isa, .units = units}), 2e-5) << family;
    }
  }
}

// Also where a prompt is read several tokens at a time, each with experts of its own.
TEST(Machine, ComputesMixturesOfExperts) {
  for (const char* family : {"llama", "qwen3moe"}) {
    for (const TensorFormat format : {TensorFormat::kF32, TensorFormat::kQ8_0}) {
      const auto model = test_model(
          {.family = family, .inner = 96, .experts = 5, .experts_per_token = 3, .format = format});
      const double most = format == TensorFormat::kF32 ? 2e-5 : 2e-3;
      for (const Isa isa : isas()) {
        for (const int units : {1, 2})
          EXPECT_LT(worst_error(*model, {.isa = isa, .units = units}, 40), most) << family;
      }
      const auto one = machine_of(model->graph, {.isa = best_isa(), .units = 2});
      const auto many = machine_of(model->graph, {.isa = best_isa(), .units = 2});
      const std::vector<int> prompt = {5, 90, 17, 301, 42, 8};
      for (std::size_t p = 0; p < prompt.size(); ++p)
        one->run(0, prompt[p], static_cast<int>(p));
      many->read(0, prompt, 0, true);
      std::vector<float> a(512), b(512);
      one->copy_logits(a);
      many->copy_logits(b);
      for (std::size_t i = 0; i < a.size(); ++i)
        EXPECT_NEAR(a[i], b[i], 2 * most) << "another expert would be much further off";
    }
  }
}

// Shapes that fill no register, no pair of blocks and no even share.
TEST(Machine, ComputesOddShapes) {
  const auto model = test_model(
      {.width = 52, .heads = 9, .kv_heads = 3, .head_size = 10, .inner = 83, .vocabulary = 333});
  for (const Isa isa : isas()) {
    for (const int units : {1, 2, 3}) {
      for (const int streams : {1, 2, 4})
        EXPECT_LT(worst_error(*model, {isa, units, streams}, units == 3 ? 8 : 40), 2e-5)
            << units << " " << streams;
    }
  }
}

TEST(Machine, ComputesEveryFormat) {
  struct Case {
    TensorFormat format;
    double most;  // error as a share of the logits
  };
  // Whole numbers of 16 bits for activations: a few parts in ten thousand. Formats that are held
  // as F16 lose what F16 loses.
  for (const Case& c : {Case{TensorFormat::kF16, 2e-5}, Case{TensorFormat::kBf16, 2e-5},
                        Case{TensorFormat::kQ8_0, 2e-3}, Case{TensorFormat::kQ4_0, 2e-3},
                        Case{TensorFormat::kQ4_1, 2e-3}, Case{TensorFormat::kQ5_0, 2e-3},
                        Case{TensorFormat::kQ5_1, 2e-3}}) {
    const auto model = test_model({.width = 96,
                                   .heads = 4,
                                   .kv_heads = 2,
                                   .head_size = 24,
                                   .inner = 160,
                                   .format = c.format});
    for (const Isa isa : isas()) {
      for (const int units : {1, 2})
        EXPECT_LT(worst_error(*model, {.isa = isa, .units = units}, 25), c.most)
            << name_of(c.format);
    }
  }
  for (const TensorFormat format :
       {TensorFormat::kQ4_K, TensorFormat::kQ5_K, TensorFormat::kQ6_K}) {
    const auto model = test_model({.layers = 1,
                                   .width = 256,
                                   .heads = 4,
                                   .kv_heads = 4,
                                   .head_size = 64,
                                   .inner = 256,
                                   .format = format});
    EXPECT_LT(worst_error(*model, {.isa = best_isa()}, 20), 2e-3) << name_of(format);
  }
}

// Of all F32 matrices the first row far smaller than whole numbers are scaled for.
std::unique_ptr<TestModel> model_beyond_whole24(const SynthShape& shape) {
  auto model = test_model(shape);
  for (const auto& [name, tensor] : model->file.tensors()) {
    auto* row = reinterpret_cast<float*>(const_cast<std::uint8_t*>(tensor.bytes));
    if (tensor.rows > 1)
      std::fill(row, row + tensor.columns, 1e-30F);
  }
  return model;
}

TEST(Machine, HoldsF32AsWholeNumbersWhereThatLosesNothing) {
  const SynthShape shape{.width = 52, .heads = 4, .kv_heads = 2, .head_size = 14, .inner = 83};
  const auto whole = test_model(shape), floats = model_beyond_whole24(shape);
  const auto format_of = [](const Machine& machine) {
    for (const Instruction& i : machine.program().units[0].instructions) {
      if (i.operation == Operation::kMatrix)
        return i.format;
    }
    return WeightFormat::kQ4_0;
  };
  for (const Isa isa : isas()) {
    EXPECT_EQ(format_of(*machine_of(whole->graph, {.isa = isa})), WeightFormat::kWhole24);
    EXPECT_EQ(format_of(*machine_of(floats->graph, {.isa = isa})), WeightFormat::kF32);
    for (const int units : {1, 2}) {
      for (const int streams : {1, 2, 4}) {
        EXPECT_LT(worst_error(*whole, {isa, units, streams}, 20), 3e-6);
        EXPECT_LT(worst_error(*floats, {isa, units, streams}, 20), 3e-6);
      }
    }
  }
}

TEST(Machine, ComputesWithAHalfPrecisionCache) {
  const auto model = test_model({});
  for (const Isa isa : isas()) {
    const double error = worst_error(*model, {.isa = isa, .half_kv = true});
    EXPECT_LT(error, 3e-3);
    EXPECT_GT(error, 1e-5);  // it is used
  }
}

TEST(Machine, GivesTheSameBitsEachTime) {
  const auto model = test_model({.format = TensorFormat::kQ8_0});
  for (const int units : {1, 2}) {
    std::vector<std::vector<float>> runs;
    for (int repeat = 0; repeat < 2; ++repeat) {
      const auto machine = machine_of(model->graph, {.isa = best_isa(), .units = units});
      std::vector<float> logits(static_cast<std::size_t>(machine->vocabulary()));
      for (int p = 0; p < 40; ++p)
        machine->run(0, 1 + p, p);
      machine->copy_logits(logits);
      runs.push_back(std::move(logits));
    }
    EXPECT_EQ(runs[0], runs[1]);
  }
}

TEST(Machine, KeepsStreamsApart) {
  const auto model = test_model({});
  const auto machine = machine_of(model->graph, {.isa = best_isa(), .units = 2}, 3);
  std::vector<float> alone(512), among(512);
  for (int p = 0; p < 30; ++p)
    machine->run(0, 1 + p, p);
  machine->copy_logits(alone);
  for (int p = 0; p < 30; ++p) {
    machine->run(1, 100 - p, p);
    machine->run(2, 1 + p, p, p == 29);
  }
  machine->copy_logits(among);
  EXPECT_EQ(alone, among);
}

// Whoever had the slot before may have left NaN, and more positions.
TEST(Machine, LeavesNothingOfAStreamToTheNext) {
  const auto model = test_model({});
  const float nan = std::nanf("");
  const std::vector<float> bad(16, nan);
  for (const Isa isa : isas()) {
    for (const bool half_kv : {false, true}) {
      for (const int handed_over : {0, 5, 16, 18}) {
        const How how{.isa = isa, .half_kv = half_kv};
        const auto fresh = machine_of(model->graph, how), used = machine_of(model->graph, how);
        const auto all = [&](int positions, auto&& f) {
          for (int layer = 0; layer < 2; ++layer) {
            for (int head = 0; head < 2; ++head) {
              for (int p = 0; p < positions; ++p)
                f(layer, head, p);
            }
          }
        };
        all(64, [&](int layer, int head, int p) {
          used->write_kv(0, layer, head, p, bad.data(), bad.data());
        });
        for (int p = 0; p < 35; ++p) {
          fresh->run(0, 1 + p, p);
          if (p + 1 == handed_over) {
            std::vector<float> key(16), value(16);
            all(handed_over, [&](int layer, int head, int at) {
              fresh->read_kv(0, layer, head, at, key.data(), value.data());
              used->write_kv(0, layer, head, at, key.data(), value.data());
            });
          } else if (p >= handed_over) {
            used->run(0, 1 + p, p);
          }
        }
        std::vector<float> expected(512), got(512);
        fresh->copy_logits(expected);
        used->copy_logits(got);
        EXPECT_EQ(expected, got) << handed_over;
      }
    }
  }
}

TEST(Machine, SkipsTheHeadOfAPrompt) {
  const auto model = test_model({.format = TensorFormat::kQ8_0});
  const auto machine = machine_of(model->graph, {.isa = best_isa(), .units = 2}, 2);
  std::vector<float> with(512), without(512);
  for (int p = 0; p < 20; ++p) {
    machine->run(0, 1 + p, p);
    if (p == 19)
      machine->copy_logits(with);
    machine->run(1, 1 + p, p, p == 19);
  }
  machine->copy_logits(without);
  EXPECT_EQ(with, without);
}

TEST(Machine, KeepsItsThreadsOnTheCoresItIsGiven) {
  cpu_set_t before;
  CPU_ZERO(&before);
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  int core = 0;
  while (!CPU_ISSET(core, &before))
    ++core;
  const auto model = test_model({});
  const auto program =
      compile_cpu(model->graph, {.units = 2, .layout = layout_of(best_isa(), false)});
  ASSERT_TRUE(program.ok());
  auto machine = Machine::make(model->graph, *program, {.cores = {core, core}});
  ASSERT_TRUE(machine.ok()) << machine.error().message;
  std::thread([&] {
    (*machine)->enter();
    cpu_set_t now;
    CPU_ZERO(&now);
    sched_getaffinity(0, sizeof now, &now);
    EXPECT_EQ(CPU_COUNT(&now), 1);
    EXPECT_TRUE(CPU_ISSET(core, &now));
    (*machine)->run(0, 1, 0);  // two threads on one core: slow, and right
  }).join();
  const auto none = Machine::make(model->graph, *program, {.cores = {core, CPU_SETSIZE}});
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().message.substr(0, 31), "core 1024: this process may use");
}

TEST(Machine, ReadsPromptsSeveralTokensAtATime) {
  for (const TensorFormat format : {TensorFormat::kF32, TensorFormat::kF16, TensorFormat::kBf16,
                                    TensorFormat::kQ8_0, TensorFormat::kQ4_0}) {
    const auto model = test_model({.family = "qwen2", .format = format});
    const auto floats = model_beyond_whole24({.family = "qwen3"});
    for (const TestModel* one : {model.get(), floats.get()}) {
      for (const Isa isa : isas()) {
        for (const int units : {1, 2}) {
          const auto machine = machine_of(one->graph, {.isa = isa, .units = units}, 2);
          std::vector<int> prompt;
          for (int p = 0; p < 37; ++p)
            prompt.push_back(1 + 3 * p);
          std::vector<float> expected(512), got(512);
          for (int p = 0; p < 37; ++p)
            machine->run(0, prompt[static_cast<std::size_t>(p)], p, p == 36);
          machine->copy_logits(expected);
          const int choice = machine->choice();
          int at = 0;
          for (const int count : {8, 1, 7, 8, 5, 8}) {
            const auto from = static_cast<std::size_t>(at);
            machine->read(1, std::span(prompt).subspan(from, static_cast<std::size_t>(count)), at,
                          at + count == 37);
            at += count;
          }
          machine->copy_logits(got);
          EXPECT_EQ(machine->choice(), choice);
          for (std::size_t i = 0; i < got.size(); ++i)
            ASSERT_NEAR(expected[i], got[i], 2e-5) << name_of(format);
          // And what follows finds the same cache.
          machine->run(0, 5, 37);
          machine->copy_logits(expected);
          machine->run(1, 5, 37);
          machine->copy_logits(got);
          for (std::size_t i = 0; i < got.size(); ++i)
            ASSERT_NEAR(expected[i], got[i], 2e-5) << name_of(format);
        }
      }
    }
  }
}

TEST(Machine, RefusesWhatTheMemoryCannotHold) {
  const auto model = test_model({});
  const auto program =
      compile_cpu(model->graph, {.context = 1 << 20, .layout = layout_of(best_isa(), false)});
  ASSERT_TRUE(program.ok());
  const auto machine = Machine::make(model->graph, *program, {.slots = 1 << 20});
  ASSERT_FALSE(machine.ok());
  EXPECT_NE(machine.error().message.find("this machine has"), std::string::npos);
}

TEST(Machine, HandsItsCacheOver) {
  const auto model = test_model({});
  const auto from = machine_of(model->graph, {.isa = best_isa(), .units = 2});
  const auto to = machine_of(model->graph, {.isa = Isa::kPortable}, 2);
  for (int p = 0; p < 20; ++p)
    from->run(0, 1 + p, p);
  std::vector<float> key(16), value(16);
  for (int layer = 0; layer < 2; ++layer) {
    for (int head = 0; head < 2; ++head) {
      for (int p = 0; p < 20; ++p) {
        from->read_kv(0, layer, head, p, key.data(), value.data());
        to->write_kv(1, layer, head, p, key.data(), value.data());
      }
    }
  }
  std::vector<float> expected(512), got(512);
  from->run(0, 77, 20);
  from->copy_logits(expected);
  to->run(1, 77, 20);
  to->copy_logits(got);
  for (std::size_t i = 0; i < got.size(); ++i)
    EXPECT_NEAR(expected[i], got[i], 1e-4);
}

}  // namespace
}  // namespace medley::lpu::cpu
