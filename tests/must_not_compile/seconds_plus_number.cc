// A bare number has no unit: it must be given one first.
#include "base/quantity.h"

using namespace medley;

int main() {
#ifdef CONTROL
  (void)(Seconds(1) + Seconds(0.5));
#else
  (void)(Seconds(1) + 0.5);
#endif
}
