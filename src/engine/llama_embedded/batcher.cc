#include "engine/llama_embedded/batcher.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/finite.h"
#include "engine/llama_embedded/llama_kv.h"
#include "engine/llama_embedded/sampler.h"

namespace medley::engine::llama_embedded {

Batcher::Batcher(const llama_model& model, llama_context& context, const PromptEncoder& encoder,
                 const Capacity& capacity, int step_tokens)
    : model_(model),
      context_(context),
      encoder_(encoder),
      vocab_(llama_model_get_vocab(&model)),
      context_tokens_(capacity.context_tokens),
      step_tokens_(step_tokens),
      batch_(llama_batch_init(step_tokens, /*embd=*/0, /*n_seq_max=*/1)),
      slots_(static_cast<std::size_t>(capacity.sequences)) {
  MEDLEY_CHECK(step_tokens >= capacity.sequences);
}

Batcher::~Batcher() { llama_batch_free(batch_); }

void Batcher::add(Job job, std::vector<Happening>& happenings) {
  Result<std::vector<int>> prompt =
      read_prompt(encoder_.tokenizer(), context_tokens_, job.generation);
  if (!prompt)
    return happenings.push_back({job.number, std::move(prompt).error()});
  if (job.generation.only_read) {
    // What follows the last token is for another engine to say.
    prompt->pop_back();
    if (prompt->empty()) {
      return happenings.push_back(
          {job.number,
           Error{ErrorCode::kInvalid, "a prompt of one token leaves nothing to read", {}}});
    }
  }
  waiting_.push_back({std::move(job), std::move(prompt).value()});
}

void Batcher::cancel(std::uint64_t job) {
  std::erase_if(waiting_, [&](const Waiting& waiting) { return waiting.job.number == job; });
  for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
    if (slots_[slot] && slots_[slot]->answer.job() == job)
      release(slot);
  }
}

StepWork Batcher::step(std::vector<Happening>& happenings) {
  admit(happenings);
  const StepWork work = share_out();
  if (work.prompt_tokens + work.decodes == 0)
    return work;
  fill_batch();
  if (const std::optional<Error> error = decode()) {
    fail_all(*error, happenings);
    return work;
  }
  for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
    if (!slots_[slot])
      continue;
    Running& running = *slots_[slot];
    running.fed += static_cast<std::size_t>(running.take);
    if (running.only_read && running.fed == running.prompt.size()) {
      hand_over(slot, happenings);
    } else if (running.take > 0 && running.output_row >= 0) {
      choose_next(slot, happenings);
    }
  }
  return work;
}

long long Batcher::kv_tokens() const {
  long long sum = 0;
  for (const std::optional<Running>& running : slots_) {
    if (running)
      sum += static_cast<long long>(running->fed);
  }
  return sum;
}

void Batcher::admit(std::vector<Happening>& happenings) {
  // The lowest free sequence: libllama computes neighbouring sequences together, gaps apart.
  for (std::size_t slot = 0; slot < slots_.size() && !waiting_.empty(); ++slot) {
    if (slots_[slot])
      continue;
    Waiting waiting = std::move(waiting_.front());
    waiting_.pop_front();
    const auto count = static_cast<long long>(waiting.prompt.size());
    slots_[slot] = Running{
        .answer = Answer(waiting.job, count, context_tokens_),
        .admission = ++admissions_,
        .prompt = std::move(waiting.prompt),
        .only_read = waiting.job.generation.only_read,
        .sampler = make_sampler(model_, waiting.job.generation.sampling, waiting.job.seed),
    };
    ++running_count_;
    happenings.push_back({waiting.job.number, Admitted{}});
  }
}

// Decides how many tokens of each sequence the step takes.
StepWork Batcher::share_out() {
  StepWork work;
  std::vector<Running*> prompts;
  for (std::optional<Running>& slot : slots_) {
    if (!slot)
      continue;
    slot->take = slot->next ? 1 : 0;
    work.decodes += slot->take;
    if (!slot->next)
      prompts.push_back(&*slot);
  }
  std::sort(prompts.begin(), prompts.end(),
            [](const Running* a, const Running* b) { return a->admission < b->admission; });
  for (Running* running : prompts) {
    const auto left = static_cast<int>(running->prompt.size() - running->fed);
    running->take = std::min(left, step_tokens_ - work.decodes - work.prompt_tokens);
    work.prompt_tokens += running->take;
  }
  return work;
}

// In the order of sequence ids, which libllama needs to compute them together.
void Batcher::fill_batch() {
  batch_.n_tokens = 0;
  for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
    if (!slots_[slot])
      continue;
    Running& running = *slots_[slot];
    running.output_row = -1;
    for (int i = 0; i < running.take; ++i) {
      const std::size_t position = running.fed + static_cast<std::size_t>(i);
      const bool last = position + 1 >= running.prompt.size() && !running.only_read;
      const std::int32_t row = batch_.n_tokens++;
      batch_.token[row] = running.next ? *running.next : running.prompt[position];
      batch_.pos[row] = static_cast<llama_pos>(position);
      batch_.n_seq_id[row] = 1;
      batch_.seq_id[row][0] = static_cast<llama_seq_id>(slot);
      batch_.logits[row] = last ? 1 : 0;
      if (last)
        running.output_row = row;
    }
  }
}

std::optional<Error> Batcher::decode() {
  take_logged_error();
  std::string reason;
  try {
    const std::int32_t code = llama_decode(&context_, batch_);
    if (code == 0)
      return std::nullopt;
    reason = take_logged_error();
    if (reason.empty())
      reason = fmt::format("llama_decode answered {}", code);
  } catch (const std::exception& e) {
    reason = e.what();
  }
  return Error{ErrorCode::kUnavailable, fmt::format("llama.cpp failed in a step: {}", reason)};
}

void Batcher::choose_next(std::size_t slot, std::vector<Happening>& happenings) {
  Running& running = *slots_[slot];
  const float* logits = llama_get_logits_ith(&context_, running.output_row);
  if (!all_finite({logits, static_cast<std::size_t>(llama_vocab_n_tokens(vocab_))})) {
    happenings.push_back({running.answer.job(), not_finite()});
    return release(slot);
  }
  const llama_token token =
      llama_sampler_sample(running.sampler.get(), &context_, running.output_row);
  running.next = token;
  std::optional<std::string> piece;
  if (!llama_vocab_is_eog(vocab_, token))
    piece = token_text(*vocab_, token);
  if (running.answer.add(piece, happenings))
    release(slot);
}

void Batcher::hand_over(std::size_t slot, std::vector<Happening>& happenings) {
  const std::uint64_t job = slots_[slot]->answer.job();
  Result<KvState> state = export_kv(context_, static_cast<llama_seq_id>(slot));
  if (state.ok()) {
    happenings.push_back({job, PromptRead{std::make_shared<const KvState>(*std::move(state))}});
  } else {
    happenings.push_back({job, std::move(state).error()});
  }
  release(slot);
}

void Batcher::release(std::size_t slot) {
  llama_memory_seq_rm(llama_get_memory(&context_), static_cast<llama_seq_id>(slot), -1, -1);
  slots_[slot].reset();
  --running_count_;
}

void Batcher::fail_all(const Error& error, std::vector<Happening>& happenings) {
  for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
    if (!slots_[slot])
      continue;
    happenings.push_back({slots_[slot]->answer.job(), error});
    release(slot);
  }
  llama_memory_clear(llama_get_memory(&context_), /*data=*/false);
}

}  // namespace medley::engine::llama_embedded
