#include "simulate/bound.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "sched/admission.h"
#include "simulate/slice_program.h"

namespace medley::simulate {
namespace {

constexpr double kForever = std::numeric_limits<double>::infinity();
constexpr double kRounding = 1 - 1e-9;  // a target met exactly is met

// --- what one request takes of a batched replica ---

// At least so many seconds, or joules, by what is in the steps of a replica:
//   Σ steps ≥ prompt·(prompt tokens) + decode·(decodes) + context·(context tokens of decodes)
//             + attention·Σ prompts length²/2
struct Takes {
  double prompt = 0, decode = 0, context = 0, attention = 0;

  double of_prompt(double tokens) const {
    return prompt * tokens + attention * tokens * tokens / 2;
  }
  // Of all the tokens of an answer but the first, which the prompt's last step gives.
  double of_answer(double prompt_tokens, double decodes) const {
    return decodes * (decode + context * (prompt_tokens + (decodes + 1) / 2));
  }
};

// The most that the rules of the batching let into one step.
struct StepLimits {
  long long prompt = 1, decodes = 1, together = 1;
  bool apart = false;  // prompts and decodes never share a step
};

StepLimits limits_of(const Batching& batching, const perf::PoolModel& model) {
  const long long running = std::max(1, model.max_running);
  switch (batching.kind) {
    case BatchingKind::kChunkedPrefill:
      return {batching.chunk_tokens, running, std::max(batching.chunk_tokens, running)};
    case BatchingKind::kTokenBudget:
      return {batching.max_batched_tokens, std::min(running, batching.max_batched_tokens),
              batching.max_batched_tokens};
    case BatchingKind::kPrefillFirst:
      return {batching.max_batched_tokens, running, 0, true};
    case BatchingKind::kMixed:
      break;
  }
  // A prompt longer than the budget may go alone.
  const long long longest = std::max(batching.max_batched_tokens, model.max_context);
  return {longest, std::min(running, batching.max_batched_tokens), longest};
}

perf::StepShape decodes_alone(long long decodes, long long context) {
  return {.decodes = decodes,
          .decode_context = context,
          .decode_context_min = context / decodes,
          .decode_context_max = (context + decodes - 1) / decodes};
}

// What a step costs above its tokens' own share is divided by the most tokens that can be in it:
// the share of a token is never less. Slopes are taken where steps are small; that they hold
// everywhere is checked, and mended, at some hundred shapes, of which the extreme ones decide for
// costs that are linear, convex (roofline) or capped. Of measured tables it is a sample.
template <typename Cost>
Takes takes(const StepLimits& limits, const perf::PoolModel& model, const Cost& cost_of) {
  const auto cost = [&](long long prompt, long long before, long long decodes, long long context) {
    perf::StepShape shape = decodes > 0 ? decodes_alone(decodes, context) : perf::StepShape{};
    const perf::PrefillChunk chunk{prompt, before};
    if (prompt > 0)
      shape.chunks = {&chunk, 1};
    return cost_of(model.steps->step(shape));
  };
  const auto slope = [](double low, double high, long long by) {
    return std::max(0.0, (high - low) / static_cast<double>(by));
  };
  const auto held = [&](long long decodes) {
    const long long most = decodes * std::max(1LL, model.max_context);
    return std::max(decodes, model.kv_tokens > 0 ? std::min(model.kv_tokens, most) : most);
  };

  Takes takes;
  const long long prompt = std::max(2LL, limits.prompt), little = std::max(1LL, prompt / 8);
  takes.attention = slope(cost(little, 0, 0, 0), cost(little, 1000, 0, 0), little * 1000);
  takes.prompt =
      std::max(0.0, slope(cost(little, 0, 0, 0), cost(prompt, 0, 0, 0), prompt - little) -
                        takes.attention * static_cast<double>(prompt + little) / 2);
  const long long few = std::max(2LL, limits.decodes / 8);
  if (held(few) > few)
    takes.context = slope(cost(0, 0, few, few), cost(0, 0, few, held(few)), held(few) - few);
  takes.decode =
      std::max(0.0, slope(cost(0, 0, 1, 1), cost(0, 0, few, few), few - 1) - takes.context);

  struct Shape {
    double prompt, decodes, context, whole;
  };
  std::vector<Shape> shapes;
  for (long long decodes = 0;; decodes = std::clamp(2 * decodes, 1LL, limits.decodes)) {
    const long long room = limits.apart ? (decodes == 0 ? limits.prompt : 0)
                                        : std::clamp(limits.together - decodes, 0LL, limits.prompt);
    for (const long long chunk : {0LL, 1LL, room / 8, room / 4, room / 2, room}) {
      for (const long long context : {decodes, (decodes + held(decodes)) / 2, held(decodes)}) {
        if (chunk > room || chunk + decodes == 0)
          continue;
        shapes.push_back({static_cast<double>(chunk), static_cast<double>(decodes),
                          decodes > 0 ? static_cast<double>(context) : 0,
                          cost(chunk, 0, decodes, context)});
      }
    }
    if (decodes == limits.decodes)
      break;
  }
  const auto own = [&](const Shape& shape) {
    return takes.of_prompt(shape.prompt) + takes.decode * shape.decodes +
           takes.context * shape.context;
  };
  double fits = 1;
  for (const Shape& shape : shapes)
    fits = own(shape) > shape.whole ? std::min(fits, shape.whole / own(shape)) : fits;
  takes.prompt *= fits, takes.decode *= fits, takes.context *= fits, takes.attention *= fits;

  double with_prompt = kForever, without = kForever;
  for (const Shape& shape : shapes) {
    double& fixed = shape.prompt > 0 ? with_prompt : without;
    fixed = std::min(fixed, std::max(0.0, shape.whole - own(shape)));
  }
  const auto most = [](long long tokens) { return static_cast<double>(tokens); };
  if (limits.apart) {
    takes.prompt += with_prompt / most(limits.prompt);
    takes.decode += without / most(limits.decodes);
    return takes;
  }
  const double fixed = std::min(with_prompt, without);
  takes.prompt += fixed / most(limits.together) + (with_prompt - fixed) / most(limits.prompt);
  takes.decode += fixed / most(limits.together);
  return takes;
}

// --- from requests to the program ---

// The seconds after the start by which first token and end are due, if the targets are to be kept.
// Infinite: no target says.
struct Due {
  double arrived_s = 0, first_token_s = kForever, end_s = kForever;
};

// Whoever must be running at a moment, wherever its work is put, shares the cost of that moment.
class MustRun {
 public:
  void add(double from_s, double until_s) {
    if (from_s < until_s)
      turns_.insert(turns_.end(), {{from_s, 1}, {until_s, -1}});
  }
  void finish() {
    std::sort(turns_.begin(), turns_.end());
    double sum_s = 0, last_s = 0;
    int running = 0;
    for (const auto& [at_s, change] : turns_) {
      if (running > 0) {
        total_s_ += at_s - last_s;
        sum_s += (at_s - last_s) / running;
      }
      running += change;
      last_s = at_s;
      at_.push_back(at_s);
      shared_s_.push_back(sum_s);
    }
  }
  // Of what was added.
  double share_s(double from_s, double until_s) const {
    return from_s < until_s ? until(until_s) - until(from_s) : 0;
  }
  double total_s() const { return total_s_; }

