#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <fstream>

#include "engine/engine.h"
#include "engine/openai_http/http_engine.h"  // violation: factory
#include "sched/scheduler.h"
#include "simulate/simulation.h"  // violation: layer

auto now() { return std::chrono::steady_clock::now(); }
