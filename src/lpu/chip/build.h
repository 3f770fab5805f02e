// Segments of a schedule: a part of a model as tiles and vectors, each instruction placed in the
// first cycles in which its operands are there and its unit, banks, ports and streams are free.
//
// How a layer is divided among the chips of a group: by whole KV heads with their queries, and by
// slices of the feed-forward. Each chip keeps a shard of the residual stream, so many rows of it;
// before attention and before the feed-forward all gather the whole, after them sums are scattered.
//
// Where things lie: weights and cache in stripes, the slices that a set of planes takes its tiles
// from, a tile as so many rows of all of them; everything else in the slices beside, one number in
// as many slices as it has bytes.
#pragma once

#include <algorithm>

#include "base/result.h"
#include "lpu/chip/schedule.h"
#include "lpu/chip/shape.h"
#include "lpu/chip/target.h"

namespace medley::lpu::chip {

// Tokens of a prompt that go through the stages together, at most: about as many as a pass of the
// weights has time for (a tile of 320 x 320 takes 20 cycles to come).
inline constexpr int kChunkTokens = 16;

// Positions that the cache of a layer keeps. With a window those of a whole chunk, of which each
// token sees its own last ones.
inline long long positions_kept(const LayerKind& kind, long long context) {
  return kind.window > 0 ? std::min(kind.window + kChunkTokens - 1, context) : context;
}

struct BuildOptions {
  const Target& target;
  const Shape& shape;
  const NumberFormat& weights;
  const NumberFormat& cache;
  int group = 1;
  long long context = 0;  // positions that attention sweeps, every time
  int tokens = 1;         // of one stream, at once
};

// Errors: what does not fit the target at all (a head wider than a vector, a sweep that the scratch
// rows do not hold).
Result<Segment> build_layer(const BuildOptions& options, const LayerKind& kind);
// Part `part` of `parts` of the vocabulary.
Result<Segment> build_embed(const BuildOptions& options, int part, int parts);
Result<Segment> build_head(const BuildOptions& options, int part, int parts);
// What the next stage starts from: the residual stream; with it, between parts of the vocabulary,
// the token or the best so far; from the last stage to the first the token that was chosen.
enum class HandOn { kStream, kStreamAndChoice, kChoice };
Result<Segment> build_hand_on(const BuildOptions& options, HandOn what, bool other_node);

// Of the residual stream, of each chip.
int shard_rows(const Target& target, const Shape& shape, int group);
// How many parts the vocabulary must be in for one stage to hold a part; 0: more than 64.
int vocabulary_parts(const BuildOptions& options);

}  // namespace medley::lpu::chip
