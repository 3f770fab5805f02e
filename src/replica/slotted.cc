#include "replica/slotted.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace medley::replica {
namespace {

// The purpose of these draws among all that one seed serves ("lane").
constexpr std::uint64_t kLaneStream = 0x6c616e65;

}  // namespace

SlottedReplica::SlottedReplica(const Setup& setup, const Options& options)
    : setup_(setup), options_(options), streams_(options.report_tokens) {
  MEDLEY_CHECK(setup.steps != nullptr && setup.slots >= 1 && setup.kv_tokens >= 1);
  const perf::StepCost token = setup.steps->step({.decodes = 1});
  MEDLEY_CHECK(token.time.value() > 0);
  token_s_ = token.time.value();
  watts_ = (token.energy / token.time).value();
}

bool SlottedReplica::fits(const Sequence& sequence) const {
  if (sequence.prompt_tokens < 1 || sequence.output_tokens < 1)
    return false;
  const long long limit =
      setup_.max_context > 0 ? std::min(setup_.max_context, setup_.kv_tokens) : setup_.kv_tokens;
  return total(sequence) <= limit;
}

void SlottedReplica::enqueue(Instant, const Sequence& sequence) {
  MEDLEY_CHECK(fits(sequence), fmt::format("request {}", sequence.request.number()));
  const auto place = waiting_.insert(waiting_.end(), sequence);
  const bool is_new = !running_.contains(sequence.request) &&
                      place_in_waiting_.emplace(sequence.request, place).second;
  MEDLEY_CHECK(is_new, fmt::format("request {} is here already", sequence.request.number()));
  pending_tokens_ += sequence.prompt_tokens + 1;
}

// The exact time of what happens in this instant: that of the last event where it is of the same
// instant.
double SlottedReplica::exact(Instant now) const {
  const bool same = last_event_s_ >= 0 && round_to_instant(Seconds(last_event_s_)) == now;
  return same ? last_event_s_ : to_seconds(now).value();
}

// Books time and energy up to `until_s`, with the slots as they were filled until then.
void SlottedReplica::account(double until_s) {
  const double elapsed = until_s - accounted_s_;
  accounted_s_ = std::max(accounted_s_, until_s);
  if (elapsed <= 0 || (running_.empty() && !lane_busy_))
    return;
  usage_.busy_s += elapsed;
  usage_.joules += watts_ * elapsed;
  if (lane_busy_)
    usage_.prefill_s += elapsed;
  if (!running_.empty()) {
    joules_per_slot_ += watts_ * elapsed / static_cast<double>(running_.size());
  }
}

// What the prompt truly takes of the lane.
double SlottedReplica::lane_s(const Sequence& sequence) const {
  const std::array chunk = {perf::PrefillChunk{.tokens = sequence.prompt_tokens}};
  // Nobody begins to decode while it is read, since the lane is its own.
  const auto others = static_cast<long long>(running_.size()) - 1;
  const double modelled_s = setup_.steps->step({.chunks = chunk, .decodes = others}).time.value();
  if (options_.prefill_error == 0)
    return modelled_s;
  Prng prng = Prng::stream(options_.seed, kLaneStream, sequence.request.number());
  return modelled_s * std::exp(options_.prefill_error * prng.normal());
}

void SlottedReplica::form_step(Instant now) {
  if (lane_busy_ || waiting_.empty())
    return;
  const Sequence sequence = waiting_.front();
  if (static_cast<int>(running_.size()) >= setup_.slots)
    return;
  if (reserved_tokens_ + total(sequence) > setup_.kv_tokens)
    return;
  const double start_s = exact(now);
  account(start_s);
  place_in_waiting_.erase(sequence.request);
  waiting_.pop_front();
  running_.emplace(sequence.request,
                   Running{.sequence = sequence, .joules_before = joules_per_slot_});
  reserved_tokens_ += total(sequence);
  lane_busy_ = true;
  lane_request_ = sequence.request;
  lane_end_s_ = start_s + lane_s(sequence);
  ++usage_.steps;
}

double SlottedReplica::next_s() const {
  double next = streams_.next_s().value_or(std::numeric_limits<double>::infinity());
  if (lane_busy_)
    next = std::min(next, lane_end_s_);
  return next;
}

std::optional<Instant> SlottedReplica::next_event() const {
  const double next = next_s();
  if (next == std::numeric_limits<double>::infinity())
    return std::nullopt;
  return round_to_instant(Seconds(next));
}

void SlottedReplica::end_lane() {
  lane_busy_ = false;
  if (!lane_request_)
    return;
  const Sequence& sequence = running_.at(*lane_request_).sequence;
  usage_.prompt_tokens += sequence.prompt_tokens;
  pending_tokens_ -= sequence.prompt_tokens;
  streams_.add(sequence.request, {lane_end_s_ + token_s_, token_s_, sequence.output_tokens});
  lane_request_.reset();
}

void SlottedReplica::leave(RequestId request) {
  const auto found = running_.find(request);
  reserved_tokens_ -= total(found->second.sequence);
  pending_tokens_ -= 1;
  running_.erase(found);
}

void SlottedReplica::advance(Instant now, std::vector<Report>& reports) {
  for (double at_s = next_s();
       at_s != std::numeric_limits<double>::infinity() && round_to_instant(Seconds(at_s)) <= now;
       at_s = next_s()) {
    account(at_s);
    last_event_s_ = at_s;
    if (lane_busy_ && lane_end_s_ <= at_s) {
      end_lane();
      continue;
    }
    const TokenStreams::Token token = streams_.pop();
    Running& running = running_.at(token.request);
    usage_.output_tokens += token.generated - running.told;
    running.told = token.generated;
    if (token.generated == 1) {
      reports.push_back({ReportKind::kFirstToken, token.request, token.at_s, 1});
    } else if (options_.report_tokens) {
      reports.push_back({ReportKind::kToken, token.request, token.at_s, token.generated});
    }
    if (token.last) {
      reports.push_back({ReportKind::kFinished, token.request, token.at_s, token.generated,
                         joules_per_slot_ - running.joules_before,
                         token.generated > 1 ? token_s_ : 0});
      leave(token.request);
    }
  }
}

std::optional<double> SlottedReplica::cancel(Instant now, RequestId request) {
  if (const auto waiting = place_in_waiting_.find(request); waiting != place_in_waiting_.end()) {
    pending_tokens_ -= waiting->second->prompt_tokens + 1;
    waiting_.erase(waiting->second);
    place_in_waiting_.erase(waiting);
    return 0;
  }
  const auto running = running_.find(request);
  if (running == running_.end())
    return std::nullopt;
  account(exact(now));
  const double joules = joules_per_slot_ - running->second.joules_before;
  if (lane_request_ == request) {
    lane_request_.reset();
    pending_tokens_ -= running->second.sequence.prompt_tokens;
  } else if (const auto generated = streams_.remove(request, exact(now))) {
    usage_.output_tokens += std::max(0LL, *generated - running->second.told);
  }
  leave(request);
  return joules;
}

void SlottedReplica::reset(Instant now) {
  account(exact(now));
  while (!waiting_.empty())
    cancel(now, waiting_.front().request);
  while (!running_.empty())
    cancel(now, running_.begin()->first);
  lane_busy_ = false;
}

Load SlottedReplica::load() const {
  return {.running = static_cast<int>(running_.size()),
          .waiting = static_cast<int>(waiting_.size()),
          .kv_tokens_used = reserved_tokens_,
          .kv_tokens = setup_.kv_tokens,
          .pending_tokens = pending_tokens_};
}

}  // namespace medley::replica
