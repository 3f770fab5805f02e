#include "replica/metered.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace medley::replica {
namespace {

// The purpose of these draws among all that one seed serves ("ttft").
constexpr std::uint64_t kTtftStream = 0x74746674;

}  // namespace

MeteredReplica::MeteredReplica(const Metered& law, long long max_context, const Options& options)
    : law_(law),
      max_context_(max_context),
      report_tokens_(options.report_tokens),
      seed_(options.seed),
      streams_(options.report_tokens) {
  MEDLEY_CHECK(law.ttft_median_s >= 0 && law.ttft_sigma >= 0 && law.tpot_s >= 0);
}

bool MeteredReplica::fits(const Sequence& sequence) const {
  if (sequence.prompt_tokens < 1 || sequence.output_tokens < 1)
    return false;
  return max_context_ <= 0 || sequence.prompt_tokens + sequence.output_tokens <= max_context_;
}

void MeteredReplica::enqueue(Instant now, const Sequence& sequence) {
  MEDLEY_CHECK(fits(sequence), fmt::format("request {}", sequence.request.number()));
  Prng prng = Prng::stream(seed_, kTtftStream, sequence.request.number());
  // Nothing is answered in the instant in which it is asked: who drives replicas may take what
  // comes then for a report of something that was stopped before.
  constexpr double kLeastTtftS = 1e-9;
  const double ttft_s = std::max(kLeastTtftS, prng.log_normal(law_.ttft_median_s, law_.ttft_sigma));
  const bool is_new =
      running_.emplace(sequence.request, Running{.prompt_tokens = sequence.prompt_tokens}).second;
  MEDLEY_CHECK(is_new, fmt::format("request {} is here already", sequence.request.number()));
  streams_.add(sequence.request,
               {to_seconds(now).value() + ttft_s, law_.tpot_s, sequence.output_tokens});
  pending_tokens_ += sequence.prompt_tokens + 1;
}

void MeteredReplica::leave(RequestId request) {
  const auto found = running_.find(request);
  pending_tokens_ -= 1 + (found->second.told == 0 ? found->second.prompt_tokens : 0);
  running_.erase(found);
}

std::optional<double> MeteredReplica::cancel(Instant now, RequestId request) {
  const auto found = running_.find(request);
  if (found == running_.end())
    return std::nullopt;
  if (const auto generated = streams_.remove(request, to_seconds(now).value())) {
    usage_.output_tokens += std::max(0LL, *generated - found->second.told);
  }
  leave(request);
  return 0;
}

void MeteredReplica::reset(Instant now) {
  while (!running_.empty())
    cancel(now, running_.begin()->first);
}

std::optional<Instant> MeteredReplica::next_event() const {
  const auto next = streams_.next_s();
  if (!next)
    return std::nullopt;
  return round_to_instant(Seconds(*next));
}

void MeteredReplica::advance(Instant now, std::vector<Report>& reports) {
  for (auto next = streams_.next_s(); next && round_to_instant(Seconds(*next)) <= now;
       next = streams_.next_s()) {
    const TokenStreams::Token token = streams_.pop();
    Running& running = running_.at(token.request);
    if (token.generated == 1) {
      usage_.prompt_tokens += running.prompt_tokens;
      pending_tokens_ -= running.prompt_tokens;
      reports.push_back({ReportKind::kFirstToken, token.request, token.at_s, 1});
    } else if (report_tokens_) {
      reports.push_back({ReportKind::kToken, token.request, token.at_s, token.generated});
    }
    usage_.output_tokens += token.generated - running.told;
    running.told = token.generated;
    if (token.last) {
      reports.push_back({ReportKind::kFinished, token.request, token.at_s, token.generated});
      leave(token.request);
    }
  }
}

Load MeteredReplica::load() const {
  return {.running = static_cast<int>(running_.size()), .pending_tokens = pending_tokens_};
}

}  // namespace medley::replica
