// How long answers get: what is to be expected of one that has not ended.
//
// Running means by class, and ever finer by the model asked for, the tenant and the endpoint. Each
// leans on the coarser one as long as it has seen little: a mean of n answers counts n times, the
// coarser one kLean times. The number of means is bounded by what the fleet names. One answer
// cannot move a mean far: it counts as kMostTimes the expected length at most, so that a mean
// follows a tail that is heavy, but not a single runaway.
//
// Means, not quantiles: what adds up over the requests of a replica (time, energy, tokens of KV
// cache) goes by the mean (docs/decisions/0063-expected-lengths.md). Whether one answer ends in
// time goes by the mean and by how far answers stray from it.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "domain/fleet.h"
#include "domain/request.h"

namespace medley::sched {

class Lengths {
 public:
  explicit Lengths(const Fleet& fleet) : tenants_(fleet.tenants.size()) {}

  // Of answers like the request's, without a look at its own limit.
  struct Likely {
    double tokens = 0;
    // Mean square of a length's relative deviation from what was expected of it.
    double spread = 0;
    // Log-normal with these: the variance of the logarithm, ln(1 + spread), and the median as a
    // share of the mean.
    double log_variance = 0, median = 1;
  };
  // Valid until the next call of any member.
  const Likely& of(const Request& request) const;
  double expected(const Request& request) const { return of(request).tokens; }
  void ended(const Request& request, long long tokens);

 private:
  struct Mean {
    double tokens = 0, spread = 0;
    int count = 0;  // no more than counts
  };
  static constexpr std::size_t kLevels = 4;
  // Its place in each of levels_, from the coarsest.
  std::array<std::size_t, kLevels> places(const Request& request) const;

  std::size_t tenants_;
  std::array<std::vector<Mean>, kLevels> levels_;  // grow with what was asked for
  // By the finest place: many replicas are asked about the same request between two ends.
  struct Known {
    std::uint64_t as_of = 0;  // ends_, when it was worked out; 0: never
    Likely likely;
  };
  mutable std::vector<Known> known_;
  std::uint64_t ends_ = 1;
};

}  // namespace medley::sched
