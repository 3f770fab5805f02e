#include "engine/prefilled_engine.h"

#include <utility>

#include "base/check.h"

namespace medley::engine {

void PrefilledEngine::start(Generation generation, GenerationSink& sink) {
  if (generation.prompt_tokens.count() < from_tokens_)
    return answering_->start(std::move(generation), sink);
  Generation reading = generation;
  reading.only_read = true;
  const RequestId request = generation.id;
  MEDLEY_CHECK(reading_.emplace(request, Reading{std::move(generation), &sink}).second,
               "a request is started twice");
  reader_->start(std::move(reading), *this);
}

void PrefilledEngine::cancel(RequestId request) {
  if (reading_.erase(request) > 0) {
    reader_->cancel(request);
  } else {
    answering_->cancel(request);
  }
}

void PrefilledEngine::reset() {
  reader_->reset();
  answering_->reset();
}

LoadSignal PrefilledEngine::load() const {
  LoadSignal load = answering_->load();
  load.waiting = load.waiting.value_or(0) + static_cast<int>(reading_.size());
  long long tokens = load.waiting_uncached_tokens.value_or(0);
  for (const auto& [request, reading] : reading_)
    tokens += reading.generation.prompt_tokens.count();
  load.waiting_uncached_tokens = tokens;
  load.prompts_handed_over = handed_over_;
  load.prompts_not_handed_over = not_handed_over_;
  return load;
}

void PrefilledEngine::on_prompt_read(RequestId request, std::shared_ptr<const KvState> state) {
  ++handed_over_;
  answer(request, std::move(state));
}

// Whatever it was: if the request itself is at fault, the answering engine says so.
void PrefilledEngine::on_failed(RequestId request, const Error&) {
  ++not_handed_over_;
  answer(request, nullptr);
}

void PrefilledEngine::answer(RequestId request, std::shared_ptr<const KvState> state) {
  const auto found = reading_.find(request);
  MEDLEY_CHECK(found != reading_.end(), "a prompt was read that nobody asked for");
  Reading reading = std::move(found->second);
  reading_.erase(found);
  reading.generation.read = std::move(state);
  answering_->start(std::move(reading.generation), *reading.sink);
}

}  // namespace medley::engine
