#include "plan/proof.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "base/prng.h"
#include "data/fleet_file.h"
#include "data/yaml.h"
#include "plan/replay.h"
#include "simulate/generator.h"
#include "simulate/simulation.h"
#include "simulate/workload.h"

namespace medley::plan {
namespace {

using data::Demand, data::DeviceOffer, data::Redundancy, data::Requirements;

constexpr double kDay = 86400;
constexpr double kShortest = 600, kLongest = 21600;  // seconds of a window
// Nobody waits when a window opens; what comes in this part of it is not counted.
constexpr double kWarmUp = 0.1;
// What is planned for an hour is to be done in it: deadlines are no later than the window's end,
// and what comes so late that it could hardly be done by then is not counted.
constexpr double kClosing = 0.1;
constexpr double kLittle = 1e-6;
constexpr double kPoint = 0.01;    // a promise is good to this
constexpr double kDeviations = 3;  // more than these is not chance
// A window is repeated on other seeds up to so many times, where few of its requests decide.
constexpr std::uint64_t kMostRepeats = 24, kNextSeeds = 10000;

// A window of the day: a period that presses the fleet, simulated on a day of its own.
struct Window {
  std::size_t period = 0;
  double start_s = 0;
};

class Simulations {
 public:
  Simulations(const Requirements& requirements, const std::vector<PoolType>& types,
              const Plan& plan, const ProofOptions& options)
      : requirements_(requirements),
        types_(types),
        plan_(plan),
        options_(options),
        periods_(periods_of(requirements)) {}

  Status prepare(const data::Catalog& catalog) {
    const std::string text = fleet_text(requirements_, types_, plan_.replicas, "");
    MEDLEY_TRY(const data::Node node, data::parse_yaml(text, "plan of " + requirements_.file));
    MEDLEY_TRY(fleet_, data::read_fleet(node, catalog, {.resolve_secrets = false}));
    // Pools that stand are what they are, and observed speeds count: neither is in a file's keys.
    std::size_t place = 0;
    for (std::size_t p = 0; p < types_.size(); ++p) {
      if (plan_.replicas[p] == 0)
        continue;
      const int replicas = fleet_.pools[place].replicas;
      fleet_.pools[place] = types_[p].pool;
      fleet_.pools[place++].replicas = replicas;
      models_.pools.push_back(types_[p].model);
    }
    for (const Demand& demand : requirements_.demands) {
      MEDLEY_TRY(const OfferId offer, data::offer_named(fleet_, demand.model));
      offers_.push_back(offer);
      traces_.emplace_back();
      if (demand.trace) {
        MEDLEY_TRY(traces_.back(), data::read_trace(*demand.trace));
      }
    }
    owners_ = fleet_.pools_of_replicas();
    // Replica numbers, as the fleet counts them.
    int first = 0;
    for (std::size_t p = 0; p < types_.size(); ++p) {
      first_.push_back(first);
      first += types_[p].service ? (plan_.replicas[p] > 0 ? 1 : 0) : plan_.replicas[p];
    }
    choose_windows();
    for (std::size_t g = 0; g < requirements_.demands.size(); ++g)
      closing_s_.push_back(closing_s(g));
    return Done{};
  }

  Proof run() {
    Proof proof;
    proof.whole = least_of_windows({}, &proof);
    if (!options_.failures)
      return proof;
    for (const Loss& loss : losses())
      proof.failures.push_back({loss.what, least_of_windows(loss.replicas, nullptr)});
    return proof;
  }

 private:
  struct Loss {
    std::string what;
    std::vector<int> replicas;
  };
  struct Drawn {
    double at_s = 0, left_s = 0;  // of the window
    std::size_t demand = 0;
    bool counted = false;
    long long prompt = 1, output = 1;
  };

  // What is kept, with replicas lost or none, of each demand in the window in which it is least.
  std::vector<Kept> least_of_windows(const std::vector<int>& lost, Proof* figures) const {
    std::vector<Kept> least(requirements_.demands.size());
    for (const Window& window : windows_) {
      bool counts = lost.empty();
      for (std::size_t g = 0; g < least.size(); ++g)
        counts = counts || (is_protected(requirements_, g) && planned_rate(g, window.period) > 0);
      if (!counts)
        continue;
      std::vector<Kept> kept(least.size());
      for (std::uint64_t repeat = 0; repeat < kMostRepeats; ++repeat) {
        for (const std::uint64_t seed : options_.seeds)
          simulate(window, seed + repeat * kNextSeeds, lost, kept, figures);
        if (tells(kept, !lost.empty()))
          break;
      }
      for (std::size_t g = 0; g < least.size(); ++g) {
        const std::optional<double> share = kept[g].share();
        if (!share || *share >= least[g].share().value_or(2))
          continue;
        least[g] = kept[g];
        if (windows_.size() > 1)
          least[g].from_hour = periods_[window.period].hours.front();
      }
    }
    return least;
  }

