#include "sched/placement/baselines/polled.h"

namespace medley::sched {

bool Polled::poll(const View& view) {
  if (is_live() || (next_ && view.now < *next_))
    return false;
  next_ = view.now - view.now.time_since_epoch() % interval_ + interval_;
  accounts_ = view.ledger.replicas();
  return true;
}

}  // namespace medley::sched
