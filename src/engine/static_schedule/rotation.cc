#include "engine/static_schedule/rotation.h"

#include <algorithm>
#include <span>
#include <utility>

#include "base/check.h"
#include "engine/static_schedule/draw.h"
#include "engine/static_schedule/kv_copy.h"

namespace medley::engine::static_schedule {

using lpu::cpu::Machine;

Rotation::Rotation(lpu::cpu::Machine& machine, const TextCodec& codec, Pace pace)
    : machine_(machine),
      codec_(codec),
      pace_(std::move(pace)),
      slots_(static_cast<std::size_t>(machine.slots())),
      logits_(static_cast<std::size_t>(machine.vocabulary())) {
  MEDLEY_CHECK(pace_.window.count() > 0 && pace_.ahead >= 1);
  room_.reserve(logits_.size());
}

void Rotation::add(Job job, std::vector<Happening>& happenings) {
  Result<std::vector<int>> prompt =
      engine::read_prompt(codec_.tokenizer(), machine_.context(), job.generation);
  if (!prompt)
    return happenings.push_back({job.number, std::move(prompt).error()});
  // The last token is this engine's, since the answer begins with what follows it.
  std::shared_ptr<const KvState>& read = job.generation.read;
  if (read &&
      (!fits(*read, machine_).ok() || std::cmp_greater_equal(read->positions, prompt->size())))
    read.reset();
  waiting_.push_back({std::move(job), std::move(prompt).value()});
}

void Rotation::cancel(std::uint64_t job) {
  std::erase_if(waiting_, [&](const Waiting& waiting) { return waiting.job.number == job; });
  for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
    if (slots_[slot] && slots_[slot]->answer.job() == job)
      release(slot);
  }
}

StepWork Rotation::step(std::vector<Happening>& happenings) {
  admit(happenings);
  StepWork work;
  const Clock::time_point begin = pace_.now();
  for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
    if (slots_[slot] && slots_[slot]->next && begins(*slots_[slot]) <= begin) {
      decode(slot, happenings);
      ++work.decodes;
    }
  }
  const Clock::time_point end =
      std::min(begin + pace_.window, next_begin().value_or(Clock::time_point::max()));
  while (const std::optional<std::size_t> slot = next_prompt()) {
    if (slots_[*slot]->read) {
      take_over(*slot, end);
    } else {
      work.prompt_tokens += read_prompt(*slot, end, happenings);
    }
    const bool is_read = !slots_[*slot] || slots_[*slot]->next;
    if (is_read || pace_.now() >= end)
      break;
  }
  return work;
}

std::optional<Rotation::Clock::time_point> Rotation::rests_until() const {
  const bool can_admit = !waiting_.empty() && running_ < slots_.size();
  return can_admit || next_prompt() ? std::nullopt : next_begin();
}

std::optional<Rotation::Clock::time_point> Rotation::next_begin() const {
  std::optional<Clock::time_point> first;
  for (const std::optional<Stream>& stream : slots_) {
    if (stream && stream->next)
      first = std::min(begins(*stream), first.value_or(Clock::time_point::max()));
  }
  return first;
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
    const Sampling& sampling = waiting.job.generation.sampling;
    const std::shared_ptr<const KvState>& read = waiting.job.generation.read;
    const auto count = static_cast<long long>(waiting.prompt.size());
    slots_[slot] = Stream{
        .answer = Answer(waiting.job, count, machine_.context()),
        .admission = ++admissions_,
        .prompt = std::move(waiting.prompt),
        .read = read,
        .handed_over = read ? std::optional(Tokens(read->positions)) : std::nullopt,
        .temperature = sampling.temperature.value_or(codec_.temperature()),
        .top_p = sampling.top_p.value_or(codec_.top_p()),
        .prng = Prng(sampling.seed.value_or(waiting.job.seed)),
    };
    ++running_;
    happenings.push_back({waiting.job.number, Admitted{}});
  }
}

