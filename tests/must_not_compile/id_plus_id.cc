// Ids name things: nobody adds them.
#include "domain/ids.h"

using namespace medley;

int main() {
#ifdef CONTROL
  (void)(RequestId(1) < RequestId(2));
#else
  (void)(RequestId(1) + RequestId(2));
#endif
}
