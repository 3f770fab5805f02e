// What the core takes to decide: 64 replicas with 10,000 requests waiting, and 1,000 replicas; and
// what the program for prices takes to solve, beside the decisions.
//
// The fleet is full, and for every request that ends another one comes; first tokens come soon, two
// at most a request. The backlog is kept as
// deep: where the fleet takes up more, others come that are not measured; where less, who has
// waited the longest leaves. A request's cost is what its arrival, its first token and its end took
// to handle (and that leaving), the looks at waiting work that they cause included; alarms ring as
// asked for and are added to the request that comes next. round_robin is the reference in the same
// run. Run: make bench
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <set>

#include "base/prng.h"
#include "data/catalog.h"
#include "data/scenario_file.h"
#include "sched/scheduler.h"
#include "simulate/workload.h"
#include "solve/linear_solver.h"

namespace {

using namespace medley;

constexpr std::string_view kFleet = R"(
site: {zone: here, tariff: {currency: EUR, per_kwh: 0.2}}
labels: {public: {zones: any}, internal: {zones: [here]}}
default_label: internal
pools:
  - {name: h100, device: h100_sxm, model: llama-3.1-70b, precision: bf16, tensor_parallel: 4, replicas: H100}
  - {name: b200, device: b200_sxm, model: llama-3.1-70b, precision: bf16, tensor_parallel: 2, replicas: B200}
  - {name: lpu, device: groq_lpu_v1, chips: 576, model: llama-3.1-70b, precision: int8, slots: 60, replicas: LPUS}
  - {name: cloud, device: metered, model: llama-3.1-70b, zone: far,
     metered: {per_million_prompt: 0.9, per_million_output: 0.9, tokens_per_minute: 600000}}
workload: {requests: 10, rate_per_s: 1, prompt_tokens: 1000, output_tokens: 200}
)";

template <typename T>
T value_or_exit(Result<T> result) {
  if (result.ok())
    return std::move(*result);
  fmt::print(stderr, "{}\n", result.error().message);
  std::exit(1);
}

struct Sizes {
  int h100, b200, lpus;
  std::size_t waiting;  // kept so deep
};

void replace(std::string& text, std::string_view what, int with) {
  text.replace(text.find(what), what.size(), std::to_string(with));
}

class Run {
 public:
  Run(const Fleet& fleet, const perf::PerfModel& models) : scheduler_(fleet, models) {}

  // Fills the fleet and the backlog, then measures `requests`; microseconds by request, sorted.
  std::vector<double> measure(std::size_t waiting, int requests) {
    std::vector<double> costs;
    for (int i = 0; i < requests; ++i) {
      while (waiting_.size() < waiting && next_ < 40 * waiting + 20'000)
        fill();
      spent_ = {};
      arrive();
      while (waiting_.size() > waiting)
        leave();
      for (int first_tokens = 0; first_tokens < 2 && !in_prefill_.empty(); ++first_tokens)
        begin_decoding();
      if (!in_flight_.empty()) {
        const RequestId first = in_flight_.front();
        in_flight_.pop_front();
        if (std::erase(in_prefill_, first) > 0)
          tell(sched::FirstTokenEmitted{first});
        tell(sched::RequestFinished{first, Tokens(200)});
      }
      costs.push_back(std::chrono::duration<double, std::micro>(spent_).count());
    }
    std::sort(costs.begin(), costs.end());
    return costs;
  }
  std::size_t waiting() const { return waiting_.size(); }
  const LinearProgram& program() const { return program_; }

 private:
  void arrive() {
    now_ += std::chrono::microseconds(200);
    while (alarm_ && *alarm_ <= now_) {
      alarm_.reset();
      tell(sched::AlarmRang{});
    }
    Request request;
    request.id = RequestId(next_++);
    request.arrived_at = now_;
    const double draw = prng_.uniform();
    // Patient work fills the backlog; of the impatient only so much can wait.
    request.service_class = draw < 0.1    ? ServiceClass::kGuaranteed
                            : draw < 0.3  ? ServiceClass::kStandard
                            : draw < 0.45 ? ServiceClass::kFlex
                                          : ServiceClass::kBatch;
    request.label = LabelId(prng_.below(2));
    request.model = OfferId(0);
    request.prompt_tokens =
        Tokens(std::clamp<long long>(std::llround(prng_.log_normal(800, 0.9)), 1, 8000));
    waiting_.insert(request.id);
    tell(sched::RequestArrived{request});
  }
  void fill() {
    arrive();
    while (!in_prefill_.empty())
      begin_decoding();
  }
  void begin_decoding() {
    const RequestId first = in_prefill_.front();
    in_prefill_.pop_front();
    tell(sched::FirstTokenEmitted{first});
  }
  void leave() {
    const RequestId first = *waiting_.begin();
    waiting_.erase(first);
    tell(sched::RequestCancelled{first});
  }
  void tell(const sched::Event& event) {
    decisions_.clear();
    const auto before = std::chrono::steady_clock::now();
    scheduler_.handle(now_, event, decisions_);
    spent_ += std::chrono::steady_clock::now() - before;
    for (const sched::Decision& decision : decisions_) {
      if (const auto* dispatch = std::get_if<sched::Dispatch>(&decision)) {
        in_flight_.push_back(dispatch->request);
        in_prefill_.push_back(dispatch->request);
        waiting_.erase(dispatch->request);
      } else if (const auto* preempt = std::get_if<sched::Preempt>(&decision)) {
        std::erase(in_flight_, preempt->request);
        std::erase(in_prefill_, preempt->request);
        waiting_.insert(preempt->request);
      } else if (const auto* reject = std::get_if<sched::Reject>(&decision)) {
        waiting_.erase(reject->request);
      } else if (const auto* wake = std::get_if<sched::WakeAt>(&decision)) {
        alarm_ = wake->at;
      } else if (const auto* solve = std::get_if<sched::SolvePrices>(&decision)) {
        program_ = solve->program;
        Result<LinearSolution> solution = solver_->solve(program_);
        if (solution.ok())
          duals_ = std::move(solution->dual);
      }
    }
    if (!duals_.empty())
      tell(sched::PricesSolved{std::exchange(duals_, {})});
  }

  sched::Scheduler scheduler_;
  const std::unique_ptr<solve::LinearSolver> solver_ = solve::make_linear_solver();
  Prng prng_{1};
  Instant now_{};
  std::optional<Instant> alarm_;
  std::uint64_t next_ = 0;
  std::set<RequestId> waiting_;  // those that came first, first
  std::deque<RequestId> in_flight_, in_prefill_;
  std::vector<sched::Decision> decisions_;
  std::vector<double> duals_;
  LinearProgram program_;
  std::chrono::steady_clock::duration spent_{};
};

// 200 groups on 50 pools, as the market states them: each may go to some of the pools.
LinearProgram large_program(std::uint64_t seed) {
  Prng prng(seed);
  LinearProgram program;
  for (int pool = 0; pool < 50; ++pool)
    program.add_row(1 + prng.uniform() * 20);
  for (int group = 0; group < 200; ++group) {
    const int row = program.add_row(prng.uniform() * 10);
    const double value = 0.05 + prng.uniform();
    for (int pool = 0; pool < 50; ++pool) {
      program.add_column(value * (0.5 + 0.5 * prng.uniform()));
      program.add_entry(row, 1);
      program.add_entry(pool, 0.05 + prng.uniform());
    }
  }
  return program;
}

double solve_ms(solve::LinearSolver& solver, const LinearProgram& program) {
  const auto before = std::chrono::steady_clock::now();
  if (const auto solution = solver.solve(program); !solution.ok())
    fmt::print(stderr, "{}\n", solution.error().message);
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - before)
      .count();
}

}  // namespace

