// Watts are not joules until a time multiplies them.
#include "base/quantity.h"

using namespace medley;

int main() {
#ifdef CONTROL
  [[maybe_unused]] const Joules used = Watts(100) * Seconds(3);
#else
  [[maybe_unused]] const Joules used = Watts(100);
#endif
}
