#include "cli/bench.h"

#include <fmt/format.h>
#include <sched.h>
#include <time.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <cmath>
#include <cstring>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/finite.h"
#include "base/statistics.h"
#include "cli/table.h"
#include "data/json.h"
#include "engine/stepper.h"
#include "lpu/cpu/probe.h"
#include "lpu/reference.h"

namespace medley::cli {
namespace {

namespace json = boost::json;
using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

// Sequences begin with it: Llama's beginning of a text, a token like any other elsewhere.
constexpr int kFirstToken = 1;
constexpr int kPromptTokens = 4;
constexpr double kTargetSeconds = 10;
// Long enough before a beat to be back from sleep in time (a timer's slack is 50 µs).
constexpr Seconds kWakeBefore(120e-6);

struct Times {
  std::vector<double> us;
  long long missed = 0;  // beats
  double worst_late_us = 0;

  // Sorts; then the value that a share q of them does not exceed.
  double quantile(double q) { return us.empty() ? 0 : percentile(us, q); }
  void sort() { std::sort(us.begin(), us.end()); }
  double tokens_per_s() const {
    double sum = 0;
    for (const double t : us)
      sum += t;
    return sum > 0 ? static_cast<double>(us.size()) / sum * 1e6 : 0;
  }
};

// A beat on which tokens are released, the first after `ahead` windows: the k-th is due at
// (k + ahead) windows and may be begun at k, so that no more than `ahead` are ready before their
// beat.
class Beat {
 public:
  Beat(double window_us, int ahead)
      : window_(window_us * 1e-6), ahead_(ahead), start_(Clock::now()) {}

  void wait_for(long long token) const {
    if (window_.count() <= 0)
      return;
    const Clock::time_point begin = at(token);
    const Clock::time_point sleep_until =
        begin - std::chrono::duration_cast<Clock::duration>(kWakeBefore);
    if (Clock::now() < sleep_until) {
      const auto since = sleep_until.time_since_epoch();
      const auto whole = std::chrono::duration_cast<std::chrono::seconds>(since);
      timespec when{};
      when.tv_sec = whole.count();
      when.tv_nsec = std::chrono::duration_cast<std::chrono::nanoseconds>(since - whole).count();
      clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, nullptr);
    }
    while (Clock::now() < begin) {
    }
  }
  void done(long long token, Clock::time_point now, Times& times) const {
    if (window_.count() <= 0 || now <= at(token + ahead_))
      return;
    ++times.missed;
    times.worst_late_us =
        std::max(times.worst_late_us, Seconds(now - at(token + ahead_)).count() * 1e6);
  }

 private:
  Clock::time_point at(long long windows) const {
    return start_ +
           std::chrono::duration_cast<Clock::duration>(window_ * static_cast<double>(windows));
  }
  Seconds window_;
  int ahead_;
  Clock::time_point start_;
};

// `tokens` pieces of work on a beat, each timed.
template <typename Work>
Status run_on_beat(const BenchOptions& options, int tokens, Times& times, Work&& work) {
  const Beat beat(options.window_us, options.ahead);
  for (int i = 0; i < tokens; ++i) {
    beat.wait_for(i);
    const Clock::time_point begin = Clock::now();
    MEDLEY_TRY_STATUS(work());
    const Clock::time_point end = Clock::now();
    times.us.push_back(Seconds(end - begin).count() * 1e6);
    beat.done(i, end, times);
  }
  return Done{};
}

// One engine, in the better of the settings it was tried with.
struct Lane {
  std::string name;
  bool flash_attention = false;
  double load_s = 0;
  std::unique_ptr<engine::Stepper> stepper;
  Times times;
  double prompt_tokens_per_s = 0;         // the best of three, interleaved
  double worst_logit = 0, rms_logit = 0;  // against the reference
  int other_choices = 0;