void Rotation::decode(std::size_t slot, std::vector<Happening>& happenings) {
  Stream& stream = *slots_[slot];
  const Clock::time_point due = stream.due;
  stream.due += pace_.window;
  machine_.run(static_cast<int>(slot), *stream.next, stream.fed++);
  // The beat stays where it was due, whatever comes late.
  choose(slot, due, happenings);
}

std::optional<std::size_t> Rotation::next_prompt() const {
  std::optional<std::size_t> first;
  for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
    if (slots_[slot] && !slots_[slot]->next &&
        (!first || slots_[slot]->admission < slots_[*first]->admission)) {
      first = slot;
    }
  }
  return first;
}

std::size_t Rotation::piece(std::size_t left, Clock::time_point end) const {
  std::size_t count = std::min(left, std::size_t{Machine::kMostTogether});
  if (pace_.prompt_token.count() > 0) {
    const auto in_time = std::max<long long>(1, (end - pace_.now()) / pace_.prompt_token);
    count = std::min(count, static_cast<std::size_t>(in_time));
  }
  return count;
}

// Copying a token's keys and values takes less than computing them.
void Rotation::take_over(std::size_t slot, Clock::time_point end) {
  Stream& stream = *slots_[slot];
  const auto left = static_cast<std::size_t>(stream.read->positions - stream.fed);
  const int to = stream.fed + static_cast<int>(piece(left, end));
  write_kv(machine_, static_cast<int>(slot), *stream.read, stream.fed, to);
  stream.fed = to;
  if (to == stream.read->positions)
    stream.read.reset();
}

int Rotation::read_prompt(std::size_t slot, Clock::time_point end,
                          std::vector<Happening>& happenings) {
  Stream& stream = *slots_[slot];
  const auto rest =
      std::span<const int>(stream.prompt).subspan(static_cast<std::size_t>(stream.fed));
  const std::size_t count = piece(rest.size(), end);
  const bool last = count == rest.size();
  machine_.read(static_cast<int>(slot), rest.first(count), stream.fed, last);
  stream.fed += static_cast<int>(count);
  if (last) {
    const std::optional<Clock::time_point> due = first_due();
    stream.due = due.value_or(pace_.now()) + pace_.window;
    choose(slot, due, happenings);
  }
  return static_cast<int>(count);
}

// Streams keep one beat, so that their tokens go out together; alone, a stream sets it.
std::optional<Rotation::Clock::time_point> Rotation::first_due() const {
  const Clock::time_point now = pace_.now();
  for (const std::optional<Stream>& other : slots_) {
    if (!other || !other->next)
      continue;
    const Clock::duration since = (now - other->due) % pace_.window;
    return now + (since.count() > 0 ? pace_.window - since : -since);
  }
  return std::nullopt;
}

void Rotation::choose(std::size_t slot, std::optional<Clock::time_point> due,
                      std::vector<Happening>& happenings) {
  Stream& stream = *slots_[slot];
  if (!machine_.finite()) {
    happenings.push_back({stream.answer.job(), not_finite()});
    return release(slot);
  }
  const bool has_beat = stream.next.has_value();
  int token = 0;
  if (stream.temperature <= 0) {
    token = machine_.choice();
  } else {
    machine_.copy_logits(logits_);
    token = draw(logits_, stream.temperature, stream.top_p, stream.prng, room_);
  }
  stream.next = token;
  std::optional<std::string> piece;
  if (!codec_.ends(token))
    piece = codec_.piece(token);
  const std::size_t said = happenings.size();
  const bool over = stream.answer.add(piece, happenings);
  for (std::size_t i = said; i < happenings.size(); ++i) {
    happenings[i].due = due;
    if (has_beat)
      happenings[i].keeps_beat_until = *due + pace_.window;
    if (auto* ending = std::get_if<Ending>(&happenings[i].what))
      ending->handed_over = stream.handed_over;
  }
  if (over)
    release(slot);
}

void Rotation::release(std::size_t slot) {
  slots_[slot].reset();
  --running_;
}

}  // namespace medley::engine::static_schedule
