// Streams in a fixed rotation over one static schedule: every window each stream that decodes has
// one token, in the order of slots; what is left of the time reads prompts.
//
// Tokens are told with the beat that they are due on, and computed up to `ahead` windows before it:
// what takes the core away for less than that delays none. Whoever hears them lets them go when
// their time has come (engine/threaded_engine.h). A token that is computed after its beat comes as
// soon as it is there. Who hears it within the window that its beat begins has it in time.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/prng.h"
#include "engine/answer.h"
#include "engine/text_codec.h"
#include "engine/threaded_engine.h"
#include "lpu/cpu/machine.h"

namespace medley::engine::static_schedule {

// Not thread-safe.
class Rotation final : public Worker {
 public:
  using Clock = std::chrono::steady_clock;

  struct Pace {
    Clock::duration window{};        // above 0
    Clock::duration prompt_token{};  // what one takes, about
    int ahead = 1;                   // at least 1
    std::function<Clock::time_point()> now = &Clock::now;
  };
  // All references outlive it.
  Rotation(lpu::cpu::Machine& machine, const TextCodec& codec, Pace pace);

  void enter() override { machine_.enter(); }
  void add(Job job, std::vector<Happening>& happenings) override;
  void cancel(std::uint64_t job) override;
  bool idle() const override { return running_ == 0 && waiting_.empty(); }
  // A token of every stream that is not `ahead` yet, then prompts until one of them may go on, or a
  // window has passed, or a prompt has come to its end; of prompts at least one piece.
  StepWork step(std::vector<Happening>& happenings) override;
  std::optional<Clock::time_point> rests_until() const override;
  long long kv_tokens() const override;

 private:
  struct Waiting {
    Job job;
    std::vector<int> prompt;
  };
  struct Stream {
    Answer answer;
    std::uint64_t admission = 0;  // order of
    std::vector<int> prompt;
    std::shared_ptr<const KvState> read;  // elsewhere, and not all taken over yet
    std::optional<Tokens> handed_over;
    int fed = 0;              // tokens in the KV cache
    std::optional<int> next;  // chosen, not in the KV cache yet
    Clock::time_point due;    // of the token after that
    double temperature = 0, top_p = 1;
    Prng prng{0};
  };

  void admit(std::vector<Happening>& happenings);
  // When the next token of a stream may be computed.
  Clock::time_point begins(const Stream& stream) const {
    return stream.due - pace_.ahead * pace_.window;
  }
  // The earliest of them; empty: no stream decodes.
  std::optional<Clock::time_point> next_begin() const;
  void decode(std::size_t slot, std::vector<Happening>& happenings);
  // The slot whose prompt has waited longest.
  std::optional<std::size_t> next_prompt() const;
  // The same of the cache of a prompt that was read elsewhere.
  void take_over(std::size_t slot, Clock::time_point end);
  // As many tokens as are read together and end by then, one at least.
  std::size_t piece(std::size_t left, Clock::time_point end) const;
  // A piece of the prompt; answers how many tokens.
  int read_prompt(std::size_t slot, Clock::time_point end, std::vector<Happening>& happenings);
  // Of the first token of a stream, which is there now. Empty: nobody else has a beat to share.
  std::optional<Clock::time_point> first_due() const;
  // The token that follows, due then; the first of a stream has no beat to keep. Frees the slot
  // where it is the last.
  void choose(std::size_t slot, std::optional<Clock::time_point> due,
              std::vector<Happening>& happenings);
  void release(std::size_t slot);

  lpu::cpu::Machine& machine_;
  const TextCodec& codec_;
  const Pace pace_;
  std::deque<Waiting> waiting_;
  std::vector<std::optional<Stream>> slots_;
  std::size_t running_ = 0;
  std::uint64_t admissions_ = 0;
  std::vector<float> logits_;
  std::vector<std::pair<float, int>> room_;  // for drawing
};

}  // namespace medley::engine::static_schedule
