// Order statistics and confidence intervals, as reports quote them.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace medley {

struct Summary {
  std::size_t count = 0;
  double mean = 0, p50 = 0, p90 = 0, p99 = 0, max = 0;  // all 0 when count is 0
};

// Linear interpolation between order statistics: position q·(n − 1). Preconditions: sorted, not
// empty, q in [0, 1].
double percentile(std::span<const double> sorted, double q);
// In a time in proportion to their number. The mean is the sum in the order given.
Summary summarise(std::vector<double> values);

// Jain's fairness index, (Σx)²/(n·Σx²): 1 where all have the same, 1/n where one has everything; 1
// where there is nothing to have. (Jain, Chiu, Hawe, "A Quantitative Measure of Fairness", 1984.)
double jain_index(std::span<const double> shares);

// A mean and how far it may be off: the true one lies within `margin` of it with 95 % confidence.
struct Estimate {
  double mean = 0;
  std::optional<double> margin;  // empty where a single value says nothing of it
  std::optional<double> low() const { return margin ? std::optional(mean - *margin) : margin; }
  std::optional<double> high() const { return margin ? std::optional(mean + *margin) : margin; }
};

// By Student's t, for independent values that are about normal. Precondition: not empty.
Estimate estimate(std::span<const double> values);
// What 97.5 % of Student's t distribution is below, within 0.001; degrees of freedom at least 1.
double student_t(std::size_t degrees);

}  // namespace medley
