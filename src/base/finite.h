// Whether numbers are numbers.
#pragma once

#include <bit>
#include <cstdint>
#include <span>

namespace medley {

// Neither infinite nor NaN. By their exponents, which compilers look at several at once.
inline bool all_finite(std::span<const float> numbers) {
  constexpr std::uint32_t kExponent = 0x7F800000;
  std::uint32_t none = 0;
  for (const float number : numbers)
    none |= (std::bit_cast<std::uint32_t>(number) & kExponent) == kExponent ? 1U : 0U;
  return none == 0;
}

}  // namespace medley
