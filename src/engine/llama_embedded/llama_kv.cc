#include "engine/llama_embedded/llama_kv.h"

#include <fmt/format.h>

#include <cstdint>
#include <cstring>
#include <vector>

namespace medley::engine::llama_embedded {
namespace {

// libllama's own format of a sequence's state, as its release writes it: a mark and flags; the
// numbers of streams and positions, the sequences at each; then for each layer the keys by
// position, then for each layer the values, transposed unless flash attention is on.
Result<KvState> parse_state(const std::vector<std::uint8_t>& bytes) {
  const auto fail = [](const char* what) {
    return Error{ErrorCode::kGarbled, fmt::format("libllama's state of a sequence: {}", what), {}};
  };
  std::size_t at = 0;
  const auto has = [&](std::size_t size) { return bytes.size() - at >= size; };
  const auto take = [&](auto& value) {
    if (!has(sizeof value))
      return false;
    std::memcpy(&value, &bytes[at], sizeof value);
    at += sizeof value;
    return true;
  };
  constexpr std::uint32_t kMark = 0xAF143CD8;
  std::uint32_t mark = 0, flags = 0, streams = 0, cells = 0;
  if (!take(mark) || mark != kMark || !take(flags) || flags != 0)
    return fail("of another release's format");
  if (!take(streams) || streams != 1 || !take(cells))
    return fail("expected one stream");
  for (std::uint32_t i = 0; i < cells; ++i) {
    std::int32_t position = 0;
    std::uint32_t sequences = 0;
    if (!take(position) || !take(sequences) || position != static_cast<std::int32_t>(i))
      return fail("positions are not in order");
    at += std::size_t{4} * sequences;
    if (at > bytes.size())
      return fail("it ends too soon");
  }
  std::uint32_t transposed = 0, layers = 0;
  if (!take(transposed) || !take(layers) || layers > 4096)
    return fail("expected the number of layers");
  KvState state{.layers = static_cast<int>(layers), .positions = static_cast<int>(cells)};
  for (std::uint32_t layer = 0; layer < layers; ++layer) {
    std::int32_t type = 0;
    std::uint64_t row_bytes = 0;
    if (!take(type) || !take(row_bytes) || type != GGML_TYPE_F32)
      return fail("expected keys in F32");
    const std::size_t size = row_bytes * cells;
    if (row_bytes > (1U << 24) || !has(size))
      return fail("it ends too soon");
    state.row = static_cast<int>(row_bytes / 4);
    const auto* from = reinterpret_cast<const float*>(&bytes[at]);
    const std::size_t before = state.keys.size();
    state.keys.resize(before + size / 4);
    std::memcpy(&state.keys[before], from, size);
    at += size;
  }
  const auto row = static_cast<std::size_t>(state.row);
  for (std::uint32_t layer = 0; layer < layers; ++layer) {
    std::int32_t type = 0;
    if (!take(type) || type != GGML_TYPE_F32)
      return fail("expected values in F32");
    std::size_t begin = state.values.size();
    state.values.resize(begin + row * cells);
    if (transposed != 0) {
      std::uint32_t element_bytes = 0, width = 0;
      if (!take(element_bytes) || !take(width) || element_bytes != 4 || width != row)
        return fail("expected values as wide as keys");
    } else {
      std::uint64_t row_bytes = 0;
      if (!take(row_bytes) || row_bytes != 4 * row)
        return fail("expected values as wide as keys");
    }
    if (!has(4 * row * cells))
      return fail("it ends too soon");
    for (std::size_t i = 0; i < row * cells; ++i) {
      const std::size_t to = transposed != 0 ? i % cells * row + i / cells : i;
      std::memcpy(&state.values[begin + to], &bytes[at + 4 * i], 4);
    }
    at += 4 * row * cells;
  }
  return state;
}

}  // namespace

Result<KvState> export_kv(llama_context& context, llama_seq_id sequence) {
  std::vector<std::uint8_t> bytes(llama_state_seq_get_size(&context, sequence));
  if (llama_state_seq_get_data(&context, bytes.data(), bytes.size(), sequence) != bytes.size())
    return Error{ErrorCode::kUnavailable, "libllama gives no state of its sequence", {}};
  return parse_state(bytes);
}

}  // namespace medley::engine::llama_embedded
