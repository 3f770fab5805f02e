// From double seconds to the scheduler's nanoseconds there is one way, which says how it rounds.
#include "base/instant.h"

using namespace medley;

int main() {
#ifdef CONTROL
  (void)(Instant() + round_to_duration(Seconds(0.5)));
#else
  (void)(Instant() + 0.5);
#endif
}
