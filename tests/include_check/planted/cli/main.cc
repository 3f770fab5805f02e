#include <CLI/CLI.hpp>

#include "plan/fleet_mix.h"
#include "serve/driver.h"
#include "simulate/simulation.h"
