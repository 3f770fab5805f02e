#include "engine/probe.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/prng.h"

namespace medley::engine {
namespace {

// One token each, or two, for most tokenizers.
constexpr std::array<std::string_view, 64> kWords = {
    "water", "house",  "light", "river",  "stone", "green",  "small",   "table",  "paper", "music",
    "night", "world",  "horse", "bread",  "glass", "cloud",  "plant",   "chair",  "month", "north",
    "story", "beach",  "field", "heart",  "king",  "letter", "morning", "ocean",  "park",  "queen",
    "road",  "ship",   "train", "uncle",  "voice", "wind",   "year",    "apple",  "bird",  "coat",
    "door",  "earth",  "fire",  "garden", "hill",  "island", "job",     "key",    "lake",  "moon",
    "name",  "office", "point", "rain",   "sea",   "time",   "town",    "valley", "wall",  "week",
    "wood",  "word",   "work",  "yard"};

constexpr std::uint64_t kWordStream = 0x776f7264;  // "word"

}  // namespace

std::string random_words(long long words, std::uint64_t seed, std::uint64_t index) {
  Prng prng = Prng::stream(seed, kWordStream, index);
  std::string text;
  for (long long i = 0; i < words; ++i) {
    if (i > 0)
      text += ' ';
    text += kWords[prng.below(kWords.size())];
  }
  return text;
}

Probe::Probe(Loop& loop, Engine& engine, bool chat, std::uint64_t seed)
    : loop_(loop), engine_(engine), chat_(chat), seed_(seed) {}

void Probe::run(std::vector<ProbeRequest> timetable, std::function<void()> on_answer, Done done) {
  MEDLEY_CHECK(left_ == 0 && !timetable.empty());
  timetable_ = std::move(timetable);
  on_answer_ = std::move(on_answer);
  done_ = std::move(done);
  left_ = timetable_.size();
  answers_.assign(left_, {});
  start_ = loop_.now();
  for (std::size_t row = 0; row < timetable_.size(); ++row) {
    loop_.call_at(start_ + timetable_[row].at, replica::Phase::kArrival, row,
                  [this, row] { send(row); });
  }
}

void Probe::send(std::size_t row) {
  const ProbeRequest& asked = timetable_[row];
  Generation generation;
  generation.id = RequestId(next_id_++);
  generation.chat = chat_;
  std::string text = random_words(asked.prompt_words, seed_, generation.id.number());
  if (chat_) {
    generation.messages = {{"user", std::move(text)}};
  } else {
    generation.prompt = std::move(text);
  }
  generation.prompt_tokens = Tokens(asked.prompt_words);
  generation.max_tokens = Tokens(asked.max_tokens);
  generation.sampling.temperature = 1;
  generation.sampling.seed = generation.id.number();
  answers_[row].seen.sent_s = now_s();
  row_of_.emplace(generation.id, row);
  engine_.start(std::move(generation), *this);
}

void Probe::on_tokens(RequestId request, std::string_view, int) {
  perf::Observation& seen = answers_[row_of_.at(request)].seen;
  if (seen.first_token_s == 0)
    seen.first_token_s = now_s();
}

void Probe::on_end(RequestId request, const Ending& ending) {
  ended(request, [&](ProbeAnswer& answer) {
    perf::Observation& seen = answer.seen;
    seen.finished_s = now_s();
    if (seen.first_token_s == 0)  // an answer without text
      seen.first_token_s = seen.finished_s;
    seen.prompt_tokens = std::max(1LL, ending.prompt_tokens.count());
    seen.output_tokens = std::max(1LL, ending.output_tokens.count());
  });
}

void Probe::on_failed(RequestId request, const Error& error) {
  ended(request, [&](ProbeAnswer& answer) { answer.error = error; });
}

void Probe::ended(RequestId request, const std::function<void(ProbeAnswer&)>& note) {
  const auto found = row_of_.find(request);
  note(answers_[found->second]);
  row_of_.erase(found);
  if (on_answer_)
    on_answer_();
  if (--left_ > 0)
    return;
  // Out of the engine's callback, so that `done` may run again.
  loop_.post([this] { std::exchange(done_, {})(std::move(answers_)); });
}

double Probe::now_s() const { return to_seconds(loop_.now() - start_).value(); }

}  // namespace medley::engine
