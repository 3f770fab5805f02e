// Requests made up from a workload and a seed, one after the other: ten million take no more memory
// than ten.
//
// Draws are by purpose and request: another length law moves no arrival, a longer workload begins
// with the same requests. Streams of a workload draw apart from one another, also when they are
// equal.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/prng.h"
#include "data/workload_file.h"

namespace medley::simulate {

struct GeneratedRequest {
  double arrived_s = 0;
  long long prompt_tokens = 1, output_tokens = 1;
  std::size_t stream = 0;  // of WorkloadSpec::streams
  // The prompt's first `prefix_tokens` tokens are those of the earlier request `prefix_of`, counted
  // from 0 over all streams; 0 tokens: nothing in common.
  std::uint64_t prefix_of = 0;
  long long prefix_tokens = 0;
};

// Arrival times alone, in seconds: gaps whose mean is 1 in a time that runs with the rate, which is
// rate_per_s × the shape's factor × every swing's.
class ArrivalTimes {
 public:
  ArrivalTimes(const data::WorkloadStream& stream, std::uint64_t seed);
  double next();

 private:
  struct Level {
    double every_s = 0;
    long long index = 0;  // now in [index, index + 1) × every_s
    double factor = 1;
  };
  void draw(std::size_t level);

  const data::ArrivalLaw& law_;
  const double rate_, start_s_;
  const std::uint64_t seed_;
  Prng gaps_;
  std::vector<Level> levels_;  // the swings, then the shape
  double at_s_ = 0;            // after start_s_
};

class WorkloadGenerator {
 public:
  // The workload must outlive the generator.
  WorkloadGenerator(const data::WorkloadSpec& workload, std::uint64_t seed);
  // In order of arrival, ties to the lower stream; empty when every stream has ended.
  std::optional<GeneratedRequest> next();

 private:
  struct Earlier {
    double arrived_s = 0;
    long long prompt_tokens = 0;
    std::uint64_t row = 0;
  };
  struct Stream {
    const data::WorkloadStream* law;
    std::uint64_t seed;
    ArrivalTimes times;
    long long drawn = 0;
    std::optional<double> arrives_s;  // the next one; empty: ended
    std::vector<Earlier> earlier;     // a ring, for prefixes
  };
  void advance(Stream& stream);
  void draw_prefix(Stream& stream, long long index, GeneratedRequest& request) const;

  std::vector<Stream> streams_;
  std::uint64_t rows_ = 0;
};

}  // namespace medley::simulate
