// Counts the tokens of long prompts on a thread of its own: a tokenizer takes milliseconds for what
// a few pages hold, and on the loop's thread every stream would wait for it.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "engine/engine.h"

namespace medley::serve {

class PromptCounter {
 public:
  using Done = std::function<void(engine::Generation)>;

  // `loop` outlives it. The thread begins with the first prompt.
  explicit PromptCounter(engine::Loop& loop) : loop_(loop) {}
  ~PromptCounter();  // what is not done yet is forgotten

  // `done` runs on the loop, in the order of asking, with the generation as `count` left it; never
  // after this is gone. `count` runs on the thread; what it refers to outlives this.
  void ask(engine::Generation generation, std::function<void(engine::Generation&)> count,
           Done done);

 private:
  struct Asked {
    engine::Generation generation;
    std::function<void(engine::Generation&)> count;
    Done done;
  };
  void run();

  engine::Loop& loop_;
  const std::shared_ptr<int> open_ = std::make_shared<int>();  // for posts that come late
  std::mutex mutex_;                                           // guards asked_ and stopping_
  std::condition_variable wake_;
  std::deque<Asked> asked_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace medley::serve
