// Tokens are a count and joules an energy: there is no sum.
#include "base/quantity.h"

using namespace medley;

int main() {
#ifdef CONTROL
  (void)(Tokens(1) + Tokens(2));
#else
  (void)(Tokens(1) + Joules(2));
#endif
}
