// Small models and targets drawn from a seed, compiled and checked by the verifier.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "base/prng.h"
#include "lpu/chip/compile.h"
#include "lpu/verify/verify.h"

namespace medley::lpu::chip {

struct RandomChips {
  Target target;
  Shape shape;
  CompileOptions options;
};

inline RandomChips random_chips(std::uint64_t seed) {
  Prng prng(seed);
  const auto between = [&](int low, int high) {
    return low + static_cast<int>(prng.below(static_cast<std::uint64_t>(high - low + 1)));
  };
  const auto one_of = [&](std::initializer_list<int> choices) {
    return choices.begin()[prng.below(choices.size())];
  };
  RandomChips r;
  Target& t = r.target;
  t.id = "random";
  t.clock_ghz = 1;
  t.lanes = t.columns = one_of({16, 32, 40, 64});
  t.hemispheres = between(1, 2);
  t.planes = one_of({1, 2, 4});
  t.install_streams = one_of({4, 8, 16});
  t.streams = std::max(8, t.planes * t.install_streams + one_of({0, 0, 3, 8}));
  t.slices = t.planes * t.install_streams + 8 + between(0, 12);
  t.banks = between(2, 3);
  t.rows_per_bank = one_of({256, 1024, 4096});
  t.accumulators = 1024;
  t.matrix_latency = between(1, 90);
  t.vector_latency = between(1, 40);
  t.switch_latency = between(1, 25);
  t.gather_latency = between(1, 25);
  t.reduce_cycles = between(1, 60);
  t.node_chips = one_of({1, 2, 3, 4, 8});
  t.link_bytes_per_cycle = between(1, 80) + 0.5;
  t.link_latency = between(1, 450);
  t.far_links = between(1, 3);
  t.far_latency = between(1, 900);
  t.most_chips = 100'000;
  const int bytes = one_of({1, 2, 4});
  t.formats.push_back({.precision = bytes == 1   ? Precision::kInt8
                                    : bytes == 2 ? Precision::kFp16
                                                 : Precision::kFp32,
                       .bytes = bytes,
                       .planes = t.planes > 1 && bytes > 1 ? between(1, 2) : 1,
                       .activation_bytes = bytes,
                       .cycles_per_vector = between(1, 2)});
  if (bytes == 1) {
    t.formats.push_back({.precision = Precision::kFp16,
                         .bytes = 2,
                         .planes = t.planes > 1 ? 2 : 1,
                         .activation_bytes = 2,
                         .cycles_per_vector = 2});
  }

  Shape& s = r.shape;
  s.name = "random";
  s.layers = between(1, 4);
  s.kv_heads = between(1, 4);
  s.heads = s.kv_heads * between(1, 3);
  s.head_size = 2 * between(1, t.lanes / 2);
  s.width = 2 * between(1, 120);
  s.inner = between(1, 200);
  s.vocabulary = between(2, 400);
  s.head_norms = prng.below(3) == 0;
  s.biases = prng.below(3) == 0;
  s.kinds = {{}};
  if (prng.below(3) == 0)
    s.kinds.push_back({.window = between(1, 60)});
  if (prng.below(3) == 0) {
    s.experts = between(1, 6);
    s.experts_per_token = between(1, std::min(3, s.experts));
    s.expert_inner = between(1, 80);
    s.kinds.push_back({.experts = true});
  }
  for (int layer = 0; layer < s.layers; ++layer)
    s.kind_of_layer.push_back(static_cast<int>(prng.below(s.kinds.size())));

  r.options.context = between(1, 300);
  r.options.streams = between(1, 3);
  if (prng.below(2) == 0)
    r.options.group = prng.below(4) == 0 ? 2 * t.node_chips : between(1, t.node_chips);
  while (r.options.group > 0 && r.options.group < t.node_chips &&
         t.node_chips % r.options.group != 0) {
    --r.options.group;
  }
  return r;
}

}  // namespace medley::lpu::chip
