// libllama, step by step: one sequence in a context of its own.
#pragma once

#include "engine/stepper.h"

namespace medley::engine::llama_embedded {

Result<std::unique_ptr<Stepper>> make_llama_stepper(const StepperOptions& options);

}  // namespace medley::engine::llama_embedded
