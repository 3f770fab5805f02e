#include "lpu/chip/emulator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/prng.h"
#include "lpu/chip/compile.h"
#include "lpu/verify/verify.h"

namespace medley::lpu::chip {
namespace {

// Numbers of a model that nobody stored: drawn from their place.
float drawn(Weight weight, int layer, int expert, int row, int column) {
  Prng prng(
      static_cast<std::uint64_t>(weight) * 1000003 + static_cast<std::uint64_t>(layer + 2) * 7919 +
      static_cast<std::uint64_t>(expert + 2) * 104729 + static_cast<std::uint64_t>(row) * 1299709 +
      static_cast<std::uint64_t>(column) * 15485863);
  return static_cast<float>(prng.uniform() - 0.5) * 0.6F;
}

ModelNumbers numbers_of(const Shape& shape, bool halves) {
  ModelNumbers numbers{.weight = drawn, .halves = halves, .turned = shape.head_size};
  numbers.angles = [size = shape.head_size](long long position) {
    std::vector<float> out;
    for (int i = 0; i < size / 2; ++i) {
      const double angle = static_cast<double>(position) * std::pow(10000.0, -2.0 * i / size);
      out.push_back(static_cast<float>(std::cos(angle)));
      out.push_back(static_cast<float>(std::sin(angle)));
    }
    return out;
  };
  return numbers;
}

// The same model, plainly: one number after the other, in double.
class Plain {
 public:
  Plain(const Shape& shape, const ModelNumbers& numbers) : shape_(shape), numbers_(numbers) {}

  std::pair<int, double> step(int token) {
    std::vector<double> x = column(Weight::kEmbedding, -1, token, shape_.width);
    for (int layer = 0; layer < shape_.layers; ++layer) {
      const LayerKind& kind = shape_.kinds[static_cast<std::size_t>(
          shape_.kind_of_layer[static_cast<std::size_t>(layer)])];
      add(x, attention(norm(x, Weight::kAttnNorm, layer), layer, kind.window));
      const std::vector<double> h = norm(x, Weight::kFfnNorm, layer);
      add(x, kind.experts ? experts(h, layer) : feed_forward(h, layer, -1, shape_.inner));
    }
    const std::vector<double> logits =
        times(Weight::kHead, -1, -1, shape_.vocabulary, norm(x, Weight::kOutputNorm, -1));
    ++position_;
    const auto best = std::max_element(logits.begin(), logits.end());
    return {static_cast<int>(best - logits.begin()), *best};
  }

