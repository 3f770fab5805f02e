// Two points in time have a difference but no sum.
#include "base/instant.h"

using namespace medley;

int main() {
#ifdef CONTROL
  (void)(Instant() - Instant());
#else
  (void)(Instant() + Instant());
#endif
}
