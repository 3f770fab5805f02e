// Memory for a static schedule: whole pages, huge where the system gives them, held in memory where
// it allows.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/result.h"

namespace medley::lpu::cpu {

class Memory {
 public:
  Memory() = default;
  // Zeroed, aligned to 2 MB. kUnavailable: there is not that much.
  static Result<Memory> allocate(std::int64_t bytes);
  ~Memory();
  Memory(Memory&& other) noexcept;
  Memory& operator=(Memory&& other) noexcept;

  // Touches and locks what is allocated, so that the token path meets no page fault. False: not
  // allowed (ulimit -l), the pages were touched at least.
  bool lock();

  std::uint8_t* data() const { return data_; }
  std::int64_t size() const { return size_; }

 private:
  std::uint8_t* data_ = nullptr;
  std::int64_t size_ = 0;
};

}  // namespace medley::lpu::cpu
