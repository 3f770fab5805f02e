// How fast `medley simulate` is, as a whole process: user and system CPU time, start and output
// included, CSV written; the least of five runs, of one where a run takes long.
//
// 1. The Azure conversation trace on Vidur's tables (19,366 requests; needs the shared folder, see
//    MEDLEY_SHARED). The reference is a plain loop over its steps, below: every list a vector,
//    every sequence touched in every step, nothing read or written.
// 2. scenarios/thousand-replicas.yaml with 0.1, 1 and 10 million requests. The reference is the
// time
//    per request of the smallest.
//
// Run: make bench
#include <fmt/format.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "data/catalog.h"
#include "data/scenario_file.h"
#include "simulate/workload.h"

extern char** environ;

namespace {

using namespace medley;

template <typename T>
T value_or_exit(Result<T> result) {
  if (result.ok())
    return std::move(*result);
  fmt::print(stderr, "{}\n", result.error().message);
  std::exit(1);
}

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

// A file of this process, gone with it.
struct Temporary {
  explicit Temporary(const std::string& name)
      : path(std::filesystem::temp_directory_path() / fmt::format("{}_{}", getpid(), name)) {}
  ~Temporary() { std::filesystem::remove(path); }
  const std::filesystem::path path;
};

struct Run {
  double cpu_s = 0, peak_mib = 0;
};

// `medley simulate SCENARIO -o json --requests-csv FILE`, its output thrown away.
Run run_medley(const std::string& medley, const std::string& scenario) {
  const Temporary csv("requests.csv");
  std::vector<std::string> words = {medley, "simulate",       scenario,         "-o",
                                    "json", "--requests-csv", csv.path.string()};
  std::vector<char*> arguments;
  for (std::string& word : words)
    arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", 1 /* O_WRONLY */, 0);
  pid_t child = 0;
  const int failure =
      posix_spawn(&child, medley.c_str(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  rusage used{};
  if (failure != 0 || wait4(child, &status, 0, &used) != child || status != 0) {
    fmt::print(stderr, "medley simulate {} failed\n", scenario);
    std::exit(1);
  }
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return {seconds(used.ru_utime) + seconds(used.ru_stime),
          static_cast<double>(used.ru_maxrss) / 1024};
}

Run least_of(int repeats, const std::string& medley, const std::string& scenario) {
  Run least = run_medley(medley, scenario);
  for (int i = 1; i < repeats; ++i) {
    const Run run = run_medley(medley, scenario);
    least = {std::min(least.cpu_s, run.cpu_s), std::max(least.peak_mib, run.peak_mib)};
  }
  return least;
}

struct One {
  double arrived_s = 0;
  long long prompt = 0, output = 0, done = 0, blocks = 0;
  double first_token_s = -1, finished_s = -1;
};

// chunked_prefill on one replica as docs/simulate.md tells it, for traffic that never runs out of
// blocks. Answers the steps.
long long plain_loop(const Pool& pool, const perf::StepModel& model, std::vector<One>& requests) {
  const Batching& b = pool.batching;
  const long long kv_blocks = b.kv_blocks.value();
  const auto watermark = static_cast<long long>(b.watermark * static_cast<double>(kv_blocks));
  long long free = kv_blocks, steps = 0;
  double now_s = 0;
  std::size_t waiting = 0, arrived = 0;  // requests[waiting, arrived) wait
  std::vector<One*> running, next;
  std::vector<std::pair<One*, long long>> step;
  std::vector<perf::PrefillChunk> chunks;
  const auto blocks_for = [&](long long tokens) {
    return (tokens + b.block_tokens - 1) / b.block_tokens;
  };
  for (;;) {
    if (running.empty() && waiting == arrived) {
      if (arrived == requests.size())
        return steps;
      now_s = std::max(now_s, requests[arrived].arrived_s);
    }
    while (arrived < requests.size() && requests[arrived].arrived_s <= now_s)
      ++arrived;
    step.clear();
    chunks.clear();
    perf::StepShape shape;
    long long tokens = 0;
    for (One* one : running) {
      if (one->done < one->prompt)
        continue;
      if (free < 1) {
        fmt::print(stderr, "the plain loop does not evict\n");
        std::exit(1);
      }
      if (one->done > one->blocks * b.block_tokens) {
        ++one->blocks;
        --free;
      }
      step.emplace_back(one, 1);
      ++shape.decodes;
      shape.decode_context += one->done;
      ++tokens;
    }
    const auto take = [&](One* one) {
      const long long taken = std::min(one->prompt - one->done, b.chunk_tokens - tokens);
      step.emplace_back(one, taken);
      chunks.push_back({taken, one->done});
      tokens += taken;
    };
    next.clear();
    for (One* one : running) {
      if (one->done >= one->prompt)
        continue;
      if (tokens < b.chunk_tokens)
        take(one);
      else
        next.push_back(one);
    }
    while (waiting < arrived && tokens < b.chunk_tokens &&
           step.size() + next.size() < static_cast<std::size_t>(b.max_running) &&
           free - blocks_for(requests[waiting].prompt) >= watermark) {
      One* one = &requests[waiting++];
      one->blocks = blocks_for(one->prompt);
      free -= one->blocks;
      take(one);
    }
    shape.chunks = chunks;
    now_s += model.step(shape).time.value();
    ++steps;
    for (const auto& [one, taken] : step) {
      const bool decodes = one->done >= one->prompt;
      one->done += taken;
      if (!decodes && one->done == one->prompt) {
        ++one->done;
        one->first_token_s = now_s;
      }
      if (one->done == one->prompt + one->output) {
        one->finished_s = now_s;
        free += one->blocks;
      } else {
        next.push_back(one);
      }
    }
    std::swap(running, next);
  }
}

void bench_vidur(const std::string& medley) {
  const char* given = std::getenv("MEDLEY_SHARED");
  const std::string shared = given != nullptr ? given : "../shared";
  const std::string scenario = shared + "/check/scenarios/vidur_conv_chunked_x8.yaml";
  if (!std::filesystem::exists(scenario)) {
    fmt::print("skipped: no {} (MEDLEY_SHARED names the shared folder)\n\n", scenario);
    return;
  }
  fmt::print("medley simulate {} -o json --requests-csv FILE\n", scenario);
  const Run whole = least_of(5, medley, scenario);

  const data::Scenario read = value_or_exit(data::read_scenario(scenario, data::Catalog()));
  const perf::PerfModel models = value_or_exit(simulate::make_models(read.fleet));
  const std::vector<simulate::Arrival> arrivals = value_or_exit(simulate::make_arrivals(read));
  double loop_s = 1e9, simulate_s = 1e9, worst = 0;
  long long steps = 0;
  for (int repeat = 0; repeat < 5; ++repeat) {
    std::vector<One> requests;
    for (const simulate::Arrival& arrival : arrivals) {
      requests.push_back({.arrived_s = to_seconds(arrival.request.arrived_at).value(),
                          .prompt = arrival.request.prompt_tokens.count(),
                          .output = arrival.output_tokens});
    }
    double before = cpu_seconds();
    steps = plain_loop(read.fleet.pools[0], *models.pools[0].steps, requests);
    loop_s = std::min(loop_s, cpu_seconds() - before);
    before = cpu_seconds();
    const auto result = simulate::simulate(read.fleet, models, arrivals, {}, {});
    simulate_s = std::min(simulate_s, cpu_seconds() - before);
    for (std::size_t i = 0; i < requests.size(); ++i) {
      worst =
          std::max(worst, std::abs(*result.requests[i].finished_s / requests[i].finished_s - 1));
    }
    if (result.steps != steps) {
      fmt::print(stderr, "{} steps, the plain loop takes {}\n", result.steps, steps);
      std::exit(1);
    }
  }
  fmt::print("{:<52}{:>10}\n", "", "CPU s");
  fmt::print("{:<52}{:>10.3f}   asked for: at most 0.1\n", "whole process", whole.cpu_s);
  fmt::print("{:<52}{:>10.3f}\n", "of it the simulation (core, replica, bookkeeping)", simulate_s);
  fmt::print("{:<52}{:>10.3f}   {} steps; ends differ by {:.0e} at most\n\n",
             "reference: a plain loop over its steps", loop_s, steps, worst);
}

void bench_thousand_replicas(const std::string& medley) {
  const std::string path = "scenarios/thousand-replicas.yaml";
  std::stringstream whole;
  whole << std::ifstream(path).rdbuf();
  const std::string text = whole.str(), count = "requests: 10000000";
  const std::size_t at = text.find(count);
  if (at == std::string::npos) {
    fmt::print(stderr, "{} has no line '{}'\n", path, count);
    std::exit(1);
  }
  fmt::print("medley simulate {} -o json --requests-csv FILE, by number of requests\n", path);
  fmt::print("{:>10}{:>10}{:>14}{:>12}{:>12}\n", "requests", "CPU s", "us/request", "x smallest",
             "peak MiB");
  double reference = 0;
  for (const long long requests : {100'000LL, 1'000'000LL, 10'000'000LL}) {
    const Temporary file("scenario.yaml");
    std::string changed = text;
    changed.replace(at, count.size(), fmt::format("requests: {}", requests));
    std::ofstream(file.path) << changed;
    const Run run = least_of(requests < 1'000'000 ? 5 : 1, medley, file.path.string());
    const double each = 1e6 * run.cpu_s / static_cast<double>(requests);
    if (reference == 0)
      reference = each;
    fmt::print("{:>10}{:>10.2f}{:>14.2f}{:>12.2f}{:>12.0f}{}\n", requests, run.cpu_s, each,
               each / reference, run.peak_mib,
               requests == 10'000'000 ? "   asked for: at most 100 s and 4096 MiB" : "");
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    fmt::print(stderr, "usage: simulator_bench MEDLEY\n");
    return 2;
  }
  // Processes first: a child's peak memory is never counted below that of the one it came from.
  bench_thousand_replicas(arguments[1]);
  fmt::print("\n");
  bench_vidur(arguments[1]);
}
