// Whether a schedule for chips can be carried out: the certificate that `medley compile` gives.
//
// Shares no code with what makes schedules: it knows the schedule's data (lpu/chip/schedule.h), the
// target, the shape of the model, and the rules below, which it works out for itself.
//
//   - no unit is used twice in a cycle, and each as long as its work takes;
//   - no bank answers two accesses in a cycle, no slice two reads or two writes, no stream carries
//     two vectors, on the way that leads from these slices to that unit;
//   - nothing is read before it was written, nor after something else was; no result is written
//     before the unit can have it; no weights are replaced before they were multiplied with;
//   - no two things share a place in SRAM, and all of it is there;
//   - vectors follow each other on a link no faster than it carries them, and arrive no sooner;
//   what
//     leaves the node of a chip, by the numbers of both, takes a link that leads to other nodes;
//   - every layer and every matrix is there: tiles cover each matrix once, a plane adds up those of
//     one sum and nothing else, each tile multiplies its part of the one input, the parts of all
//     chips are added, attention sweeps the whole context;
//   - runs and stages follow each other without overlap, each finding what it needs
//     where the one before left it, the first where the last did; chunks of prompts find weights
//     and cache where single tokens have them.
#pragma once

#include <string>
#include <vector>

#include "lpu/chip/schedule.h"
#include "lpu/chip/shape.h"
#include "lpu/chip/target.h"

namespace medley::lpu::verify {

struct Certificate {
  // What is wrong, at most so many; empty: nothing.
  static constexpr std::size_t kMostFindings = 20;
  std::vector<std::string> findings;
  // What was looked at, over the chips of a group.
  long long instructions = 0, accesses = 0, vectors = 0, hops = 0;

  bool valid() const { return findings.empty(); }
};

Certificate verify(const chip::Schedule& schedule, const chip::Target& target,
                   const chip::Shape& shape);

}  // namespace medley::lpu::verify
