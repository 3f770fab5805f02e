#include "lpu/cpu/memory.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <utility>

namespace medley::lpu::cpu {
namespace {

constexpr std::int64_t kHugePage = 2 << 20;
constexpr std::int64_t kPage = 4096;

}  // namespace

Result<Memory> Memory::allocate(std::int64_t bytes) {
  Memory memory;
  const std::int64_t size =
      (std::max<std::int64_t>(bytes, 1) + kHugePage - 1) / kHugePage * kHugePage;
  // One huge page more, of which an aligned part is kept.
  void* mapped = mmap(nullptr, static_cast<std::size_t>(size + kHugePage), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) {
    return Error{ErrorCode::kUnavailable,
                 fmt::format("no {} MB of memory for weights and KV cache", size >> 20),
                 {}};
  }
  auto* begin = static_cast<std::uint8_t*>(mapped);
  const auto over = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(begin) %
                                              static_cast<std::uintptr_t>(kHugePage));
  const std::int64_t skip = over == 0 ? 0 : kHugePage - over;
  if (skip > 0)
    munmap(begin, static_cast<std::size_t>(skip));
  munmap(begin + skip + size, static_cast<std::size_t>(kHugePage - skip));
  memory.data_ = begin + skip;
  memory.size_ = size;
  madvise(memory.data_, static_cast<std::size_t>(size), MADV_HUGEPAGE);
  return memory;
}

Memory::~Memory() {
  if (data_ != nullptr)
    munmap(data_, static_cast<std::size_t>(size_));
}

Memory::Memory(Memory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Memory& Memory::operator=(Memory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

bool Memory::lock() {
  if (data_ == nullptr)
    return true;
  if (mlock(data_, static_cast<std::size_t>(size_)) == 0)
    return true;
  for (std::int64_t at = 0; at < size_; at += kPage) {
    volatile std::uint8_t* byte = data_ + at;
    *byte = *byte;
  }
  return false;
}

}  // namespace medley::lpu::cpu