  // Whether the shares that count would be the same within a point on other seeds, or some is less
  // than what is asked by more than chance: then the others do not matter.
  bool tells(const std::vector<Kept>& kept, bool in_failure) const {
    bool all = true;
    for (std::size_t g = 0; g < kept.size(); ++g) {
      if (kept[g].requests == 0 || (in_failure && !is_protected(requirements_, g)))
        continue;
      const auto of = static_cast<double>(kept[g].requests);
      // One kept and one not beside those seen: of few requests that are all kept one may not be.
      const double share = (static_cast<double>(kept[g].kept) + 1) / (of + 2);
      const double chance = kDeviations * std::sqrt(share * (1 - share) / of);
      if (share + chance < requirements_.demands[g].attain)
        return true;
      all = all && chance * std::sqrt(2) <= kPoint;
    }
    return all;
  }

  double planned_rate(std::size_t g, std::size_t t) const {
    if (!requirements_.demands[g].movable())
      return periods_[t].rate_per_s[g];
    double rate = 0;
    for (const std::vector<double>& by_period : plan_.rate[g])
      rate += by_period[t];
    // The solver's dust is no work.
    return rate > kLittle * volume_a_day(periods_, g) ? rate : 0;
  }

  // The end of a window that is not counted for a demand: as long as a long answer takes alone.
  double closing_s(std::size_t g) const {
    const Demand& demand = requirements_.demands[g];
    if (!demand.targets.deadline && !demand.movable())
      return 0;
    double longest = kClosing * window_s_;
    const auto output = static_cast<double>(data::long_of(demand.output_tokens.back().tokens));
    for (std::size_t p = 0; p < types_.size(); ++p) {
      const Operation& state = types_[p].uses[g].operation;
      if (plan_.replicas[p] > 0 && types_[p].uses[g].ok())
        longest = std::max(longest, state.ttft_s + output * state.tpot_s);
    }
    return std::min(longest, window_s_ / 2);
  }

  // Replica time that a period takes, by devices.
  double busy(std::size_t t) const {
    double devices = 0;
    for (std::size_t g = 0; g < requirements_.demands.size(); ++g) {
      for (std::size_t p = 0; p < types_.size(); ++p) {
        if (types_[p].uses[g].ok())
          devices +=
              plan_.rate[g][p][t] * types_[p].devices / types_[p].uses[g].operation.requests_per_s;
      }
    }
    return devices;
  }

  // Periods that no other covers in the demands that cannot wait, those in which replicas are lent,
  // and the fullest one of those with batch.
  void choose_windows() {
    const std::size_t demands = requirements_.demands.size();
    std::vector<bool> interactive, kept;
    for (const Demand& demand : requirements_.demands) {
      interactive.push_back(!demand.movable());
    }
    for (std::size_t g = 0; g < demands; ++g)
      kept.push_back(is_protected(requirements_, g));
    std::vector<std::size_t> chosen = peaks_of(periods_, interactive);
    const auto include = [&](std::size_t period) {
      if (std::find(chosen.begin(), chosen.end(), period) == chosen.end())
        chosen.push_back(period);
    };
    for (const std::size_t period : peaks_of(periods_, kept))
      include(period);
    std::size_t fullest = 0, lent = periods_.size();
    double most = -1, most_lent = -1;
    for (std::size_t t = 0; t < periods_.size(); ++t) {
      double batch = 0, all = 0;
      for (std::size_t g = 0; g < demands; ++g) {
        batch += interactive[g] ? 0 : planned_rate(g, t);
        all += planned_rate(g, t);
      }
      if (batch > 0 && busy(t) > most) {
        most = busy(t);
        fullest = t;
      }
      if (lends(t) && all > most_lent) {
        most_lent = all;
        lent = t;
      }
    }
    if (most >= 0)
      include(fullest);
    if (lent < periods_.size())
      include(lent);
    double rate = 0;
    for (const std::size_t period : chosen) {
      for (std::size_t g = 0; g < demands; ++g)
        rate += planned_rate(g, period);
    }
    window_s_ = std::clamp(options_.requests / std::max(rate, 1e-9), kShortest, kLongest);
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      windows_.push_back(
          {chosen[i], static_cast<double>(i) * kDay + periods_[chosen[i]].hours.front() * 3600.0});
    }
  }

