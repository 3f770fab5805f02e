// Lines marked as such break a rule, all others keep them; include_check_test.py compares.
#include "sched/scheduler.h"

#include <chrono>
#include <fstream>  // violation: pure

#include "base/result.h"
#include "engine/engine.h"  // violation: layer
#include "perf/roofline.h"
#include "placement/score.h"  // violation: path
#include "sched/placement/score.h"
// #include "serve/driver.h"
/* #include "serve/driver.h"
#include "serve/driver.h" */

auto dice() { return std::random_device{}(); }              // violation: pure
auto now() { return std::chrono::steady_clock::now(); }     // violation: pure
const char* text = "steady_clock is only a word in a text";  // and system_clock in a comment
const char* raw = R"(
#include_next "is text
steady_clock
)";
constexpr long kMillion = 1'000'000;
auto later() { return std::chrono::system_clock::now(); }  // violation: pure
