#include "replica/replay.h"

#include <algorithm>

#include "base/check.h"

namespace medley::replica {

std::vector<perf::Observation> replay(VirtualReplica& replica,
                                      std::span<const perf::Observation> requests) {
  std::vector<perf::Observation> seen(requests.begin(), requests.end());
  const auto sent_at = [&](std::size_t row) {
    return round_to_instant(Seconds(requests[row].sent_s));
  };
  std::vector<Report> reports;
  std::size_t next = 0;
  for (;;) {
    std::optional<Instant> now = replica.next_event();
    if (next < requests.size())
      now = now ? std::min(*now, sent_at(next)) : sent_at(next);
    if (!now)
      return seen;
    // The order of replica/phase.h.
    for (; next < requests.size() && sent_at(next) <= *now; ++next) {
      replica.enqueue(*now, {RequestId(next), to_seconds(*now).value(),
                             requests[next].prompt_tokens, requests[next].output_tokens});
    }
    reports.clear();
    replica.advance(*now, reports);
    for (const Report& report : reports) {
      perf::Observation& of = seen[report.request.number()];
      if (report.kind == ReportKind::kFirstToken)
        of.first_token_s = report.at_s;
      if (report.kind == ReportKind::kFinished)
        of.finished_s = report.at_s;
    }
    replica.form_step(*now);
  }
}

}  // namespace medley::replica
