// One suite for every Engine: a new adapter starts by passing it.
//
// An adapter's test (in its own subfolder, <adapter>_conformance_test.cc) writes a Subject and says
//
//     INSTANTIATE_TEST_SUITE_P(Emulated, EngineConformance,
//                              testing::Values(ConformanceCase{
//                                  .name = "emulated",
//                                  .make = [](std::string&) { return
//                                  std::make_unique<EmulatedSubject>(); }}),
//                              name_of_case);
//
// The tests themselves are in conformance_test.cc.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include "engine/engine.h"

namespace medley::engine {

// An engine and what it needs around it: a loop, a pool, an upstream.
class Subject {
 public:
  virtual ~Subject() = default;
  // Precondition: not destroyed.
  virtual Engine& engine() = 0;
  // Lets the next thing happen: moves a manual clock to its next timer, or waits for another thread
  // or a socket, up to 20 s (a limit for hangs, not a time that tests take). False: nothing came.
  virtual bool pump() = 0;
  // Lets everything happen that can happen without waiting for other threads or sockets.
  virtual void drain() = 0;
  virtual void destroy_engine() = 0;
};

struct ConformanceCase {
  std::string name;  // letters, digits and _
  // Empty with a message: the adapter cannot be tried here (its model is not there), the tests are
  // skipped.
  std::function<std::unique_ptr<Subject>(std::string& why_not)> make;
  // A prompt of that many words must be refused as too long; 0: the engine knows no limit.
  int too_many_words = 0;
  // As many requests at once as the engine is to be tried with.
  int crowd = 20;
};

inline void PrintTo(const ConformanceCase& c, std::ostream* out) { *out << c.name; }
inline std::string name_of_case(const testing::TestParamInfo<ConformanceCase>& info) {
  return info.param.name;
}

class EngineConformance : public testing::TestWithParam<ConformanceCase> {};

}  // namespace medley::engine