 private:
  using Vector = std::vector<double>;
  Vector column(Weight weight, int layer, int row, int count) const {
    Vector out;
    for (int i = 0; i < count; ++i)
      out.push_back(static_cast<double>(numbers_.weight(weight, layer, -1, row, i)));
    return out;
  }
  static void add(Vector& to, const Vector& more) {
    for (std::size_t i = 0; i < to.size(); ++i)
      to[i] += more[i];
  }
  Vector times(Weight weight, int layer, int expert, int rows, const Vector& in) const {
    Vector out(static_cast<std::size_t>(rows));
    for (int row = 0; row < rows; ++row) {
      for (std::size_t i = 0; i < in.size(); ++i) {
        out[static_cast<std::size_t>(row)] +=
            static_cast<double>(numbers_.weight(weight, layer, expert, row, static_cast<int>(i))) *
            in[i];
      }
    }
    return out;
  }
  Vector norm(const Vector& in, Weight weight, int layer) const {
    double squares = 0;
    for (const double number : in)
      squares += number * number;
    const double scale = 1 / std::sqrt(squares / static_cast<double>(in.size()) + 1e-5);
    Vector out;
    for (std::size_t i = 0; i < in.size(); ++i)
      out.push_back(
          in[i] * scale *
          static_cast<double>(numbers_.weight(weight, layer, -1, static_cast<int>(i), 0)));
    return out;
  }
  Vector head_of(const Vector& all, int head) const {
    const auto from = all.begin() + static_cast<std::ptrdiff_t>(head) * shape_.head_size;
    return {from, from + shape_.head_size};
  }
  Vector project(Weight weight, Weight bias, const Vector& in, int layer, int heads) const {
    Vector out = times(weight, layer, -1, heads * shape_.head_size, in);
    if (shape_.biases) {
      for (std::size_t i = 0; i < out.size(); ++i)
        out[i] += static_cast<double>(numbers_.weight(bias, layer, -1, static_cast<int>(i), 0));
    }
    return out;
  }
  Vector turned(Vector head, Weight weight, int layer) const {
    if (shape_.head_norms)
      head = norm(head, weight, layer);
    const std::vector<float> angles = numbers_.angles(position_);
    const std::size_t pairs = head.size() / 2;
    for (std::size_t i = 0; i < pairs; ++i) {
      double& a = head[numbers_.halves ? i : 2 * i];
      double& b = head[numbers_.halves ? i + pairs : 2 * i + 1];
      const double cosine = static_cast<double>(angles[2 * i]),
                   sine = static_cast<double>(angles[2 * i + 1]);
      const double before = a;
      a = a * cosine - b * sine;
      b = before * sine + b * cosine;
    }
    return head;
  }
  Vector attention(const Vector& in, int layer, long long window) {
    const Vector q = project(Weight::kQuery, Weight::kQueryBias, in, layer, shape_.heads);
    const Vector k = project(Weight::kKey, Weight::kKeyBias, in, layer, shape_.kv_heads);
    const Vector v = project(Weight::kValue, Weight::kValueBias, in, layer, shape_.kv_heads);
    Vector out;
    for (int head = 0; head < shape_.heads; ++head) {
      const int kv = head / shape_.heads_per_kv_head();
      auto& cache = cache_[{layer, kv}];
      if (head % shape_.heads_per_kv_head() == 0)
        cache.emplace_back(turned(head_of(k, kv), Weight::kKeyNorm, layer), head_of(v, kv));
      const Vector query = turned(head_of(q, head), Weight::kQueryNorm, layer);
      const std::size_t first = window > 0 && cache.size() > static_cast<std::size_t>(window)
                                    ? cache.size() - static_cast<std::size_t>(window)
                                    : 0;
      Vector sum(query.size());
      double all = 0;
      for (std::size_t p = first; p < cache.size(); ++p) {
        double score = 0;
        for (std::size_t i = 0; i < query.size(); ++i)
          score += query[i] * cache[p].first[i];
        const double share = std::exp(score / std::sqrt(static_cast<double>(shape_.head_size)));
        all += share;
        for (std::size_t i = 0; i < query.size(); ++i)
          sum[i] += share * cache[p].second[i];
      }
      for (const double number : sum)
        out.push_back(number / all);
    }
    return times(Weight::kAttnOut, layer, -1, shape_.width, out);
  }
  Vector feed_forward(const Vector& in, int layer, int expert, int inner) const {
    Vector gate = times(Weight::kGate, layer, expert, inner, in);
    const Vector up = times(Weight::kUp, layer, expert, inner, in);
    for (std::size_t i = 0; i < gate.size(); ++i)
      gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
    return times(Weight::kDown, layer, expert, shape_.width, gate);
  }
  Vector experts(const Vector& in, int layer) const {
    const Vector scores = times(Weight::kRouter, layer, -1, shape_.experts, in);
    std::vector<std::pair<double, int>> order;
    for (int i = 0; i < shape_.experts; ++i)
      order.emplace_back(-scores[static_cast<std::size_t>(i)], i);
    std::sort(order.begin(), order.end());
    order.resize(static_cast<std::size_t>(shape_.experts_per_token));
    double all = 0;
    for (const auto& [score, expert] : order)
      all += std::exp(order.front().first - score);
    Vector out(static_cast<std::size_t>(shape_.width));
    for (const auto& [score, expert] : order) {
      Vector one = feed_forward(in, layer, expert, shape_.expert_inner);
      for (double& number : one)
        number *= std::exp(order.front().first - score) / all;
      add(out, one);
    }
    return out;
  }

