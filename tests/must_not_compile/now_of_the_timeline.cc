// Virtual time is told, never asked for: a Timeline has no now(), and no wall clock is an Instant.
#include <chrono>

#include "base/instant.h"

using namespace medley;

int main() {
#ifdef CONTROL
  [[maybe_unused]] const Instant now = Instant(std::chrono::seconds(1));
#else
  [[maybe_unused]] const Instant now = std::chrono::steady_clock::now();
#endif
}
