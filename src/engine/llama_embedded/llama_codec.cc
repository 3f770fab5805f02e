#include "engine/llama_embedded/llama_codec.h"

#include <utility>

#include "engine/llama_embedded/libllama.h"
#include "engine/llama_embedded/prompt_encoder.h"
#include "engine/llama_embedded/sampler.h"

namespace medley::engine::llama_embedded {
namespace {

class LlamaCodec final : public TextCodec {
 public:
  LlamaCodec(ModelHandle model, const std::string& model_path)
      : model_(std::move(model)),
        vocab_(llama_model_get_vocab(model_.get())),
        encoder_(*model_, model_path),
        defaults_(sampling_defaults(*model_)) {}

  Result<std::vector<int>> encode(const Generation& generation) const override {
    MEDLEY_TRY(const std::vector<llama_token> tokens, encoder_.encode(generation));
    return std::vector<int>(tokens.begin(), tokens.end());
  }
  std::string model() const override { return encoder_.tokenizer().model; }
  std::size_t longest_token() const override { return encoder_.tokenizer().longest_token; }
  std::string piece(int token) const override { return token_text(*vocab_, token); }
  bool ends(int token) const override { return llama_vocab_is_eog(vocab_, token); }
  int vocabulary() const override { return llama_vocab_n_tokens(vocab_); }
  double temperature() const override { return defaults_.temperature; }
  double top_p() const override { return defaults_.top_p; }

 private:
  const ModelHandle model_;
  const llama_vocab* vocab_;
  const PromptEncoder encoder_;
  const SamplingDefaults defaults_;
};

}  // namespace

Result<std::unique_ptr<TextCodec>> make_llama_codec(const std::string& model_path) {
  MEDLEY_TRY(ModelHandle model, load_model(model_path, /*vocabulary_only=*/true));
  return std::unique_ptr<TextCodec>(std::make_unique<LlamaCodec>(std::move(model), model_path));
}

}  // namespace medley::engine::llama_embedded
