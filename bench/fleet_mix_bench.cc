// How many random fleet mixes are proved within three seconds, and how fast.
//
//   fleet_mix_bench [CASES.json]    with a file: the cases of that file
//
// Random cases have up to 16 x 16 buckets and 8 types: prices from 0.3 to 12 $/h; throughputs that
// grow with the price and fall with the bucket, half to one and a half times, a tenth of them 0;
// shares at random, a tenth of them 0; rates for half an instance to some hundreds; 1 to 16 slices.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/prng.h"
#include "plan/cases_file.h"
#include "plan/fleet_mix.h"

namespace {

using namespace medley;
using namespace medley::plan;

constexpr int kCases = 100;
constexpr double kTimeLimit = 3;

double between(Prng& prng, double least, double most) {
  return least + prng.uniform() * (most - least);
}

std::pair<FleetMixTable, FleetMixDemand> random_case(Prng& prng) {
  FleetMixTable table;
  const int rows = 1 + static_cast<int>(prng.below(16)),
            columns = 1 + static_cast<int>(prng.below(16));
  table.columns = columns;
  std::vector<double> size;
  double sum = 0;
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < columns; ++c) {
      size.push_back(std::pow(1 + r, between(prng, 0.3, 1)) *
                     std::pow(1 + c, between(prng, 0.3, 1)));
      table.share.push_back(prng.below(10) == 0 && r + c > 0 ? 0 : prng.uniform() + 1e-3);
      sum += table.share.back();
    }
  }
  for (double& share : table.share)
    share /= sum;
  const std::size_t types = 2 + prng.below(7);
  for (std::size_t t = 0; t < types; ++t) {
    FleetMixTable::Type type{
        fmt::format("type{}", t), std::round(between(prng, 30, 1200)) / 100, {}};
    const double base = 3 * type.cost_per_hour * between(prng, 0.6, 1.4);
    for (const double bucket : size)
      type.throughput.push_back(
          t > 0 && prng.below(10) == 0 ? 0 : base / bucket * between(prng, 0.5, 1.5));
    table.types.push_back(std::move(type));
  }
  const double rate = std::pow(10, between(prng, -0.5, 2.5));
  return {table, {.requests_per_s = rate, .slices = 1 << prng.below(5)}};
}

struct Tally {
  std::vector<double> seconds, gaps;
  int proved = 0, confirmed = 0;

  void add(const FleetMix& mix) {
    seconds.push_back(mix.solve_seconds);
    proved += mix.status != FleetMix::Status::kFeasible ? 1 : 0;
    confirmed += mix.confirmed ? 1 : 0;
    if (mix.status == FleetMix::Status::kFeasible)
      gaps.push_back(1 - mix.lower_bound / mix.cost_per_hour);
  }
  void print(std::string_view name) {
    std::sort(seconds.begin(), seconds.end());
    double sum = 0;
    for (const double s : seconds)
      sum += s;
    fmt::print(
        "{:<22} {:4} of {} proved, {:4} confirmed, worst gap {:.3f} %; ms: median {:.2f}, p95 "
        "{:.1f}, max {:.1f}, all {:.0f}\n",
        name, proved, seconds.size(), confirmed,
        gaps.empty() ? 0 : 100 * *std::max_element(gaps.begin(), gaps.end()),
        1e3 * seconds[seconds.size() / 2], 1e3 * seconds[seconds.size() * 95 / 100],
        1e3 * seconds.back(), 1e3 * sum);
  }
};

int run_file(const char* path) {
  const Result<FleetMixCases> read = read_fleet_mix_cases(path);
  if (!read.ok()) {
    fmt::print(stderr, "{}\n", read.error().message);
    return 2;
  }
  Tally tally;
  const auto solver = solve::make_integer_solver();
  for (const FleetMixCases::Case& one : read->cases)
    tally.add(cheapest_fleet_mix(read->tables[one.table], one.demand, *solver, kTimeLimit).value());
  tally.print("file");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1)
    return run_file(argv[1]);
  for (const bool cbc_alone : {false, true}) {
    Prng prng(1);
    Tally tally;
    const auto solver = cbc_alone ? solve::make_integer_solver(solve::IntegerMethod::kCbc)
                                  : solve::make_integer_solver();
    for (int i = 0; i < kCases; ++i) {
      const auto [table, demand] = random_case(prng);
      tally.add(cheapest_fleet_mix(table, demand, *solver, kTimeLimit).value());
    }
    tally.print(cbc_alone ? "CBC alone, on its word" : "medley");
  }
}
