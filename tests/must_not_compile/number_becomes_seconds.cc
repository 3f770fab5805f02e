// A number does not become a quantity by itself: the caller names the unit.
#include "base/quantity.h"

using namespace medley;
void wait_for(Seconds) {}

int main() {
#ifdef CONTROL
  wait_for(Seconds(3));
#else
  wait_for(3);
#endif
}