  bool lends(std::size_t period) const {
    for (std::size_t p = 0; p < types_.size(); ++p) {
      if (plan_.lent[p][period] > 0)
        return true;
    }
    return false;
  }
  std::vector<Loss> losses() const {
    std::vector<Loss> losses;
    const Redundancy redundancy = requirements_.redundancy;
    if (redundancy == Redundancy::kNone)
      return losses;
    if (redundancy == Redundancy::kZone || plan_.survives_zones) {
      for (const auto& [zone, limits] : requirements_.zones) {
        Loss loss{"all of zone " + zone, {}};
        for (std::size_t p = 0; p < types_.size(); ++p) {
          for (int i = 0; types_[p].pool.zone == zone && i < plan_.replicas[p]; ++i)
            loss.replicas.push_back(first_[p] + i);
        }
        if (!loss.replicas.empty())
          losses.push_back(std::move(loss));
      }
      return losses;
    }
    std::vector<int> mixed(types_.size(), 0);  // replicas that stand on nodes said one by one
    for (const Plan::Node& node : plan_.mixed) {
      Loss loss{"a node of", {}};
      for (const auto& [p, count] : node.replicas) {
        loss.what +=
            fmt::format("{} {} x {}", loss.replicas.empty() ? "" : ",", count, types_[p].pool.name);
        for (int i = 0; i < count; ++i)
          loss.replicas.push_back(first_[p] + mixed[p] + i);
        mixed[p] += count;
      }
      const bool told = std::any_of(losses.begin(), losses.end(),
                                    [&](const Loss& other) { return other.what == loss.what; });
      if (!told)
        losses.push_back(std::move(loss));
    }
    for (std::size_t p = 0; p < types_.size(); ++p) {
      if (!types_[p].device || plan_.replicas[p] <= mixed[p])
        continue;
      const DeviceOffer& of = requirements_.devices[*types_[p].device];
      const int lost = redundancy == Redundancy::kReplica ? 1 : of.replicas_lost(types_[p].devices);
      Loss loss{fmt::format("a {} of {}", redundancy == Redundancy::kReplica ? "replica" : "node",
                            types_[p].pool.name),
                {}};
      for (int i = mixed[p]; i < std::min(mixed[p] + lost, plan_.replicas[p]); ++i)
        loss.replicas.push_back(first_[p] + i);
      losses.push_back(std::move(loss));
    }
    return losses;
  }

  // Rows of the trace's own hours of the window's period, batch of all that it comes from.
  void add_trace(std::size_t g, double rate, const Window& window, std::uint64_t seed,
                 std::vector<Drawn>& drawn) const {
    std::vector<int> hours;
    for (const int hour : periods_[window.period].hours) {
      for (int before = 0; before < requirements_.demands[g].hours_to_serve(); ++before)
        hours.push_back((hour - before + 24) % 24);
    }
    for (const ReplayedRow& row :
         replay(traces_[g], hours, rate, window_s_, Prng::stream(seed, 0x7ace, g)))
      add(drawn, g, window.start_s, window.start_s + row.at_s, row.prompt, row.output);
  }

  void add(std::vector<Drawn>& drawn, std::size_t g, double window_s, double at_s, long long prompt,
           long long output) const {
    const double left_s = window_s + window_s_ - at_s;
    const bool counted = at_s >= window_s + kWarmUp * window_s_ && left_s >= closing_s_[g];
    drawn.push_back({at_s, left_s, g, counted, prompt, output});
  }

  simulate::Arrival arrival(std::size_t id, const Drawn& drawn) const {
    const Demand& demand = requirements_.demands[drawn.demand];
    simulate::Arrival of;
    of.request.id = RequestId(id);
    of.request.arrived_at = Instant(round_to_duration(Seconds(drawn.at_s)));
    of.request.service_class = demand.service_class;
    of.request.label = demand.label;
    of.request.model = offers_[drawn.demand];
    of.request.prompt_tokens = Tokens(drawn.prompt);
    of.request.targets = demand.targets;
    if (demand.targets.deadline || demand.movable()) {
      const Duration left = round_to_duration(Seconds(drawn.left_s));
      of.request.targets.deadline = std::min(demand.deadline_left().value_or(left), left);
    }
    of.output_tokens = drawn.output;
    return of;
  }

  // Adds what is kept of each demand.
  void simulate(const Window& window, std::uint64_t seed, const std::vector<int>& lost,
                std::vector<Kept>& kept, Proof* figures) const {
    std::vector<Drawn> drawn;
    const std::uint64_t of_window = seed * 1000 + window.period;
    data::WorkloadSpec spec;
    std::vector<std::size_t> demands;
    for (std::size_t g = 0; g < requirements_.demands.size(); ++g) {
      const Demand& demand = requirements_.demands[g];
      const double rate = planned_rate(g, window.period);
      if (rate <= 0)
        continue;
      if (demand.trace) {
        add_trace(g, rate, window, of_window, drawn);
        continue;
      }
      data::WorkloadStream stream;
      stream.for_s = window_s_;
      stream.start_s = window.start_s;
      stream.rate_per_s = rate;
      stream.arrivals.gap_cv = demand.gap_cv;
      stream.prompt_tokens = demand.prompt_tokens;
      stream.output_tokens = demand.output_tokens;
      stream.output_tokens.back().up_to = std::numeric_limits<long long>::max();
      spec.streams.push_back(std::move(stream));
      demands.push_back(g);
    }
    if (!spec.streams.empty()) {
      simulate::WorkloadGenerator generator(spec, of_window);
      while (const auto request = generator.next()) {
        add(drawn, demands[request->stream], window.start_s, request->arrived_s,
            request->prompt_tokens, request->output_tokens);
      }
    }
    if (drawn.empty())
      return;
    std::stable_sort(drawn.begin(), drawn.end(),
                     [](const Drawn& a, const Drawn& b) { return a.at_s < b.at_s; });
    std::vector<simulate::Arrival> arrivals;
    for (const Drawn& of : drawn)
      arrivals.push_back(arrival(arrivals.size(), of));
    const simulate::SimulationResult result =
        simulate::simulate(fleet_, models_, arrivals, faults(window, lost), {.seed = seed});
    for (std::size_t row = 0; row < drawn.size(); ++row) {
      if (!drawn[row].counted)
        continue;
      Kept& of = kept[drawn[row].demand];
      ++of.requests;
      of.kept += result.requests[row].kept ? 1 : 0;
    }
    if (figures != nullptr) {
      figures->requests += static_cast<long long>(arrivals.size());
      figures->hours += window_s_ / 3600;
      figures->peak_kw = std::max(figures->peak_kw, result.power.peak_kw);
      for (const simulate::RequestRecord& record : result.requests) {
        if (record.replica && fleet_.pool(owners_[record.replica->number()]).metered)
          figures->services_paid += record.money;
      }
      figures->services_planned +=
          metered_per_s(requirements_, types_, plan_, window.period) * window_s_;
    }
  }

