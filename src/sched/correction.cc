#include "sched/correction.h"

#include <algorithm>
#include <cmath>

namespace medley::sched {
namespace {

// How much a new observation counts, at least.
constexpr double kRatioWeight = 0.05, kVarianceWeight = 0.01, kSlopeWeight = 0.005;
// What was stated counts as so many observations.
constexpr double kStatedCounts = 10;
constexpr double kFar = 4;              // squared, times the variance
constexpr double kMostStep = 4;         // of the ratio, by which one observation may be off
constexpr double kMostRatio = 16;       // of a pool that is something else than was stated
constexpr double kMostDeviation = 1.5;  // of a logarithm: one stall must not make all uncertain
constexpr double kLeastSpread = 1e-6;   // of logarithms: what never differs tells nothing

}  // namespace

Correction::Correction(double stated_error, double least_error)
    : stated_variance_(stated_error * stated_error),
      least_variance_(std::min(stated_variance_, least_error * least_error)),
      variance_(stated_variance_),
      error_(stated_error) {}

double Correction::shrunk(double predicted_with_ratio) const {
  if (!(predicted_with_ratio > 0))
    return 1;
  return std::exp((slope_ - 1) * (std::log(predicted_with_ratio / ratio_) - centre_));
}

void Correction::observe(double predicted, double observed, double known_error) {
  if (!(predicted > 0) || !(observed > 0))
    return;
  const double corrected = predicted * ratio_ * shrinking(predicted * ratio_);
  const double deviation =
      std::clamp(std::log(observed / corrected), -kMostDeviation, kMostDeviation);
  const double known = known_error * known_error;
  ++count_;
  ++since_doubt_;
  const double squared = std::max(0.0, deviation * deviation - known);
  // The first ones count more, but not to the full where they stray far: one of them tells little.
  const double more =
      std::max(0.0, 1 / (kStatedCounts + static_cast<double>(count_)) - kVarianceWeight);
  variance_ += kVarianceWeight * (squared - variance_) +
               more * (std::min(squared, kFar * variance_) - variance_);
  error_ = std::sqrt(std::max(variance_, least_variance_));
  const double off_by = std::clamp(observed / corrected, 1 / kMostStep, kMostStep);
  const double ratio_weight = std::max(kRatioWeight, 1 / (1 + static_cast<double>(since_doubt_)));
  ratio_ += ratio_weight * (std::clamp(off_by * ratio_, 1 / kMostRatio, kMostRatio) - ratio_);

  const double weight = std::max(kSlopeWeight, 1.0 / static_cast<double>(count_));
  const double x = std::log(predicted) - centre_;
  const double off = std::log(corrected) + deviation - std::log(predicted) - off_centre_;
  centre_ += weight * x;
  off_centre_ += weight * off;
  spread_ = (1 - weight) * (spread_ + weight * x * x);
  shared_ = (1 - weight) * (shared_ + weight * x * off);
  off_spread_ = (1 - weight) * (off_spread_ + weight * std::max(0.0, off * off - known));
  // Within the error that is stated predictions are taken to be right: replicas are kept full by
  // them, so that what is seen there moves less than they do though each of them is right.
  const double beyond = off_spread_ - stated_variance_;
  slope_ = 1;
  if (beyond > 0) {
    slope_ += std::min(1.0, beyond / stated_variance_) *
              std::clamp(shared_ / std::max(spread_, kLeastSpread), -1.0, 0.0);
  }
}

void Correction::doubt() {
  ratio_ = std::sqrt(ratio_);
  variance_ = std::max(variance_, stated_variance_);
  error_ = std::sqrt(variance_);
  since_doubt_ = 0;
}

}  // namespace medley::sched
