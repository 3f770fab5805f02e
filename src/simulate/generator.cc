#include "simulate/generator.h"

#include <algorithm>
#include <cmath>

#include "base/instant.h"

namespace medley::simulate {
namespace {

// Streams of random numbers, one a purpose. Those of the mix are in workload.cc.
enum Purpose : std::uint64_t { kGap = 104, kPrompt, kOutput, kPrefix, kStream, kSwing = 200 };

// How many earlier requests a conversation can go back to, and how many are looked at for one that
// is long enough.
constexpr std::size_t kRemembered = 1 << 16;
constexpr std::size_t kLookedAt = 256;

long long draw_length(const data::LengthLaw& law, std::uint64_t seed, Purpose purpose,
                      std::uint64_t index) {
  Prng prng = Prng::stream(seed, purpose, index);
  double drawn = law.median;
  if (!law.quantiles.empty()) {
    drawn = law.quantiles.at(prng.uniform());
  } else if (law.sigma > 0) {
    drawn = prng.log_normal(law.median, law.sigma);
  }
  return std::clamp(std::llround(std::min(drawn, 1e15)), 1LL, law.max);
}

template <typename Range>
const Range& range_of(const std::vector<Range>& ranges, long long prompt_tokens) {
  for (const Range& range : ranges) {
    if (prompt_tokens <= range.up_to)
      return range;
  }
  return ranges.back();
}

// The first stream draws by the seed itself, the others by seeds of their own.
std::uint64_t seed_of(std::uint64_t seed, std::size_t stream) {
  return stream == 0 ? seed : Prng::stream(seed, kStream, stream).next();
}

}  // namespace

ArrivalTimes::ArrivalTimes(const data::WorkloadStream& stream, std::uint64_t seed)
    : law_(stream.arrivals),
      rate_(stream.rate_per_s),
      start_s_(stream.start_s),
      seed_(seed),
      gaps_(Prng::stream(seed, kGap)) {
  for (const data::RateSwing& swing : law_.swings)
    levels_.push_back({.every_s = swing.every_s});
  if (!law_.shape.empty())
    levels_.push_back({.every_s = law_.shape_every_s});
  for (std::size_t level = 0; level < levels_.size(); ++level)
    draw(level);
}

void ArrivalTimes::draw(std::size_t level) {
  Level& of = levels_[level];
  if (level == law_.swings.size()) {
    of.factor = law_.shape[static_cast<std::size_t>(of.index) % law_.shape.size()];
    return;
  }
  const double variance = std::log1p(law_.swings[level].cv * law_.swings[level].cv);
  Prng prng = Prng::stream(seed_, kSwing + level, static_cast<std::uint64_t>(of.index));
  of.factor = prng.log_normal(std::exp(-variance / 2), std::sqrt(variance));
}

double ArrivalTimes::next() {
  const double mean_gap_s = 1 / rate_;
  double gap_s = mean_gap_s;  // at the mean rate
  if (law_.gap_cv == 1) {
    gap_s = gaps_.exponential(mean_gap_s);
  } else if (law_.gap_cv > 0) {
    const double shape = 1 / (law_.gap_cv * law_.gap_cv);
    gap_s = gaps_.gamma(shape) / shape * mean_gap_s;
  }
  if (levels_.empty()) {
    at_s_ += gap_s;
  } else {
    for (;;) {
      double factor = 1, ends_s = HUGE_VAL;
      for (const Level& level : levels_) {
        factor *= level.factor;
        ends_s = std::min(ends_s, static_cast<double>(level.index + 1) * level.every_s);
      }
      const double passes_s = factor * (ends_s - at_s_);
      if (gap_s <= passes_s && factor > 0) {
        at_s_ += gap_s / factor;
        break;
      }
      gap_s -= std::max(0.0, passes_s);
      at_s_ = ends_s;
      for (std::size_t i = 0; i < levels_.size(); ++i) {
        if (static_cast<double>(levels_[i].index + 1) * levels_[i].every_s <= ends_s) {
          ++levels_[i].index;
          draw(i);
        }
      }
    }
  }
  const double noted_s = law_.tick_s > 0 ? std::floor(at_s_ / law_.tick_s) * law_.tick_s : at_s_;
  return start_s_ + noted_s;
}

WorkloadGenerator::WorkloadGenerator(const data::WorkloadSpec& workload, std::uint64_t seed) {
  streams_.reserve(workload.streams.size());
  for (std::size_t i = 0; i < workload.streams.size(); ++i) {
    const data::WorkloadStream& law = workload.streams[i];
    const std::uint64_t own = seed_of(seed, i);
    streams_.push_back({&law, own, ArrivalTimes(law, own), 0, {}, {}});
    advance(streams_.back());
  }
}

void WorkloadGenerator::advance(Stream& stream) {
  const data::WorkloadStream& law = *stream.law;
  stream.arrives_s.reset();
  if (law.requests && stream.drawn >= *law.requests)
    return;
  const double at_s = stream.times.next();
  if (law.for_s && at_s >= law.start_s + *law.for_s)
    return;
  stream.arrives_s = at_s;
}

void WorkloadGenerator::draw_prefix(Stream& stream, long long index,
                                    GeneratedRequest& request) const {
  const data::PrefixLaw& law = *stream.law->prefix;
  const auto seen = static_cast<std::size_t>(index);
  if (seen > 0 && law.common_tokens > 0) {
    request.prefix_of = stream.earlier[(seen - 1) % kRemembered].row;
    request.prefix_tokens = std::min({law.common_tokens, request.prompt_tokens,
                                      stream.earlier[(seen - 1) % kRemembered].prompt_tokens});
  }
  if (seen > 0 && !law.turns.empty()) {
    Prng prng = Prng::stream(stream.seed, kPrefix, static_cast<std::uint64_t>(index));
    const data::TurnRange& range = range_of(law.turns, request.prompt_tokens);
    if (prng.uniform() < range.share) {
      const auto wanted =
          std::llround(range.part.at(prng.uniform()) * static_cast<double>(request.prompt_tokens));
      const double from_s = request.arrived_s - law.age_s.at(prng.uniform());
      // By number, the oldest that is remembered first: the latest that came by `from_s`.
      std::size_t low = seen > kRemembered ? seen - kRemembered : 0, high = seen;
      const std::size_t oldest = low;
      while (high - low > 1) {
        const std::size_t middle = low + (high - low) / 2;
        (stream.earlier[middle % kRemembered].arrived_s <= from_s ? low : high) = middle;
      }
      // The nearest one, back or forth, that is long enough; else the longest of those looked at.
      std::size_t best = low;
      const auto tokens_of = [&](std::size_t number) {
        return stream.earlier[number % kRemembered].prompt_tokens;
      };
      for (std::size_t step = 0; step < kLookedAt && tokens_of(best) < wanted; ++step) {
        if (low >= oldest + step && tokens_of(low - step) > tokens_of(best))
          best = low - step;
        if (tokens_of(best) < wanted && low + step < seen &&
            tokens_of(low + step) > tokens_of(best))
          best = low + step;
      }
      const long long tokens = std::min(wanted, tokens_of(best));
      if (tokens > request.prefix_tokens) {
        request.prefix_tokens = tokens;
        request.prefix_of = stream.earlier[best % kRemembered].row;
      }
    }
  }
  const Earlier made{request.arrived_s, request.prompt_tokens, rows_};
  if (seen < kRemembered) {
    stream.earlier.push_back(made);
  } else {
    stream.earlier[seen % kRemembered] = made;
  }
}

std::optional<GeneratedRequest> WorkloadGenerator::next() {
  Stream* first = nullptr;
  for (Stream& stream : streams_) {
    if (stream.arrives_s && (first == nullptr || *stream.arrives_s < *first->arrives_s))
      first = &stream;
  }
  if (first == nullptr)
    return std::nullopt;
  const data::WorkloadStream& law = *first->law;
  const long long index = first->drawn++;
  const auto draw = static_cast<std::uint64_t>(index);
  GeneratedRequest request;
  request.arrived_s = *first->arrives_s;
  request.stream = static_cast<std::size_t>(first - streams_.data());
  request.prompt_tokens = draw_length(law.prompt_tokens, first->seed, kPrompt, draw);
  request.output_tokens = draw_length(range_of(law.output_tokens, request.prompt_tokens).tokens,
                                      first->seed, kOutput, draw);
  if (law.prefix)
    draw_prefix(*first, index, request);
  advance(*first);
  ++rows_;
  return request;
}

}  // namespace medley::simulate