  std::vector<simulate::Fault> faults(const Window& window, const std::vector<int>& lost) const {
    std::vector<simulate::Fault> faults;
    const auto lose = [&](int replica) {
      faults.push_back({ReplicaId(static_cast<std::uint64_t>(replica)),
                        Instant(round_to_duration(Seconds(window.start_s))),
                        round_to_duration(Seconds(window_s_)),
                        {}});
    };
    for (const int replica : lost)
      lose(replica);
    for (std::size_t p = 0; p < types_.size(); ++p) {
      // What is lent is taken from the end, and called back where something fails.
      const int count = lost.empty() ? plan_.lent[p][window.period] : 0;
      for (int i = 0; i < count; ++i)
        lose(first_[p] + plan_.replicas[p] - 1 - i);
    }
    return faults;
  }

  const Requirements& requirements_;
  const std::vector<PoolType>& types_;
  const Plan& plan_;
  const ProofOptions& options_;
  const std::vector<Period> periods_;
  Fleet fleet_;
  perf::PerfModel models_;
  std::vector<OfferId> offers_;
  std::vector<std::vector<data::TraceRequest>> traces_;
  std::vector<int> first_;
  std::vector<PoolId> owners_;
  std::vector<Window> windows_;
  double window_s_ = kShortest;
  std::vector<double> closing_s_;  // by demand
};

}  // namespace

Result<Proof> prove(const Requirements& requirements, const data::Catalog& catalog,
                    const std::vector<PoolType>& types, const Plan& plan,
                    const ProofOptions& options) {
  if (requirements.demands.empty())
    return Proof{};
  Simulations simulations(requirements, types, plan, options);
  MEDLEY_TRY_STATUS(simulations.prepare(catalog));
  return simulations.run();
}

namespace {

// Where a demand keeps least: in the whole fleet, or where it is protected, in a failure.
const Kept& least_of(const Requirements& requirements, const Proof& proof, std::size_t g) {
  const Kept* least = &proof.whole[g];
  if (is_protected(requirements, g)) {
    for (const Proof::Failure& failure : proof.failures) {
      const std::optional<double> share = failure.demands[g].share();
      if (share && *share < least->share().value_or(2))
        least = &failure.demands[g];
    }
  }
  return *least;
}

}  // namespace

std::vector<std::optional<double>> least_kept(const Requirements& requirements,
                                              const Proof& proof) {
  std::vector<std::optional<double>> kept;
  for (std::size_t g = 0; g < requirements.demands.size(); ++g)
    kept.push_back(least_of(requirements, proof, g).share());
  return kept;
}

std::string kept_text(const Kept& kept) {
  const std::optional<double> share = kept.share();
  if (!share)
    return "no requests";
  return fmt::format("{:.2f} %{}", *share * 100,
                     kept.from_hour ? fmt::format(" from {} h", *kept.from_hour) : "");
}

std::string worst_failure_text(const Requirements& requirements, const Proof& proof,
                               std::size_t demand) {
  const Kept* worst = nullptr;
  for (const Proof::Failure& failure : proof.failures) {
    const std::optional<double> share = failure.demands[demand].share();
    if (is_protected(requirements, demand) && share && (worst == nullptr || share < worst->share()))
      worst = &failure.demands[demand];
  }
  return worst == nullptr ? "-" : kept_text(*worst);
}

std::vector<BelowPromise> below_promise(const Requirements& requirements, const Proof& promise,
                                        const Proof& fresh) {
  std::vector<BelowPromise> below;
  for (std::size_t g = 0; g < fresh.whole.size(); ++g) {
    const Kept& of_promise = least_of(requirements, promise, g);
    const Kept& of_fresh = least_of(requirements, fresh, g);
    const std::optional<double> promised = of_promise.share(), kept = of_fresh.share();
    if (!promised || !kept)
      continue;
    const auto chance = [&](double share) {
      return kDeviations * std::sqrt(share * (1 - share) *
                                     (1 / static_cast<double>(of_promise.requests) +
                                      1 / static_cast<double>(of_fresh.requests)));
    };
    const double noticed = std::max(kPoint, chance((*promised + *kept) / 2));
    if (*promised - *kept > noticed) {
      below.push_back({g, *promised, *kept, requirements.demands[g].attain - *kept > kPoint});
    }
  }
  return below;
}

