#include "engine/static_schedule/rotation.h"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <limits>

#include "engine/static_schedule/draw.h"

namespace medley::engine::static_schedule {
namespace {

// Sleeping until this long before a beat, then spinning: a timer's slack is 50 µs.
constexpr std::chrono::microseconds kWakeBefore(120);

void sleep_until(Rotation::Clock::time_point when) {
  const auto since = when.time_since_epoch();
  const auto whole = std::chrono::duration_cast<std::chrono::seconds>(since);
  timespec until{};
  until.tv_sec = whole.count();
  until.tv_nsec = std::chrono::duration_cast<std::chrono::nanoseconds>(since - whole).count();
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
}

}  // namespace

Rotation::Rotation(lpu::cpu::Machine& machine, const TextCodec& codec, const Pace& pace,
                   Beats& beats)
    : machine_(machine),
      codec_(codec),
      pace_(pace),
      beats_(beats),
      slots_(static_cast<std::size_t>(machine.slots())),
      logits_(static_cast<std::size_t>(machine.vocabulary())) {
  room_.reserve(logits_.size());
}

void Rotation::add(Job job, std::vector<Happening>& happenings) {
  const Generation& generation = job.generation;
  const auto refuse = [&](Error error) { happenings.push_back({job.number, std::move(error)}); };
  if (generation.max_tokens && generation.max_tokens->count() < 1)
    return refuse({ErrorCode::kInvalid, "max_tokens must be at least 1", "max_tokens"});
  Result<std::vector<int>> prompt = codec_.encode(generation);
  if (!prompt)
    return refuse(std::move(prompt).error());
  if (const auto count = static_cast<long long>(prompt->size()); count >= machine_.context()) {
    return refuse({ErrorCode::kInvalid,
                   fmt::format("the prompt has {} tokens, but the schedule's context is {} tokens, "
                               "prompt and answer together",
                               count, machine_.context()),
                   generation.chat ? "messages" : "prompt"});
  }
  waiting_.push_back({std::move(job), std::move(prompt).value()});
}

void Rotation::cancel(std::uint64_t job) {
  std::erase_if(waiting_, [&](const Waiting& waiting) { return waiting.job.number == job; });
  for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
    if (slots_[slot] && slots_[slot]->job == job)
      release(slot);
  }
}

StepWork Rotation::step(std::vector<Happening>& happenings) {
  admit(happenings);
  StepWork work;
  if (running_ == 0)
    return work;
  const auto window = std::chrono::duration_cast<Clock::duration>(pace_.window);
  if (!beat_)
    beat_ = Clock::now() + window;
  for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
    if (slots_[slot] && slots_[slot]->next) {
      decode(slot, happenings);
      ++work.decodes;
    }
  }
  // At least one token of a prompt a window, so that prompts end, too.
  const Clock::time_point last =
      *beat_ - std::chrono::duration_cast<Clock::duration>(2 * pace_.token);
  while (read_prompt(happenings)) {
    ++work.prompt_tokens;
    // A first token waits for nobody where no other stream has a beat to keep.
    const bool alone = work.decodes == 0 && !happenings.empty();
    if (alone || Clock::now() >= last)
      break;
  }
  if (pace_.window.count() > 0 && work.decodes > 0)
    wait_for_beat();
  if (work.decodes == 0 || running_ == 0)
    beat_.reset();
  return work;
}

// The beat stays where it was due, whatever comes late: beats that passed without a token are
// missed, each of them.
void Rotation::wait_for_beat() {
  const auto window = std::chrono::duration_cast<Clock::duration>(pace_.window);
  Clock::time_point now = Clock::now();
  long long passed = 1;
  if (now > *beat_) {
    passed += (now - *beat_) / window;
    const auto late = std::chrono::duration_cast<std::chrono::nanoseconds>(now - *beat_).count();
    beats_.missed.fetch_add(static_cast<std::uint64_t>(passed), std::memory_order_relaxed);
    if (static_cast<std::uint64_t>(late) > beats_.worst_late_ns.load(std::memory_order_relaxed))
      beats_.worst_late_ns.store(static_cast<std::uint64_t>(late), std::memory_order_relaxed);
  } else {
    if (*beat_ - now > kWakeBefore)
      sleep_until(*beat_ - kWakeBefore);
    while ((now = Clock::now()) < *beat_) {
    }
  }
  beats_.all.fetch_add(static_cast<std::uint64_t>(passed), std::memory_order_relaxed);
  *beat_ += passed * window;
}

