// Drives one engine by a timetable and notes what each request got: how `medley perf measure` looks
// at a deployment that is served elsewhere.
//
// Open loop: a request is sent when its time has come, whether or not those before it have been
// answered. A client that waits for answers before it asks again slows down with the server and
// then reports that the server is fast ("coordinated omission", Tene 2013).
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/engine.h"
#include "perf/observation.h"

namespace medley::engine {

struct ProbeRequest {
  Duration at{};               // after the run's start
  long long prompt_words = 1;  // random ones, so that no prefix cache helps
  long long max_tokens = 1;
};

struct ProbeAnswer {
  perf::Observation seen;
  std::optional<Error> error;  // with one, only `seen.sent_s` is good
};

class Probe final : public GenerationSink {
 public:
  using Done = std::function<void(std::vector<ProbeAnswer>)>;

  // Both outlive the probe. `chat`: ask by messages; else by a bare prompt, which most servers
  // continue to the last token allowed.
  Probe(Loop& loop, Engine& engine, bool chat, std::uint64_t seed);

  // Calls `done` on the loop, once all have ended, with an answer a request in the timetable's
  // order. `on_answer` hears of each as it ends. Precondition: no run is going on; the timetable is
  // sorted and not empty.
  void run(std::vector<ProbeRequest> timetable, std::function<void()> on_answer, Done done);

  void on_tokens(RequestId request, std::string_view text, int count) override;
  void on_end(RequestId request, const Ending& ending) override;
  void on_failed(RequestId request, const Error& error) override;

 private:
  void send(std::size_t row);
  void ended(RequestId request, const std::function<void(ProbeAnswer&)>& note);
  double now_s() const;

  Loop& loop_;
  Engine& engine_;
  const bool chat_;
  const std::uint64_t seed_;
  std::uint64_t next_id_ = 1;
  Instant start_{};
  std::vector<ProbeRequest> timetable_;
  std::vector<ProbeAnswer> answers_;
  std::unordered_map<RequestId, std::size_t> row_of_;
  std::size_t left_ = 0;
  std::function<void()> on_answer_;
  Done done_;
};

// `words` words of everyday English drawn from (seed, index).
std::string random_words(long long words, std::uint64_t seed, std::uint64_t index);

}  // namespace medley::engine
