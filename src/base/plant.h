// Bugs that were planted on purpose, to prove that the simulation tests find such bugs
// (docs/decisions/0051-planted-bugs.md).
//
// They live in a second copy of src/sched that is built with MEDLEY_PLANTED_BUGS for
// tests/simulation/planted_bugs.cc alone. Everywhere else planted() is false at compile time, and
// nothing of them is left.
#pragma once

namespace medley {

enum class Bug {
  kNone,
  kDoubleDispatch,       // one decision to dispatch is made twice
  kLostWakeUp,           // an alarm that found nothing to do sets no other
  kLabelDroppedOnRetry,  // what failed somewhere is public afterwards
  kSequenceLeak,         // a cancelled request keeps its sequence
  kRoomLeak,             // what ends before its first token keeps its KV cache
  kPriceSign,            // the score adds money
  kStaleAsIdle,          // a replica that reports nothing counts as idle
  kFailedOnForgotten,    // what failed on a replica may go back there
  kLostStillUsed,        // a lost replica still gets work
  kReturnForgotten,      // a replica that returns gets none
  kBacklogUnbounded,     // any number may wait
  kExpiredKept,          // what waited too long waits on
  kWrongClassCounted,    // ends count for one class, whatever theirs
  kQuotaRefundedTwice,   // a failed dispatch gives back two requests of the day
  kFailuresUncounted,    // a request may fail on every replica it meets
  kRetryAfterUnbounded,  // a client is told to come back when it may be hours
  kCancelledKept,        // a request that was cancelled while it waited is served all the same
  kHeadroomIgnored,      // patient work takes the last sequence of a replica
  kWindowWithoutRoom,    // tokens are promised to what may have to wait for a slot or its memory
  kPreemptedForgotten,   // what guaranteed work took the place of is not put back
  kCount,
};

#ifdef MEDLEY_PLANTED_BUGS
inline Bug planted_bug = Bug::kNone;  // set by the test that hunts it
inline bool planted(Bug bug) { return bug == planted_bug; }
#else
constexpr bool planted(Bug) { return false; }
#endif

}  // namespace medley
