#include "perf/step_run.h"

#include <cmath>

#include "base/check.h"

namespace medley::perf {
namespace {

// How far from the line between the ends the middle of a linear piece may be: rounding alone.
constexpr double kRounding = 1e-12;

class Pieces {
 public:
  Pieces(const StepModel& model, const StepShape& first) : model_(model), first_(first) {}

  StepCost step(long long index) const { return model_.step(later_step(first_, index)); }

  // The sum over [low, high], both ends included, whose costs are given. low < high.
  StepCost sum(long long low, const StepCost& at_low, long long high,
               const StepCost& at_high) const {
    const long long count = high - low + 1;
    if (count > 2) {
      const long long middle = low + (high - low) / 2;
      const StepCost at_middle = step(middle);
      const double share = static_cast<double>(middle - low) / static_cast<double>(high - low);
      const auto on_line = [share](double a, double b, double between) {
        return std::abs(a + (b - a) * share - between) <= kRounding * std::abs(between);
      };
      if (!on_line(at_low.time.value(), at_high.time.value(), at_middle.time.value()) ||
          !on_line(at_low.energy.value(), at_high.energy.value(), at_middle.energy.value())) {
        const StepCost left = sum(low, at_low, middle, at_middle);
        const StepCost right = sum(middle, at_middle, high, at_high);
        return {left.time + right.time - at_middle.time,
                left.energy + right.energy - at_middle.energy};
      }
    }
    const double half = static_cast<double>(count) / 2;
    return {(at_low.time + at_high.time) * half, (at_low.energy + at_high.energy) * half};
  }

 private:
  const StepModel& model_;
  const StepShape& first_;
};

}  // namespace

StepShape later_step(const StepShape& first, long long steps) {
  StepShape shape = first;
  shape.decode_context += first.decodes * steps;
  shape.decode_context_min += steps;
  shape.decode_context_max += steps;
  return shape;
}

StepCost sum_of_linear_pieces(const StepModel& model, const StepShape& first, long long steps) {
  MEDLEY_CHECK(first.chunks.empty() && first.decodes > 0 && steps >= 1);
  const Pieces pieces(model, first);
  const StepCost at_first = pieces.step(0);
  if (steps == 1)
    return at_first;
  return pieces.sum(0, at_first, steps - 1, pieces.step(steps - 1));
}

}  // namespace medley::perf
