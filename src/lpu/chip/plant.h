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
  kWrongUnit,          // the vector unit does what the switch does
  kWeightsTooSlow,     // weights come every other cycle, and the plane believes every one
  kVectorsTooFast,     // vectors follow each other faster than the plane takes them
  kEndTooEarly,        // a segment ends when the first of what it sent has arrived
  kConstantsOverlap,   // the last row of a norm's weights is the first of the next
  kTileForgotten,      // a sum lacks its first tile
  kSumRestarted,       // each tile begins the sum anew
  kWrongPlane,         // the second tile of a sum is multiplied on other planes
  kWrongOperand,       // all tiles of a sum are multiplied with the first part of the input
  kPartialForgotten,   // positions whose values nobody adds
  kChipForgotten,      // a sum over the group lacks one chip's part
  kChunkElsewhere,     // a chunk of a prompt looks for weights in another bank
  kLayerForgotten,     // the last layer stands nowhere
  kWindowEverywhere,   // every layer sees no more than those with a window
  kFirstStageFree,     // the first stage takes a stream while the way back to it is in use
  kChoiceForgotten,    // the residual stream is sent back in place of the token
  kUnitOfNone,         // an instruction takes none of its vector unit
  kLinkTwice,          // a link is free from one hemisphere while the other sends
  kHalfHandedOn,       // half the lanes go to the next group
  kGroupAcrossNodes,   // a group begins in a node that does not hold all of it
  kNodeForgotten,      // what goes to another node takes the time within one
  kCount,
};

#ifdef MEDLEY_PLANTED_BUGS
inline ScheduleBug planted_bug = ScheduleBug::kNone;  // set by the test that hunts it
inline bool planted(ScheduleBug bug) { return bug == planted_bug; }
#else
constexpr bool planted(ScheduleBug) { return false; }
#endif

}  // namespace medley::lpu::chip
