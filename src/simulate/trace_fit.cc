#include "simulate/trace_fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <optional>

#include "simulate/generator.h"

namespace medley::simulate {
namespace {

constexpr long long kFewest = 100;                 // requests
constexpr std::size_t kMostSimulated = 200'000;    // arrivals, to try one law of arrivals
constexpr std::size_t kMostGenerated = 2'000'000;  // requests, for the figures
constexpr std::uint64_t kSeed = 1;
constexpr long long kNoBound = std::numeric_limits<long long>::max();

// --- quantiles ---

// At most `most` points of the quantile function of `values`. One by one, where a line between two
// chosen ones is off by most: errors count relative to the value and a twentieth of the mean,
// beyond `rounding`, summed up over the requests. Done when all of them are off by 0.2 % in the
// mean.
data::Quantiles quantiles_of(std::vector<double> values, std::size_t most, double rounding) {
  std::sort(values.begin(), values.end());
  const double mean =
      std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  if (values.size() == 1)
    values.push_back(values.front());
  // Enough order statistics for any picture of the law.
  constexpr std::size_t kGrid = 4000;
  const std::size_t count = std::min(kGrid, values.size());
  std::vector<std::pair<double, double>> grid;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t place = i * (values.size() - 1) / (count - 1);
    grid.emplace_back(static_cast<double>(place) / static_cast<double>(values.size() - 1),
                      values[place]);
  }
  struct Segment {
    std::size_t begin, end;
    double off = 0;         // summed up
    std::size_t worst = 0;  // where it is farthest off; 0: nowhere
  };
  const auto segment_of = [&](std::size_t begin, std::size_t end) {
    Segment segment{begin, end};
    const auto& [s0, v0] = grid[begin];
    const auto& [s1, v1] = grid[end];
    double worst = 0;
    for (std::size_t i = begin + 1; i < end; ++i) {
      const double line = v0 + (v1 - v0) * (grid[i].first - s0) / (s1 - s0);
      const double scale = std::abs(grid[i].second) + 0.05 * std::abs(mean);
      const double off = std::abs(line - grid[i].second) - rounding;
      if (!(off > 0 && scale > 0))
        continue;
      segment.off += off / scale;
      if (off / scale > worst) {
        worst = off / scale;
        segment.worst = i;
      }
    }
    return segment;
  };
  std::vector<Segment> segments = {segment_of(0, count - 1)};
  while (segments.size() + 1 < most) {
    double off = 0;
    for (const Segment& segment : segments)
      off += segment.off;
    const auto worst =
        std::max_element(segments.begin(), segments.end(),
                         [](const Segment& a, const Segment& b) { return a.off < b.off; });
    if (off < 0.002 * static_cast<double>(count) || worst->worst == 0)
      break;
    const Segment split = *worst;
    *worst = segment_of(split.begin, split.worst);
    segments.insert(worst + 1, segment_of(split.worst, split.end));
  }
  data::Quantiles law;
  for (const Segment& segment : segments)
    law.points.push_back(grid[segment.begin]);
  law.points.push_back(grid.back());
  return law;
}

data::LengthLaw lengths_of(std::vector<double> values, std::size_t most) {
  data::LengthLaw law;
  law.quantiles = quantiles_of(std::move(values), most, 0.5);
  law.max = std::llround(law.quantiles.points.back().second);
  return law;
}

// Upper ends of ranges of prompts with about as many requests each; the last one without bound.
std::vector<long long> prompt_ranges(std::span<const data::TraceRequest> requests,
                                     std::size_t count) {
  std::vector<long long> lengths;
  for (const data::TraceRequest& request : requests)
    lengths.push_back(request.prompt.count());
  std::sort(lengths.begin(), lengths.end());
  std::vector<long long> ends;
  for (std::size_t i = 1; i < count; ++i) {
    const long long end = lengths[lengths.size() * i / count];
    if ((ends.empty() || end > ends.back()) && end < lengths.back())
      ends.push_back(end);
  }
  ends.push_back(kNoBound);
  return ends;
}

std::size_t range_index(const std::vector<long long>& ends, long long prompt_tokens) {
  return static_cast<std::size_t>(std::lower_bound(ends.begin(), ends.end(), prompt_tokens) -
                                  ends.begin());
}

// Ranges of prompts whose answers are alike: split again and again where the split takes most from
// the squared deviation of the answers' logarithms (a regression tree, Breiman et al. 1984), no
// range with fewer than `fewest` requests.
std::vector<long long> answer_ranges(std::span<const data::TraceRequest> requests, std::size_t most,
                                     std::size_t fewest) {
  std::vector<std::pair<long long, double>> rows;  // prompt, logarithm of the answer
  for (const data::TraceRequest& request : requests) {
    rows.emplace_back(request.prompt.count(),
                      std::log(static_cast<double>(request.output.count())));
  }
  std::sort(rows.begin(), rows.end());
  std::vector<double> sums(rows.size() + 1, 0);
  for (std::size_t i = 0; i < rows.size(); ++i)
    sums[i + 1] = sums[i] + rows[i].second;
  struct Range {
    std::size_t begin, end;
    std::size_t split = 0;  // the best one; 0: none
    double gain = 0;
  };
  const auto range_of = [&](std::size_t begin, std::size_t end) {
    Range range{begin, end};
    const auto between = [&](std::size_t a, std::size_t b) {
      const double sum = sums[b] - sums[a];
      return sum * sum / static_cast<double>(b - a);
    };
    for (std::size_t i = begin + fewest; i + fewest <= end; ++i) {
      if (rows[i].first == rows[i - 1].first)
        continue;
      const double gain = between(begin, i) + between(i, end) - between(begin, end);
      if (gain > range.gain) {
        range.gain = gain;
        range.split = i;
      }
    }
    return range;
  };
  std::vector<Range> ranges = {range_of(0, rows.size())};
  while (ranges.size() < most) {
    const auto best =
        std::max_element(ranges.begin(), ranges.end(),
                         [](const Range& a, const Range& b) { return a.gain < b.gain; });
    if (best->split == 0)
      break;
    const Range split = *best;
    *best = range_of(split.begin, split.split);
    ranges.insert(best + 1, range_of(split.split, split.end));
  }
  std::vector<long long> ends;
  for (std::size_t i = 0; i + 1 < ranges.size(); ++i)
    ends.push_back(rows[ranges[i].end - 1].first);
  ends.push_back(kNoBound);
  return ends;
}

std::vector<data::OutputRange> outputs_of(std::span<const data::TraceRequest> requests) {
  const std::vector<long long> ends =
      answer_ranges(requests, 24, std::max<std::size_t>(100, requests.size() / 100));
  std::vector<std::vector<double>> values(ends.size());
  for (const data::TraceRequest& request : requests) {
    values[range_index(ends, request.prompt.count())].push_back(
        static_cast<double>(request.output.count()));
  }
  std::vector<data::OutputRange> outputs;
  for (std::size_t i = 0; i < ends.size(); ++i)
    outputs.push_back({ends[i], lengths_of(std::move(values[i]), 32)});
  return outputs;
}

// --- what prompts have in common ---

data::PrefixLaw prefix_of(std::span<const data::TraceRequest> requests) {
  data::PrefixLaw law;
  // A prefix that a fifth of all requests have, to the token, is everybody's.
  std::map<long long, std::size_t> counts;
  for (const data::TraceRequest& request : requests) {
    if (request.prefix.count() > 0)
      ++counts[request.prefix.count()];
  }
  std::size_t most = 0;
  for (const auto& [tokens, count] : counts) {
    if (count > most && count * 5 >= requests.size()) {
      most = count;
      law.common_tokens = tokens;
    }
  }
  std::vector<double> ages;
  const std::vector<long long> ends =
      prompt_ranges(requests, std::clamp<std::size_t>(requests.size() / 800, 1, 12));
  std::vector<std::vector<double>> parts(ends.size());
  std::vector<std::size_t> all(ends.size(), 0);
  for (const data::TraceRequest& request : requests) {
    const std::size_t range = range_index(ends, request.prompt.count());
    ++all[range];
    if (request.prefix.count() <= law.common_tokens)
      continue;
    parts[range].push_back(static_cast<double>(request.prefix.count()) /
                           static_cast<double>(request.prompt.count()));
    ages.push_back(std::max(0.0, request.arrived_s - requests[request.prefix_of].arrived_s));
  }
  if (ages.empty())
    return law;
  for (std::size_t i = 0; i < ends.size(); ++i) {
    if (all[i] == 0)
      continue;
    data::TurnRange range{.up_to = ends[i]};
    range.share = static_cast<double>(parts[i].size()) / static_cast<double>(all[i]);
    if (!parts[i].empty())
      range.part = quantiles_of(std::move(parts[i]), 16, 0);
    law.turns.push_back(std::move(range));
  }
  law.age_s = quantiles_of(std::move(ages), 24, 0);
  return law;
}

// --- arrivals ---

struct Shape {
  std::vector<double> factors;  // of mean 1; empty: flat
  double every_s = 0;
};

// A day in hours where the trace is a day and a half long at least, else its own length in up to 24
// parts. Flat where the parts differ no more than chance lets them.
Shape shape_of(std::span<const double> arrivals_s, double span_s) {
  constexpr double kDay = 86400;
  const bool days = span_s >= 1.5 * kDay;
  const std::size_t parts = days ? 24 : std::clamp<std::size_t>(arrivals_s.size() / 300, 1, 24);
  if (parts < 3)
    return {};
  const double period_s = days ? kDay : span_s;
  const double every_s = period_s / static_cast<double>(parts);
  std::vector<double> counts(parts, 0), exposed_s(parts, 0);
  for (const double at_s : arrivals_s) {
    const double within = std::fmod(at_s - arrivals_s.front(), period_s);
    const bool at_end = !days && at_s - arrivals_s.front() >= span_s;
    ++counts[at_end ? parts - 1 : std::min(parts - 1, static_cast<std::size_t>(within / every_s))];
  }
  for (std::size_t i = 0; i < parts; ++i) {
    const double begin_s = static_cast<double>(i) * every_s;
    for (double day_s = 0; day_s < span_s; day_s += period_s)
      exposed_s[i] += std::clamp(span_s - day_s - begin_s, 0.0, every_s);
  }
  const double rate = static_cast<double>(arrivals_s.size()) / span_s;
  double chi_squared = 0;
  Shape shape{.every_s = every_s};
  double sum = 0;
  for (std::size_t i = 0; i < parts; ++i) {
    const double expected = rate * exposed_s[i];
    chi_squared += expected > 0 ? (counts[i] - expected) * (counts[i] - expected) / expected : 0;
    shape.factors.push_back(expected > 0 ? counts[i] / expected : 1);
    sum += shape.factors.back();
  }
  // Beyond twice what a Poisson process of even rate gives.
  if (chi_squared < 2 * static_cast<double>(parts) || !(sum > 0))
    return {};
  for (double& factor : shape.factors)
    factor *= static_cast<double>(parts) / sum;
  return shape;
}

// Arrivals in a time that runs with the shape: what is left is uneven for other reasons.
std::vector<double> without_shape(std::span<const double> arrivals_s, const Shape& shape) {
  std::vector<double> even(arrivals_s.size());
  const double first = arrivals_s.front();
  if (shape.factors.empty()) {
    for (std::size_t i = 0; i < even.size(); ++i)
      even[i] = arrivals_s[i] - first;
    return even;
  }
  std::size_t i = 0;
  double passed = 0;
  for (long long part = 0; i < even.size(); ++part) {
    const double factor = shape.factors[static_cast<std::size_t>(part) % shape.factors.size()];
    const double begin_s = static_cast<double>(part) * shape.every_s;
    for (; i < even.size() && arrivals_s[i] - first < begin_s + shape.every_s; ++i)
      even[i] = passed + factor * (arrivals_s[i] - first - begin_s);
    passed += factor * shape.every_s;
    if (part > 100'000'000)
      break;
  }
  return even;
}

// The dispersion of a Poisson process whose rate carries the swings' factors: for a rate λ·m(t)
// with mean-1 factors the variance of a window is λw + λ²·∫∫ cov(m), and a factor that is drawn
// anew every T has covariance v·(1 − τ/T) at a lag τ below T, seen from a random instant.
double dispersion_of(double rate_per_s, const std::vector<double>& every_s,
                     const std::vector<double>& variances, double window_s) {
  constexpr int kSteps = 60;
  double integral = 0;
  for (int i = 0; i < kSteps; ++i) {
    const double lag_s = window_s * (i + 0.5) / kSteps;
    double product = 1;
    for (std::size_t k = 0; k < every_s.size(); ++k)
      product *= 1 + variances[k] * std::max(0.0, 1 - lag_s / every_s[k]);
    integral += (window_s - lag_s) * (product - 1) * window_s / kSteps;
  }
  return 1 + 2 * rate_per_s / window_s * integral;
}

struct Target {
  double window_s, index;
  long long windows;
};

// Where nothing wanders the index is 0, which has no logarithm: below this all are alike.
constexpr double kLeastIndex = 1e-3;

double squares_off(double rate_per_s, const std::vector<double>& every_s,
                   const std::vector<double>& variances, const std::vector<Target>& targets) {
  double sum = 0;
  for (const Target& target : targets) {
    const double off =
        std::log(dispersion_of(rate_per_s, every_s, variances, target.window_s) / target.index);
    sum += off * off;
  }
  return sum;
}

// Least squares in the logarithms, one variance after the other, in steps that shrink. All together
// they stay below what a workload may say, so far that rounding leads not beyond it.
std::vector<double> fit_variances(double rate_per_s, const std::vector<double>& every_s,
                                  const std::vector<Target>& targets) {
  std::vector<double> variances(every_s.size(), 1e-3);
  double best = squares_off(rate_per_s, every_s, variances, targets);
  const auto too_wild = [&variances] {
    double product = 1;
    for (const double variance : variances)
      product *= 1 + variance;
    return product > 0.99 * data::kMostSwingCv * data::kMostSwingCv;
  };
  for (double step = 4; step > 1.02;) {
    bool better = false;
    for (double& variance : variances) {
      const double before = variance;
      double chosen = before;
      for (const double tried : {before * step, before / step, before < 1e-7 ? 1e-4 * step : 0.0}) {
        variance = tried;
        if (tried > 20 || too_wild())
          continue;
        if (const double off = squares_off(rate_per_s, every_s, variances, targets);
            off < best * (1 - 1e-6)) {
          best = off;
          chosen = tried;
          better = true;
        }
      }
      variance = chosen;
    }
    if (!better)
      step = std::sqrt(step);
  }
  return variances;
}

// The mean dispersion of arrivals made by a law, over several seeds.
std::vector<double> dispersion_made(const data::ArrivalLaw& law, double rate_per_s, double span_s,
                                    const std::vector<Target>& targets) {
  data::WorkloadStream stream;
  stream.rate_per_s = rate_per_s;
  stream.arrivals = law;
  const double length_s = std::min(span_s, static_cast<double>(kMostSimulated) / rate_per_s);
  const auto runs = static_cast<std::uint64_t>(
      std::clamp(static_cast<double>(kMostSimulated) / (rate_per_s * length_s), 1.0, 8.0));
  std::vector<double> indices(targets.size(), 0);
  for (std::uint64_t run = 0; run < runs; ++run) {
    std::vector<double> arrivals;
    ArrivalTimes times(stream, kSeed + run);
    for (double at_s = times.next(); at_s < length_s; at_s = times.next())
      arrivals.push_back(at_s);
    for (std::size_t i = 0; i < targets.size(); ++i) {
      indices[i] +=
          dispersion(arrivals, 0, length_s, targets[i].window_s).index / static_cast<double>(runs);
    }
  }
  return indices;
}

double error_of(const std::vector<double>& made, const std::vector<Target>& targets) {
  if (targets.empty())
    return std::numeric_limits<double>::infinity();  // nothing was compared
  double sum = 0;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const double off = std::log(std::max(made[i], kLeastIndex) / targets[i].index);
    sum += off * off;
  }
  return std::exp(std::sqrt(sum / static_cast<double>(targets.size()))) - 1;
}

