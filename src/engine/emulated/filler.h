// What an emulated engine says: words of our own, and first of all that it is emulated.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace medley::engine {

// The text of token number `index` (from 0) of an answer by `device`. Token 0 is "[emulated
// <device>]", each later one a word with its space in front. `variant` moves the place where the
// words begin.
std::string filler_token(std::string_view device, std::uint64_t variant, long long index);

}  // namespace medley::engine
