// Writes GGUF files (version 3): metadata first, then tensors one after the other.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace medley::data {

class GgufWriter {
 public:
  GgufWriter& entry(std::string_view key, std::uint32_t value);
  GgufWriter& entry(std::string_view key, float value);
  GgufWriter& entry(std::string_view key, std::string_view value);
  GgufWriter& entry(std::string_view key, const std::vector<std::string>& values);
  GgufWriter& entry(std::string_view key, const std::vector<float>& values);
  GgufWriter& entry(std::string_view key, const std::vector<std::int32_t>& values);
  // `shape` as GGUF has it: the length of a row first. `type` is ggml's number.
  GgufWriter& tensor(std::string_view name, const std::vector<std::uint64_t>& shape,
                     std::uint32_t type, std::uint64_t bytes);

  using Write = std::function<void(std::string_view)>;
  // All of the file through `write`; `fill(i, write)` writes the bytes of the i-th tensor, as many
  // as were said.
  void write(const Write& write, const std::function<void(std::size_t, const Write&)>& fill) const;
  // The same into a file. kInvalid: it cannot be opened; kUnavailable: it is incomplete.
  Status write_file(const std::string& path,
                    const std::function<void(std::size_t, const Write&)>& fill) const;

 private:
  template <typename T>
  void number(std::string& to, T value);
  void text(std::string& to, std::string_view value);
  void begin(std::string_view key, std::uint32_t type);

  std::string metadata_, tensors_;
  std::uint64_t entries_ = 0, offset_ = 0;
  std::vector<std::uint64_t> bytes_;
};

}  // namespace medley::data
