// GGUF files (versions 2 and 3): metadata and tensor shapes, without the weights.
//
// Reads the front of the file only and trusts nothing in it: every count and length is held against
// the bytes that are left before anything is allocated, arrays do not nest without end, and each
// error says at which byte. What a model's facts need of it is `gguf_model`.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "domain/model.h"

namespace medley::data {

struct GgufArray {
  std::uint32_t type = 0;  // of the elements, GGUF's numbering
  std::uint64_t count = 0;
  std::vector<double> numbers;     // of number arrays, up to the first kKeptElements
  std::vector<std::string> texts;  // of string arrays, up to the first kKeptElements
};
// Vocabularies are long and of no interest here.
inline constexpr std::size_t kKeptElements = 256;

using GgufValue = std::variant<std::int64_t, std::uint64_t, double, bool, std::string, GgufArray>;

struct GgufTensor {
  std::string name;
  std::vector<std::uint64_t> shape;
  std::uint32_t type = 0;    // ggml's numbering
  std::uint64_t offset = 0;  // from the start of the data section
  double elements() const;
  // Bytes by type and shape; empty for a type this build does not know.
  std::optional<double> bytes() const;
};

struct Gguf {
  std::uint32_t version = 0;
  std::map<std::string, GgufValue> metadata;
  std::vector<GgufTensor> tensors;
  std::uint64_t data_offset = 0;  // of the data section
  std::uint64_t file_bytes = 0;

  // Printable: names go to terminals.
  std::optional<std::string> text(std::string_view key) const;
  // A whole number; of an array (one figure a layer) the largest.
  std::optional<long long> whole(std::string_view key) const;
};

Result<Gguf> read_gguf(const std::string& path);
// The front of a file of `file_bytes` bytes; `name` stands for it in errors.
Result<Gguf> parse_gguf(std::string_view front, std::uint64_t file_bytes, const std::string& name);

// The architecture a file states: layers, heads, context, experts; weights and parameters from its
// tensors.
Result<Model> gguf_model(const Gguf& gguf, const std::string& name);

}  // namespace medley::data