int main() {
  const data::Catalog catalog = value_or_exit(data::read_catalog(data::default_catalog_folder()));
  fmt::print("{:>9}{:>9}  {:<13}{:>10}{:>10}{:>10}   of a request, us\n", "replicas", "waiting",
             "placement", "p50", "p99", "max");
  for (const Sizes& sizes : {Sizes{40, 20, 3, 10'000}, Sizes{640, 340, 19, 10'000}}) {
    std::string text(kFleet);
    replace(text, "H100", sizes.h100);
    replace(text, "B200", sizes.b200);
    replace(text, "LPUS", sizes.lpus);
    data::Scenario scenario = value_or_exit(data::parse_scenario(text, "bench.yaml", catalog));
    const perf::PerfModel models = value_or_exit(simulate::make_models(scenario.fleet));
    for (const PlacementKind placement : {PlacementKind::kRoundRobin, PlacementKind::kMedley}) {
      scenario.fleet.placement = placement;
      Run run(scenario.fleet, models);
      const bool holds = placement == PlacementKind::kMedley;
      const std::vector<double> costs = run.measure(holds ? sizes.waiting : 0, 20'000);
      fmt::print("{:>9}{:>9}  {:<13}{:>10.2f}{:>10.2f}{:>10.1f}\n", scenario.fleet.replica_count(),
                 run.waiting(), name_of(placement), costs[costs.size() / 2],
                 costs[costs.size() * 99 / 100], costs.back());
    }
  }
  // Cold: of the solver's first program; warm: of the same with rates up to a tenth different, as
  // the core states it every five seconds; misled: of one that only has the shape of the last.
  std::vector<double> cold, warm, misled;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const auto solver = solve::make_linear_solver();
    LinearProgram program = large_program(seed);
    cold.push_back(solve_ms(*solver, program));
    Prng prng(seed);
    for (double& limit : program.limit)
      limit *= 0.9 + 0.2 * prng.uniform();
    warm.push_back(solve_ms(*solver, program));
    misled.push_back(solve_ms(*solver, large_program(seed + 1)));
  }
  for (const auto& [name, ms] :
       {std::pair("cold", &cold), std::pair("warm", &warm), std::pair("misled", &misled)}) {
    std::sort(ms->begin(), ms->end());
    fmt::print("prices of 200 groups on 50 pools, {}: {:.1f} ms median, {:.1f} ms at most, of {}\n",
               name, (*ms)[ms->size() / 2], ms->back(), ms->size());
  }
}