// Whether made and found differ no more than chance lets them: an index over n windows scatters by
// a share of about √(2 / n), as a variance of n values does.
bool within_chance(const std::vector<double>& made, const std::vector<Target>& targets) {
  double sum = 0;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const double off = std::log(std::max(made[i], kLeastIndex) / targets[i].index);
    sum += off * off * static_cast<double>(targets[i].windows) / 2;
  }
  return sum <= 1.5 * 1.5 * static_cast<double>(targets.size());
}

// Swings that make the dispersion that is wanted: by the formula, then corrected by what the law
// really makes.
ArrivalCandidate fit_swings(const std::string& name, double gap_cv, double tick_s,
                            double rate_per_s, double span_s, double longest_s,
                            const std::vector<Target>& targets) {
  std::vector<double> every_s;
  for (double at_s = std::max({targets.front().window_s, 2 / rate_per_s, 0.01});
       at_s <= std::min(longest_s * 1.01, data::kLongestSwing) && every_s.size() < 8;
       at_s *= std::sqrt(10.0))
    every_s.push_back(at_s);
  ArrivalCandidate best{.name = name, .error = std::numeric_limits<double>::infinity()};
  if (every_s.empty())
    return best;
  std::vector<Target> wanted = targets;
  // The formula is that of Poisson arrivals: others differ by about their own dispersion.
  for (Target& target : wanted)
    target.index = std::max(1.0, target.index + 1 - gap_cv * gap_cv);
  for (int round = 0; round < 4; ++round) {
    const std::vector<double> variances = fit_variances(rate_per_s, every_s, wanted);
    data::ArrivalLaw law{.gap_cv = gap_cv, .tick_s = tick_s};
    for (std::size_t k = 0; k < every_s.size(); ++k) {
      const double cv = std::sqrt(variances[k]);
      if (cv > 0.01)
        law.swings.push_back(
            {std::stod(fmt::format("{:.3g}", every_s[k])), std::stod(fmt::format("{:.4g}", cv))});
    }
    const std::vector<double> made = dispersion_made(law, rate_per_s, span_s, targets);
    if (const double error = error_of(made, targets); error < best.error) {
      best.law = law;
      best.error = error;
      best.within_chance = within_chance(made, targets);
    }
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const double correction = targets[i].index / std::max(made[i], kLeastIndex);
      wanted[i].index = std::max(1.0, wanted[i].index * std::clamp(correction, 0.5, 2.0));
    }
  }
  return best;
}

