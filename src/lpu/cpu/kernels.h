// The kernels of target `cpu`: one function for each operation and weight format, in three builds
// of the same source (AVX-512 with VNNI, AVX2, plain C++), of which the machine's best is taken
// when a schedule is compiled.
//
// A kernel reads and writes only what its Step points to, allocates nothing, calls nothing and
// branches on shapes and the position alone, never on numbers of the model.
//
// Layouts, all aligned to 64 bytes:
//   F32, F16, BF16   for each group of 16 rows, column after column, 16 numbers
//   whole24          for each group of 16 rows: 16 scales (F32), then for each four columns three
//                    times 16 numbers of 32 bits: those of three columns, to 24 bits, which stand
//                    for the nearest of what their lowest 8 bits allow, and in these 8 bits the
//                    24 of the fourth, its highest first
//   Q8_0, Q4_0       for each group of 16 rows, for each 64 columns: 16 × 64 numbers, of which
//                    dot_columns of a row lie side by side, then 2 × 16 scales (F16)
//   KV cache         for each layer: keys, then values; for each KV head, for each 16 positions,
//                    dimension after dimension, 16 numbers
#pragma once

// Includes nothing of ours: what is inline in a header must not be built for more than the machine
// has.
#include <cstdint>

namespace medley::lpu::cpu {

// 32 activations as whole numbers of 16 bits: the scale is their largest magnitude / 16256, so that
// high · 128 + low with two signed bytes holds each. 8 bits, as in Q8_0, would lose 3 % of a logit
// on random weights, and the arithmetic is not what binds.
struct QuantisedBlock {
  union {
    struct {
      std::int8_t high[32], low[32];
    } bytes;
    std::int16_t words[32];
  };
  float scale;
  std::int32_t sum;
};

// What differs from token to token.
struct Moment {
  int token = 0;
  int position = 0;
  std::uint8_t* kv = nullptr;  // the unit's cache of the stream
  // For units that meet.
  const void* machine = nullptr;
  int unit = 0;
  std::uint32_t met = 0;  // meetings before this token
};

// Rows of scores at once: those of kv_together KV heads.
inline constexpr int kScoreRows = 256;

struct Step;
using Kernel = void (*)(const Step&, const Moment&);
// The same matrix for so many inputs, which differ in `inputs` and `output` alone: its weights are
// read once.
using ManyKernel = void (*)(const Step* const* steps, int count);

// An instruction with addresses in place of offsets.
struct Step {
  Kernel run = nullptr;
  ManyKernel many = nullptr;  // kMatrix
  const std::uint8_t* weights = nullptr;
  const float* bias = nullptr;
  const float* const* inputs = nullptr;
  float* output = nullptr;
  float* scratch = nullptr;
  const float* angles = nullptr;  // cos, sin by position and pair
  std::int64_t kv_offset = 0;     // bytes
  std::int64_t row_bytes = 0;     // kEmbed
  std::uint32_t embedding_format = 0;
  int input_count = 0;
  int rows = 0, columns = 0, size = 0;  // size: of the value without padding
  int streams = 1;
  int kv_together = 1;  // KV heads whose scores scratch holds
  int heads = 0, kv_heads = 0, head_size = 0, context = 0;
  int rope_dimensions = 0;
  int meeting = 0;
  bool rope_halves = false, gelu = false, half_kv = false;
  float factor = 1, epsilon = 0;
  // Of mixtures: how many experts a route chooses from; what `run` calls for the chosen one, whose
  // number and share are here, and how far apart their weights are.
  int experts = 0;
  Kernel kernel = nullptr;
  const float* chosen = nullptr;
  std::int64_t expert_bytes = 0;
};

// The largest logit of a unit.
struct Choice {
  float value;
  std::int32_t index;  // within the unit's part
};

struct Kernels {
  const char* name;  // "avx512"
  int dot_columns;
  bool offset_weights;
  Kernel norm, quantise, rotate, store, attend, gate, add, choose;
  Kernel matrix[6];  // by WeightFormat
  ManyKernel many[6];
  // Reads a range as matrices are read, and no more than that: what reading alone takes. The result
  // keeps the compiler from leaving it out. Aligned to 64.
  float (*read)(const std::uint8_t* bytes, std::int64_t size);
};

enum class Isa { kPortable, kAvx2, kAvx512 };

const Kernels& kernels(Isa isa);
// The index of the largest number, the lowest of equals, as programs find it. Precondition: size >
// 0.
int likeliest(const float* numbers, int size);
// The best this machine can run.
Isa best_isa();
bool can_run(Isa isa);

}  // namespace medley::lpu::cpu
