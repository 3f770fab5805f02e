#include "domain/request.h"

#include <algorithm>
#include <bit>

namespace medley {

int length_bucket(Tokens prompt_tokens) {
  constexpr long long kShort = 256;
  return std::bit_width(
      static_cast<unsigned long long>(std::max(prompt_tokens.count(), kShort) - 1));
}

}  // namespace medley
