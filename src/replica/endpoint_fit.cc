#include "replica/endpoint_fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/statistics.h"
#include "perf/fit.h"
#include "perf/linear.h"
#include "replica/replay.h"

namespace medley::replica {
namespace {

// Means of one block in one run.
struct Means {
  double ttft_s = 0, tpot_s = 0;  // tpot 0: no answer of more than one token
};

std::map<int, Means> means_of(const std::vector<perf::Observation>& seen,
                              const std::vector<int>& block) {
  struct Sums {
    double ttft_s = 0, tpot_s = 0;
    int answers = 0, longer = 0;
  };
  std::map<int, Sums> sums;
  for (std::size_t i = 0; i < seen.size(); ++i) {
    if (block[i] < 0)
      continue;
    Sums& of = sums[block[i]];
    of.ttft_s += seen[i].ttft_s();
    ++of.answers;
    if (seen[i].output_tokens > 1) {
      of.tpot_s += seen[i].tpot_s();
      ++of.longer;
    }
  }
  std::map<int, Means> means;
  for (const auto& [number, of] : sums)
    means[number] = {of.ttft_s / of.answers, of.longer > 0 ? of.tpot_s / of.longer : 0};
  return means;
}

// The median over the runs of mean TTFT (0) and mean TPOT (1) by block, those that are there.
using Figures = std::map<std::pair<int, int>, double>;
Figures middle(const std::vector<std::map<int, Means>>& runs) {
  std::map<std::pair<int, int>, std::vector<double>> all;
  for (const auto& run : runs) {
    for (const auto& [number, means] : run) {
      all[{number, 0}].push_back(means.ttft_s);
      if (means.tpot_s > 0)
        all[{number, 1}].push_back(means.tpot_s);
    }
  }
  Figures figures;
  for (auto& [key, values] : all)
    figures[key] = summarise(std::move(values)).p50;
  return figures;
}

// The parameters of the fit, in this order.
enum Place { kStep, kDecode, kChunk, kPromptToken, kContextToken, kRequest };

LinearConstants constants_of(std::span<const double> values) {
  return {.step_s = values[kStep],
          .decode_s = values[kDecode],
          .chunk_s = values[kChunk],
          .prompt_token_s = values[kPromptToken],
          .context_token_s = values[kContextToken]};
}

}  // namespace

std::vector<perf::Observation> replay_endpoint(const std::vector<perf::Observation>& requests,
                                               const LinearConstants& constants, double request_s,
                                               const EndpointLimits& limits) {
  long long longest = 1;
  for (const perf::Observation& request : requests)
    longest = std::max(longest, request.prompt_tokens + request.output_tokens);
  Pool pool;
  pool.batching.chunk_tokens = limits.chunk_tokens;
  perf::PoolModel model;
  model.steps = std::make_shared<perf::LinearModel>(constants, PowerLaw{});
  model.max_running = limits.max_running;
  model.chunk_tokens = limits.chunk_tokens;
  model.max_context = longest;
  // Room for all that may run: memory is not what is asked about.
  model.kv_tokens = (longest + 2 * pool.batching.block_tokens) * limits.max_running;
  std::vector<perf::Observation> seen = replay(*make_replica(pool, model, {}), requests);
  for (perf::Observation& of : seen) {
    of.first_token_s += request_s;
    of.finished_s += request_s;
  }
  return seen;
}

Result<EndpointFit> fit_endpoint(const std::vector<EndpointRun>& runs,
                                 const EndpointLimits& limits) {
  std::vector<std::map<int, Means>> seen;
  double fastest_s = HUGE_VAL;
  for (const EndpointRun& run : runs) {
    seen.push_back(means_of(run.seen, run.block));
    for (const auto& [number, means] : seen.back()) {
      if (means.tpot_s > 0)
        fastest_s = std::min(fastest_s, means.tpot_s);
    }
  }
  if (fastest_s == HUGE_VAL) {
    return Error{ErrorCode::kGarbled,
                 "no answer had more than one token, or all of an answer came at once: there is no "
                 "time per token to fit to",
                 {}};
  }
  const Figures measured = middle(seen);
  // Next to nothing is believed of a deployment before it was measured: a constant may be as large
  // as ten times what the fastest token takes.
  const auto unknown = [&](const char* name, double start, double high) {
    start = std::min(start, high);
    return perf::Unknown{.name = name, .start = start, .spread = 10 * start, .high = high};
  };
  std::vector<perf::Unknown> unknowns = {
      unknown("step_us", fastest_s / 2, fastest_s * 2),
      unknown("decode_us", fastest_s / 2, fastest_s * 2),
      unknown("chunk_us", fastest_s / 4, fastest_s * 100),
      unknown("prompt_token_us", fastest_s / 10, fastest_s * 10),
      unknown("context_token_ns", fastest_s / 1e4, fastest_s / 10),
      unknown("request_ms", fastest_s / 4, 10),
  };
  unknowns[kStep].low = fastest_s / 1000;  // a step takes some time
  if (measured.size() < unknowns.size()) {
    return Error{ErrorCode::kInvalid, fmt::format("{} measured figures do not tell {} constants",
                                                  measured.size(), unknowns.size())};
  }
  const auto residuals = [&](std::span<const double> values, std::span<double> out) {
    std::vector<std::map<int, Means>> replayed;
    for (const EndpointRun& run : runs) {
      replayed.push_back(means_of(
          replay_endpoint(run.seen, constants_of(values), values[kRequest], limits), run.block));
    }
    // A replay knows a TPOT also of a block whose answers came at once: by block, not by place.
    Figures figures = middle(replayed);
    std::size_t i = 0;
    for (const auto& [key, value] : measured)
      out[i++] = std::log(std::max(figures[key], 1e-9) / std::max(value, 1e-9));
  };
  constexpr double kNoise = 0.05;  // of a block's mean, the median of some rounds
  const perf::Fit fit = perf::fit(unknowns, measured.size(), residuals,
                                  {.noise = kNoise, .step = 1e-4, .smooth = false});
  if (!fit.converged)
    return Error{ErrorCode::kInvalid, "the fit of the step constants did not converge"};
  EndpointFit result;
  result.constants = constants_of(fit.values());
  for (std::size_t i = 0; i < unknowns.size(); ++i) {
    if (fit.found[i].identified) {
      if (i == kRequest)
        result.request_s = fit.found[i].value;
    } else if (i != kRequest) {
      result.unidentified.push_back(unknowns[i].name);
    }
  }
  std::vector<double> left(measured.size());
  residuals(fit.values(), left);
  for (const double residual : left)
    result.rms += residual * residual / static_cast<double>(left.size());
  result.rms = std::sqrt(result.rms);
  return result;
}

double error_bar(std::vector<double> log_ratios) {
  if (log_ratios.empty())
    return 0;
  for (double& ratio : log_ratios)
    ratio = std::abs(ratio);
  std::sort(log_ratios.begin(), log_ratios.end());
  return percentile(log_ratios, 0.68);
}

int most_decoding(const std::vector<perf::Observation>& seen) {
  std::vector<std::pair<double, int>> changes;
  for (const perf::Observation& of : seen) {
    changes.emplace_back(of.first_token_s, 1);
    changes.emplace_back(of.finished_s, -1);
  }
  std::sort(changes.begin(), changes.end());  // at one moment ends come first
  int now = 0, most = 0;
  for (const auto& [at_s, change] : changes) {
    now += change;
    most = std::max(most, now);
  }
  return most;
}

}  // namespace medley::replica
