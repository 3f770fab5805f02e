// A model on chips: how many are needed, which stage holds what, and what follows for its users.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "lpu/chip/schedule.h"
#include "lpu/chip/shape.h"
#include "lpu/chip/target.h"

namespace medley::lpu::chip {

struct CompileOptions {
  std::optional<Precision> weights, cache;  // empty: the target's first format; FP16 or the same
  long long context = 0;                    // of a stream
  int streams = 1;                          // that SRAM keeps room for
  int chips = 0;                            // 0: as few as hold it
  // Chips of a stage; 0: what needs the fewest chips, of several the one of the shortest token.
  int group = 0;
};

struct Compiled {
  Schedule schedule;
  // A chunk of a prompt in place of a token, for the same stages.
  int prefill_tokens = 0;
  std::int64_t prefill_cycles = 0;           // a chunk through all stages
  std::int64_t prefill_interval_cycles = 0;  // from chunk to chunk
  long long most_streams = 0;                // that SRAM has room for at the context
  long long most_context = 0;                // of one stream
  int slots = 0;                             // streams that go round without waiting for each other
  std::string binds;                         // what keeps the time of a token from being shorter
  // The group whose token is the shortest of all that were tried, where more chips make it shorter
  // than that of the fewest; 0: they do not.
  struct Faster {
    int group = 0, chips = 0;
    std::int64_t token_cycles = 0;
  } faster;
};

// The cycles of a segment by what is at work in them, each cycle counted once: for the first of
// these that is.
struct Spent {
  std::int64_t matrix = 0;  // a plane takes weights or multiplies
  std::int64_t links = 0;   // something is between chips
  std::int64_t vector = 0;
  std::int64_t switches = 0;
  std::int64_t latency = 0;  // nothing but what is on its way within the chip
};
Spent spent(const Segment& segment);

// Deterministic. Errors: what does not fit, and what would.
Result<Compiled> compile(const Shape& shape, const Target& target, const CompileOptions& options);

}  // namespace medley::lpu::chip
