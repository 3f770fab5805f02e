// One replica of two engines: long prompts are read by one and answered by the other, which goes on
// from the first one's cache.
#pragma once

#include <memory>
#include <unordered_map>

#include "engine/engine.h"

namespace medley::engine {

// Prompts of at least `from_tokens`, as the gateway counted them, go to the reader, which takes
// them in turn; what it cannot read, the answering engine reads itself. The reader understands
// Generation::only_read, the other Generation::read.
class PrefilledEngine final : public Engine, private GenerationSink {
 public:
  PrefilledEngine(std::unique_ptr<Engine> reader, std::unique_ptr<Engine> answering,
                  long long from_tokens)
      : from_tokens_(from_tokens), answering_(std::move(answering)), reader_(std::move(reader)) {}

  void start(Generation generation, GenerationSink& sink) override;
  void cancel(RequestId request) override;
  void reset() override;
  std::optional<Tokens> count_prompt_tokens(Generation& generation) const override {
    return answering_->count_prompt_tokens(generation);
  }
  // Of both together; rates are the answering engine's.
  LoadSignal load() const override;
  bool emulated() const override { return answering_->emulated(); }

 private:
  struct Reading {
    Generation generation;
    GenerationSink* sink = nullptr;
  };

  // Of what is read: there are neither tokens nor another end.
  void on_tokens(RequestId, std::string_view, int) override {}
  void on_end(RequestId, const Ending&) override {}
  void on_prompt_read(RequestId request, std::shared_ptr<const KvState> state) override;
  void on_failed(RequestId request, const Error& error) override;
  void answer(RequestId request, std::shared_ptr<const KvState> state);

  const long long from_tokens_;
  std::unordered_map<RequestId, Reading> reading_;
  unsigned long long handed_over_ = 0, not_handed_over_ = 0;
  const std::unique_ptr<Engine> answering_;
  const std::unique_ptr<Engine> reader_;  // the last, so that it goes first: it tells this object
};

}  // namespace medley::engine
