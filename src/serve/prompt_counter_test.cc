#include "serve/prompt_counter.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "engine/manual_loop.h"

namespace medley::serve {
namespace {

using namespace std::chrono_literals;

TEST(PromptCounter, CountsOnAThreadOfItsOwnAndAnswersOnTheLoopInOrder) {
  engine::ManualLoop loop;
  PromptCounter counter(loop);
  std::promise<void> read;  // the first prompt takes until then
  std::shared_future<void> is_read(read.get_future());
  std::vector<long long> done;
  for (const long long tokens : {7, 8}) {
    counter.ask(
        {},
        [is_read, tokens, loop_thread = std::this_thread::get_id()](engine::Generation& of) {
          EXPECT_NE(std::this_thread::get_id(), loop_thread);
          is_read.wait();
          of.prompt_tokens = Tokens(tokens);
        },
        [&](engine::Generation counted) { done.push_back(counted.prompt_tokens.count()); });
  }
  EXPECT_FALSE(loop.run_ready());  // the loop goes on meanwhile
  read.set_value();
  while (done.size() < 2) {
    ASSERT_TRUE(loop.wait_for_post(30s));
    loop.run_ready();
  }
  EXPECT_EQ(done, (std::vector<long long>{7, 8}));
}

TEST(PromptCounter, SaysNothingAfterItsEnd) {
  engine::ManualLoop loop;
  auto counter = std::make_unique<PromptCounter>(loop);
  bool heard = false;
  counter->ask(
      {}, [](engine::Generation&) {}, [&](engine::Generation) { heard = true; });
  ASSERT_TRUE(loop.wait_for_post(30s));
  counter.reset();
  loop.run_ready();
  EXPECT_FALSE(heard);
}

}  // namespace
}  // namespace medley::serve
