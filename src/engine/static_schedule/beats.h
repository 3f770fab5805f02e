// How many beats there were, and how many came late: written by the engine's thread, read by any.
#pragma once

#include <atomic>
#include <cstdint>

namespace medley::engine::static_schedule {

struct Beats {
  std::atomic<std::uint64_t> all{0}, missed{0};
  std::atomic<std::uint64_t> worst_late_ns{0};
};

}  // namespace medley::engine::static_schedule
