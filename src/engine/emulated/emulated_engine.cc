#include "engine/emulated/emulated_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/emulated/filler.h"

namespace medley::engine {
namespace {

using replica::Phase;

// Lengths of answers whose client set no limit: log-normal, near the chat half of the public traces
// (median 129 and a long tail in the Azure conversation trace of 2023).
constexpr double kOutputMedian = 120, kOutputSigma = 0.6;
constexpr std::uint64_t kOutputDraw = 0x6f7574;  // which of the seed's streams

}  // namespace

EmulatedEngine::EmulatedEngine(const EngineContext& context,
                               std::unique_ptr<replica::VirtualReplica> replica)
    : loop_(context.loop),
      device_(context.pool.device),
      key_(context.replica.number()),
      seed_(context.seed),
      max_context_(context.model.max_context),
      replica_(std::move(replica)) {}

EmulatedEngine::~EmulatedEngine() {
  for (const auto& pending : {form_, step_, tell_}) {
    if (pending)
      loop_.cancel(pending->timer);
  }
}

EmulatedEngine::Output EmulatedEngine::draw_output(const Generation& generation) const {
  const long long prompt = generation.prompt_tokens.count();
  const long long room = max_context_ > 0 ? std::max(max_context_ - prompt, 1LL) : 1LL << 40;
  if (generation.max_tokens) {
    return {std::clamp(generation.max_tokens->count(), 1LL, room), FinishReason::kLength};
  }
  Prng prng = Prng::stream(seed_, kOutputDraw, generation.id.number());
  const double drawn = std::ceil(prng.log_normal(kOutputMedian, kOutputSigma));
  const long long tokens = static_cast<long long>(std::clamp(drawn, 1.0, 1e9));
  return tokens > room ? Output{room, FinishReason::kLength} : Output{tokens, FinishReason::kStop};
}

void EmulatedEngine::start(Generation generation, GenerationSink& sink) {
  const Instant now = loop_.now();
  catch_up(now);
  const Output output = draw_output(generation);
  const replica::Sequence sequence{.request = generation.id,
                                   .arrived_s = to_seconds(now).value(),
                                   .prompt_tokens = std::max(generation.prompt_tokens.count(), 1LL),
                                   .output_tokens = output.tokens,
                                   .prefix = generation.prefix};
  if (!replica_->fits(sequence)) {
    unfit_.emplace_back(generation.id, &sink);
    if (!tell_)
      tell_ = Pending{now, loop_.call_at(now, Phase::kStepEnd, key_, [this] { tell_reports(); })};
    return;
  }
  running_.insert_or_assign(generation.id,
                            Running{&sink, Tokens(sequence.prompt_tokens), output.reason, now});
  replica_->enqueue(now, sequence);
  ask_to_form(now);
}

void EmulatedEngine::cancel(RequestId request) {
  std::erase_if(unfit_, [request](const auto& entry) { return entry.first == request; });
  if (running_.erase(request) == 0)
    return;
  const Instant now = loop_.now();
  catch_up(now);
  replica_->cancel(now, request);
  ask_to_form(now);  // what waited for its place may begin
}

void EmulatedEngine::reset() {
  const Instant now = loop_.now();
  catch_up(now);
  unfit_.clear();
  running_.clear();
  replica_->reset(now);
  ask_to_form(now);
}

LoadSignal EmulatedEngine::load() const {
  const replica::Load load = replica_->load();
  LoadSignal signal;
  signal.running = load.running;
  signal.waiting = load.waiting;
  if (load.kv_tokens > 0) {
    signal.kv_capacity_tokens = load.kv_tokens;
    signal.kv_fraction =
        static_cast<double>(load.kv_tokens_used) / static_cast<double>(load.kv_tokens);
  }
  signal.as_of = loop_.now();
  signal.source = SignalSource::kReported;
  return signal;
}

void EmulatedEngine::catch_up(Instant now) {
  for (;;) {
    if (form_ && form_->at < now) {
      loop_.cancel(form_->timer);
      form(form_->at);
      continue;
    }
    if (!step_ || step_->at >= now)
      break;
    const Instant at = step_->at;
    loop_.cancel(step_->timer);
    step_.reset();
    replica_->advance(at, reports_);
    ask_to_form(at);
  }
  if (!reports_.empty() && !tell_) {
    tell_ = Pending{now, loop_.call_at(now, Phase::kStepEnd, key_, [this] { tell_reports(); })};
  }
}

void EmulatedEngine::ask_to_form(Instant at) {
  if (form_ && form_->at <= at)
    return;
  if (form_)
    loop_.cancel(form_->timer);
  form_ = Pending{at, loop_.call_at(at, Phase::kFormStep, key_, [this, at] { form(at); })};
}

void EmulatedEngine::form(Instant at) {
  form_.reset();
  replica_->form_step(at);
  const std::optional<Instant> next = replica_->next_event();
  if (step_ && next == step_->at)
    return;
  if (step_)
    loop_.cancel(step_->timer);
  step_.reset();
  if (next) {
    step_ = Pending{
        *next, loop_.call_at(*next, Phase::kStepEnd, key_, [this, end = *next] { step_end(end); })};
  }
}

void EmulatedEngine::step_end(Instant at) {
  step_.reset();
  replica_->advance(at, reports_);
  ask_to_form(at);
  tell_reports();
}

void EmulatedEngine::tell_reports() {
  if (tell_)
    loop_.cancel(tell_->timer);
  tell_.reset();
  // Sinks may start and cancel requests in here.
  while (!unfit_.empty()) {
    const auto [request, sink] = unfit_.back();
    unfit_.pop_back();
    sink->on_failed(
        request,
        {ErrorCode::kInvalid,
         fmt::format("the prompt and its answer do not fit the memory of one {}", device_)});
  }
  std::vector<replica::Report> reports;
  reports.swap(reports_);
  for (const replica::Report& report : reports)
    tell(report);
}

void EmulatedEngine::tell(const replica::Report& report) {
  const auto found = running_.find(report.request);
  // A request that was stopped may have come again before all of that instant was told.
  if (found == running_.end() || round_to_instant(Seconds(report.at_s)) <= found->second.started_at)
    return;  // cancelled
  Running& running = found->second;
  switch (report.kind) {
    case replica::ReportKind::kFirstToken:
    case replica::ReportKind::kToken: {
      // After an eviction tokens are computed again, but were told already.
      std::string text;
      const long long fresh = report.generated - running.told;
      for (; running.told < report.generated; ++running.told) {
        text += filler_token(device_, report.request.number(), running.told);
      }
      if (fresh > 0)
        running.sink->on_tokens(report.request, text, static_cast<int>(fresh));
      break;
    }
    case replica::ReportKind::kFinished: {
      const Running ended = running;
      running_.erase(found);
      Ending ending{ended.reason, ended.prompt_tokens, Tokens(report.generated), std::nullopt};
      if (report.joules > 0)
        ending.joules = report.joules;  // 0: no power figure is known
      ended.sink->on_end(report.request, ending);
      break;
    }
    case replica::ReportKind::kEvicted:
      break;  // it starts again by itself
  }
}

}  // namespace medley::engine
