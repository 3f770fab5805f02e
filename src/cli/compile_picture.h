// Pictures of a schedule for chips: a token's way over the stages, and a layer by unit and cycle.
#pragma once

#include <string>

#include "lpu/chip/compile.h"
#include "lpu/chip/target.h"

namespace medley::cli {

std::string picture_of(const lpu::chip::Compiled& compiled, const lpu::chip::Target& target);

}  // namespace medley::cli
