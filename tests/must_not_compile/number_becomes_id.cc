// A number does not become an id by itself.
#include "domain/ids.h"

using namespace medley;
void stop(ReplicaId) {}

int main() {
#ifdef CONTROL
  stop(ReplicaId(3));
#else
  stop(3);
#endif
}
