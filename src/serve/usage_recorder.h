// Counts what comes and how it ends, for `medley serve --usage` (data/usage_file.h): the driver
// tells it of every request, and somebody with a clock takes what was counted every few minutes.
//
// Bounded: a fleet has so many classes, labels and names, and lengths are counted by ranges.
#pragma once

#include <map>
#include <optional>
#include <string_view>
#include <tuple>
#include <vector>

#include "data/usage_file.h"
#include "domain/fleet.h"
#include "domain/request.h"
#include "sched/scheduler.h"

namespace medley::serve {

class UsageRecorder {
 public:
  // `fleet` must outlive it.
  explicit UsageRecorder(const Fleet& fleet);

  // `request.arrived_at` is set.
  void arrived(const Request& request);

  struct End {
    std::optional<PoolId> pool;  // where it ran last
    std::optional<double> ttft_s, tpot_s, e2e_s;
    Tokens output_tokens;
    std::optional<double> joules, money;
  };
  // `outcome`: the decision log's word, "completed", "rejected", "failed" or "cancelled".
  void ended(const Request& request, std::string_view outcome, const End& end);

  // What was counted since the last time; times and `up` are the caller's to fill in.
  data::UsageSpan take(const sched::Scheduler& scheduler);

 private:
  using Key = std::tuple<std::size_t, std::uint64_t, std::uint64_t>;  // class, label, name
  data::UsageKind& kind_of(const Request& request);

  const Fleet& fleet_;
  std::map<Key, data::UsageKind> kinds_;
  std::map<Key, Instant> last_arrival_;  // kept over spans
  std::vector<data::UsagePool> pools_;
};

}  // namespace medley::serve
