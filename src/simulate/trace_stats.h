// What a person wants to know of a trace: how much comes, how unevenly, how long, what is repeated.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "base/statistics.h"
#include "data/trace.h"

namespace medley::simulate {

// The index of dispersion of counts: variance / mean of the requests in adjacent windows of one
// length. 1 for a Poisson process at every length; growing with the window where the rate wanders
// (Cox and Lewis 1966, "The Statistical Analysis of Series of Events", chapter 5).
struct Dispersion {
  double window_s = 0;
  long long windows = 0;  // how many whole ones the trace has
  double index = 0;
};

// Window lengths 1, 3, 10, 30 … (and their tenths) that a trace can say something about: at least a
// third of the mean gap, at least `fewest` whole windows.
std::vector<double> dispersion_windows(double span_s, double mean_gap_s, long long fewest = 10);
// Of arrivals from `from_s` on; those after the last whole window are left out.
Dispersion dispersion(std::span<const double> arrivals_s, double from_s, double to_s,
                      double window_s);
// Windows shorter than so many ticks tell of the ticks and not of the traffic.
inline constexpr double kTicksAWindow = 5;
// Deviation / mean of the gaps; 0 with fewer than two of them.
double gap_cv(std::span<const double> arrivals_s);

// Answers by the length of their prompts: prompts `from` to `to`.
struct OutputsByPrompt {
  long long from = 0, to = 0;
  Summary output;
};

struct PrefixStats {
  long long requests = 0;       // that repeat the beginning of an earlier prompt
  double tokens = 0;            // share of all prompt tokens that are repeated
  double tokens_in_minute = 0;  // the same, of a prompt that came at most a minute before
  double tokens_in_ten_minutes = 0;
  Summary age_s;  // since the repeated prompt came, over those requests
};

struct TraceStats {
  long long requests = 0;
  double first_s = 0, last_s = 0;
  double rate_per_s = 0;  // over last − first; 0 where that is 0
  double gap_cv = 0;
  double at_one_instant = 0;  // share of requests that came at the very time of the one before
  double tick_s = 0;          // the trace notes arrivals at multiples of it; 0: as they come
  std::vector<Dispersion> dispersion;
  Summary prompt_tokens, output_tokens;
  double prompt_sum = 0, output_sum = 0;
  std::vector<OutputsByPrompt> outputs_by_prompt;  // fifths of the requests
  std::optional<PrefixStats> prefix;               // empty: the trace does not say
  double bucket_s = 0;
  std::vector<double> rate_by_bucket;                                    // requests a second
  std::vector<double> prompt_tokens_by_bucket, output_tokens_by_bucket;  // tokens a second

  double span_s() const { return last_s - first_s; }
};

// Precondition: in order of arrival, at least one request.
TraceStats trace_stats(std::span<const data::TraceRequest> requests, bool tells_prefixes,
                       std::size_t buckets = 120);

// (value, share of requests at or below), for pictures: at most `points`.
std::vector<std::pair<double, double>> distribution(std::vector<double> values,
                                                    std::size_t points = 200);

}  // namespace medley::simulate
