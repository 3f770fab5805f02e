#include "sched/decision.h"
#include "sched/explanation.h"

namespace medley::sched {

std::string_view name_of(RejectReason reason) {
  switch (reason) {
    case RejectReason::kNoLawfulPool:
      return "no_lawful_pool";
    case RejectReason::kTooLong:
      return "too_long";
    case RejectReason::kNoReplica:
      return "no_replica";
    case RejectReason::kSaturated:
      return "saturated";
    case RejectReason::kTimedOut:
      return "timed_out";
  }
  return "";
}

std::string_view name_of(Forbidden forbidden) {
  switch (forbidden) {
    case Forbidden::kNo:
      return "";
    case Forbidden::kModel:
      return "model";
    case Forbidden::kZone:
      return "zone";
    case Forbidden::kContext:
      return "context";
    case Forbidden::kLost:
      return "lost";
    case Forbidden::kQuota:
      return "quota";
    case Forbidden::kFull:
      return "full";
    case Forbidden::kInTheWay:
      return "in_the_way";
    case Forbidden::kDearer:
      return "dearer";
    case Forbidden::kCostly:
      return "costly";
    case Forbidden::kSlow:
      return "slow";
    case Forbidden::kNotAsked:
      return "not_asked";
  }
  return "";
}

std::string_view name_of(Ahead ahead) {
  switch (ahead) {
    case Ahead::kNothing:
      return "";
    case Ahead::kItsKind:
      return "its_kind";
    case Ahead::kAnothersTurn:
      return "anothers_turn";
  }
  return "";
}

}  // namespace medley::sched
