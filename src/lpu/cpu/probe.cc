#include "lpu/cpu/probe.h"

#include <algorithm>
#include <chrono>
#include <limits>

namespace medley::lpu::cpu {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// A chain of multiplications: each waits for the one before, whatever else the core could do.
void work(std::int64_t steps) {
  std::uint64_t x = 1;
  for (std::int64_t i = 0; i < steps; ++i) {
    x *= 0x9E3779B97F4A7C15U;
    asm volatile("" : "+r"(x));
  }
}

}  // namespace

RegisterProbe::RegisterProbe() {
  constexpr std::int64_t kSteps = 1'000'000;
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < 10; ++i) {
    const Clock::time_point begin = Clock::now();
    work(kSteps);
    best = std::min(best, seconds_since(begin));
  }
  steps_per_s_ = static_cast<double>(kSteps) / best;
}

void RegisterProbe::run(double seconds) const {
  work(static_cast<std::int64_t>(seconds * steps_per_s_));
}

Result<ReadProbe> ReadProbe::make(Isa isa, std::int64_t bytes) {
  MEDLEY_TRY(Memory memory, Memory::allocate(bytes));
  memory.lock();
  return ReadProbe(isa, std::move(memory));
}

double ReadProbe::gb_per_s() const {
  const Clock::time_point begin = Clock::now();
  volatile float keep = kernels(isa_).read(memory_.data(), memory_.size());
  static_cast<void>(keep);
  return static_cast<double>(memory_.size()) / seconds_since(begin) / 1e9;
}

}  // namespace medley::lpu::cpu
