// Continuous batching over one llama context: which tokens of which sequences make the next step.
//
// Knows no thread and no clock: llama_engine.cc calls step() in a loop on a thread of its own.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "engine/answer.h"
#include "engine/engine.h"
#include "engine/llama_embedded/libllama.h"
#include "engine/llama_embedded/prompt_encoder.h"
#include "engine/threaded_engine.h"

namespace medley::engine::llama_embedded {

// Not thread-safe.
class Batcher final : public Worker {
 public:
  // All outlive the batcher; prompts can only be handed over from a cache in F32. A step takes up
  // to `step_tokens`, which are at least `capacity.sequences`: first one for each sequence that has
  // its prompt behind it, so that a long prompt stalls nobody, then prompts in the order of
  // admission.
  Batcher(const llama_model& model, llama_context& context, const PromptEncoder& encoder,
          const Capacity& capacity, int step_tokens);
  ~Batcher() override;
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;

  void add(Job job, std::vector<Happening>& happenings) override;
  void cancel(std::uint64_t job) override;
  bool idle() const override { return running_count_ == 0 && waiting_.empty(); }
  // When libllama fails, all running jobs do.
  StepWork step(std::vector<Happening>& happenings) override;
  long long kv_tokens() const override;

 private:
  struct Waiting {
    Job job;
    std::vector<llama_token> prompt;
  };
  struct Running {
    Answer answer;
    std::uint64_t admission = 0;  // order of
    std::vector<llama_token> prompt;
    bool only_read = false;           // the prompt, which has lost its last token here
    std::size_t fed = 0;              // tokens in the KV cache
    std::optional<llama_token> next;  // chosen, not in the KV cache yet
    SamplerHandle sampler;
    int take = 0;         // tokens of this step
    int output_row = -1;  // place in the batch of the token whose logits choose the next
  };

  void admit(std::vector<Happening>& happenings);
  StepWork share_out();
  void fill_batch();
  // Empty: it worked.
  std::optional<Error> decode();
  void choose_next(std::size_t slot, std::vector<Happening>& happenings);
  void hand_over(std::size_t slot, std::vector<Happening>& happenings);
  void release(std::size_t slot);
  void fail_all(const Error& error, std::vector<Happening>& happenings);

  const llama_model& model_;
  llama_context& context_;
  const PromptEncoder& encoder_;
  const llama_vocab* vocab_;
  long long context_tokens_;
  int step_tokens_;
  llama_batch batch_;
  std::deque<Waiting> waiting_;
  std::vector<std::optional<Running>> slots_;  // the index is libllama's sequence id
  std::size_t running_count_ = 0;
  std::uint64_t admissions_ = 0;
};

}  // namespace medley::engine::llama_embedded