 private:
  double until(double at_s) const {
    const auto found = std::lower_bound(at_.begin(), at_.end(), at_s);
    return shared_s_[static_cast<std::size_t>(found - at_.begin())];
  }
  std::vector<std::pair<double, int>> turns_;
  std::vector<double> at_, shared_s_;
  double total_s_ = 0;
};

// Of a row: some megabytes for a workload of days.
constexpr double kMostNarrowSlices = 100'000;

// What of its prompt a request may find computed: another one has it, and came before this one's
// first token is due. That one may have computed it on any replica, and nothing is ever forgotten.
class Reusable {
 public:
  Reusable(const Fleet& fleet, const std::vector<Arrival>& arrivals) : fleet_(fleet) {
    for (std::size_t row = 0; row < arrivals.size(); ++row) {
      const Request& request = arrivals[row].request;
      for (std::size_t i = 0; request.prefix && i < request.prefix->blocks.size(); ++i) {
        Earliest& of = earliest_[request.prefix->blocks[i]];
        if (request.arrived_at < of.at) {
          of = {request.arrived_at, row, of.at};
        } else {
          of.next = std::min(of.next, request.arrived_at);
        }
      }
    }
  }

  // At least one token it computes itself.
  long long tokens(const Request& request, std::size_t row) const {
    if (!request.prefix)
      return 0;
    const Targets targets = sched::effective_targets(fleet_, request);
    Instant due = Instant::max();
    for (const auto& target : {targets.ttft, targets.deadline}) {
      if (target)
        due = std::min(due, request.arrived_at + *target);
    }
    long long blocks = 0;
    for (const std::uint64_t block : request.prefix->blocks) {
      const Earliest& of = earliest_.at(block);
      if ((of.row == row ? of.next : of.at) > due)
        break;
      ++blocks;
    }
    return std::min(blocks * request.prefix->block_tokens, request.prompt_tokens.count() - 1);
  }