double cost_as_simulated(const Plan& plan, const Proof& proof) {
  constexpr double kHoursAYear = 8760;
  if (proof.services_planned > 0)
    return plan.total() + plan.costs.metered * (proof.services_paid / proof.services_planned - 1);
  // The plan pays nothing in the hours simulated: then as much in all others as in them, at most.
  return plan.total() + (proof.hours > 0 ? proof.services_paid / proof.hours * kHoursAYear : 0);
}

std::vector<bool> falls_short(const Requirements& requirements, const Proof& proof) {
  const std::vector<std::optional<double>> kept = least_kept(requirements, proof);
  std::vector<bool> shortfall;
  for (std::size_t g = 0; g < kept.size(); ++g)
    shortfall.push_back(kept[g] && *kept[g] < requirements.demands[g].attain);
  return shortfall;
}

namespace {

// Demands are counted for so many times what they are at most, and for that part at the least:
// beyond that it is not size that is missing, or not size that is too much.
constexpr double kMostCounted = 6, kLeastCounted = 1 / kMostCounted;

std::ptrdiff_t kinds_of(const Plan& plan) {
  return std::count_if(plan.replicas.begin(), plan.replicas.end(), [](int of) { return of > 0; });
}

bool any(const std::vector<bool>& flags) {
  return std::find(flags.begin(), flags.end(), true) != flags.end();
}

}  // namespace

Result<Plan> cheapest_of_few_kinds(const Requirements& requirements,
                                   const std::vector<PoolType>& types, solve::IntegerSolver& solver,
                                   PlanOptions options) {
  constexpr double kWorthAKind = 0.005;  // of the cost: our choice of what is next to nothing
  MEDLEY_TRY(Plan plan, cheapest(requirements, types, solver, options));
  if (plan.outcome != Plan::Outcome::kFound)
    return plan;
  const double bound = plan.total() * (1 - plan.gap);
  options.replicas.resize(types.size());
  for (std::size_t p = 0; p < types.size(); ++p) {
    const auto same_place = [&](std::size_t other) {
      return other != p && plan.replicas[other] > 0 && types[other].device == types[p].device &&
             types[other].pool.zone == types[p].pool.zone;
    };
    // A service costs nothing while it only waits for a failure, so the program may take one that
    // nobody needs.
    bool spare = types[p].service && !plan.has_work(p);
    for (std::size_t other = 0; other < types.size() && types[p].device; ++other)
      spare = spare || same_place(other);
    if (plan.replicas[p] == 0 || !spare || options.replicas[p] || options.with == p)
      continue;
    PlanOptions without = options;
    without.replicas[p] = 0;
    const Result<Plan> tried = cheapest(requirements, types, solver, without);
    if (!tried.ok())  // then there is a plan still: that with this kind
      continue;
    Plan fewer = *tried;
    if (fewer.outcome == Plan::Outcome::kFound && fewer.total() <= bound * (1 + kWorthAKind) &&
        kinds_of(fewer) < kinds_of(plan)) {
      options = without;
      fewer.gap = fewer.total() > 0 ? std::max(0.0, 1 - bound / fewer.total()) : 0;
      plan = std::move(fewer);
    }
  }
  return plan;
}

namespace {

// Finds the factors of the demands with which program and simulation agree.
class Calibration {
 public:
  Calibration(const Requirements& requirements, const data::Catalog& catalog,
              const std::vector<PoolType>& types, solve::IntegerSolver& solver,
              const PlanOptions& options, const ProofOptions& proof)
      : requirements_(requirements),
        catalog_(catalog),
        types_(types),
        solver_(solver),
        options_(options),
        proof_(proof) {
    out_.safety = options.safety;
    if (out_.safety.empty())
      out_.safety.assign(requirements.demands.size(), 1);
  }

  Result<Proven> run() {
    MEDLEY_TRY_STATUS(tighten());
    if (estimate_refused_ && !out_.agreed) {
      out_.nearest = std::move(nearest_);
      out_.plan = {.outcome = Plan::Outcome::kInfeasible};
    }
    if (out_.plan.outcome != Plan::Outcome::kFound)
      return std::move(out_);
    if (out_.agreed && proof_.loosen != ProofOptions::Loosen::kNot &&
        !requirements_.demands.empty())
      MEDLEY_TRY_STATUS(loosen());
    if (out_.agreed && proof_.neighbours) {
      for (const int by : {-1, 1}) {
        for (std::size_t p = 0; p < types_.size(); ++p) {
          if (types_[p].device && out_.plan.replicas[p] > 0)
            MEDLEY_TRY_STATUS(look_at_neighbour(p, by));
        }
      }
    }
    if (!proof_.fresh)
      return std::move(out_);
    ProofOptions fresh = proof_;
    for (std::uint64_t& seed : fresh.seeds)
      seed += 1000;
    proof_.tell("simulating on fresh seeds");
    MEDLEY_TRY(out_.fresh, prove(requirements_, catalog_, types_, out_.plan, fresh));
    for (const BelowPromise& of : below_promise(requirements_, out_.proof, out_.fresh))
      out_.agreed = out_.agreed && !of.below_asked;
    return std::move(out_);
  }

