// A request and a replica may have the same number, but they are never the same thing.
#include "domain/ids.h"

using namespace medley;

int main() {
#ifdef CONTROL
  (void)(RequestId(1) == RequestId(1));
#else
  (void)(RequestId(1) == ReplicaId(1));
#endif
}
