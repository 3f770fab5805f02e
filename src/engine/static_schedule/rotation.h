// Streams in a fixed rotation over one static schedule: every window each stream that decodes has
// one token, in the order of slots; what is left of the window reads prompts.
//
// Tokens are released on the window's beat, all of a window together: they are computed before it,
// and step() returns when it comes. Where the machine takes the core away for longer than the
// slack, the beat is missed; that is counted, and tokens come as soon as they are there.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/prng.h"
#include "engine/answer_text.h"
#include "engine/static_schedule/beats.h"
#include "engine/text_codec.h"
#include "engine/threaded_engine.h"
#include "lpu/cpu/machine.h"

namespace medley::engine::static_schedule {

// Not thread-safe, but for the counts of `beats`.
class Rotation final : public Worker {
 public:
  using Clock = std::chrono::steady_clock;

  struct Pace {
    std::chrono::duration<double> window{};  // 0: no beat, tokens come when they are there
    std::chrono::duration<double> token{};   // what one takes, about
  };
  // All references outlive it.
  Rotation(lpu::cpu::Machine& machine, const TextCodec& codec, const Pace& pace, Beats& beats);

  void add(Job job, std::vector<Happening>& happenings) override;
  void cancel(std::uint64_t job) override;
  bool idle() const override { return running_ == 0 && waiting_.empty(); }
  // One window.
  StepWork step(std::vector<Happening>& happenings) override;
  long long kv_tokens() const override;

 private:
  struct Waiting {
    Job job;
    std::vector<int> prompt;
  };
  struct Stream {
    std::uint64_t job = 0;
    std::uint64_t admission = 0;  // order of
    std::vector<int> prompt;
    int fed = 0;              // tokens in the KV cache
    std::optional<int> next;  // chosen, not in the KV cache yet
    long long outputs = 0, output_limit = 0;
    double temperature = 0, top_p = 1;
    Prng prng{0};
    AnswerText text;
  };

  void admit(std::vector<Happening>& happenings);
  void decode(std::size_t slot, std::vector<Happening>& happenings);
  // One prompt token of the stream that waits longest; false: none waits.
  bool read_prompt(std::vector<Happening>& happenings);
  void choose(std::size_t slot, std::vector<Happening>& happenings);
  void release(std::size_t slot);
  void wait_for_beat();

  lpu::cpu::Machine& machine_;
  const TextCodec& codec_;
  const Pace pace_;
  Beats& beats_;
  std::deque<Waiting> waiting_;
  std::vector<std::optional<Stream>> slots_;
  std::size_t running_ = 0;
  std::uint64_t admissions_ = 0;
  std::optional<Clock::time_point> beat_;  // the next; empty: nothing ran
  std::vector<float> logits_;
  std::vector<std::pair<float, int>> room_;  // for drawing
};

}  // namespace medley::engine::static_schedule
