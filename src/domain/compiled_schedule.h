// What a schedule compiled for chips says of a pool, in plain numbers: who compiles it is
// lpu/chip/pool_schedule.h, what follows for its users perf/scheduled.h.
#pragma once

#include <string>

#include "base/quantity.h"

namespace medley {

struct CompiledSchedule {
  std::string target;  // of catalog/targets
  std::string digest;  // of the schedule, as `medley compile` prints it
  int chips = 0, stages = 1;
  int streams = 1;         // that SRAM holds
  long long context = 0;   // tokens of one
  int layers = 1;          // of the model …
  int layers_a_stage = 1;  // … and the most that one stage has
  double token_s = 0;      // from a stream's token to its next, if nothing waits
  double interval_s = 0;   // at which a stage takes the next stream
  // A chunk of a prompt in place of a token.
  int chunk_tokens = 1;
  double chunk_s = 0, chunk_interval_s = 0;  // through all stages; from chunk to chunk
  // What a layer takes beyond the schedule for a token or a chunk, as published speeds say
  // (DataflowConstants); not in the times above.
  double beyond_layer_s = 0;
  Watts power;  // of all its chips, whether slots are filled or not

  double beyond_s() const { return layers * beyond_layer_s; }
};

// Which law times a pool of chips; kAny: the compiled schedule, where there is one.
enum class ScheduleLaw { kAny, kCompiled, kPublished };

}  // namespace medley
