#pragma once
#include "sched/scheduler.h"  // violation: layer
