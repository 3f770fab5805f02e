// How many tokens had a beat to be ready for, and how many were late: written by the engine's
// thread, read by any.
#pragma once

#include <atomic>
#include <cstdint>

namespace medley::engine::static_schedule {

struct Beats {
  std::atomic<std::uint64_t> all{0}, missed{0};
};

}  // namespace medley::engine::static_schedule
