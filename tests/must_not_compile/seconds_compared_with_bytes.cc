// Quantities of different dimensions cannot be compared.
#include "base/quantity.h"

using namespace medley;

int main() {
#ifdef CONTROL
  (void)(Seconds(1) < Seconds(2));
#else
  (void)(Seconds(1) < Bytes(2));
#endif
}
