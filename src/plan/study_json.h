// A study as one JSON value, one line (docs/plan.md lists its keys).
#pragma once

#include <string>

#include "plan/infeasible.h"
#include "plan/study.h"

namespace medley::plan {

std::string to_json(const Study& study);
// Of requirements that no fleet can meet.
std::string to_json(const data::Requirements& requirements, const Conflict& conflict);

}  // namespace medley::plan
