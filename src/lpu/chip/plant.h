// Bugs of the scheduler that were planted on purpose, to prove that the verifier finds such bugs
// (docs/decisions/0086-a-verifier-of-its-own.md). They live in a second copy of src/lpu/chip, built
// with MEDLEY_PLANTED_BUGS; everywhere else planted() is false at compile time.
#pragma once

namespace medley::lpu::chip {

enum class ScheduleBug {
  kNone,
  kUnitTakenTwice,     // the vector unit starts before it is free
  kBankConflict,       // reads do not look whether the bank is free
  kPortConflict,       // a slice reads from two banks at once
  kStreamTakenTwice,   // the first stream is always taken
  kResultTooEarly,     // a result is written a cycle before the unit can have it
  kReadTooEarly,       // an operand is read a cycle before it is written
  kOperandForgotten,   // nobody waits for the second operand
  kLinkTooFast,        // vectors follow each other faster than the link takes them
  kHopTooEarly,        // what is sent is there a cycle early
  kBuffersOverlap,     // the last row of a buffer is the first of the next
  kTilesOverlap,       // the last row of a tile is the first of the next
  kTileReplacedEarly,  // weights are replaced before they were multiplied with
  kTileTooShort,       // weights come faster than streams carry them
  kCacheTooEarly,      // the cache is read before the token's own keys are in it
  kExpertTooEarly,     // weights of an expert are fetched before it is chosen
  kSramOver,           // the stream's cache is forgotten where layers are put on a stage
  kRunsOverlap,        // a layer has its weights where the one before has them
  kRunTooEarly,        // a layer starts before the one before has ended
  kCount,
};

#ifdef MEDLEY_PLANTED_BUGS
inline ScheduleBug planted_bug = ScheduleBug::kNone;  // set by the test that hunts it
inline bool planted(ScheduleBug bug) { return bug == planted_bug; }
#else
constexpr bool planted(ScheduleBug) { return false; }
#endif

}  // namespace medley::lpu::chip
