#include "base/prng.h"

#include <bit>
#include <cmath>
#include <numbers>

#include "base/check.h"

namespace medley {
namespace {

std::uint64_t splitmix64(std::uint64_t& state) {
  std::uint64_t z = (state += 0x9e3779b97f4a7c15U);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31);
}

}  // namespace

Prng::Prng(std::uint64_t seed) {
  for (std::uint64_t& word : state_)
    word = splitmix64(seed);
}

Prng Prng::stream(std::uint64_t seed, std::uint64_t purpose, std::uint64_t index) {
  std::uint64_t mixed = splitmix64(seed) ^ purpose;
  mixed = splitmix64(mixed) ^ index;
  return Prng(splitmix64(mixed));
}

std::uint64_t Prng::next() {
  const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const std::uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

double Prng::uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

std::uint64_t Prng::below(std::uint64_t bound) {
  MEDLEY_CHECK(bound > 0);
  const std::uint64_t limit = -bound % bound;  // 2^64 mod bound: values below it would be biased
  for (;;) {
    const std::uint64_t drawn = next();
    if (drawn >= limit)
      return drawn % bound;
  }
}

double Prng::exponential(double mean) { return -mean * std::log1p(-uniform()); }

double Prng::normal() {
  const double radius = std::sqrt(-2 * std::log1p(-uniform()));
  return radius * std::cos(2 * std::numbers::pi * uniform());
}

double Prng::log_normal(double median, double sigma) { return median * std::exp(sigma * normal()); }

double Prng::gamma(double shape) {
  MEDLEY_CHECK(shape > 0);
  if (shape < 1) {
    const double boosted = gamma(shape + 1);
    return boosted * std::pow(1 - uniform(), 1 / shape);
  }
  const double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double x = normal();
    const double v = (1 + c * x) * (1 + c * x) * (1 + c * x);
    if (v > 0 && std::log1p(-uniform()) < x * x / 2 + d - d * v + d * std::log(v))
      return d * v;
  }
}

std::size_t Prng::pick(std::span<const double> weights) {
  double total = 0;
  for (const double weight : weights)
    total += weight;
  MEDLEY_CHECK(total > 0);
  double left = uniform() * total;
  std::size_t last_positive = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] <= 0)
      continue;
    last_positive = i;
    if (left < weights[i])
      return i;
    left -= weights[i];
  }
  return last_positive;
}

}  // namespace medley