  // A prompt, which is not timed (caches that others used are warm then), and `tokens` of an
  // answer.
  Status sequence(const BenchOptions& options, int tokens, Times& into) {
    stepper->reset();
    int token = kFirstToken;
    const auto step = [&]() -> Status {
      MEDLEY_TRY_STATUS(stepper->step(token));
      token = stepper->choice();
      return Done{};
    };
    for (int i = 0; i < kPromptTokens; ++i)
      MEDLEY_TRY_STATUS(step());
    return run_on_beat(options, tokens, into, step);
  }
};

// A prompt of 64 tokens, or as long as the context, read in one go by each engine in turn.
Status read_prompts(std::vector<Lane>& lanes, const BenchOptions& options) {
  const std::vector<int> prompt(static_cast<std::size_t>(std::min(64, options.context)),
                                kFirstToken);
  for (int repeat = 0; repeat < 3; ++repeat) {
    for (Lane& lane : lanes) {
      lane.stepper->reset();
      const Clock::time_point begin = Clock::now();
      MEDLEY_TRY_STATUS(lane.stepper->read(prompt));
      (void)lane.stepper->choice();
      lane.prompt_tokens_per_s =
          std::max(lane.prompt_tokens_per_s,
                   static_cast<double>(prompt.size()) / Seconds(Clock::now() - begin).count());
    }
  }
  return Done{};
}

// Of a sequence, behind its prompt.
int most_tokens(const BenchOptions& options) {
  const long long room = options.context - kPromptTokens;
  return static_cast<int>(options.tokens > 0 ? std::min(room, options.tokens) : room);
}

// The median time of a token in the best of three sequences, in µs.
Result<double> quick_look(Lane& lane, const BenchOptions& options, int tokens) {
  BenchOptions free = options;
  free.window_us = 0;
  double best = 0;
  for (int repeat = 0; repeat < 3; ++repeat) {
    Times times;
    MEDLEY_TRY_STATUS(lane.sequence(free, tokens, times));
    times.sort();
    best = repeat == 0 ? times.quantile(0.5) : std::min(best, times.quantile(0.5));
  }
  return best;
}

Result<Lane> open_lane(EngineType type, const BenchOptions& options) {
  std::optional<Lane> best;
  double best_us = 0;
  for (const bool flash : {false, true}) {
    if (flash && type != EngineType::kLlamaEmbedded)
      continue;
    Lane lane{.name = std::string(name_of(type)), .flash_attention = flash};
    const Clock::time_point begin = Clock::now();
    MEDLEY_TRY(lane.stepper, engine::make_stepper({.engine = type,
                                                   .model_path = options.model,
                                                   .threads = options.threads,
                                                   .context = options.context,
                                                   .half_kv = options.half_kv,
                                                   .flash_attention = flash,
                                                   .narrow = options.narrow}));
    lane.load_s = Seconds(Clock::now() - begin).count();
    if (lane.stepper->vocabulary() <= kFirstToken) {
      return Error{
          ErrorCode::kInvalid,
          fmt::format("'{}': a vocabulary of {} leaves no choice; benchmarks need at least {}",
                      options.model, lane.stepper->vocabulary(), kFirstToken + 1),
          {}};
    }
    MEDLEY_TRY(const double first_us, quick_look(lane, options, std::min(4, most_tokens(options))));
    if (!all_finite(lane.stepper->logits())) {
      return Error{ErrorCode::kInvalid,
                   fmt::format("'{}': {} computes logits that are no finite numbers", options.model,
                               lane.name),
                   {}};
    }
    // Flash attention depends on the length: as long as sequences will be, where that is soon done.
    MEDLEY_TRY(const double us, quick_look(lane, options,
                                           first_us < 2000 ? most_tokens(options)
                                                           : std::min(24, most_tokens(options))));
    if (!best || us < best_us) {
      best = std::move(lane);
      best_us = us;
    }
  }
  return std::move(*best);
}

// How far each engine's logits are from plain F32 arithmetic on the same weights, the same tokens
// given to all.
Status hold_against_reference(std::vector<Lane>& lanes, const BenchOptions& options) {
  MEDLEY_TRY(const lpu::ModelFile file, lpu::ModelFile::open(options.model));
  MEDLEY_TRY(const lpu::Graph graph, lpu::build_graph(file));
  const int tokens = std::min(options.reference, options.context);
  lpu::Reference reference(graph, tokens);
  int token = kFirstToken;
  for (Lane& lane : lanes)
    lane.stepper->reset();
  std::vector<double> squares(lanes.size());
  for (int i = 0; i < tokens; ++i) {
    const std::vector<float>& expected = reference.step(token);
    const int choice = lpu::cpu::likeliest(expected.data(), static_cast<int>(expected.size()));
    for (std::size_t l = 0; l < lanes.size(); ++l) {
      MEDLEY_TRY_STATUS(lanes[l].stepper->step(token));
      const std::span<const float> logits = lanes[l].stepper->logits();
      for (std::size_t k = 0; k < expected.size(); ++k) {
        const auto difference = static_cast<double>(logits[k]) - static_cast<double>(expected[k]);
        squares[l] += difference * difference;
        lanes[l].worst_logit = std::max(lanes[l].worst_logit, std::fabs(difference));
      }
      lanes[l].other_choices += lanes[l].stepper->choice() == choice ? 0 : 1;
    }
    token = choice;
  }
  for (std::size_t l = 0; l < lanes.size(); ++l) {
    lanes[l].rms_logit =
        std::sqrt(squares[l] / static_cast<double>(tokens) / static_cast<double>(graph.vocabulary));
  }
  return Done{};
}

// While it lives, this thread is scheduled before all others that are not real-time.
class RealTime {
 public:
  explicit RealTime(bool wanted) {
    sched_param param{};
    param.sched_priority = 10;
    active_ = wanted && sched_setscheduler(0, SCHED_FIFO, &param) == 0;
  }
  ~RealTime() {
    const sched_param param{};
    if (active_)
      sched_setscheduler(0, SCHED_OTHER, &param);
  }
  RealTime(const RealTime&) = delete;
  RealTime& operator=(const RealTime&) = delete;
  bool active() const { return active_; }

