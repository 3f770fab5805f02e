// Continuous batching over one llama context: which tokens of which sequences make the next step.
//
// Knows no thread and no clock: llama_engine.cc calls step() in a loop on a thread of its own.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/engine.h"
#include "engine/llama_embedded/answer_text.h"
#include "engine/llama_embedded/libllama.h"
#include "engine/llama_embedded/prompt_encoder.h"

namespace medley::engine::llama_embedded {

struct Job {
  std::uint64_t number = 0;  // unlike request ids, never used twice
  Generation generation;
  std::uint64_t seed = 0;  // for a request that brings none
};

// It left the queue and has a sequence.
struct Admitted {};
struct NewText {
  std::string text;
  int count = 0;  // tokens
};
struct Happening {
  std::uint64_t job = 0;
  std::variant<Admitted, NewText, Ending, Error> what;
};

// What a step processed; both 0: nothing to do.
struct StepWork {
  int prompt_tokens = 0;
  int decodes = 0;
};

// Not thread-safe.
class Batcher {
 public:
  // All outlive the batcher. A step takes up to `step_tokens`, which are at least
  // `capacity.sequences`: first one for each sequence that has its prompt behind it, so that a long
  // prompt stalls nobody, then prompts in the order of admission.
  Batcher(const llama_model& model, llama_context& context, const PromptEncoder& encoder,
          const Capacity& capacity, int step_tokens);
  ~Batcher();
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;

  // Queues the job; one that cannot be served as it is fails at once.
  void add(Job job, std::vector<Happening>& happenings);
  // Frees its place. Nothing more is told of it; unknown jobs are ignored.
  void cancel(std::uint64_t job);
  bool idle() const { return running_count_ == 0 && waiting_.empty(); }
  // Lets waiting jobs in and runs one step. When libllama fails, all running jobs do.
  StepWork step(std::vector<Happening>& happenings);
  // Tokens in the KV cache.
  long long kv_tokens() const;

 private:
  struct Waiting {
    Job job;
    std::vector<llama_token> prompt;
  };
  struct Running {
    std::uint64_t job = 0;
    std::uint64_t admission = 0;  // order of
    std::vector<llama_token> prompt;
    std::size_t fed = 0;              // tokens in the KV cache
    std::optional<llama_token> next;  // chosen, not in the KV cache yet
    long long outputs = 0, output_limit = 0;
    SamplerHandle sampler;
    AnswerText text;
    int take = 0;         // tokens of this step
    int output_row = -1;  // place in the batch of the token whose logits choose the next
  };

  void admit(std::vector<Happening>& happenings);
  StepWork share_out();
  void fill_batch();
  // Empty: it worked.
  std::optional<Error> decode();
  void choose_next(std::size_t slot, std::vector<Happening>& happenings);
  void release(std::size_t slot);
  void fail_all(const Error& error, std::vector<Happening>& happenings);
  std::string piece(llama_token token) const;

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
