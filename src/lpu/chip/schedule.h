// A static schedule for chips: which unit does what in which cycle, which bytes it touches where,
// and when each vector crosses a link. Plain data; who makes it (build.h), who checks it
// (lpu/verify), who runs it (emulator.h) and who draws it share nothing else.
//
// The chips of a group work on one token together, in lockstep and by one list of instructions;
// they differ in their weights and in addresses that count from their own number. A segment is such
// a list for a part of the model (a layer, say), with cycles from its own start. It is made once
// and run wherever it is needed: a stage is a group with the segments it runs, one after the other.
//
// A write in a cycle is seen by reads of later cycles.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "domain/accelerator.h"

namespace medley::lpu::chip {

// Where rows count from. Only this differs between two runs of a segment.
enum class Area : std::uint8_t {
  kWeights,    // of the run
  kExperts,    // of the run; a block for each expert, the chosen one is read
  kCache,      // of the run and the stream
  kConstants,  // of the run
  kScratch,    // one for all runs: nothing in it outlives a run but what is handed on
};
inline constexpr int kAreas = 5;
std::string_view name_of(Area area);

enum class Op : std::uint8_t {
  kEmbed,        // the token's row, where this part of the vocabulary has it; and its number
  kInstall,      // weights of a tile into the planes
  kMultiply,     // vectors through a tile; the last tile of a sum writes
  kCopy,         // into another number format
  kZero,         // writes zeros
  kNorm,         // RMS norm of each token's rows; of single rows for heads
  kSum,          // of all operands
  kAngles,       // sine and cosine of the position
  kSwap,         // the numbers of each pair change places
  kRotate,       // by the angles
  kShift,        // to other lanes
  kAppendKey,    // to the cache, at the position
  kAppendValue,  // the same, transposed
  kSoftmax,      // maximum, then exponentials and their sum
  kScale,        // sum of the operands over the sum of exponentials
  kGate,         // activation of one times the other
  kRoute,        // the experts with the largest scores, and their shares
  kChoose,       // the largest number and where it is
  kSend,         // to another chip of the group
  kHandOn,       // to the chip of the same number in the next group
};
inline constexpr int kOps = 20;
std::string_view name_of(Op op);

enum class UnitKind : std::uint8_t {
  kInstall,   // what fills a plane
  kMultiply,  // what a plane multiplies with
  kVector,
  kSwitch,
  kLink,  // to the chip so far on in the node; from the node's size on, to other nodes
  kNext,  // to the next group: within the node, or to another where that stands there
};
inline constexpr int kUnitKinds = 6;
std::string_view name_of(UnitKind kind);

struct Unit {
  UnitKind kind = UnitKind::kVector;
  std::uint8_t hemisphere = 0;  // of planes, switches and links
  std::int16_t index = 0;       // first plane; distance of the other chip
  std::int16_t count = 1;       // planes together