 private:
  struct Earliest {
    Instant at = Instant::max();
    std::size_t row = 0;
    Instant next = Instant::max();  // of another row
  };
  const Fleet& fleet_;
  std::unordered_map<std::uint64_t, Earliest> earliest_;
};

class Builder {
 public:
  Builder(const Fleet& fleet, const perf::PerfModel& perf, const std::vector<Arrival>& arrivals,
          const BoundOptions& options)
      : fleet_(fleet), perf_(perf), count_costs_(options.count_costs) {
    if (!arrivals.empty()) {
      const Duration lasts =
          arrivals.back().request.arrived_at - arrivals.front().request.arrived_at;
      slice_s_ = std::max(options.slice_s, to_seconds(lasts).value() / kMostNarrowSlices);
    }
    for (std::size_t i = 0; i < fleet.pools.size(); ++i)
      pools_.push_back(describe(PoolId(i)));
    std::vector<Visit> visits;
    std::vector<std::size_t> starts;
    const Reusable reusable(fleet, arrivals);
    for (std::size_t r = 0; r < arrivals.size(); ++r) {
      starts.push_back(visits.size());
      const long long found = reusable.tokens(arrivals[r].request, r);
      for (std::size_t i = 0; i < fleet.pools.size(); ++i) {
        if (std::optional<Visit> visit = visit_to(PoolId(i), arrivals[r], found))
          visits.push_back(*visit);
      }
    }
    starts.push_back(visits.size());
    divide_power(visits, starts);
    for (std::size_t r = 0; r < arrivals.size(); ++r) {
      program_.add_request();
      const double value = fleet.policy(arrivals[r].request.service_class).value.value();
      for (std::size_t v = starts[r]; v < starts[r + 1]; ++v)
        add_option(value, visits[v]);
    }
    program_.finish();
  }
  SliceProgram take() { return std::move(program_); }

 private:
  // What is the same for all requests of a pool.
  struct PoolFacts {
    StepLimits limits;              // batched
    Takes seconds, joules;          // batched
    double token_s = 0, watts = 0;  // slotted
    // Slotted: power is drawn while the lane is busy, while a slot is filled, and while somebody
    // must be running. It is no less than by any of the three; the one that tells most is counted.
    enum class Pays { kLane, kSlots, kMustRun } pays = Pays::kSlots;
    MustRun must_run;
    std::optional<std::size_t> first_row, second_row;  // what its options need, in that order
  };

  // A request on an idle replica of a pool that it may have.
  struct Visit {
    std::size_t pool = 0;
    Due due;
    double first = 0, second = 0;  // what it needs of the pool's rows
    double second_from_s = 0;      // not before
    double joules = 0, money = 0;
    bool only_here = false;  // no other pool could keep it
  };

  PoolFacts describe(PoolId id) {
    const Pool& pool = fleet_.pool(id);
    const perf::PoolModel& model = perf_.pool(id);
    PoolFacts facts;
    const double replicas = pool.replicas, slice_s = slice_s_;
    switch (model.kind) {
      case perf::ServingKind::kBatched:
        facts.limits = limits_of(pool.batching, model);
        facts.seconds =
            takes(facts.limits, model, [](const auto& cost) { return cost.time.value(); });
        facts.joules =
            takes(facts.limits, model, [](const auto& cost) { return cost.energy.value(); });
        facts.first_row = facts.second_row = program_.add_row(slice_s, replicas * slice_s);
        break;
      case perf::ServingKind::kSlotted: {
        const perf::StepCost token = model.steps->step({.decodes = 1});
        facts.token_s = token.time.value();
        facts.watts = (token.energy / token.time).value();
        facts.first_row = program_.add_row(slice_s, replicas * slice_s);
        facts.second_row = program_.add_row(slice_s, replicas * slice_s * model.max_running);
        break;
      }
      case perf::ServingKind::kMetered: {
        // A quota holds for every minute and every day, whenever it begins.
        constexpr double kMinute = 60, kDay = 86400;
        const Metered& metered = pool.metered.value();
        if (metered.tokens_per_minute) {
          facts.first_row =
              program_.add_row(kMinute, static_cast<double>(*metered.tokens_per_minute));
        }
        if (metered.requests_per_day)
          facts.second_row = program_.add_row(kDay, static_cast<double>(*metered.requests_per_day));
        break;
      }
    }
    return facts;
  }

