#include "fault_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/prng.h"
#include "sched/test_fleet.h"

namespace medley::sched {
namespace {

using std::chrono::hours, std::chrono::milliseconds, std::chrono::minutes, std::chrono::seconds;

// What may happen to this seed's requests, replicas and clock.
struct Options {
  std::uint64_t requests = 0;
  double gap_s = 0;
  bool burst = false;  // nearly all of it at once, of one class
  ServiceClass burst_class = ServiceClass::kGuaranteed;
  bool crowd = false;  // patient work comes first, guaranteed work after it
  double fails = 0, breaks = 0, refused = 0, stalls = 0, absurd = 0, cancels = 0;  // shares
  bool one_kind = false;     // most of it of one class and label
  double long_prompts = 0;   // share of prompts too long for some pools
  double speed_sigma = 0;    // of what is observed against what is predicted
  double strays = 0;         // stray events by request
  double reports = 0;        // reports by request
  bool late_alarms = false;  // and early ones
  int storms = 0, flaps = 0, moods = 0, jumps = 0;
};

struct Setting {
  TestFleet made;
  Options options;
};

std::vector<TestPool> draw_pools(Prng& prng, bool burst) {
  const std::vector<std::string> zones = {"here", "edge", "us-east"};
  std::vector<TestPool> pools;
  const std::uint64_t count = 1 + prng.below(burst ? 2 : 5);
  for (std::uint64_t i = 0; i < count; ++i) {
    TestPool pool;
    pool.name = fmt::format("pool{}", i);
    pool.zone = zones[burst ? 0 : prng.below(zones.size())];
    pool.replicas = 1 + static_cast<int>(prng.below(burst ? 2 : 4));
    pool.max_running = 1 + static_cast<int>(prng.below(12));
    pool.step_s = prng.log_normal(0.008, 0.8);
    pool.max_context = 512 + static_cast<long long>(prng.below(8000));
    pool.kv_tokens = pool.max_context + static_cast<long long>(prng.below(20'000));
    const std::uint64_t kind = burst ? 2 : prng.below(5);
    if (kind == 0)
      pool.kind = perf::ServingKind::kSlotted;
    if (kind == 1) {
      pool.kind = perf::ServingKind::kMetered;
      pool.metered = {.per_million_prompt = prng.uniform() * 3,
                      .per_million_output = prng.uniform() * 10,
                      .ttft_median_s = 0.1 + prng.uniform() / 2,
                      .ttft_sigma = 0.5,
                      .tpot_s = 0.005 + 0.03 * prng.uniform()};
      if (prng.below(2) == 0)
        pool.metered.tokens_per_minute = 600 + static_cast<long long>(prng.below(20'000));
      if (prng.below(2) == 0)
        pool.metered.requests_per_day = 2 + static_cast<long long>(prng.below(30));
    }
    pools.push_back(pool);
  }
  if (!burst && prng.below(3) == 0) {
    // The same service twice, at two prices; the dearer one first, so that a tie would go to it.
    TestPool dear;
    dear.name = "dear";
    dear.zone = zones[prng.below(zones.size())];
    dear.max_running = 20;
    dear.kind = perf::ServingKind::kMetered;
    dear.metered = {.per_million_prompt = 1 + 2 * prng.uniform(),
                    .per_million_output = 1 + 9 * prng.uniform(),
                    .ttft_median_s = 0.05 + 0.1 * prng.uniform(),
                    .ttft_sigma = 0.4,
                    .tpot_s = 0.002 + 0.02 * prng.uniform()};
    TestPool cheap = dear;
    cheap.name = "cheap";
    cheap.metered.per_million_prompt *= 0.5;
    cheap.metered.per_million_output *= 0.5;
    pools.push_back(dear);
    pools.push_back(cheap);
  }
  return pools;
}

PlacementPolicy draw_policy(Prng& prng) {
  constexpr PlacementKind kSimple[] = {PlacementKind::kRoundRobin, PlacementKind::kLeastOutstanding,
                                       PlacementKind::kLeastPendingTokens,
                                       PlacementKind::kLeastQueued};
  PlacementPolicy policy;
  const std::uint64_t which = prng.below(20);
  if (which < 5) {
    policy.kind = kSimple[which % 4];
  } else if (which < 7) {
    policy.kind = kSimple[prng.below(4)];
    policy.admission = true;
  } else if (which < 9) {
    policy.left_out[prng.below(kScorePartCount)] = true;
  }
  return policy;
}

Setting draw_setting(Prng& prng) {
  Options options;
  options.burst = prng.below(40) == 0;
  Setting setting{make_test_fleet(draw_pools(prng, options.burst)), {}};
  Fleet& fleet = setting.made.fleet;
  for (perf::PoolModel& model : setting.made.perf.pools) {
    if (model.kind == perf::ServingKind::kMetered)
      model.kv_tokens = model.max_context * model.max_running;
  }
  if (!options.burst)
    fleet.placement = draw_policy(prng);
  // A second name that some pools answer, by class.
  Offer second{"second", {}};
  for (auto& of_class : second.pools) {
    for (std::size_t pool = 0; pool < fleet.pools.size(); ++pool) {
      if (prng.below(2) == 0)
        of_class.push_back(PoolId(pool));
    }
  }
  fleet.offers.push_back(second);

  options.requests = 10 + prng.below(60);
  options.gap_s = prng.log_normal(0.05, 1.2);
  if (options.burst) {
    options.burst_class = kServiceClasses[prng.below(2)];
    options.requests = options.burst_class == ServiceClass::kGuaranteed ? 400 : 1200;
  }
  options.crowd = !options.burst && prng.below(8) == 0;
  if (options.crowd) {
    fleet.placement = {};
    fleet.classes[index_of(ServiceClass::kGuaranteed)].targets = {
        seconds(2), milliseconds(100), {}};
  }
  options.one_kind = prng.below(4) == 0;
  options.long_prompts = prng.below(4) == 0 ? prng.uniform() : 0;
  const auto share = [&prng](double most) {
    return prng.below(2) == 0 ? 0 : prng.uniform() * most;
  };
  options.fails = prng.below(6) == 0 ? 0.5 + 0.5 * prng.uniform() : share(0.3);
  options.breaks = share(0.2);
  options.refused = share(0.1);
  options.stalls = share(0.2);
  options.absurd = share(0.1);
  options.cancels = share(0.5);
  options.speed_sigma = prng.below(4) == 0 ? 0 : prng.uniform() * 2;
  options.strays = share(0.5);
  options.reports = prng.below(3) == 0 ? 0 : 2 * prng.uniform();
  options.late_alarms = prng.below(3) == 0;
  options.storms = static_cast<int>(prng.below(4));
  options.flaps = static_cast<int>(prng.below(3));
  options.moods = static_cast<int>(prng.below(6));
  options.jumps = prng.below(4) == 0 ? 1 + static_cast<int>(prng.below(3)) : 0;
  if (prng.below(6) == 0)
    fleet.site.power_limit_kw.emplace().fill(0.05 + prng.uniform());
  setting.options = options;
  return setting;
}

struct Nobody final : ExplanationSink {
  void explain(const Explanation& why) override { explained += why.candidates.size(); }
  std::size_t explained = 0;
};

// Half of the worlds have several tenants, by dice of their own.
Setting with_tenants(Setting setting, Prng prng) {
  if (prng.below(2) == 0)
    setting.made.fleet.tenants = {{"default", 1}, {"a", 0.5}, {"b", 4}};
  return setting;
}

// A third of the worlds cache prompts, in a fourth others use some of the replicas, too.
Setting with_caches_and_others(Setting setting, Prng& prng) {
  const bool caches = prng.below(3) == 0, others = prng.below(4) == 0;
  for (std::size_t i = 0; i < setting.made.fleet.pools.size(); ++i) {
    const perf::ServingKind kind = setting.made.perf.pools[i].kind;
    setting.made.fleet.pools[i].batching.prefix_caching =
        caches && kind == perf::ServingKind::kBatched && prng.below(4) != 0;
    setting.made.fleet.pools[i].shared =
        others && kind != perf::ServingKind::kMetered && prng.below(2) == 0;
  }
  return setting;
}

class World {
 public:
  World(std::uint64_t seed, bool explained)
      : prng_(Prng::stream(seed, 1)),
        shares_(Prng::stream(seed, 0x74656e616e7473)),
        prefixes_(Prng::stream(seed, 0x70726566697865)),
        setting_(with_caches_and_others(with_tenants(draw_setting(prng_), shares_), prefixes_)),
        options_(setting_.options),
        fleet_(setting_.made.fleet),
        perf_(setting_.made.perf),
        books_(fleet_, perf_),
        scheduler_(fleet_, perf_),
        owners_(fleet_.pools_of_replicas()),
        replicas_(owners_.size()) {
    if (explained)
      scheduler_.explain_to(&sink_);
  }

  FaultRun run() {
    plan_requests();
    plan_faults();
    play();
    if (!failed())
      probe();
    run_.violation = books_.violation();
    run_.digest = scheduler_.digest();
    for (const ClassStats& stats : scheduler_.stats().classes) {
      run_.requests += stats.arrived;
      run_.dispatched += stats.dispatched;
      run_.preempted += stats.preempted;
      run_.rejected += stats.rejected;
      run_.cancelled += stats.cancelled;
    }
    return run_;
  }

 private:
  enum class Act {
    kArrive,
    kCancel,
    kFirstToken,
    kEnd,    // a whole answer
    kBreak,  // incomplete, with or without a first token before
    kFail,
    kLose,
    kLoseTwice,  // told again though it is lost
    kReturn,
    kReport,
    kStray,
    kEarlyAlarm,
    kMood,
    kJump,
    kPrices,
    kHeal,
  };
  struct Due {
    Instant at;
    std::uint64_t order;  // among those at one instant; random
    Act act;
    std::uint64_t number = 0;  // of the request or replica
    int dispatch = 0;          // which of the request's dispatches it belongs to
    long long amount = 0;
    bool operator<(const Due& other) const {
      return std::tie(at, order) < std::tie(other.at, other.order);
    }
  };
  struct Client {
    Request request;
    int dispatches = 0;
    bool first_token = false;
    bool stalled = false;  // nothing more is planned for it
  };
  enum class Mood { kHonest, kDead, kStalling };
  struct Engine {
    Mood mood = Mood::kHonest;
    Instant stalls_until{};
    double speed = 1;
  };

  bool failed() const { return books_.violation().has_value(); }
  bool chance(double share) { return prng_.uniform() < share; }
  Duration drawn(double mean_s) { return round_to_duration(Seconds(prng_.exponential(mean_s))); }

  void plan(Instant at, Act act, std::uint64_t number = 0, int dispatch = 0, long long amount = 0) {
    due_.insert({at, prng_.next(), act, number, dispatch, amount});
  }

  // --- what is to come
  // ---------------------------------------------------------------------------------------------

  // One of three beginnings, or of any other.
  Prefix draw_prefix(const Request& request) {
    const std::uint64_t which = prefixes_.below(4);
    auto chain = std::make_shared<PrefixChain>();
    chain->block_tokens = 16 << prefixes_.below(2);
    const long long most = request.prompt_tokens.count() / chain->block_tokens;
    const std::uint64_t blocks = prefixes_.below(static_cast<std::uint64_t>(most) + 1);
    Digest name;
    name.add(which < 3 ? which : prefixes_.next());
    name.add(request.label.number());
    name.add(request.tenant.number());
    for (std::uint64_t i = 0; i < blocks; ++i) {
      name.add(i);
      chain->blocks.push_back(name.value());
    }
    return chain;
  }

  Request draw_request(RequestId id) {
    Request request;
    request.id = id;
    request.service_class = kServiceClasses[prng_.below(kServiceClassCount)];
    request.label = LabelId(prng_.below(3));
    request.model = OfferId(prng_.below(5) == 0 ? 1 : 0);
    request.prompt_tokens = Tokens(1 + static_cast<long long>(prng_.log_normal(200, 1.2)));
    if (chance(options_.long_prompts))
      request.prompt_tokens = Tokens(1000 + static_cast<long long>(prng_.below(7000)));
    if (options_.one_kind && prng_.below(5) != 0) {
      request.service_class = kServiceClasses[options_.requests % kServiceClassCount];
      request.label = LabelId(options_.requests % 3);
      request.model = OfferId(0);
    }
    request.tenant = TenantId(shares_.below(fleet_.tenants.size()));
    if (shares_.below(4) == 0)
      request.priority = static_cast<long long>(shares_.below(5)) - 2;
    request.streamed = shares_.below(2) == 0;
    request.prefix = draw_prefix(request);
    const std::uint64_t cap = prng_.below(5);
    if (cap == 0)
      request.output_cap = Tokens(1);
    if (cap < 3)
      request.output_cap = Tokens(1 + static_cast<long long>(prng_.below(2000)));
    if (prng_.below(6) == 0)
      request.targets.ttft = round_to_duration(Seconds(prng_.log_normal(1, 1)));
    if (prng_.below(6) == 0)
      request.targets.tpot = round_to_duration(Seconds(prng_.log_normal(0.03, 1)));
    if (prng_.below(10) == 0)
      request.targets.deadline = round_to_duration(Seconds(prng_.log_normal(60, 2)));
    if (options_.crowd && prng_.below(10) != 0) {
      const bool first = id.number() < options_.requests / 2;
      request.service_class = !first                ? ServiceClass::kGuaranteed
                              : prng_.below(3) == 0 ? ServiceClass::kFlex
                                                    : ServiceClass::kBatch;
      request.model = OfferId(0);
      request.targets = {};
    }
    if (options_.burst && prng_.below(20) != 0) {
      request.service_class = options_.burst_class;
      request.model = OfferId(0);
      request.targets = {};
    }
    return request;
  }

  void plan_requests() {
    double at_s = 0;
    const bool caps_of_one = prng_.below(4) == 0;  // then quotas are known to the token
    for (std::uint64_t i = 0; i < options_.requests; ++i) {
      at_s += options_.burst && prng_.below(50) != 0 ? 0 : prng_.exponential(options_.gap_s);
      Client client{draw_request(RequestId(i))};
      if (caps_of_one)
        client.request.output_cap = Tokens(1);
      client.request.arrived_at = round_to_instant(Seconds(at_s));
      plan(client.request.arrived_at, Act::kArrive, i);
      if (chance(options_.cancels))
        plan(client.request.arrived_at + drawn(chance(0.5) ? 0.05 : 2), Act::kCancel, i);
      clients_.push_back(client);
    }
    span_s_ = at_s + 2;
    // Ids ascend with arrivals; now and then one reaches the core late.
    for (Client& client : clients_) {
      if (chance(0.05)) {
        const Duration late = drawn(1);
        client.request.arrived_at = std::max(Instant{}, client.request.arrived_at - late);
      }
    }
  }

  Instant some_time() { return round_to_instant(Seconds(prng_.uniform() * span_s_)); }

  void plan_faults() {
    const std::size_t count = replicas_.size();
    for (int i = 0; i < options_.storms; ++i)
      plan_storm(some_time());
    for (int i = 0; i < options_.flaps; ++i) {
      const std::uint64_t replica = prng_.below(count);
      Instant at = some_time();
      for (std::uint64_t times = 2 + prng_.below(6); times > 0; --times) {
        plan(at, Act::kLose, replica);
        at += drawn(chance(0.5) ? 0.002 : 0.1);
        plan(at, Act::kReturn, replica);
        at += drawn(chance(0.5) ? 0.002 : 0.1);
        ++run_.flaps;
      }
    }
    for (int i = 0; i < options_.moods; ++i)
      plan(some_time(), Act::kMood, prng_.below(count));
    for (int i = 0; i < options_.jumps; ++i)
      plan(some_time(), Act::kJump);
    const auto times = [&](double share) {
      return static_cast<int>(share * static_cast<double>(options_.requests));
    };
    for (int i = times(options_.reports); i > 0; --i)
      plan(some_time(), Act::kReport, prng_.below(count));
    for (int i = times(options_.strays); i > 0; --i)
      plan(some_time(), Act::kStray);
    for (int i = options_.late_alarms ? 5 : 0; i > 0; --i)
      plan(some_time(), Act::kEarlyAlarm);
    for (Engine& engine : replicas_)
      engine.speed = prng_.log_normal(1, options_.speed_sigma / 2);
    // Some faults last for longer than interactive work waits, some for hours.
    const double lasts_s = chance(0.3) ? prng_.log_normal(60, 2) : 0;
    plan(round_to_instant(Seconds(span_s_ + lasts_s)), Act::kHeal);
  }

  // A random part of the replicas is lost one after the other and comes back in another order: what
  // FoundationDB calls a swizzle.
  void plan_storm(Instant at) {
    std::vector<std::uint64_t> chosen;
    for (std::uint64_t r = 0; r < replicas_.size(); ++r) {
      if (prng_.below(4) != 0)
        chosen.push_back(r);
    }
    const auto shuffle = [&] {
      for (std::size_t i = chosen.size(); i > 1; --i)
        std::swap(chosen[i - 1], chosen[prng_.below(i)]);
    };
    const bool at_once = chance(0.3);
    shuffle();
    for (const std::uint64_t replica : chosen) {
      at += at_once ? Duration(0) : drawn(0.2);
      plan(at, chance(0.1) ? Act::kLoseTwice : Act::kLose, replica);
    }
    at += drawn(2);
    shuffle();
    const double stays_lost = chance(0.3) ? 0.5 : 0;  // until all is healed
    for (const std::uint64_t replica : chosen) {
      at += at_once ? Duration(0) : drawn(0.2);
      if (!chance(stays_lost))
        plan(at, Act::kReturn, replica);
    }
  }

  // --- time
  // ---------------------------------------------------------------------------------------------

  void play() {
    std::optional<Instant> healed_at;
    while (!failed()) {
      const bool rings = alarm_ && (due_.empty() || *alarm_ < due_.begin()->at ||
                                    (*alarm_ == due_.begin()->at && prng_.below(2) == 0));
      if (!rings && due_.empty())
        break;
      if (rings && due_.empty() && books_.waiting().empty())
        break;
      if (healed_ && !healed_at)
        healed_at = now_;
      if (healed_at && now_ - *healed_at > hours(7 * 24)) {
        books_.violated(
            "waits for ever",
            fmt::format("{} requests wait a week after all was healed", books_.waiting().size()));
        break;
      }
      if (++run_.events > 300'000) {
        books_.violated("livelock", "events without end");
        break;
      }
      if (rings) {
        now_ = std::max(now_, *alarm_);
        alarm_.reset();
        tell(AlarmRang{});
      } else {
        const Due due = *due_.begin();
        due_.erase(due_.begin());
        now_ = std::max(now_, due.at);
        act(due);
      }
    }
    if (!failed() && !books_.waiting().empty())
      books_.violated("waits for ever", "requests wait, and nothing is due");
    if (!failed() && books_.in_flight() != 0)
      books_.violated(
          "lost", fmt::format("{} requests are in flight, and nothing is due", books_.in_flight()));
  }

  void act(const Due& due) {
    const RequestId id(due.number);
    switch (due.act) {
      case Act::kArrive:
        tell(RequestArrived{clients_[due.number].request});
        break;
      case Act::kCancel:
        if (books_.is_waiting(id) || books_.held_by(id) || chance(0.5))
          tell(RequestCancelled{
              id, Tokens(clients_[due.number].first_token ? 1 + due.number % 50 : 0)});
        break;
      case Act::kFirstToken:
      case Act::kEnd:
      case Act::kBreak:
      case Act::kFail:
        answer(due);
        break;
      case Act::kLose:
      case Act::kLoseTwice:
        lose(ReplicaId(due.number));
        if (due.act == Act::kLoseTwice && !failed())
          tell(ReplicaLost{ReplicaId(due.number)});
        break;
      case Act::kReturn:
        // For one that is live already, too.
        tell(ReplicaReturned{ReplicaId(due.number)});
        break;
      case Act::kReport:
        report(ReplicaId(due.number));
        break;
      case Act::kStray:
        stray();
        break;
      case Act::kEarlyAlarm:
        tell(AlarmRang{});
        break;
      case Act::kMood:
        change_mood(replicas_[due.number]);
        break;
      case Act::kJump:
        now_ += round_to_duration(Seconds(prng_.log_normal(10, 3)));
        ++run_.jumps;
        break;
      case Act::kPrices:
        tell(PricesSolved{draw_prices(due.number)});
        break;
      case Act::kHeal:
        heal();
        break;
    }
  }

  // Whoever solves the program takes his time, and may answer older ones late or not at all.
  void solve(const LinearProgram& program) {
    if (chance(0.1))
      return;
    plan(now_ + drawn(chance(0.8) ? 0.05 : 10), Act::kPrices, program.rows());
  }

  // None, or any at all: a price may hold work back, but loses none.
  std::vector<double> draw_prices(std::size_t rows) {
    std::vector<double> duals;
    if (chance(0.2))
      return duals;
    ++run_.prices;
    const double median = prng_.log_normal(0.01, 3);
    for (std::size_t i = 0; i < rows; ++i)
      duals.push_back(chance(0.5) ? 0 : prng_.log_normal(median, 1));
    return duals;
  }

  // --- engines
  // ---------------------------------------------------------------------------------------------

  void change_mood(Engine& engine) {
    if (healed_)
      return;
    switch (prng_.below(4)) {
      case 0:
        engine.mood = Mood::kHonest;
        break;
      case 1:
        engine.mood = Mood::kDead;  // refuses everything: its quota ended, say
        break;
      case 2:
        engine.mood = Mood::kStalling;
        break;
      case 3:
        engine.stalls_until = now_ + drawn(3);  // nothing comes until then, and all at once then
        ++run_.stalls;
        break;
    }
  }

  // An engine takes up a request: draws what will become of it.
  void take_up(RequestId id, ReplicaId replica) {
    Client& client = clients_[id.number()];
    const Engine& engine = replicas_[replica.number()];
    const int dispatch = ++client.dispatches;
    client.first_token = false;
    client.stalled = false;
    const auto later = [&](Act act, Instant at, long long amount = 0) {
      plan(at, act, id.number(), dispatch, amount);
    };
    if (!healed_ && (engine.mood == Mood::kDead || chance(options_.fails))) {
      later(Act::kFail, chance(0.5) ? now_ : now_ + drawn(0.3));
      return;
    }
    if (!healed_ && chance(options_.refused)) {
      later(Act::kBreak, now_ + drawn(0.1));
      return;
    }
    const Pool& pool = fleet_.pool(owners_[replica.number()]);
    const long long prompt = client.request.prompt_tokens.count();
    const LinearSteps* steps =
        dynamic_cast<const LinearSteps*>(perf_.pool(owners_[replica.number()]).steps.get());
    const double step_s = steps != nullptr ? steps->step({}).time.value() : 0;
    double ttft_s = pool.metered ? pool.metered->ttft_median_s
                                 : 2 * step_s + 2e-5 * static_cast<double>(prompt);
    double tpot_s = pool.metered ? pool.metered->tpot_s : 1.1 * step_s;
    if (!healed_) {
      ttft_s *= engine.speed * prng_.log_normal(1, options_.speed_sigma / 2);
      tpot_s *= engine.speed * prng_.log_normal(1, options_.speed_sigma / 2);
    }
    long long output = 1 + static_cast<long long>(prng_.log_normal(60, 0.8));
    if (client.request.output_cap)
      output = std::min(output, client.request.output_cap->count());
    const Instant first_at = now_ + round_to_duration(Seconds(ttft_s));
    const Instant end_at =
        first_at + round_to_duration(Seconds(tpot_s * static_cast<double>(output - 1)));
    if (!healed_ && (engine.mood == Mood::kStalling || chance(options_.stalls))) {
      client.stalled = true;
      ++run_.stalls;
      if (chance(0.5))
        later(Act::kFirstToken, first_at);
      return;
    }
    if (!healed_ && chance(options_.absurd)) {
      constexpr long long kLengths[] = {0, 1, 1'000'000, 1'000'000'000'000};
      output = kLengths[prng_.below(4)];
    }
    if (healed_ || !chance(0.02))  // some answers end before they began
      later(Act::kFirstToken, first_at);
    if (!healed_ && chance(0.05))
      later(Act::kFirstToken, first_at + drawn(0.1));
    later(!healed_ && chance(options_.breaks) ? Act::kBreak : Act::kEnd, end_at, output);
    // The client leaves just as the answer ends.
    if (!healed_ && chance(options_.cancels * 0.3))
      plan(end_at, Act::kCancel, id.number());
    if (!healed_ && chance(0.02))
      later(Act::kEnd, end_at + drawn(0.1), output);
  }

  void answer(const Due& due) {
    const RequestId id(due.number);
    Client& client = clients_[due.number];
    const std::optional<ReplicaId> holder = books_.held_by(id);
    if (holder && due.dispatch != client.dispatches)
      return;  // of an earlier dispatch: drivers know
    if (holder && replicas_[holder->number()].stalls_until > now_) {
      plan(replicas_[holder->number()].stalls_until + drawn(0.01), due.act, due.number,
           due.dispatch, due.amount);
      return;
    }
    if (!holder && !chance(0.3))
      return;  // it raced; sometimes the core hears of it
    switch (due.act) {
      case Act::kFirstToken:
        client.first_token = true;
        tell(FirstTokenEmitted{id});
        break;
      case Act::kEnd:
        tell(RequestFinished{id, Tokens(due.amount)});
        break;
      case Act::kBreak:
        tell(RequestFinished{id, Tokens(due.amount), false});
        break;
      default:
        // After its first token a driver tells of a failure by RequestFinished.
        if (!client.first_token || !holder)
          tell(DispatchFailed{id});
        break;
    }
  }

  void lose(ReplicaId replica) {
    const bool was_live = books_.is_live(replica);
    tell(ReplicaLost{replica});
    if (!was_live || failed())
      return;
    ++run_.losses;
    const std::vector<RequestId> held = books_.residents(replica);
    const std::optional<RequestId> culprit =
        !held.empty() && chance(0.3) ? std::optional(held[prng_.below(held.size())]) : std::nullopt;
    for (const RequestId id : held) {
      if (failed())
        return;
      if (clients_[id.number()].first_token) {
        tell(RequestFinished{id, Tokens(1 + static_cast<long long>(prng_.below(100))), false});
      } else {
        tell(DispatchFailed{id, id == culprit});
      }
    }
  }

  // True, false, stale, from the future, or nearly empty.
  void report(ReplicaId replica) {
    LoadSignal signal;
    const int truth = books_.outstanding(replica);
    const auto number = [&]() -> std::optional<int> {
      switch (prng_.below(6)) {
        case 0:
          return std::nullopt;
        case 1:
          return 0;
        case 2:
          return 10 * truth + 1;
        case 3:
          return static_cast<int>(prng_.below(1'000'000));
        default:
          return truth;
      }
    };
    signal.running = number();
    signal.waiting = number();
    if (chance(0.5))
      signal.waiting_uncached_tokens = static_cast<long long>(prng_.below(100'000));
    if (chance(0.5))
      signal.kv_fraction = chance(0.2) ? 2 : prng_.uniform();
    if (chance(0.3))
      signal.kv_capacity_tokens = static_cast<long long>(prng_.below(1000));
    if (chance(0.5))
      signal.prefill_tokens_per_s = prng_.log_normal(1000, 3) * (chance(0.1) ? 0 : 1);
    if (chance(0.5))
      signal.decode_tokens_per_s = prng_.log_normal(1000, 3) * (chance(0.1) ? 0 : 1);
    signal.as_of = now_;
    if (chance(0.5))
      signal.as_of += round_to_duration(Seconds(prng_.normal() * 3600));
    signal.source = static_cast<SignalSource>(prng_.below(3));
    ++run_.reports;
    tell(LoadReported{replica, signal});
  }

  // Of a request that no replica holds: one that is over, that waits, or that never was.
  void stray() {
    RequestId id(1'000'000 + prng_.below(5));
    if (chance(0.7)) {
      id = RequestId(prng_.below(clients_.size()));
      if (books_.held_by(id))
        return;
    }
    ++run_.strays;
    switch (prng_.below(books_.is_waiting(id) ? 3 : 4)) {
      case 0:
        return tell(FirstTokenEmitted{id});
      case 1:
        return tell(RequestFinished{id, Tokens(7), chance(0.5)});
      case 2:
        return tell(DispatchFailed{id, chance(0.5)});
      default:
        return tell(RequestCancelled{id});
    }
  }

  // --- the end
  // ---------------------------------------------------------------------------------------------

  void heal() {
    healed_ = true;
    std::vector<std::uint64_t> lost;
    for (std::uint64_t r = 0; r < replicas_.size(); ++r) {
      replicas_[r] = {};
      if (!books_.is_live(ReplicaId(r)))
        lost.push_back(r);
    }
    std::erase_if(
        due_, [](const Due& due) { return due.act == Act::kLose || due.act == Act::kLoseTwice; });
    while (!lost.empty() && !failed()) {
      const std::size_t place = prng_.below(lost.size());
      tell(ReplicaReturned{ReplicaId(lost[place])});
      lost.erase(lost.begin() + static_cast<std::ptrdiff_t>(place));
    }
    for (std::uint64_t i = 0; i < clients_.size(); ++i) {
      if (!clients_[i].stalled || !books_.held_by(RequestId(i)))
        continue;
      plan(now_ + drawn(1), Act::kEnd, i, clients_[i].dispatches, 10);
    }
  }

  // On an idle, healed fleet whose engines say so, long after: whatever is lawful is served at
  // once.
  void probe() {
    if (fleet_.placement.by_thresholds())
      return;
    for (const ServiceClass service_class : kServiceClasses) {
      for (std::uint64_t which = 0; which < 6 && !failed(); ++which) {
        now_ += hours(25);
        for (std::size_t replica = 0; replica < fleet_.replica_count(); ++replica) {
          LoadSignal idle;
          idle.running = idle.waiting = 0;
          idle.as_of = now_;
          tell(LoadReported{ReplicaId(replica), idle});
        }
        const std::uint64_t number = clients_.size();
        Client client;
        client.request.id = RequestId(number);
        client.request.service_class = service_class;
        client.request.label = LabelId(which % 3);
        client.request.model = OfferId(which / 3);
        client.request.prompt_tokens = Tokens(1);
        client.request.output_cap = Tokens(1);
        client.request.arrived_at = now_;
        clients_.push_back(client);
        bool servable = false;
        for (std::size_t pool = 0; pool < fleet_.pools.size(); ++pool)
          servable = servable || books_.lawful(client.request, PoolId(pool));
        ++run_.probes;
        tell(RequestArrived{client.request});
        if (failed())
          return;
        const RequestId id(number);
        if (servable && !books_.held_by(id)) {
          books_.violated("idle fleet serves",
                          fmt::format("{} request, label {}, name {}: {} by an idle fleet",
                                      name_of(service_class), which % 3, which / 3,
                                      books_.is_over(id) ? "refused" : "held back"));
        }
        if (!failed() && books_.held_by(id))
          tell(RequestFinished{id, Tokens(1)});
      }
    }
  }

  // Hands the event to books and core, and carries out what the core decides.
  void tell(const Event& event) {
    if (failed())
      return;
    books_.before(now_, event);
    decisions_.clear();
    scheduler_.handle(now_, event, decisions_);
    for (const Decision& decision : decisions_) {
      books_.decided(now_, decision);
      if (failed())
        break;
    }
    books_.after(now_, event, scheduler_);
    if (const auto* failure = std::get_if<DispatchFailed>(&event))
      run_.retried += books_.held_by(failure->request).has_value();
    run_.most_waiting =
        std::max(run_.most_waiting, static_cast<long long>(books_.waiting().size()));
    for (const Decision& decision : decisions_) {
      if (failed())
        return;
      if (const auto* dispatch = std::get_if<Dispatch>(&decision)) {
        take_up(dispatch->request, dispatch->replica);
      } else if (const auto* asked = std::get_if<SolvePrices>(&decision)) {
        solve(asked->program);
      } else if (const auto* wake = std::get_if<WakeAt>(&decision)) {
        alarm_ = wake->at;
        if (options_.late_alarms && !healed_ && chance(0.2))
          *alarm_ += drawn(0.2);
      }
    }
  }

  Prng prng_;
  Prng shares_;    // of tenants and priorities
  Prng prefixes_;  // of what prompts have in common, and who else is there
  const Setting setting_;
  const Options& options_;
  const Fleet& fleet_;
  const perf::PerfModel& perf_;
  ShadowBooks books_;
  Scheduler scheduler_;
  Nobody sink_;
  const std::vector<PoolId> owners_;
  std::vector<Engine> replicas_;
  std::vector<Client> clients_;  // by request number
  std::set<Due> due_;
  std::optional<Instant> alarm_;
  Instant now_{};
  double span_s_ = 0;
  bool healed_ = false;
  std::vector<Decision> decisions_;
  FaultRun run_;
};

}  // namespace

FaultRun run_with_faults(std::uint64_t seed, bool explained) {
  return World(seed, explained).run();
}

}  // namespace medley::sched