std::vector<ArrivalCandidate> fit_arrivals(std::span<const double> arrivals_s, const Shape& shape,
                                           double rate_per_s, double span_s, double tick_s) {
  const std::vector<double> even = without_shape(arrivals_s, shape);
  // The shape takes what is uneven over its parts and longer, so that only shorter windows tell of
  // the rest; in ticks only windows of many.
  const double longest_s = shape.factors.empty() ? span_s / 10 : shape.every_s;
  std::vector<Target> targets;
  for (const double window_s : dispersion_windows(span_s, 1 / rate_per_s, 20)) {
    if (window_s > longest_s / 3 || window_s < kTicksAWindow * tick_s)
      continue;
    const Dispersion found = dispersion(even, 0, even.back(), window_s);
    if (found.windows > 0)
      targets.push_back({window_s, std::max(found.index, kLeastIndex), found.windows});
  }
  std::vector<ArrivalCandidate> candidates;
  const auto add = [&](std::string name, double gap_cv) {
    const data::ArrivalLaw law{.gap_cv = gap_cv, .tick_s = tick_s};
    const std::vector<double> made = dispersion_made(law, rate_per_s, span_s, targets);
    candidates.push_back(
        {std::move(name), law, error_of(made, targets), within_chance(made, targets)});
  };
  add("poisson", 1);
  if (targets.empty()) {
    candidates.front().chosen = true;
    return candidates;
  }
  const bool evener = targets.front().index < 0.95;  // than Poisson
  if (evener)
    add("constant gaps", 0);
  // Gaps whose own unevenness is the trace's over the windows, in the geometric mean.
  double logs = 0;
  for (const Target& target : targets)
    logs += std::log(target.index);
  const double mean_cv =
      std::clamp(std::exp(logs / static_cast<double>(targets.size()) / 2), 0.01, 10.0);
  add("gamma gaps", std::stod(fmt::format("{:.4g}", mean_cv)));
  candidates.push_back(
      fit_swings("wandering rate", 1, tick_s, rate_per_s, span_s, longest_s, targets));
  if (evener) {
    const double cv = std::clamp(std::sqrt(targets.front().index), 0.01, 1.0);
    candidates.push_back(fit_swings("gamma gaps, wandering rate",
                                    std::stod(fmt::format("{:.4g}", cv)), tick_s, rate_per_s,
                                    span_s, longest_s, targets));
  }
  // The simplest of those that are as good as chance lets one see, or no more than a tenth worse
  // than the best.
  double least = candidates.front().error;
  for (const ArrivalCandidate& candidate : candidates)
    least = std::min(least, candidate.error);
  for (ArrivalCandidate& candidate : candidates) {
    if (candidate.within_chance || candidate.error <= least * 1.1 + 0.005) {
      candidate.chosen = true;
      break;
    }
  }
  return candidates;
}