  const Shape& shape_;
  const ModelNumbers& numbers_;
  std::map<std::pair<int, int>, std::vector<std::pair<Vector, Vector>>> cache_;
  long long position_ = 0;
};

Target example() {
  auto target = find_target("example_chip", "catalog");
  EXPECT_TRUE(target.ok());
  return *target;
}

Shape small() {
  Shape shape{.name = "small",
              .layers = 2,
              .width = 96,
              .heads = 6,
              .kv_heads = 3,
              .head_size = 16,
              .inner = 150,
              .vocabulary = 130};
  shape.kinds = {{}};
  shape.kind_of_layer = {0, 0};
  return shape;
}

// Feeds the chosen tokens back; each must be the plain computation's, with nearly its logit.
void expect_same_tokens(const Shape& shape, const CompileOptions& options, bool halves, int tokens,
                        int chunks = 0) {
  Target target = example();
  if (options.group == 3)
    target.node_chips = 3;  // a group stands within a node
  const auto compiled = compile(shape, target, options);
  ASSERT_TRUE(compiled.ok()) << compiled.error().message;
  const auto certificate = verify::verify(compiled->schedule, target, shape);
  ASSERT_TRUE(certificate.valid()) << certificate.findings.front();
  const ModelNumbers numbers = numbers_of(shape, halves);
  auto emulator = Emulator::make(compiled->schedule, target, shape, numbers);
  ASSERT_TRUE(emulator.ok()) << emulator.error().message;
  Plain plain(shape, numbers);
  int token = 1;
  // A prompt in chunks first, where it is asked for.
  Prng prng(7);
  for (int i = 0; i < chunks; ++i) {
    std::vector<int> chunk;
    for (int j = 0; j < compiled->prefill_tokens; ++j) {
      chunk.push_back(static_cast<int>(prng.below(static_cast<std::uint64_t>(shape.vocabulary))));
      plain.step(chunk.back());
    }
    emulator->prefill(chunk);
  }
  for (int i = 0; i < tokens; ++i) {
    const auto [expected, logit] = plain.step(token);
    // After the first the schedule itself brings the token back to the first stage.
    token = i == 0 ? emulator->step(token) : emulator->step();
    ASSERT_EQ(token, expected) << "position " << i;
    ASSERT_NEAR(static_cast<double>(emulator->largest_logit()), logit, 1e-4 * (1 + std::abs(logit)))
        << "position " << i;
  }
}

TEST(Emulator, ComputesWhatThePlainModelDoes) {
  expect_same_tokens(small(), {.context = 150, .group = 1}, false, 140);
}

TEST(Emulator, ComputesAModelAsWideAsAVector) {
  Shape shape = small();
  shape.width = 64;
  shape.head_size = 8;
  shape.kv_heads = 2;
  for (int group = 1; group <= 4; ++group)
    expect_same_tokens(shape, {.context = 100, .group = group}, false, 70);
}

TEST(Emulator, SplitsALayerOverTheChipsOfAGroup) {
  for (int group = 2; group <= 4; ++group)
    expect_same_tokens(small(), {.context = 70, .group = group}, true, 20);
}

TEST(Emulator, SplitsALayerOverTwoNodes) {
  expect_same_tokens(small(), {.context = 70, .group = 8}, true, 20, 1);
}

TEST(Emulator, FollowsStagesOneAfterTheOther) {
  const Target target = example();
  const auto one = compile(small(), target, {.context = 70, .group = 2});
  ASSERT_TRUE(one.ok());
  EXPECT_EQ(one->schedule.stages.size(), 1U);
  const auto more = compile(small(), target, {.context = 70, .chips = 8, .group = 2});
  ASSERT_TRUE(more.ok());
  EXPECT_EQ(more->schedule.stages.size(), 4U);
  expect_same_tokens(small(), {.context = 70, .chips = 8, .group = 2}, false, 20);
}

TEST(Emulator, KnowsHeadNormsAndBiases) {
  Shape shape = small();
  shape.head_norms = shape.biases = true;
  expect_same_tokens(shape, {.context = 70, .group = 2}, true, 20);
}

TEST(Emulator, KeepsTheLastPositionsOfAWindow) {
  Shape shape = small();
  shape.kinds = {{}, {.window = 20}};
  shape.kind_of_layer = {1, 0};
  expect_same_tokens(shape, {.context = 100, .group = 2}, false, 60);
}

TEST(Emulator, TakesPromptsInChunks) {
  Shape shape = small();
  expect_same_tokens(shape, {.context = 140, .group = 2}, false, 10, 8);
  shape.head_norms = shape.biases = true;
  expect_same_tokens(shape, {.context = 70, .chips = 6, .group = 3}, true, 10, 3);
  shape.kinds = {{}, {.window = 20}};
  shape.kind_of_layer = {1, 0};
  expect_same_tokens(shape, {.context = 100, .group = 1}, false, 30, 4);
}

TEST(Emulator, SendsTokensToTheirExperts) {
  Shape shape = small();
  shape.experts = 5;
  shape.experts_per_token = 2;
  shape.expert_inner = 70;
  shape.kinds = {{}, {.experts = true}};
  shape.kind_of_layer = {1, 0};
  expect_same_tokens(shape, {.context = 70, .group = 2}, false, 40);
}

TEST(Emulator, TakesAVocabularyInParts) {
  Shape shape = small();
  shape.vocabulary = 9000;
  const auto compiled = compile(shape, example(), {.context = 70, .group = 2});
  ASSERT_TRUE(compiled.ok()) << compiled.error().message;
  EXPECT_GT(
      std::count_if(compiled->schedule.segments.begin(), compiled->schedule.segments.end(),
                    [](const Segment& segment) { return segment.kind == SegmentKind::kHead; }),
      1);
  expect_same_tokens(shape, {.context = 70, .group = 2}, false, 4);
}

TEST(Emulator, RefusesWhatItCannotShow) {
  const Target target = example();
  const Shape shape = small();
  const auto compiled = compile(shape, target, {.weights = Precision::kFp16, .context = 10});
  ASSERT_TRUE(compiled.ok());
  const auto emulator = Emulator::make(compiled->schedule, target, shape, numbers_of(shape, false));
  ASSERT_FALSE(emulator.ok());
  EXPECT_NE(emulator.error().message.find("only numbers of 32 bits"), std::string::npos);
}

}  // namespace
}  // namespace medley::lpu::chip