  // `found`: tokens of its prompt that a replica with a cache need not compute.
  std::optional<Visit> visit_to(PoolId id, const Arrival& arrival, long long found) const {
    if (sched::forbidden_by_law(fleet_, perf_, arrival.request, id) != sched::Forbidden::kNo)
      return std::nullopt;
    const Pool& pool = fleet_.pool(id);
    const perf::PoolModel& model = perf_.pool(id);
    const bool is_empty =
        pool.replicas < 1 || (pool.metered && (pool.metered->tokens_per_minute == 0 ||
                                               pool.metered->requests_per_day == 0));
    if (is_empty)
      return std::nullopt;
    const long long prompt = arrival.request.prompt_tokens.count();
    const long long longest = model.max_context > 0 ? model.max_context : model.kv_tokens;
    if (longest > 0 && prompt + arrival.output_tokens > longest)
      return std::nullopt;  // a cut answer is not kept
    switch (model.kind) {
      case perf::ServingKind::kBatched:
        return visit_batched(id, arrival, pool.batching.prefix_caching ? found : 0);
      case perf::ServingKind::kSlotted:
        return visit_slotted(id, arrival);
      case perf::ServingKind::kMetered:
        break;
    }
    // The service draws its delay: it may be none.
    const Metered& metered = pool.metered.value();
    const std::optional<Due> due = due_of(arrival, 0, metered.tpot_s);
    if (!due)
      return std::nullopt;
    return Visit{
        .pool = id.number(),
        .due = {due->arrived_s, due->first_token_s, due->first_token_s},  // paid when sent
        .first = static_cast<double>(prompt + arrival.output_tokens),
        .second = 1,
        .second_from_s = due->arrived_s,
        .money = metered.price(arrival.request.prompt_tokens, Tokens(arrival.output_tokens))};
  }

  std::optional<Visit> visit_batched(PoolId id, const Arrival& arrival, long long found) const {
    const PoolFacts& facts = pools_[id.number()];
    const perf::StepModel& steps = *perf_.pool(id).steps;
    const long long prompt = arrival.request.prompt_tokens.count(), computed = prompt - found;
    // Its prompt alone, in as few steps as can be, each with the context of the middle one.
    const long long chunk = facts.limits.prompt, full = computed / chunk, rest = computed % chunk;
    double first_s = rest > 0 ? prompt_time(steps, rest, prompt - rest) : 0;
    if (full > 0)
      first_s +=
          static_cast<double>(full) * prompt_time(steps, chunk, found + (full - 1) * chunk / 2);
    const double token_s = steps.step(decodes_alone(1, prompt)).time.value();
    const std::optional<Due> due = due_of(arrival, first_s, token_s);
    if (!due)
      return std::nullopt;
    const auto tokens = static_cast<double>(prompt), before = static_cast<double>(found);
    const auto of_prompt = [&](const Takes& takes) {
      return takes.of_prompt(tokens) - takes.of_prompt(before);
    };
    const auto decodes = static_cast<double>(arrival.output_tokens - 1);
    return Visit{.pool = id.number(),
                 .due = *due,
                 .first = of_prompt(facts.seconds),
                 .second = facts.seconds.of_answer(tokens, decodes),
                 .second_from_s = due->arrived_s + first_s,
                 .joules = of_prompt(facts.joules) + facts.joules.of_answer(tokens, decodes)};
  }

  std::optional<Visit> visit_slotted(PoolId id, const Arrival& arrival) const {
    const PoolFacts& facts = pools_[id.number()];
    const double lane_s =
        prompt_time(*perf_.pool(id).steps, arrival.request.prompt_tokens.count(), 0);
    const double answer_s = facts.token_s * static_cast<double>(arrival.output_tokens);
    std::optional<Due> due = due_of(arrival, lane_s + facts.token_s, facts.token_s);
    if (!due)
      return std::nullopt;
    due->first_token_s -= facts.token_s;  // the lane is left a token before
    due->end_s = due->first_token_s + answer_s;
    return Visit{.pool = id.number(),
                 .due = *due,
                 .first = lane_s,
                 .second = lane_s + answer_s,
                 .second_from_s = due->arrived_s};
  }

  static double prompt_time(const perf::StepModel& steps, long long tokens, long long before) {
    const perf::PrefillChunk chunk{tokens, before};
    perf::StepShape shape;
    shape.chunks = {&chunk, 1};
    return steps.step(shape).time.value();
  }

