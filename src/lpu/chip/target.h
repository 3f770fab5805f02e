// A statically scheduled chip as the compiler sees it: units, SRAM, streams, links, clock.
//
// A target is a data file (catalog/targets/*.yaml, docs/lpu-chips.md). Each figure says which
// source it was read in, or that it is assumed and why; what the file leaves out is an error, so
// that nothing is computed from a figure nobody stated. A file that contradicts itself is refused.
//
// The machine: vectors of `lanes` bytes move between SRAM slices and units on streams, one vector a
// cycle and stream. The vector unit stands in the middle of `hemispheres` alike, each with its
// slices, its streams towards the outer edge and back, its switch and its matrix planes.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "data/catalog.h"
#include "domain/accelerator.h"

namespace medley::lpu::chip {

// How a target holds and multiplies weights of one number format.
struct NumberFormat {
  Precision precision = Precision::kFp16;
  int bytes = 2;              // of a weight
  int planes = 1;             // matrix planes that work together on one tile
  int activation_bytes = 2;   // of a number that a tile is multiplied with
  int cycles_per_vector = 1;  // that a tile takes for one vector of activations
};

// One figure of the file: for those who ask where it comes from.
struct Figure {
  std::string name;   // "matrix.latency_cycles"
  std::string value;  // as in the file
  std::vector<std::string> sources;
  std::string assumed;  // why; empty: it was read in the sources
};

struct Target {
  std::string id, name;
  std::string accelerator;     // of the catalogue; empty: none
  std::string accelerator_at;  // where the file names it: "chip.yaml:5:14: accelerator"
  std::string note;
  std::vector<Figure> figures;
  std::vector<std::pair<std::string, std::string>> sources;  // key: citation

  double clock_ghz = 0;
  int lanes = 0;  // numbers of one byte in a vector
  int hemispheres = 0;
  // SRAM: a slice is as wide as a vector; a bank answers one access a cycle, a slice one read and
  // one write, in different banks.
  int slices = 0;         // of a hemisphere
  int banks = 0;          // of a slice
  int rows_per_bank = 0;  // vectors
  int streams = 0;        // of a hemisphere, towards its edge; as many come back
  // Matrix: a plane holds lanes x columns weights and takes the next ones while it multiplies.
  int planes = 0;           // of a hemisphere
  int columns = 0;          // outputs of a plane
  int install_streams = 0;  // streams a plane takes weights from
  int accumulators = 0;     // results a plane keeps while it sums over tiles, vectors
  // Cycles from the first vector read to the first result that may be written.
  int matrix_latency = 0, vector_latency = 0, switch_latency = 0, gather_latency = 0;
  // Vectors that a sum, a maximum or the like across the lanes of a vector takes in cycles.
  int reduce_cycles = 0;
  // Links: every chip of a node has one of its own to every other, and some that lead to other
  // nodes.
  int node_chips = 0;
  double link_bytes_per_cycle = 0;  // a direction
  int link_latency = 0;             // cycles, within a node
  int far_links = 0;                // of a chip, to other nodes: shared by all it sends there
  int far_latency = 0;              // cycles, from node to node
  int most_chips = 0;               // that can be joined
  Range chip_w{0, 0};               // while it runs; {0, 0}: unknown
  std::vector<NumberFormat> formats;

  const NumberFormat* format(Precision precision) const;
  long long sram_bytes() const {
    return 1LL * hemispheres * slices * banks * rows_per_bank * lanes;
  }
  // Cycles that a link is busy with one vector of so many bytes: whole ones.
  int link_cycles(int bytes) const;
  double operations_per_second(const NumberFormat& format) const {
    return 2.0 * hemispheres * (planes / format.planes) * lanes * columns /
           format.cycles_per_vector * clock_ghz * 1e9;
  }
  double seconds(double cycles) const { return cycles / (clock_ghz * 1e9); }
};

// Errors name file, line and field, and what would be right.
Result<Target> read_target(const std::string& path);
Result<Target> parse_target(std::string_view text, const std::string& name);
// `name` is a path that ends in .yaml, or the id of a file in <catalog>/targets.
Result<Target> find_target(const std::string& name, const std::string& catalog);
// That the accelerator it names is in the catalogue, and one of the same memory, peaks and power.
Status check_accelerator(const Target& target, const data::Catalog& catalog);
// That it is one of the same memory, peaks and power as `accelerator`.
Status check_accelerator(const Target& target, const Accelerator& accelerator);
// Of that catalogue, and checked against it.
Result<Target> find_target(const std::string& name, const data::Catalog& catalog);
// That of the catalogue which describes the accelerator, checked against it.
Result<Target> target_for(const Accelerator& accelerator, const std::string& catalog);
// Ids of the files in <catalog>/targets, sorted.
std::vector<std::string> target_ids(const std::string& catalog);

}  // namespace medley::lpu::chip
