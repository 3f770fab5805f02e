// Where a compiler puts things in a chip's SRAM: stripes of slices for tiles, sets of planes.
#pragma once

#include <vector>

#include "lpu/chip/target.h"

namespace medley::lpu::chip {

inline int divided(long long a, long long b) { return static_cast<int>((a + b - 1) / b); }

// `total` in as few parts of at most `most` as there must be, as alike as can be.
inline std::vector<int> parts_of(int total, int most) {
  const int count = divided(total, most);
  std::vector<int> parts;
  for (int i = 0; i < count; ++i)
    parts.push_back(total / count + (i < total % count ? 1 : 0));
  return parts;
}

// Planes of a hemisphere that hold a tile together, and the slices that it lies in.
struct Planes {
  int hemisphere, first, count;
  int slice, slices;
};

inline int plane_sets(const Target& target, const NumberFormat& format) {
  return target.hemispheres * (target.planes / format.planes);
}

// Sets by turns in the hemispheres.
inline Planes planes_of(const Target& target, const NumberFormat& format, int set) {
  const int first = set / target.hemispheres * format.planes;
  return {.hemisphere = set % target.hemispheres,
          .first = first,
          .count = format.planes,
          .slice = first * target.install_streams,
          .slices = format.planes * target.install_streams};
}

inline int stripe_slices(const Target& target) { return target.planes * target.install_streams; }

// Output n of a tile lies in row n / tile_outputs, in slices from (n mod tile_outputs) · bytes on,
// the inputs across the lanes.
inline int tile_outputs(const Target& target, const NumberFormat& format) {
  return format.planes * target.install_streams / format.bytes;
}
inline int tile_rows(const Target& target, const NumberFormat& format, int columns) {
  return divided(columns, tile_outputs(target, format));
}

// The cache of a KV head: keys of a position across `head size` lanes, as many positions side by
// side as fit; values of a position down one lane. Blocks of `lanes` positions and tiles go to sets
// of planes by turns, from the head's number on.
struct CachePlace {
  int set, row, slice;  // the row counts from the head's first, the slice from the set's
};
inline CachePlace key_place(const Target& target, const NumberFormat& format, int head,
                            int head_size, long long position) {
  const int blocks = target.lanes / head_size;
  const int tile = static_cast<int>(position / target.lanes) / blocks;
  const int column = static_cast<int>(position % target.lanes);
  const int sets = plane_sets(target, format), side = tile_outputs(target, format);
  return {(head + tile) % sets,
          tile / sets * tile_rows(target, format, target.lanes) + column / side,
          column % side * format.bytes};
}
inline CachePlace value_place(const Target& target, const NumberFormat& format, int head,
                              int head_size, long long position, int dimension) {
  const int span = static_cast<int>(position / target.lanes);
  const int sets = plane_sets(target, format), side = tile_outputs(target, format);
  return {(head + span) % sets,
          span / sets * tile_rows(target, format, head_size) + dimension / side,
          dimension % side * format.bytes};
}

// Row v of the embedding's part: sets of planes, banks and places side by side by turns.
struct TablePlace {
  int set, bank, row, slice;
};
inline TablePlace table_place(const Target& target, const NumberFormat& format, int rows, int v) {
  const int sets = plane_sets(target, format), side = tile_outputs(target, format);
  const int rest = v / sets;
  return {v % sets, rest % target.banks, rest / target.banks / side * rows,
          rest / target.banks % side * format.bytes};
}

}  // namespace medley::lpu::chip