  // Empty: a replica that needs `first_s` to the first token and then `token_s` a token cannot keep
  // the request's targets.
  std::optional<Due> due_of(const Arrival& arrival, double first_s, double token_s) const {
    const Targets targets = sched::effective_targets(fleet_, arrival.request);
    const auto seconds = [](const std::optional<Duration>& target) {
      return target ? to_seconds(*target).value() : kForever;
    };
    const auto more = static_cast<double>(arrival.output_tokens - 1);
    const double ttft_s = seconds(targets.ttft), deadline_s = seconds(targets.deadline);
    const double tpot_s = more > 0 ? seconds(targets.tpot) : 0;
    if (first_s * kRounding > ttft_s || (more > 0 && token_s * kRounding > tpot_s) ||
        (first_s + more * token_s) * kRounding > deadline_s)
      return std::nullopt;
    Due due{to_seconds(arrival.request.arrived_at).value()};
    due.first_token_s =
        due.arrived_s + std::max(first_s, std::min(ttft_s, deadline_s - more * token_s));
    due.end_s = std::min(due.arrived_s + std::max(deadline_s, first_s + more * token_s),
                         more > 0 ? due.first_token_s + more * tpot_s : due.first_token_s);
    return due;
  }

  // Gives every visit of a slotted pool its part of the power, see PoolFacts::pays.
  void divide_power(std::vector<Visit>& visits, const std::vector<std::size_t>& starts) {
    struct Sums {
      double lane_s = 0, slots_s = 0;
    };
    std::vector<Sums> only_here(pools_.size()), all(pools_.size());
    const auto is_slotted = [&](const Visit& visit) {
      return perf_.pools[visit.pool].kind == perf::ServingKind::kSlotted;
    };
    const auto slots_s = [&](const Visit& visit) {
      return visit.second / perf_.pools[visit.pool].max_running;
    };
    for (std::size_t r = 0; r + 1 < starts.size(); ++r) {
      for (std::size_t v = starts[r]; v < starts[r + 1]; ++v) {
        Visit& visit = visits[v];
        if (!is_slotted(visit))
          continue;
        visit.only_here = starts[r + 1] - starts[r] == 1;
        if (visit.only_here)
          pools_[visit.pool].must_run.add(visit.due.first_token_s - visit.first,
                                          visit.due.arrived_s + visit.second);
        for (Sums* sums : {&all[visit.pool], &only_here[visit.pool]}) {
          if (sums == &all[visit.pool] || visit.only_here)
            *sums = {sums->lane_s + visit.first, sums->slots_s + slots_s(visit)};
        }
      }
    }
    for (std::size_t i = 0; i < pools_.size(); ++i) {
      using Pays = PoolFacts::Pays;
      pools_[i].must_run.finish();
      const Sums& sums = only_here[i].slots_s > 0 ? only_here[i] : all[i];
      pools_[i].pays = sums.lane_s >= sums.slots_s ? Pays::kLane : Pays::kSlots;
      if (pools_[i].must_run.total_s() > std::max(sums.lane_s, sums.slots_s))
        pools_[i].pays = Pays::kMustRun;
    }
    for (Visit& visit : visits) {
      if (!is_slotted(visit))
        continue;
      const PoolFacts& facts = pools_[visit.pool];
      double on_s = 0;
      switch (facts.pays) {
        case PoolFacts::Pays::kLane:
          on_s = visit.first;
          break;
        case PoolFacts::Pays::kSlots:
          on_s = slots_s(visit);
          break;
        case PoolFacts::Pays::kMustRun:
          if (visit.only_here) {
            on_s = facts.must_run.share_s(visit.due.first_token_s - visit.first,
                                          visit.due.arrived_s + visit.second);
          }
          break;
      }
      visit.joules = facts.watts * on_s;
    }
  }

  void add_option(double value, const Visit& visit) {
    const PoolFacts& facts = pools_[visit.pool];
    const double cost = visit.money + visit.joules * joule_price(visit.due);
    program_.add_option(count_costs_ ? value - cost : value,
                        {{facts.first_row.value_or(0), visit.due.arrived_s, visit.due.first_token_s,
                          facts.first_row ? visit.first : 0},
                         {facts.second_row.value_or(0), visit.second_from_s, visit.due.end_s,
                          facts.second_row ? visit.second : 0}});
  }

