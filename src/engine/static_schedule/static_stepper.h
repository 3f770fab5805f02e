// A compiled static schedule, step by step.
#pragma once

#include "engine/stepper.h"

namespace medley::engine::static_schedule {

Result<std::unique_ptr<Stepper>> make_static_stepper(const StepperOptions& options);

}  // namespace medley::engine::static_schedule