// --- how well it came out ---

std::vector<data::TraceRequest> generated(const data::WorkloadStream& workload,
                                          std::uint64_t seed) {
  const data::WorkloadSpec spec{{workload}};
  WorkloadGenerator generator(spec, seed);
  std::vector<data::TraceRequest> requests;
  while (const std::optional<GeneratedRequest> made = generator.next()) {
    data::TraceRequest request;
    request.arrived_s = made->arrived_s;
    request.arrived = round_to_instant(Seconds(made->arrived_s));
    request.prompt = Tokens(made->prompt_tokens);
    request.output = Tokens(made->output_tokens);
    request.prefix_of = static_cast<std::uint32_t>(made->prefix_of);
    request.prefix = Tokens(made->prefix_tokens);
    requests.push_back(std::move(request));
  }
  return requests;
}

// The figures that are compared, always in the same order; `windows` are the trace's.
std::vector<std::pair<std::string, double>> figures_of(const TraceStats& stats,
                                                       std::span<const data::TraceRequest> requests,
                                                       const std::vector<Dispersion>& windows,
                                                       double tick_s) {
  std::vector<std::pair<std::string, double>> figures = {{"requests a second", stats.rate_per_s},
                                                         {"cv of gaps", stats.gap_cv}};
  std::vector<double> arrivals;
  for (const data::TraceRequest& request : requests)
    arrivals.push_back(request.arrived_s);
  for (const Dispersion& window : windows) {
    if (window.window_s < kTicksAWindow * tick_s)
      continue;  // tells of the ticks' place in the windows
    figures.emplace_back(fmt::format("dispersion, {:g} s", window.window_s),
                         dispersion(arrivals, stats.first_s, stats.last_s, window.window_s).index);
  }
  const auto add = [&figures](const std::string& name, const Summary& summary) {
    figures.emplace_back(name + ", mean", summary.mean);
    figures.emplace_back(name + ", p50", summary.p50);
    figures.emplace_back(name + ", p90", summary.p90);
    figures.emplace_back(name + ", p99", summary.p99);
    figures.emplace_back(name + ", max", summary.max);
  };
  add("prompt tokens", stats.prompt_tokens);
  add("output tokens", stats.output_tokens);
  for (std::size_t i = 0; i < stats.outputs_by_prompt.size(); ++i) {
    figures.emplace_back(fmt::format("mean output, prompts of fifth {}", i + 1),
                         stats.outputs_by_prompt[i].output.mean);
  }
  if (stats.prefix) {
    figures.emplace_back("repeated share of prompt tokens", stats.prefix->tokens);
    figures.emplace_back("of it within a minute", stats.prefix->tokens_in_minute);
    figures.emplace_back("of it within ten minutes", stats.prefix->tokens_in_ten_minutes);
  }
  return figures;
}

}  // namespace

