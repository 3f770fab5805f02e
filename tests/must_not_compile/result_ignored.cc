// What may have failed must be looked at. (Refused as a warning that medley treats as an error.)
#pragma GCC diagnostic error "-Wunused-result"
#include "base/result.h"

using namespace medley;

Status save() { return Done{}; }

int main() {
#ifdef CONTROL
  if (!save())
    return 1;
#else
  save();
#endif
}
