#include "serve/prompt_counter.h"

#include <utility>

namespace medley::serve {

PromptCounter::~PromptCounter() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable())
    thread_.join();
}

void PromptCounter::ask(engine::Generation generation,
                        std::function<void(engine::Generation&)> count, Done done) {
  {
    const std::lock_guard lock(mutex_);
    asked_.push_back({std::move(generation), std::move(count), std::move(done)});
  }
  if (!thread_.joinable())
    thread_ = std::thread([this] { run(); });
  wake_.notify_one();
}

void PromptCounter::run() {
  for (;;) {
    auto asked = std::make_shared<Asked>();
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !asked_.empty(); });
      if (stopping_)
        return;
      *asked = std::move(asked_.front());
      asked_.pop_front();
    }
    asked->count(asked->generation);
    loop_.post([asked, open = std::weak_ptr<int>(open_)] {
      if (!open.expired())
        asked->done(std::move(asked->generation));
    });
  }
}

}  // namespace medley::serve