 private:
  Result<Plan> plan_with(const std::vector<double>& safety) {
    PlanOptions with = options_;
    with.safety = safety;
    return cheapest_of_few_kinds(requirements_, types_, solver_, with);
  }
  void take(std::vector<double> safety, Plan plan, Proof proof) {
    out_.agreed = !any(falls_short(requirements_, proof));
    out_.rounds.push_back({safety, plan.total(), least_kept(requirements_, proof), out_.agreed});
    double misses_by = -1;
    for (std::size_t g = 0; g < requirements_.demands.size(); ++g)
      misses_by = std::max(
          misses_by, requirements_.demands[g].attain - out_.rounds.back().kept[g].value_or(1));
    if (!nearest_ || misses_by < nearest_->misses_by)
      nearest_ = {plan, proof, misses_by};
    out_.safety = std::move(safety);
    out_.plan = std::move(plan);
    out_.proof = std::move(proof);
  }

  // A fleet that the estimate calls too small may be far too small. Its queues would take minutes
  // to simulate, so a short look at it comes first.
  Result<Proof> proof_of(const Plan& plan) {
    if (estimate_refused_) {
      ProofOptions look = proof_;
      look.seeds.resize(1);
      look.requests /= 10;
      look.failures = false;
      MEDLEY_TRY(Proof proof, prove(requirements_, catalog_, types_, plan, look));
      for (std::size_t g = 0; g < proof.whole.size(); ++g) {
        constexpr double kFar = 0.1, kDeviations = 4;
        const std::optional<double> kept = proof.whole[g].share();
        const double asked = requirements_.demands[g].attain;
        const double chance = kDeviations * std::sqrt(asked * (1 - asked) /
                                                      static_cast<double>(proof.whole[g].requests));
        if (kept && *kept < asked - kFar - chance)
          return proof;
      }
    }
    return prove(requirements_, catalog_, types_, plan, proof_);
  }

  // Counts what falls short for more until one replica more is bought, or batch that falls short is
  // given other hours, and again until nothing does, or nothing larger can be. Where the limits
  // leave no fleet, what did not fall short is counted for less: estimates refuse nobody.
  Status tighten() {
    constexpr int kMostRounds = 32;
    std::vector<double> safety = out_.safety;
    // What fell short when it counted for less than this.
    std::vector<double> least(safety.size(), 0);
    proof_.tell("solving for the cheapest fleet");
    MEDLEY_TRY(Plan plan, plan_with(safety));
    estimate_refused_ = plan.outcome == Plan::Outcome::kInfeasible;
    if (estimate_refused_) {
      MEDLEY_TRY(plan, squeezed(least, safety));
    }
    if (plan.outcome != Plan::Outcome::kFound) {
      estimate_refused_ = false;
      out_.plan = std::move(plan);
      return Done{};
    }
    for (int round = 0; round < kMostRounds; ++round) {
      proof_.tell(fmt::format("simulating the fleet of round {}", round + 1));
      MEDLEY_TRY(Proof proof, proof_of(plan));
      std::vector<bool> grow = falls_short(requirements_, proof);
      take(safety, std::move(plan), std::move(proof));
      if (out_.agreed)
        break;
      do {
        if (!count_more(grow, safety, least))
          return Done{};
        proof_.tell(fmt::format("solving for a fleet that keeps more, round {}", round + 2));
        MEDLEY_TRY(plan, plan_with(safety));
        if (plan.outcome == Plan::Outcome::kInfeasible) {
          MEDLEY_TRY(plan, squeezed(least, safety));
        }
        if (plan.outcome != Plan::Outcome::kFound)
          return Done{};
      } while (fleet_of(plan) == fleet_of(out_.plan) && !moves(grow, plan));
    }
    return Done{};
  }

  // Counts some demands for a step more. Where that went as far as it goes and bought nothing, it
  // is not their size that is missing: others come to where they are served, so all that may be
  // served there are counted for more in their place. Answers whether there is a step.
  bool count_more(std::vector<bool>& some, std::vector<double>& safety,
                  std::vector<double>& least) const {
    constexpr double kStep = 1.06;  // a fleet is whole replicas: smaller steps only take longer
    const auto step = [&] {
      bool any_more = false;
      for (std::size_t g = 0; g < some.size(); ++g) {
        if (some[g] && safety[g] < kMostCounted) {
          safety[g] *= kStep;
          least[g] = safety[g];
          any_more = true;
        }
      }
      return any_more;
    };
    if (step())
      return true;
    std::vector<bool> together = some;
    for (std::size_t p = 0; p < types_.size(); ++p) {
      if (out_.plan.replicas[p] == 0)
        continue;
      bool theirs = false;
      for (std::size_t g = 0; g < some.size(); ++g)
        theirs = theirs || (some[g] && types_[p].uses[g].ok());
      for (std::size_t g = 0; g < some.size() && theirs; ++g)
        together[g] = together[g] || types_[p].uses[g].ok();
    }
    if (together == some)
      return false;
    some = std::move(together);
    safety = out_.safety;
    return step();
  }

  // Whether there is any fleet within the limits, whatever it costs.
  Result<Plan::Outcome> possible(const std::vector<double>& safety) {
    PlanOptions with = options_;
    with.safety = safety;
    with.gap = 1;
    MEDLEY_TRY(const Plan found, cheapest(requirements_, types_, solver_, with));
    return found.outcome;
  }