long long Rotation::kv_tokens() const {
  long long sum = 0;
  for (const std::optional<Stream>& stream : slots_) {
    if (stream)
      sum += stream->fed;
  }
  return sum;
}

void Rotation::admit(std::vector<Happening>& happenings) {
  for (std::size_t slot = 0; slot < slots_.size() && !waiting_.empty(); ++slot) {
    if (slots_[slot])
      continue;
    Waiting waiting = std::move(waiting_.front());
    waiting_.pop_front();
    const Generation& generation = waiting.job.generation;
    const auto room =
        static_cast<long long>(machine_.context()) - static_cast<long long>(waiting.prompt.size());
    constexpr Tokens kNoLimit(std::numeric_limits<long long>::max());
    slots_[slot] = Stream{
        .job = waiting.job.number,
        .admission = ++admissions_,
        .prompt = std::move(waiting.prompt),
        .output_limit = std::min(generation.max_tokens.value_or(kNoLimit).count(), room),
        .temperature = generation.sampling.temperature.value_or(codec_.temperature()),
        .top_p = generation.sampling.top_p.value_or(codec_.top_p()),
        .prng = Prng(generation.sampling.seed.value_or(waiting.job.seed)),
        .text = AnswerText(generation.sampling.stop),
    };
    ++running_;
    happenings.push_back({waiting.job.number, Admitted{}});
  }
}

void Rotation::decode(std::size_t slot, std::vector<Happening>& happenings) {
  Stream& stream = *slots_[slot];
  machine_.run(static_cast<int>(slot), *stream.next, stream.fed++);
  choose(slot, happenings);
}

bool Rotation::read_prompt(std::vector<Happening>& happenings) {
  std::optional<std::size_t> first;
  for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
    if (slots_[slot] && !slots_[slot]->next &&
        (!first || slots_[slot]->admission < slots_[*first]->admission)) {
      first = slot;
    }
  }
  if (!first)
    return false;
  Stream& stream = *slots_[*first];
  const bool last = static_cast<std::size_t>(stream.fed) + 1 == stream.prompt.size();
  machine_.run(static_cast<int>(*first), stream.prompt[static_cast<std::size_t>(stream.fed)],
               stream.fed, last);
  ++stream.fed;
  if (last)
    choose(*first, happenings);
  return true;
}

void Rotation::choose(std::size_t slot, std::vector<Happening>& happenings) {
  Stream& stream = *slots_[slot];
  int token = 0;
  if (stream.temperature <= 0) {
    token = machine_.choice();
  } else {
    machine_.copy_logits(logits_);
    token = draw(logits_, stream.temperature, stream.top_p, stream.prng, room_);
  }
  stream.next = token;
  ++stream.outputs;
  std::optional<FinishReason> finish;
  std::string text;
  if (codec_.ends(token)) {
    // Counted (it took a window) but not shown.
    text = stream.text.finish();
    finish = FinishReason::kStop;
  } else {
    text = stream.text.add(codec_.piece(token));
    if (stream.text.stopped()) {
      finish = FinishReason::kStop;
    } else if (stream.outputs >= stream.output_limit) {
      text += stream.text.finish();
      finish = FinishReason::kLength;
    }
  }
  happenings.push_back({stream.job, NewText{std::move(text), 1}});
  if (!finish)
    return;
  happenings.push_back(
      {stream.job, Ending{.reason = *finish,
                          .prompt_tokens = Tokens(static_cast<long long>(stream.prompt.size())),
                          .output_tokens = Tokens(stream.outputs),
                          .joules = std::nullopt}});
  release(slot);
}

void Rotation::release(std::size_t slot) {
  slots_[slot].reset();
  --running_;
}

}  // namespace medley::engine::static_schedule
