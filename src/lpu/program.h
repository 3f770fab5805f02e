// A static schedule: for each unit of a target the linear list of what it does, with every byte it
// touches fixed before the first token.
//
// One program, several readers: the kernels that run it (cpu/machine.h binds it to memory), reports
// and, for chips, the simulator and the verifier. Nothing in it depends on data; what depends on
// the position of a token (how far attention sweeps) is known in advance as well.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "lpu/graph.h"

namespace medley::lpu {

// How a target holds weights. Other formats are dequantised to one of them when they are packed.
// kWhole24: F32 as whole numbers of 24 bits with a scale a row.
enum class WeightFormat { kF32, kF16, kBf16, kQ8_0, kQ4_0, kWhole24 };
inline constexpr int kWeightFormats = 6;
std::string_view name_of(WeightFormat format);  // "Q8_0"
bool is_quantised(WeightFormat format);

// Rows of a matrix that lie side by side: numbers of a register. Vectors are padded to it.
inline constexpr int kGroup = 16;
// Of 32 activations as whole numbers (cpu/kernels.h).
inline constexpr int kQuantisedBlockBytes = 72;

enum class Operation {
  kEmbed,     // common weights' row of the token → output
  kNorm,      // input 0 → output
  kQuantise,  // input 0 in blocks of 32 whole numbers with a scale → output
  kMatrix,    // weights · input 0 (+ bias) → output
  kRotate,    // input 0, position → output
  kStore,     // inputs k, v → the layer's KV cache, at the position
  kAttend,    // input q, the layer's KV cache up to the position → output; slot `scratch` besides
  kGate,      // inputs gate, up → output
  kAdd,       // the sum of all inputs, other units' among them → output
  kMeet,      // waits until every unit has come to the meeting of this number
  kChoose,    // the largest number of input 0 and where it is → output
  kRoute,     // of input 0, by expert: the chosen ones' numbers and shares → output
};
inline constexpr int kOperations = 12;
std::string_view name_of(Operation operation);  // "matrix"

// A buffer: written by one instruction of its unit, read by later ones.
struct Slot {
  int size = 0;             // bytes
  std::int64_t offset = 0;  // in the unit's buffer memory; a multiple of 64
  int first = 0, last = 0;  // instructions between which it holds its value, both included
  bool shared = false;      // other units read it: it lives until the meeting after they did
};

struct Operand {
  int unit = 0;
  int slot = -1;
  int offset = 0;  // in numbers of 4 bytes
};

struct ByteRange {
  std::int64_t offset = 0, size = 0;
};

// A part of a tensor: whose weights an instruction reads, and so what packing puts there.
struct Piece {
  const Tensor* weight = nullptr;
  const Tensor* bias = nullptr;
  int node = kNoNode;
  int row_begin = 0, row_end = 0, column_begin = 0, column_end = 0;
  int out_row = 0;  // where its rows begin in the instruction's output; a multiple of 16
};

struct Instruction {
  Operation operation = Operation::kAdd;
  int node = kNoNode;  // of the graph; of fused matrices the first
  int layer = -1;
  std::vector<Operand> inputs;
  Operand output;
  int scratch = -1;  // slot
  // Weights: a range of the unit's own, for kEmbed of the common ones.
  WeightFormat format = WeightFormat::kF32;
  ByteRange weights;
  ByteRange bias;   // within the unit's weights; size 0: none
  int streams = 1;  // linear streams that the weights are read in, side by side
  std::vector<Piece> pieces;
  int rows = 0, columns = 0;  // as computed, padding included; of vectors: rows = size, columns = 1
  int kv_together = 1;        // kAttend: KV heads whose scores are in scratch at once
  int heads = 0, kv_heads = 0;  // kRotate (heads), kStore (kv_heads), kAttend (both)
  std::int64_t kv_offset = 0;   // kStore, kAttend: the layer's keys in the unit's cache of a stream
  std::int64_t macs = 0;  // multiply-accumulates; of kAttend those for one position of the cache
  int meeting = -1;       // kMeet: its number
  // Of mixtures: kRoute, kMatrix of an expert: so many there are. The matrices of all lie one after
  // the other, `expert_bytes` apart, of which `weights` is the first. kMatrix, kGate: `chosen` is
  // whose place among the chosen it computes, by the route, its last input.
  int experts = 0, chosen = -1;
  std::int64_t expert_bytes = 0;
};

struct UnitProgram {
  std::vector<Instruction> instructions;
  std::vector<Slot> slots;
  std::int64_t weight_bytes = 0, buffer_bytes = 0;
  std::int64_t kv_bytes = 0;  // of one stream
  int logits_slot = -1, choice_slot = -1;
  int logits_begin = 0, logits_end = 0;  // which of the vocabulary are here
  // The instructions from here on compute logits only: left out while a prompt is read.
  std::size_t head_begin = 0;
};

// What the target of a program is like, as far as the layout of bytes depends on it.
struct CpuLayout {
  int dot_columns = 4;  // bytes of a row side by side: what one dot-product instruction takes
  bool offset_weights = true;  // Q8_0 weights are held plus 128, as unsigned numbers
  bool half_kv = false;        // KV cache in F16, else F32
};

struct Program {
  std::vector<UnitProgram> units;
  CpuLayout layout;
  int context = 0;  // positions of a stream; a multiple of 64
  int vocabulary = 0, width = 0;
  int head_size = 0;
  int meetings = 0;                                   // of one token
  std::int64_t embedding_bytes = 0, angle_bytes = 0;  // the common weights: one after the other
  const Tensor* embedding = nullptr;

  std::int64_t common_bytes() const { return embedding_bytes + angle_bytes; }
  // Of the weights and of multiply-accumulates of one token, without attention.
  std::int64_t weight_bytes() const;
  std::int64_t macs() const;
  // Of everything in it: the same compilation has the same digest.
  std::uint64_t digest() const;
};

}  // namespace medley::lpu