  // The most that the limits leave: demands count for so much less, all alike and none for less
  // than `least`, as it takes for a fleet to be there, and those whose size is not in the way for
  // what they did. Where there is none even for next to nothing, size is in nobody's way: that
  // outcome is the answer.
  Result<Plan> squeezed(const std::vector<double>& least, std::vector<double>& safety) {
    constexpr double kClose = 1.005;  // less than a replica of most fleets
    const std::vector<double> from = safety;
    const auto counted = [&](double factor) {
      std::vector<double> with = from;
      for (std::size_t g = 0; g < with.size(); ++g)
        with[g] = std::max(with[g] * factor, std::min(with[g], least[g]));
      return with;
    };
    double low = kNextToNothing, high = 1;
    MEDLEY_TRY(const Plan::Outcome at_all, possible(counted(low)));
    if (at_all != Plan::Outcome::kFound)
      return Plan{.outcome = at_all};
    while (high / low > kClose) {
      const double middle = std::sqrt(low * high);
      MEDLEY_TRY(const Plan::Outcome there, possible(counted(middle)));
      (there == Plan::Outcome::kFound ? low : high) = middle;
    }
    safety = counted(low);
    for (std::size_t g = 0; g < safety.size() && safety.size() > 1; ++g) {
      const double less = std::exchange(safety[g], from[g]);
      if (less < from[g]) {
        MEDLEY_TRY(const Plan::Outcome there, possible(safety));
        if (there != Plan::Outcome::kFound)
          safety[g] = less;
      }
    }
    return plan_with(safety);
  }

  // Whether some of these demands are planned for other hours than they were.
  bool moves(const std::vector<bool>& some, const Plan& plan) const {
    constexpr double kNoticed = 0.01;  // of its largest rate
    for (std::size_t g = 0; g < some.size(); ++g) {
      if (!some[g] || !requirements_.demands[g].movable())
        continue;
      std::vector<double> change(periods_of(requirements_).size(), 0);
      double most = 0;
      for (std::size_t p = 0; p < types_.size(); ++p) {
        for (std::size_t t = 0; t < change.size(); ++t) {
          change[t] += plan.rate[g][p][t] - out_.plan.rate[g][p][t];
          most = std::max(most, plan.rate[g][p][t]);
        }
      }
      for (const double of : change) {
        if (std::abs(of) > most * kNoticed)
          return true;
      }
    }
    return false;
  }

  // The mirror of it: counts demands for less, just so far that the program finds something
  // cheaper, as long as simulation agrees with what it finds.
  Status loosen() {
    constexpr int kMostRefused = 3;
    for (bool again = true; again;) {
      again = false;
      for (const std::vector<bool>& some : groups()) {
        // A fleet that simulation refuses may hide another kind of fleet behind it, which it would
        // not refuse: some further steps.
        for (int refused = 0; refused < kMostRefused && !again; ++refused) {
          std::vector<double> safety;
          Plan plan;
          MEDLEY_TRY(const bool found, find_cheaper(some, safety, plan));
          if (!found)
            break;
          proof_.tell("simulating a cheaper fleet");
          MEDLEY_TRY(Proof proof, prove(requirements_, catalog_, types_, plan, proof_));
          // What counts hardware for more than it is leaves its work to services, which then cost
          // more than the plan says.
          if (any(falls_short(requirements_, proof)) ||
              cost_as_simulated(plan, proof) >= cost_as_simulated(out_.plan, out_.proof)) {
            refused_.push_back(fleet_of(plan));
          } else {
            take(std::move(safety), std::move(plan), std::move(proof));
            again = true;
          }
        }
        if (again)
          break;
      }
    }
    return Done{};
  }

  // Demands that are loosened together: all, those that each pool serves, and each by itself.
  std::vector<std::vector<bool>> groups() const {
    const std::size_t demands = requirements_.demands.size();
    std::vector<std::vector<bool>> groups = {std::vector<bool>(demands, true)};
    const auto add = [&](std::vector<bool> group) {
      if (any(group) && std::find(groups.begin(), groups.end(), group) == groups.end())
        groups.push_back(std::move(group));
    };
    if (proof_.loosen == ProofOptions::Loosen::kAlike)
      return groups;
    for (std::size_t p = 0; p < types_.size(); ++p) {
      std::vector<bool> served(demands, false);
      for (std::size_t g = 0; g < demands && out_.plan.replicas[p] > 0; ++g) {
        for (const double rate : out_.plan.rate[g][p])
          served[g] = served[g] || rate > kLittle;
      }
      add(std::move(served));
    }
    for (std::size_t g = 0; g < demands; ++g) {
      std::vector<bool> alone(demands, false);
      alone[g] = true;
      add(std::move(alone));
    }
    return groups;
  }

