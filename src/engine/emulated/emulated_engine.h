// A catalogue device in real time: the virtual replica says when tokens come, a filler says what
// they are.
//
// The simulator's replicas and this engine's are the same code, driven in the same order, so that
// what serve does on emulated hardware is what simulate predicts.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "base/prng.h"
#include "engine/engine.h"
#include "replica/replica.h"

namespace medley::engine {

// Follows the contract of replica/phase.h: an arrival is queued at once, the step it joins is
// formed last of all in that instant, reports are told when their step ends. Steps keep their
// nominal times: a loop that rings late makes the tokens of one step late, never those of the next.
class EmulatedEngine : public Engine {
 public:
  EmulatedEngine(const EngineContext& context, std::unique_ptr<replica::VirtualReplica> replica);
  ~EmulatedEngine() override;

  void start(Generation generation, GenerationSink& sink) override;
  void cancel(RequestId request) override;
  // The step in progress ends without effect, as in the simulator.
  void reset() override;
  // It has no tokenizer.
  std::optional<Tokens> count_prompt_tokens(Generation&) const override { return std::nullopt; }
  LoadSignal load() const override;
  bool emulated() const override { return true; }

 private:
  struct Running {
    GenerationSink* sink;
    Tokens prompt_tokens;
    FinishReason reason;
    Instant started_at;
    long long told = 0;  // tokens
  };
  struct Output {
    long long tokens;
    FinishReason reason;
  };

  Output draw_output(const Generation& generation) const;
  // Carries out what was due before `now` and has not been rung for.
  void catch_up(Instant now);
  void ask_to_form(Instant at);
  void form(Instant at);
  void step_end(Instant at);
  // Tells the sinks; not from inside start() or cancel(), which only gather.
  void tell_reports();
  void tell(const replica::Report& report);

  Loop& loop_;
  const std::string device_;
  const std::uint64_t key_;  // the replica's number: its place within a phase
  const std::uint64_t seed_;
  const long long max_context_;
  const std::unique_ptr<replica::VirtualReplica> replica_;
  std::map<RequestId, Running> running_;
  std::vector<std::pair<RequestId, GenerationSink*>> unfit_;  // refused, not told yet
  std::vector<replica::Report> reports_;                      // happened, not told yet

  struct Pending {
    Instant at;
    TimerId timer;
  };
  std::optional<Pending> form_, step_, tell_;
};

}  // namespace medley::engine
