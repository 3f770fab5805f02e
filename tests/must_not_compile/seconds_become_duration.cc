// Double seconds do not round to nanoseconds by themselves.
#include "base/instant.h"

using namespace medley;

int main() {
#ifdef CONTROL
  [[maybe_unused]] const Duration time = round_to_duration(Seconds(1));
#else
  [[maybe_unused]] const Duration time = Seconds(1);
#endif
}
