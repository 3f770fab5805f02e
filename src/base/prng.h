// Seeded random numbers with distributions of our own: the standard's differ between libraries.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace medley {

// xoshiro256** 1.0 (Blackman and Vigna 2018, "Scrambled linear pseudorandom number generators"),
// seeded by splitmix64. The same seed gives the same numbers everywhere; log, cos and sqrt of the C
// library enter normal(), log_normal(), exponential() and gamma().
class Prng {
 public:
  explicit Prng(std::uint64_t seed);
  // An independent stream for one purpose or one request: drawing from it moves no other stream.
  static Prng stream(std::uint64_t seed, std::uint64_t purpose, std::uint64_t index = 0);

  std::uint64_t next();
  double uniform();                          // [0, 1), 53 bits
  std::uint64_t below(std::uint64_t bound);  // [0, bound), unbiased; bound > 0
  double exponential(double mean);
  double normal();  // mean 0, deviation 1 (Box and Muller)
  double log_normal(double median, double sigma);
  // Gamma distributed, mean `shape` (scale 1); shape > 0. Marsaglia and Tsang 2000, "A simple
  // method for generating gamma variables", with their boost for shapes below 1.
  double gamma(double shape);
  // The index of a weight, drawn in proportion; at least one weight must be positive.
  std::size_t pick(std::span<const double> weights);

 private:
  std::array<std::uint64_t, 4> state_;
};

}  // namespace medley
