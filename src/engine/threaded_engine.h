// Engines that compute on this machine: a thread that works step by step, and what the loop's
// thread knows of it.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "engine/engine.h"

namespace medley::engine {

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
// The end of a job that was only to be read.
struct PromptRead {
  std::shared_ptr<const KvState> state;
};
struct Happening {
  std::uint64_t job = 0;
  std::variant<Admitted, NewText, PromptRead, Ending, Error> what;
  // When it is to be heard; empty: at once. Of one job never before what it said earlier.
  std::optional<std::chrono::steady_clock::time_point> due{};
  // Of a token that has a beat: heard later than this, it has missed it.
  std::optional<std::chrono::steady_clock::time_point> keeps_beat_until{};
};

// What a step processed; both 0: nothing to do.
struct StepWork {
  int prompt_tokens = 0;
  int decodes = 0;
};

// What the thread does. Called by it alone.
class Worker {
 public:
  virtual ~Worker() = default;
  // The thread's first call.
  virtual void enter() {}
  // Queues the job; one that cannot be served as it is fails at once.
  virtual void add(Job job, std::vector<Happening>& happenings) = 0;
  // Frees its place. Nothing more is told of it; unknown jobs are ignored.
  virtual void cancel(std::uint64_t job) = 0;
  virtual bool idle() const = 0;
  // Lets waiting jobs in and runs one step.
  virtual StepWork step(std::vector<Happening>& happenings) = 0;
  // Where a worker that is not idle has nothing to do yet: when it has. It is asked after each
  // step.
  virtual std::optional<std::chrono::steady_clock::time_point> rests_until() const {
    return std::nullopt;
  }
  // Tokens in the KV cache.
  virtual long long kv_tokens() const = 0;
};

// A descendant calls begin() once it is made, and stop() first of all when it ends.
class ThreadedEngine : public Engine {
 public:
  void start(Generation generation, GenerationSink& sink) override;
  void cancel(RequestId request) override;
  LoadSignal load() const override;
  bool emulated() const override { return false; }

 protected:
  ThreadedEngine(const EngineContext& context, long long kv_capacity_tokens);
  ~ThreadedEngine() override;

  // Tokens that had a beat, by when sinks heard them.
  struct Beats {
    unsigned long long all = 0, missed = 0;
  };
  Beats beats() const;

  void begin(std::unique_ptr<Worker> worker);
  void stop();
  // Whether a step under way should give up.
  const std::atomic<bool>& stopping() const { return stopping_; }

 private:
  class Inbox;
  struct Cancel {
    std::uint64_t job;
  };
  using Command = std::variant<Job, Cancel>;

  void send(Command command);
  void run();

  Loop& loop_;
  const std::uint64_t seed_;
  const long long kv_capacity_tokens_;

  // The loop's thread only. Callbacks that were posted to the loop and come late find it gone.
  std::shared_ptr<Inbox> inbox_;
  std::uint64_t last_job_ = 0;

  std::unique_ptr<Worker> worker_;
  std::mutex mutex_;  // guards commands_, and stopping_ for the sake of wake_
  std::condition_variable wake_;
  std::vector<Command> commands_;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

}  // namespace medley::engine
