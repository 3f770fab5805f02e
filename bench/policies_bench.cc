// What a decision costs: the same 20,000 requests through every placement policy, in one run.
//
// Processor time of the whole simulation (core, virtual replicas, bookkeeping), the least of five
// repeats. round_robin is the reference: what it takes is the price of simulating, the rest is the
// policy's. Run: make bench
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>

#include "data/catalog.h"
#include "data/scenario_file.h"
#include "simulate/workload.h"

namespace {

using namespace medley;

constexpr std::string_view kScenario = R"(
fleet: scenarios/fleet-mixed.yaml
workload:
  requests: 20000
  rate_per_s: RATE
  prompt_tokens: {median: 800, sigma: 0.9, max: 8000}
  output_tokens: {median: 180, sigma: 0.7, max: 1500}
mix: {classes: {guaranteed: 0.2, standard: 0.45, flex: 0.2, batch: 0.15}, labels: {public: 0.6, internal: 0.4}, model: chat}
)";

template <typename T>
T value_or_exit(Result<T> result) {
  if (result.ok())
    return std::move(*result);
  fmt::print(stderr, "{}\n", result.error().message);
  std::exit(1);
}

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

}  // namespace

int main() {
  const data::Catalog catalog = value_or_exit(data::read_catalog(data::default_catalog_folder()));
  fmt::print("{:>8}  {:<22}{:>10}{:>14}{:>14}{:>12}\n", "rate/s", "placement", "CPU s",
             "us/request", "x round_robin", "kept");
  for (const int rate : {30, 60, 120}) {
    std::string text(kScenario);
    text.replace(text.find("RATE"), 4, std::to_string(rate));
    data::Scenario scenario = value_or_exit(data::parse_scenario(text, "bench.yaml", catalog));
    const perf::PerfModel models = value_or_exit(simulate::make_models(scenario.fleet));
    const std::vector<simulate::Arrival> arrivals =
        value_or_exit(simulate::make_arrivals(scenario));
    double reference = 0;
    for (const PlacementKind placement :
         {PlacementKind::kRoundRobin, PlacementKind::kLeastOutstanding,
          PlacementKind::kLeastPendingTokens, PlacementKind::kMedley}) {
      scenario.fleet.placement = placement;
      double least = 1e9;
      long long kept = 0;
      for (int repeat = 0; repeat < 5; ++repeat) {
        const double before = cpu_seconds();
        const simulate::SimulationResult result =
            simulate::simulate(scenario.fleet, models, arrivals, {}, {});
        least = std::min(least, cpu_seconds() - before);
        kept = std::count_if(result.requests.begin(), result.requests.end(),
                             [](const auto& r) { return r.kept; });
      }
      if (placement == PlacementKind::kRoundRobin)
        reference = least;
      const auto count = static_cast<double>(arrivals.size());
      fmt::print("{:>8}  {:<22}{:>10.3f}{:>14.2f}{:>14.2f}{:>11.1f}%\n", rate, name_of(placement),
                 least, 1e6 * least / count, least / reference,
                 100 * static_cast<double>(kept) / count);
    }
  }
}
