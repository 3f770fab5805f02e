// Refused for a reason of its own, with CONTROL too, so the check must fail.
#include "no/such/header.h"
