// What the machine itself does to times: work that touches registers alone, and reading alone.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "lpu/cpu/kernels.h"
#include "lpu/cpu/memory.h"

namespace medley::lpu::cpu {

// A loop in registers of a chosen length. What its times scatter by is the machine's and the
// system's doing: no program of that length can do better.
class RegisterProbe {
 public:
  // Finds out how fast the loop is; takes some milliseconds.
  RegisterProbe();
  void run(double seconds) const;

 private:
  double steps_per_s_;
};

// How fast one core reads memory that no cache holds.
class ReadProbe {
 public:
  static Result<ReadProbe> make(Isa isa, std::int64_t bytes = 256 << 20);
  double gb_per_s() const;  // of one pass

 private:
  ReadProbe(Isa isa, Memory memory) : isa_(isa), memory_(std::move(memory)) {}

  Isa isa_;
  Memory memory_;
};

}  // namespace medley::lpu::cpu
