// Makes a whole fleet mix of a fractional one.
#pragma once

#include <vector>

namespace medley::plan {

// Loads by slice: `load[bucket × types + type]` is what one slice puts on the type, negative where
// it cannot go there.
struct SliceLoads {
  int types = 0, buckets = 0, slices = 1;
  std::vector<double> cost;  // by type, of one instance
  std::vector<double> load;

  double at(int bucket, int type) const {
    return load[static_cast<std::size_t>(bucket * types + type)];
  }
};

struct WholeMix {
  std::vector<double> count;  // by type
  std::vector<int> slices;    // as `load` above
  double cost = 0;
};

// Rounds slices by largest remainders, then looks for instances to leave out or to exchange for
// cheaper ones, moving slices to what room there is. No promise but that the mix carries its load.
//
// `thorough`: exchanges too, which takes some thousand times as long as a row of the table is wide.
WholeMix round_mix(const SliceLoads& loads, const std::vector<double>& count,
                   const std::vector<double>& slices, bool thorough);

}  // namespace medley::plan
