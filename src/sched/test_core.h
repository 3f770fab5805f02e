// A scheduler over a test fleet that answers in words, for tests of policies.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sched/scheduler.h"
#include "sched/test_fleet.h"

namespace medley::sched {

inline Request test_request(std::uint64_t id, ServiceClass service_class, long long prompt_tokens) {
  Request request;
  request.id = RequestId(id);
  request.service_class = service_class;
  request.label = LabelId(1);
  request.prompt_tokens = Tokens(prompt_tokens);
  return request;
}

class TestCore {
 public:
  TestCore(TestFleet made, const PlacementPolicy& policy, const SchedulerOptions& options = {})
      : made_(std::move(made)),
        scheduler_((made_.fleet.placement = policy, made_.fleet), made_.perf, options) {}

  // Dispatches, refusals and preemptions: "1 to 0", "no 1", "1 off 0".
  std::vector<std::string> tell(Duration at, Event event) {
    if (auto* arrived = std::get_if<RequestArrived>(&event))
      arrived->request.arrived_at = Instant(at);
    std::vector<Decision> decisions;
    scheduler_.handle(Instant(at), event, decisions);
    std::vector<std::string> words;
    for (const Decision& decision : decisions) {
      if (const auto* dispatch = std::get_if<Dispatch>(&decision)) {
        words.push_back(std::to_string(dispatch->request.number()) + " to " +
                        std::to_string(dispatch->replica.number()));
      } else if (const auto* reject = std::get_if<Reject>(&decision)) {
        words.push_back("no " + std::to_string(reject->request.number()));
      } else if (const auto* preempt = std::get_if<Preempt>(&decision)) {
        words.push_back(std::to_string(preempt->request.number()) + " off " +
                        std::to_string(preempt->replica.number()));
      } else if (const auto* wake = std::get_if<WakeAt>(&decision)) {
        alarm_ = wake->at.time_since_epoch();
      }
    }
    return words;
  }
  std::vector<std::string> arrive(Duration at, const Request& request) {
    return tell(at, RequestArrived{request});
  }
  // Its first token and its end.
  std::vector<std::string> finish(Duration at, std::uint64_t request, long long tokens = 200) {
    std::vector<std::string> words = tell(at, FirstTokenEmitted{RequestId(request)});
    for (std::string& word : tell(at, RequestFinished{RequestId(request), Tokens(tokens)}))
      words.push_back(std::move(word));
    return words;
  }
  // Rings the alarm until something is dispatched or refused, for at most 10,000 times.
  std::vector<std::string> ring_until_decided() {
    for (int i = 0; i < 10'000 && alarm_; ++i) {
      const Duration at = *alarm_;
      alarm_.reset();
      if (std::vector<std::string> words = tell(at, AlarmRang{}); !words.empty())
        return words;
    }
    return {};
  }
  // Rings the alarms that are due before then; what is decided.
  std::vector<std::string> ring_until(Duration until) {
    std::vector<std::string> words;
    while (alarm_ && *alarm_ < until) {
      const Duration at = *alarm_;
      alarm_.reset();
      for (std::string& word : tell(at, AlarmRang{}))
        words.push_back(std::move(word));
    }
    return words;
  }
  Scheduler& scheduler() { return scheduler_; }

 private:
  TestFleet made_;
  Scheduler scheduler_;
  std::optional<Duration> alarm_;
};

}  // namespace medley::sched
