// What a fuzz target defines: called with one input after the other, it must neither crash nor hang
// nor leak. libFuzzer calls it with mutations, replay.cc with the files of a corpus.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace medley {

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace medley