  // The least loosening of some demands with which the program finds a cheaper fleet that was not
  // refused. Answers whether there is one.
  Result<bool> find_cheaper(const std::vector<bool>& some, std::vector<double>& safety,
                            Plan& plan) {
    constexpr double kClose = 1.02;  // the factors are told to two digits
    const double cheaper = out_.plan.total() * (1 - 2 * options_.gap);
    const auto tried = [&](double factor) -> Result<bool> {
      std::vector<double> with = out_.safety;
      for (std::size_t g = 0; g < with.size(); ++g) {
        if (some[g])
          with[g] = std::max(with[g] * factor, std::min(with[g], kLeastCounted));
      }
      MEDLEY_TRY(Plan found, plan_with(with));
      if (found.outcome != Plan::Outcome::kFound || found.total() >= cheaper ||
          found.replicas == out_.plan.replicas ||
          std::find(refused_.begin(), refused_.end(), fleet_of(found)) != refused_.end()) {
        return false;
      }
      safety = std::move(with);
      plan = std::move(found);
      return true;
    };
    double low = kLeastCounted / kMostCounted, high = 1;
    MEDLEY_TRY(const bool at_all, tried(low));
    while (at_all && high / low > kClose) {
      const double middle = std::sqrt(low * high);
      MEDLEY_TRY(const bool there, tried(middle));
      (there ? low : high) = middle;
    }
    return at_all;
  }

  static std::pair<std::vector<int>, std::vector<std::vector<int>>> fleet_of(const Plan& plan) {
    return {plan.replicas, plan.lent};
  }

  // One replica less or more, with the work and hours of the choice. Whether it is enough is for
  // simulation to say; the program says only whether it is within the limits and what it costs.
  Status look_at_neighbour(std::size_t p, int by) {
    Proven::Neighbour neighbour;
    neighbour.what = fmt::format("one {} {}", types_[p].pool.name, by < 0 ? "less" : "more");
    Plan plan = out_.plan;
    plan.replicas[p] += by;
    for (int& lent : plan.lent[p])
      lent = std::min(lent, plan.replicas[p]);
    PlanOptions options{
        .safety = std::vector<double>(requirements_.demands.size(), that_fits(plan)),
        .given_fleet = true};
    // A node that may be lost has others beside it: those of the choice stay.
    if (requirements_.redundancy == Redundancy::kNode)
      options.nodes = plan.nodes;
    for (std::size_t i = 0; i < types_.size(); ++i) {
      options.replicas.push_back(types_[i].device ? std::optional<int>(plan.replicas[i])
                                                  : std::nullopt);
    }
    MEDLEY_TRY(const Plan priced, cheapest(requirements_, types_, solver_, options));
    if (priced.outcome == Plan::Outcome::kFound) {
      neighbour.cost = priced.total();
      proof_.tell("simulating a neighbour of the fleet");
      // Where replicas are lent, what is priced, since others may be then; else batch keeps its
      // hours, and nodes what they hold.
      MEDLEY_TRY(const Proof proof, prove(requirements_, catalog_, types_,
                                          requirements_.jobs.empty() ? plan : priced, proof_));
      neighbour.kept = least_kept(requirements_, proof);
      neighbour.keeps_all = !any(falls_short(requirements_, proof));
    }
    out_.neighbours.push_back(std::move(neighbour));
    return Done{};
  }

  // Counted for how much, at most what they are, all demands fit a fleet as they are planned there.
  double that_fits(const Plan& plan) const {
    constexpr double kRoom = 0.999;  // for the solver's dust
    double fits = 1;
    const std::vector<Period> periods = periods_of(requirements_);
    for (std::size_t p = 0; p < types_.size(); ++p) {
      for (std::size_t t = 0; t < periods.size() && types_[p].device; ++t) {
        double load = 0;
        for (std::size_t g = 0; g < requirements_.demands.size(); ++g) {
          if (types_[p].uses[g].ok())
            load += plan.rate[g][p][t] / types_[p].uses[g].operation.requests_per_s;
        }
        const int there = plan.replicas[p] - plan.lent[p][t];
        if (load > there)
          fits = std::min(fits, std::max(kRoom * there / load, kLeastCounted));
      }
    }
    return fits;
  }

  const Requirements& requirements_;
  const data::Catalog& catalog_;
  const std::vector<PoolType>& types_;
  solve::IntegerSolver& solver_;
  const PlanOptions& options_;
  const ProofOptions& proof_;
  Proven out_;
  std::optional<Proven::Nearest> nearest_;  // of all rounds
  bool estimate_refused_ = false;  // by the program with all demands as they are there is no fleet
  std::vector<std::pair<std::vector<int>, std::vector<std::vector<int>>>> refused_;
};

}  // namespace

Result<Proven> cheapest_proven(const Requirements& requirements, const data::Catalog& catalog,
                               const std::vector<PoolType>& types, solve::IntegerSolver& solver,
                               const PlanOptions& options, const ProofOptions& proof) {
  MEDLEY_TRY(Proven proven,
             Calibration(requirements, catalog, types, solver, options, proof).run());
  if (proven.plan.outcome == Plan::Outcome::kInfeasible &&
      requirements.redundancy == Redundancy::kNode) {
    // Whether it is the rule for nodes alone that leaves none.
    MEDLEY_TRY(const Plan none, cheapest(requirements, types, solver, options));
    proven.plan.within_rule = none.within_rule;
  }
  return proven;
}

}  // namespace medley::plan
