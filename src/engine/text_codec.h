// From requests to tokens and from tokens to text, for engines that bring no tokenizer of their
// own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"
#include "engine/prompt.h"

namespace medley::engine {

// Const and thread-safe.
class TextCodec {
 public:
  virtual ~TextCodec() = default;
  // kInvalid, with the field at fault in `param`: nothing to encode, an unknown role.
  virtual Result<std::vector<int>> encode(const Generation& generation) const = 0;
  // The file it was read from, and how many bytes of a prompt one token stands for at most.
  virtual std::string model() const = 0;
  virtual std::size_t longest_token() const = 0;
  virtual std::string piece(int token) const = 0;
  // Whether the model ends its answer with this token.
  virtual bool ends(int token) const = 0;
  virtual int vocabulary() const = 0;
  // What requests do not say: from the model file, else temperature 0.7 and no top_p.
  virtual double temperature() const = 0;
  virtual double top_p() const = 0;

  // Of this, which outlives it.
  Tokenizer tokenizer() const {
    return {model(), longest_token(),
            [this](const Generation& generation) { return encode(generation); }};
  }
};

}  // namespace medley::engine
