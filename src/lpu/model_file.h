// A GGUF file with its weights: the front as data/gguf.h reads it, the tensors mapped into memory.
//
// Nothing in the file is trusted: a tensor that is handed out lies inside the file, has a format
// that can be dequantised, whole blocks in its rows, an offset of a multiple of 32 and overlaps no
// other. Pages are read as they are touched, so a hostile file costs the memory of its front alone.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "data/gguf.h"
#include "lpu/tensor_format.h"

namespace medley::lpu {

// A matrix of `rows` rows of `columns` numbers each, one after the other; a vector is one row.
struct Tensor {
  std::string name;
  TensorFormat format = TensorFormat::kF32;
  long long rows = 0, columns = 0;
  const std::uint8_t* bytes = nullptr;  // in the file; lives as long as the ModelFile

  std::size_t row_bytes() const {
    return lpu::row_bytes(format, static_cast<std::size_t>(columns));
  }
  const std::uint8_t* row(long long index) const {
    return bytes + static_cast<std::size_t>(index) * row_bytes();
  }
};

class ModelFile {
 public:
  // Errors name the file, and the tensor at fault.
  static Result<ModelFile> open(const std::string& path);
  // The same from memory; `bytes` outlives the ModelFile.
  static Result<ModelFile> parse(std::string_view bytes, const std::string& name);

  const data::Gguf& gguf() const { return gguf_; }
  const std::string& name() const { return name_; }
  const std::map<std::string, Tensor>& tensors() const { return tensors_; }
  const Tensor* find(const std::string& name) const;

 private:
  struct Mapping {
    const std::uint8_t* bytes = nullptr;
    std::size_t size = 0;
    ~Mapping();
  };

  Status take_tensors(const std::uint8_t* bytes);

  std::string name_;
  data::Gguf gguf_;
  std::unique_ptr<Mapping> mapping_;  // empty: somebody else's bytes
  std::map<std::string, Tensor> tensors_;
};

}  // namespace medley::lpu