 private:
  bool active_ = false;
};

json::object as_json(Times& times, bool beats) {
  json::object o;
  o["token_us"] = {{"p50", times.quantile(0.5)},
                   {"p99", times.quantile(0.99)},
                   {"p999", times.quantile(0.999)},
                   {"max", times.quantile(1)}};
  o["tokens"] = times.us.size();
  if (beats) {
    o["missed_per_million"] =
        static_cast<double>(times.missed) / static_cast<double>(times.us.size()) * 1e6;
    o["worst_late_us"] = times.worst_late_us;
  } else {
    o["missed_per_million"] = nullptr;
    o["worst_late_us"] = nullptr;
  }
  return o;
}

struct Measured {
  std::vector<Lane> lanes;
  Times probe;
  double probe_us = 0, read_gb_per_s = 0;
  bool real_time = false;
  std::uint64_t weight_bytes = 0;
};

void print_json(const BenchOptions& options, Measured& m, std::FILE* out) {
  json::object o;
  o["model"] = options.model;
  o["threads"] = options.threads;
  o["context"] = options.context;
  o["kv"] = options.half_kv ? "f16" : "f32";
  o["instructions"] = options.narrow ? "at most avx2" : "the best there are";
  o["scheduling"] = m.real_time ? "fifo" : "other";
  o["window_us"] = options.window_us > 0 ? json::value(options.window_us) : json::value(nullptr);
  json::array engines;
  for (Lane& lane : m.lanes) {
    json::object e;
    e["engine"] = lane.name;
    e["tokens_per_s"] = lane.times.tokens_per_s();
    for (auto& [key, value] : as_json(lane.times, options.window_us > 0))
      e[key] = value;
    e["weights_gb_per_s"] = static_cast<double>(m.weight_bytes) / lane.times.quantile(0.5) / 1e3;
    e["prompt_tokens_per_s"] = lane.prompt_tokens_per_s;
    e["load_s"] = lane.load_s;
    if (lane.name == name_of(EngineType::kLlamaEmbedded))
      e["flash_attention"] = lane.flash_attention;
    if (options.reference > 0) {
      e["logit_error"] = {{"max", lane.worst_logit},
                          {"rms", lane.rms_logit},
                          {"other_choices", lane.other_choices}};
    }
    engines.push_back(std::move(e));
  }
  o["engines"] = std::move(engines);
  json::object probe = as_json(m.probe, options.window_us > 0);
  probe["length_us"] = m.probe_us;
  o["probe"] = std::move(probe);
  o["read_gb_per_s"] = m.read_gb_per_s;
  std::fputs(data::json_pretty(o).c_str(), out);
}

void print_table(const BenchOptions& options, Measured& m, std::FILE* out) {
  const bool beats = options.window_us > 0;
  std::vector<Column> columns = {{"engine"}};
  for (const char* title :
       {"tokens/s", "p50 us", "p99", "p99.9", "max", "weights GB/s", "prompt tokens/s"})
    columns.push_back({title, Align::kRight});
  if (beats) {
    columns.push_back({"missed/M", Align::kRight});
    columns.push_back({"worst late us", Align::kRight});
  }
  if (options.reference > 0) {
    columns.push_back({"logit error max", Align::kRight});
    columns.push_back({"rms", Align::kRight});
  }
  Table table(columns);
  const auto row = [&](const std::string& name, Times& times, const Lane* lane) {
    std::vector<std::string> cells = {name, fmt::format("{:.1f}", times.tokens_per_s())};
    for (const double q : {0.5, 0.99, 0.999, 1.0})
      cells.push_back(fmt::format("{:.1f}", times.quantile(q)));
    cells.push_back(lane == nullptr ? ""
                                    : fmt::format("{:.1f}", static_cast<double>(m.weight_bytes) /
                                                                times.quantile(0.5) / 1e3));
    cells.push_back(lane == nullptr ? "" : fmt::format("{:.0f}", lane->prompt_tokens_per_s));
    if (beats) {
      cells.push_back(fmt::format("{:.0f}", static_cast<double>(times.missed) /
                                                static_cast<double>(times.us.size()) * 1e6));
      cells.push_back(fmt::format("{:.0f}", times.worst_late_us));
    }
    if (options.reference > 0 && lane != nullptr) {
      cells.push_back(fmt::format("{:.2g}", lane->worst_logit));
      cells.push_back(fmt::format("{:.2g}", lane->rms_logit));
    }
    table.add_row(std::move(cells));
  };
  for (Lane& lane : m.lanes)
    row(lane.name + (lane.flash_attention ? " (flash attention)" : ""), lane.times, &lane);
  row("registers only", m.probe, nullptr);
  std::fputs(table.text().c_str(), out);
  fmt::print(out, "One core reads {:.1f} GB/s. {} tokens each, {} thread{}, KV cache {}{}{}.\n",
             m.read_gb_per_s, m.probe.us.size(), options.threads, options.threads == 1 ? "" : "s",
             options.half_kv ? "F16" : "F32", options.narrow ? ", no AVX-512" : "",
             m.real_time ? ", SCHED_FIFO" : "");
  if (m.lanes.size() > 1) {
    const double ours = m.lanes[0].times.quantile(0.5), theirs = m.lanes[1].times.quantile(0.5);
    fmt::print(out, "{} takes {:.2f} times as long as {} for a token (medians).\n", m.lanes[1].name,
               theirs / ours, m.lanes[0].name);
  }
}

Result<std::vector<EngineType>> engines_of(const std::string& list) {
  std::vector<EngineType> types;
  for (std::size_t at = 0; at <= list.size();) {
    const std::size_t comma = std::min(list.find(',', at), list.size());
    const std::string name = list.substr(at, comma - at);
    at = comma + 1;
    if (name == name_of(EngineType::kStaticSchedule)) {
      types.push_back(EngineType::kStaticSchedule);
    } else if (name == name_of(EngineType::kLlamaEmbedded)) {
      types.push_back(EngineType::kLlamaEmbedded);
    } else {
      return Error{ErrorCode::kInvalid,
                   fmt::format("--engines: expected static_schedule and llama_embedded separated "
                               "by a comma, got '{}'",
                               printable(name)),
                   {}};
    }
  }
  return types;
}

Result<Measured> measure(const BenchOptions& options) {
  MEDLEY_TRY(const std::vector<EngineType> types, engines_of(options.engines));
  Measured m;
  {
    MEDLEY_TRY(const data::Gguf gguf, data::read_gguf(options.model));
    MEDLEY_TRY(const Model model, data::gguf_model(gguf, options.model));
    // What a token reads: all but the table of embeddings, where the head has its own matrix.
    double bytes = model.weight_bytes->value();
    bool has_head = false;
    for (const data::GgufTensor& tensor : gguf.tensors)
      has_head = has_head || tensor.name == "output.weight";
    for (const data::GgufTensor& tensor : gguf.tensors) {
      if (has_head && tensor.name == "token_embd.weight")
        bytes -= tensor.bytes().value_or(0);
    }
    m.weight_bytes = static_cast<std::uint64_t>(bytes);
  }
  for (const EngineType type : types) {
    MEDLEY_TRY(Lane lane, open_lane(type, options));
    m.lanes.push_back(std::move(lane));
  }
  if (options.reference > 0)
    MEDLEY_TRY_STATUS(hold_against_reference(m.lanes, options));
  {
    const RealTime real_time(options.fifo);
    MEDLEY_TRY_STATUS(read_prompts(m.lanes, options));
  }

  // A sequence of a second at most, so that slow models are interleaved, too.
  double round_us = 0;
  for (Lane& lane : m.lanes) {
    MEDLEY_TRY(const double us, quick_look(lane, options, std::min(24, most_tokens(options))));
    // The probe is as long as the first engine's token.
    round_us += (round_us == 0 ? 2 : 1) * std::max(us, options.window_us);
  }
  const int length =
      static_cast<int>(std::min(std::max(1e6 / round_us * static_cast<double>(m.lanes.size()), 8.0),
                                static_cast<double>(most_tokens(options))));
  const double wanted = options.tokens > 0 ? static_cast<double>(options.tokens) / length
                                           : kTargetSeconds * 1e6 / round_us / length;
  const auto rounds = static_cast<long long>(std::max(1.0, std::ceil(wanted)));
  // Room for all times at once: growing would take longer than a window.
  const auto all = static_cast<std::size_t>(rounds) * static_cast<std::size_t>(length);
  for (Lane& lane : m.lanes)
    lane.times.us.resize(all);
  m.probe.us.resize(all);
  for (Lane& lane : m.lanes)
    lane.times.us.clear();
  m.probe.us.clear();
  const lpu::cpu::Isa isa = lpu::cpu::best_isa();
  const lpu::cpu::RegisterProbe registers;
  MEDLEY_TRY(const lpu::cpu::ReadProbe reader, lpu::cpu::ReadProbe::make(isa));
  std::vector<double> reads, probe_us;
  // Under SCHED_FIFO the system takes 5 % of each second from who never sleeps, 50 ms at once.
  // Between sequences we give more than that of our own accord.
  const auto rest = [&](Clock::time_point since) {
    if (m.real_time)
      std::this_thread::sleep_for((Clock::now() - since) / 12);
  };
  for (long long round = 0; round < rounds; ++round) {
    // Real time is taken anew each time: libllama's threads set their own.
    const RealTime real_time(options.fifo);
    m.real_time = real_time.active();
    for (std::size_t i = 0; i < m.lanes.size(); ++i) {
      Lane& lane = m.lanes[(i + static_cast<std::size_t>(round)) % m.lanes.size()];
      const Clock::time_point begin = Clock::now();
      MEDLEY_TRY_STATUS(lane.sequence(options, length, lane.times));
      rest(begin);
    }
    // Tokens grow with their sequence, and a machine is faster in one minute than in another: as
    // long as those of the same round.
    const std::vector<double>& first = m.lanes.front().times.us;
    probe_us.push_back(summarise({first.end() - length, first.end()}).p50);
    const Clock::time_point begin = Clock::now();
    MEDLEY_TRY_STATUS(run_on_beat(options, length, m.probe, [&]() -> Status {
      registers.run(probe_us.back() * 1e-6);
      return Done{};
    }));
    rest(begin);
    // Some 6 ms: not in every round of a small model.
    if (round % std::max<long long>(1, rounds / 40) == 0)
      reads.push_back(reader.gb_per_s());
  }
  for (Lane& lane : m.lanes)
    lane.times.sort();
  m.probe.sort();
  m.probe_us = summarise(std::move(probe_us)).p50;
  std::sort(reads.begin(), reads.end());
  m.read_gb_per_s = percentile(reads, 0.5);
  return m;
}

}  // namespace

int run_bench_engines(const BenchOptions& options, std::FILE* out, std::FILE* err) {
  if (options.fifo && options.threads > 1) {
    fmt::print(err, "medley: --fifo: one thread only; two that spin would starve all others\n");
    return 2;
  }
  Result<Measured> measured = measure(options);
  if (!measured.ok()) {
    fmt::print(err, "medley: {}\n", measured.error().message);
    switch (measured.error().code) {
      case ErrorCode::kInvalid:
        return 2;
      case ErrorCode::kNotFound:
        return 4;
      default:
        return 1;
    }
  }
  if (options.fifo && !measured->real_time)
    fmt::print(err, "medley: warning: SCHED_FIFO is not allowed here (ulimit -r)\n");
  if (options.json) {
    print_json(options, *measured, out);
  } else {
    print_table(options, *measured, out);
  }
  return 0;
}

}  // namespace medley::cli