  // Least price of a joule from its arrival until an hour after its end is due: a step is paid when
  // the last of those that share it ends.
  double joule_price(const Due& due) const {
    constexpr double kHour = 3600;
    double least = kForever;
    for (int hour = 0; hour <= 24; ++hour) {
      const double at_s = std::min(due.arrived_s + hour * kHour, due.end_s + kHour);
      least = std::min(least, fleet_.energy_price(round_to_instant(Seconds(at_s))).value());
    }
    return least;
  }

  const Fleet& fleet_;
  const perf::PerfModel& perf_;
  const bool count_costs_;
  double slice_s_ = 1;
  std::vector<PoolFacts> pools_;
  SliceProgram program_;
};

// A bound below `enough_share` of all value need not be lowered further.
Bound lowest(const Fleet& fleet, const perf::PerfModel& perf, const std::vector<Arrival>& arrivals,
             const BoundOptions& options, double enough_share) {
  MEDLEY_CHECK(options.slice_s > 0 && options.iterations >= 1);
  SliceProgram program = Builder(fleet, perf, arrivals, options).take();
  Bound result;
  for (const Arrival& arrival : arrivals)
    result.all_value += fleet.policy(arrival.request.service_class).value.value();

  // Subgradient steps with momentum, each price's own width by AdaGrad (Duchi, Hazan and Singer
  // 2011). All widths grow while that still leads down, and shrink when it does not. On the Azure
  // trace other constants (half or double the first width, momentum .9 or .97, growth 1 or 1.2) end
  // within a thousandth of the same bound.
  constexpr double kFirstWidth = 0.05, kMomentum = 0.95, kGrowth = 1.5, kShrinkage = 0.5;
  constexpr int kLookBack = 20;  // steps
  const std::size_t count = program.variables();
  std::vector<double> prices(count), best_prices(count), left(count), squares(count), drift(count);
  std::vector<double> best_after;
  result.value = kForever;
  double width = kFirstWidth, earlier = kForever;
  while (result.iterations < options.iterations) {
    const double value = program.dual(prices, left);
    if (value < result.value) {
      result.value = value;
      best_prices = prices;
    }
    best_after.push_back(result.value);
    ++result.iterations;
    if (result.value < enough_share * result.all_value)
      break;
    if (result.iterations % kLookBack == 0) {
      width *= value < earlier ? kGrowth : kShrinkage;
      earlier = value;
    }
    for (std::size_t i = 0; i < count; ++i) {
      const double slope = left[i] / program.capacity()[i];
      squares[i] += slope * slope;
      drift[i] = kMomentum * drift[i] + (1 - kMomentum) * slope;
      if (squares[i] > 0) {
        const double step = width * program.worth()[i] * drift[i] / std::sqrt(squares[i]);
        prices[i] = std::max(0.0, prices[i] - step);
      }
    }
  }
  result.reached = std::max(program.fill(best_prices), program.fill(prices));
  result.lowered = best_after[best_after.size() - 1 - best_after.size() / 10] - result.value;
  return result;
}

}  // namespace

Bound bound(const Fleet& fleet, const perf::PerfModel& perf, const std::vector<Arrival>& arrivals,
            const BoundOptions& options) {
  return lowest(fleet, perf, arrivals, options, 0);
}

LoadOne load_one(const Fleet& fleet, const perf::PerfModel& perf,
                 const std::function<std::vector<Arrival>(double)>& arrivals_at, double least,
                 double most, const BoundOptions& options) {
  MEDLEY_CHECK(0 < least && least <= most);
  BoundOptions by_value = options;
  by_value.count_costs = false;
  const auto at = [&](double load) {
    return LoadOne{load, lowest(fleet, perf, arrivals_at(load), by_value, kLoadOneShare)};
  };
  const auto keeps = [](const LoadOne& tried) { return tried.bound.share() >= kLoadOneShare; };
  // By twos from 1, so that what comes for a time is not made a hundred times as much in vain.
  LoadOne found = at(std::clamp(1.0, least, most));
  if (keeps(found)) {
    while (found.load < most) {
      const LoadOne tried = at(std::min(most, 2 * found.load));
      if (!keeps(tried)) {
        most = tried.load;
        break;
      }
      found = tried;
    }
  } else {
    while (!keeps(found) && found.load > least) {
      most = found.load;
      found = at(std::max(least, found.load / 2));
    }
  }
  while (keeps(found) && most > found.load * 1.01) {
    const LoadOne tried = at(std::sqrt(found.load * most));
    if (keeps(tried))
      found = tried;
    else
      most = tried.load;
  }
  return found;
}

}  // namespace medley::simulate
