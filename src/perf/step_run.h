// Runs of decode steps summed up at once: what step models build StepModel::run() from.
#pragma once

#include "perf/step_model.h"

namespace medley::perf {

// The step that comes `steps` after `first` in a run.
StepShape later_step(const StepShape& first, long long steps);

// The sum over a run by arithmetic series, for models whose time and energy are piecewise linear in
// the contexts of the decodes: a bound by memory or arithmetic, a power cap. Takes the logarithm of
// `steps` at each kink. Precondition: the pieces bend one way (time is the larger of lines, say),
// or the middle of a run could lie on the line between its ends by accident.
StepCost sum_of_linear_pieces(const StepModel& model, const StepShape& first, long long steps);

}  // namespace medley::perf