Result<TraceFit> fit_trace(std::span<const data::TraceRequest> requests, const TraceStats& stats) {
  if (stats.requests < kFewest) {
    return Error{ErrorCode::kInvalid,
                 fmt::format("{} requests are too few to fit a workload to; expected at least {}",
                             stats.requests, kFewest),
                 {}};
  }
  const double span_s = stats.span_s();
  if (!(span_s > 0)) {
    return Error{
        ErrorCode::kInvalid, "all requests came at one instant: there is no rate to fit", {}};
  }
  std::vector<double> arrivals;
  for (const data::TraceRequest& request : requests)
    arrivals.push_back(request.arrived_s);

  TraceFit fit;
  data::WorkloadStream& workload = fit.workload;
  workload.for_s = span_s;
  workload.rate_per_s = stats.rate_per_s;
  MEDLEY_TRY_STATUS(data::within_bounds(workload));
  const double tick_s = stats.tick_s;
  Shape shape = shape_of(arrivals, span_s);
  workload.arrivals = {.shape = shape.factors, .shape_every_s = shape.every_s};
  if (!data::within_bounds(workload).ok())  // parts too short to tell of anything
    shape = {};
  fit.candidates = fit_arrivals(arrivals, shape, stats.rate_per_s, span_s, tick_s);
  for (const ArrivalCandidate& candidate : fit.candidates) {
    if (candidate.chosen)
      workload.arrivals = candidate.law;
  }
  workload.arrivals.shape = shape.factors;
  workload.arrivals.shape_every_s = shape.every_s;

  std::vector<double> prompts;
  for (const data::TraceRequest& request : requests)
    prompts.push_back(static_cast<double>(request.prompt.count()));
  workload.prompt_tokens = lengths_of(std::move(prompts), 120);
  workload.output_tokens = outputs_of(requests);
  if (stats.prefix)
    workload.prefix = prefix_of(requests);
  // Whatever a workload file may not say is told here, not to who reads the file.
  if (const auto read = data::parse_workload(data::to_yaml(workload), "the fit"); !read.ok())
    return read.error();

  const auto trace_figures = figures_of(stats, requests, stats.dispersion, stats.tick_s);
  for (const auto& [name, value] : trace_figures)
    fit.figures.push_back({name, value, 0, HUGE_VAL, -HUGE_VAL});
  fit.generated = static_cast<int>(std::clamp<std::size_t>(kMostGenerated / requests.size(), 1, 5));
  int made = 0;
  for (int run = 0; run < fit.generated; ++run) {
    const std::vector<data::TraceRequest> copy =
        generated(workload, kSeed + static_cast<std::uint64_t>(run));
    if (copy.size() < 2)
      continue;
    ++made;
    const auto figures = figures_of(trace_stats(copy, stats.prefix.has_value()), copy,
                                    stats.dispersion, stats.tick_s);
    for (FitFigure& figure : fit.figures) {
      const auto found = std::find_if(figures.begin(), figures.end(), [&](const auto& candidate) {
        return candidate.first == figure.name;
      });
      const double value = found == figures.end() ? 0 : found->second;
      figure.mean += value;
      figure.least = std::min(figure.least, value);
      figure.most = std::max(figure.most, value);
    }
  }
  fit.generated = made;
  for (FitFigure& figure : fit.figures)
    figure.mean /= std::max(1, made);
  return fit;
}

}  // namespace medley::simulate