  bool operator==(const Unit&) const = default;
};
// The vector unit stands in the middle, all others at the edge of their hemisphere.
inline bool at_edge(UnitKind kind) { return kind != UnitKind::kVector; }

inline constexpr int kNoPeer = -1;
inline constexpr int kNoValue = -1;

// Reads or writes of SRAM: in cycle `cycle + i · period`, row `row + i` of all the slices.
struct Access {
  bool write = false;
  bool remote = false;    // a write on the chip that the link leads to
  bool indirect = false;  // by data which row (and slices) of the range: all slices are taken
  Area area = Area::kScratch;
  std::uint8_t hemisphere = 0, bank = 0;
  std::int16_t slice = 0, slices = 0;
  std::int32_t row = 0, rows = 0;
  std::int32_t period = 1;
  std::int64_t cycle = 0;  // from the instruction's start
  // The way between slices and unit: one leg within a hemisphere, or two through the middle. Each
  // takes `streams` streams side by side, from the one named on.
  std::int16_t streams = 0;
  std::int16_t stream[2] = {0, -1};
  std::int16_t lane = 0, lanes = 0;  // that are written or hold something
  // Rows count on by `peer_rows` for each number of chip_at(own number, peer); of remote writes it
  // is the sender's.
  std::int16_t peer = kNoPeer;
  std::int32_t peer_rows = 0;
  std::int32_t range = 0;         // rows that `indirect` may reach from `row`; else 0
  std::int32_t value = kNoValue;  // what is written, or was written where it is read
};

// Weights and constants by what they are; a tile is a part of one.
enum class Weight : std::uint8_t {
  kNone,
  kEmbedding,
  kAttnNorm,
  kQuery,
  kKey,
  kValue,
  kQueryBias,
  kKeyBias,
  kValueBias,
  kQueryNorm,
  kKeyNorm,
  kAttnOut,
  kFfnNorm,
  kRouter,
  kGate,
  kUp,
  kDown,
  kOutputNorm,
  kHead,
};
std::string_view name_of(Weight weight);

struct Instruction {
  Op op = Op::kCopy;
  Unit unit;
  std::int64_t start = 0;  // cycle of the segment
  std::int64_t busy = 0;   // cycles that the unit is taken for
  Weight weight = Weight::kNone;
  // kInstall: the tile in the chip's part of the matrix; of the cache, `n` the block of positions.
  std::int32_t n = 0, columns = 0, k = 0, lanes = 0;
  std::int32_t chosen = -1;        // which of the chosen experts
  std::int32_t tile = -1;          // kMultiply: the instruction that installed it
  bool first = true, last = true;  // kMultiply: of a sum
  std::int32_t head = -1;          // KV head of the chip
  std::int32_t detail = 0;         // by op, see build_*.cc
  std::vector<Access> accesses;
};

enum class SegmentKind : std::uint8_t { kEmbed, kLayer, kHead, kHandOn };
std::string_view name_of(SegmentKind kind);

struct Segment {
  SegmentKind kind = SegmentKind::kLayer;
  std::string name;  // "layer", "layer, window 128"
  int tokens = 1;    // at once, of one stream
  int part = 0;      // of the vocabulary
  // The segment of one token in whose place it takes a chunk of a prompt; -1: it takes one token.
  int chunk_of = -1;
  std::vector<Instruction> instructions;
  // Scratch rows that hold something at the start, and at the end: what is handed on.
  std::vector<Access> inputs, outputs;
  std::int64_t cycles = 0;         // until all is written
  std::int64_t rows[kAreas] = {};  // of each bank (kExperts: of one expert; kCache: of one stream)
  std::int64_t macs = 0;           // of one chip
  std::int64_t used_bytes[kAreas] = {};  // of one chip, without what rounding wastes
};

// A run of a segment on a stage. Its rows begin where `base` says, in every bank.
struct Run {
  int segment = 0;
  int layer = -1;
  std::int64_t start = 0;  // cycle, from the token's first
  std::int64_t base[kAreas] = {};
};

// Chips are numbered through the nodes, and groups follow each other: each stands within one node,
// or on whole ones.
struct Stage {
  int first_chip = 0;
  std::vector<Run> runs;
  // Cycles that a token keeps it for, from the first vector's arrival; of the first stage, to which
  // the token comes back from the last, that is before cycle 0.
  std::int64_t start = 0, end = 0;
};

// The chip so far on in a group: so many nodes, and so many places within the node. So the way to
// it is alike for all chips.
inline int chip_at(int chip, int distance, int group, int node) {
  return (chip / node + distance / node) % (group / node) * node +
         (chip % node + distance % node) % node;
}

struct Schedule {
  std::string model, target;
  Precision weights = Precision::kInt8, cache = Precision::kFp16;
  int group = 1;       // chips of a stage
  int node = 1;        // of which so many are in one node: all, or whole nodes
  int shard_rows = 1;  // of the residual stream, of each chip
  int experts = 0;
  int lanes = 0;
  long long context = 0;
  int streams = 1;  // that room is kept for
  std::vector<Segment> segments;
  std::vector<Stage> stages;
  std::int64_t token_cycles = 0;     // from one token of a stream to its next, if nothing waits
  std::int64_t interval_cycles = 0;  // at which a stage can take the next stream

  int chips() const { return group * static_cast<int>(stages.size()); }
  // Of everything in it: the same input gives the same digest.
  std::uint64_t digest() const;
};

}  // namespace medley::lpu::chip
