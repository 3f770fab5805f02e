#include "cli/perf_measure.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <cmath>
#include <cstdlib>

#include "base/prng.h"
#include "base/statistics.h"
#include "cli/table.h"
#include "cli/write_file.h"
#include "data/measured_file.h"
#include "engine/asio_loop.h"
#include "engine/probe.h"
#include "net/http.h"
#include "replica/endpoint_fit.h"

namespace medley::cli {
namespace {

namespace json = boost::json;
using engine::ProbeAnswer, engine::ProbeRequest, perf::Observation;

constexpr int kDone = 0, kFailed = 1, kUsage = 2;
constexpr std::uint64_t kOrder = 1, kMix = 2;  // streams of random numbers, one a purpose
constexpr long long kShortPrompt = 12;         // tokens, about
constexpr long long kAnswer = 64;

// Requests sent together.
struct Block {
  int concurrency = 1;
  long long prompt_tokens = kShortPrompt;  // aimed at
  double takes_s = 0;                      // until its last answer, as last seen
  double gap_s() const { return 1.3 * takes_s + 0.05; }
};

std::vector<Block> make_blocks(const PerfMeasureOptions& options) {
  std::vector<Block> blocks;
  for (const long long part : {1, 2, 4, 8}) {
    if (options.max_prompt / part > 2 * kShortPrompt)
      blocks.push_back({1, options.max_prompt / part});
  }
  for (int n = 1; n < options.max_concurrency; n *= 2)
    blocks.push_back({n, kShortPrompt});
  blocks.push_back({options.max_concurrency, kShortPrompt});
  for (const int n : {2, 6}) {
    if (n <= options.max_concurrency)
      blocks.push_back({n, std::max(kShortPrompt, options.max_prompt / 2)});
  }
  return blocks;
}

// Mean over answers, and its deviation over repeated identical runs.
struct Figure {
  double mean = 0, deviation = 0;
};

Figure figure_of(const std::vector<double>& runs) {
  Figure figure;
  for (const double run : runs)
    figure.mean += run / static_cast<double>(runs.size());
  for (const double run : runs)
    figure.deviation += (run - figure.mean) * (run - figure.mean);
  figure.deviation =
      runs.size() > 1 ? std::sqrt(figure.deviation / static_cast<double>(runs.size() - 1)) : 0;
  return figure;
}

double mean_ttft(const std::vector<Observation>& seen) {
  double sum = 0;
  for (const Observation& of : seen)
    sum += of.ttft_s();
  return sum / static_cast<double>(seen.size());
}

// Over answers of more than one token; 0 where there are none.
double mean_tpot(const std::vector<Observation>& seen) {
  double sum = 0;
  int count = 0;
  for (const Observation& of : seen) {
    if (of.output_tokens < 2)
      continue;
    sum += of.tpot_s();
    ++count;
  }
  return count > 0 ? sum / count : 0;
}

// What a mixed run showed and what was foretold of it.
struct Check {
  std::vector<double> ttft, tpot, foretold_ttft, foretold_tpot;  // by round
  std::vector<double> ttft_ratios, tpot_ratios;                  // ln(seen / foretold), by request
};

class Session {
 public:
  Session(const PerfMeasureOptions& options, std::FILE* err)
      : options_(options),
        err_(err),
        shows_progress_(isatty(fileno(err)) != 0),
        loop_(events_),
        blocks_(make_blocks(options)) {
    pool_.name = "measured";
    pool_.model.id = options.model;
    pool_.engine.type = EngineType::kOpenaiHttp;
    pool_.engine.urls = {options.url};
    if (!options.key_env.empty()) {
      if (const char* key = std::getenv(options.key_env.c_str()))
        pool_.engine.key = key;
    }
  }

  Status measure() {
    MEDLEY_TRY(engine_, engine::make_engine({loop_, pool_, model_, ReplicaId(0), 0, 1}));
    MEDLEY_TRY_STATUS(look_around());
    // A round to warm up, for how long everything takes and for a first fit; then it is forgotten.
    MEDLEY_TRY(replica::EndpointRun warm_up, run_blocks(0, /*drop_refused=*/true));
    see_limits(warm_up.seen);
    MEDLEY_TRY(const replica::EndpointFit rough, replica::fit_endpoint({warm_up}, limits_));
    const std::vector<ProbeRequest> mixed = make_mixed(rough);
    for (int round = 1; round <= options_.rounds; ++round) {
      MEDLEY_TRY(replica::EndpointRun run, run_blocks(round, false));
      see_limits(run.seen);
      runs_.push_back(std::move(run));
      MEDLEY_TRY(std::vector<Observation> seen, run_timetable(mixed));
      mixed_.push_back(std::move(seen));
    }
    clear_progress();
    MEDLEY_TRY(fit_, replica::fit_endpoint(runs_, limits_));
    check();
    return Done{};
  }

  data::Measured result() const {
    data::Measured measured;
    measured.endpoint = options_.url;
    measured.model = options_.model;
    measured.command = options_.command;
    measured.date = fmt::format("{:%Y-%m-%d}", fmt::gmtime(std::chrono::system_clock::now()));
    measured.constants = fit_.constants;
    constexpr double kLeastError = 0.02;  // nothing is known better from a minute
    measured.constants.ttft_error = std::max(kLeastError, replica::error_bar(check_.ttft_ratios));
    measured.constants.tpot_error = std::max(kLeastError, replica::error_bar(check_.tpot_ratios));
    measured.request_s = fit_.request_s;
    measured.most_running = limits_.max_running;
    measured.limit_seen = limit_seen();
    measured.chunk_tokens = limits_.chunk_tokens;
    return measured;
  }

  const replica::EndpointFit& fit() const { return fit_; }

  void print(std::FILE* out) const {
    print_curve(out);
    print_constants(out);
    print_check(out);
  }

  std::string to_json() const {
    const auto pair = [](double seen, double foretold) {
      return json::object{{"measured", seen}, {"fitted", foretold}};
    };
    json::array curve;
    for (const Row& row : rows()) {
      json::object entry{{"concurrency", row.block->concurrency},
                         {"prompt_tokens", row.prompt_tokens},
                         {"ttft_s", pair(row.ttft_s, row.fitted_ttft_s)}};
      if (row.tpot_s > 0)
        entry["tpot_s"] = pair(row.tpot_s, row.fitted_tpot_s);
      curve.push_back(std::move(entry));
    }
    const data::Measured measured = result();
    const LinearConstants& k = measured.constants;
    const auto figure = [](const std::vector<double>& seen, const std::vector<double>& foretold) {
      const Figure of = figure_of(seen);
      return json::object{{"measured", of.mean},
                          {"deviation", of.deviation},
                          {"predicted", figure_of(foretold).mean}};
    };
    json::array unidentified;
    for (const std::string& name : fit_.unidentified)
      unidentified.emplace_back(name);
    json::object all{
        {"endpoint", measured.endpoint},
        {"model", measured.model},
        {"date", measured.date},
        {"rounds", options_.rounds},
        {"constants",
         json::object{
             {"step_s", k.step_s},
             {"decode_s", k.decode_s},
             {"chunk_s", k.chunk_s},
             {"prompt_token_s", k.prompt_token_s},
             {"context_token_s", k.context_token_s},
             {"request_s", measured.request_s ? json::value(*measured.request_s) : json::value()}}},
        {"unidentified", std::move(unidentified)},
        {"fit_rms", fit_.rms},
        {"most_running", measured.most_running},
        {"limit_seen", measured.limit_seen},
        {"curve", std::move(curve)},
        {"mixed", json::object{{"requests", options_.mixed_requests},
                               {"rate_per_s", mixed_rate_},
                               {"ttft_s", figure(check_.ttft, check_.foretold_ttft)},
                               {"tpot_s", figure(check_.tpot, check_.foretold_tpot)}}}};
    return json::serialize(all);
  }

 private:
  struct Row {
    const Block* block;
    double prompt_tokens = 0;
    double ttft_s = 0, tpot_s = 0, fitted_ttft_s = 0, fitted_tpot_s = 0;
  };

  Result<std::vector<ProbeAnswer>> drive(const std::vector<ProbeRequest>& timetable) {
    std::vector<ProbeAnswer> answers;
    bool ended = false;
    probe_->run(
        timetable, [this] { show_progress(); },
        [&](std::vector<ProbeAnswer> all) {
          answers = std::move(all);
          ended = true;
        });
    constexpr auto kPatience = std::chrono::minutes(10);
    const auto span =
        std::chrono::duration_cast<net::EventLoop::Clock::duration>(timetable.back().at);
    if (!events_.run_until([&] { return ended; }, span + kPatience)) {
      return Error{ErrorCode::kTimedOut,
                   fmt::format("{} did not answer all requests within ten minutes", options_.url)};
    }
    return answers;
  }

  // One request alone.
  Result<Observation> ask(long long words, long long tokens) {
    MEDLEY_TRY(const std::vector<ProbeAnswer> answers,
               drive({{.prompt_words = words, .max_tokens = tokens}}));
    if (answers[0].error)
      return *answers[0].error;
    return answers[0].seen;
  }

  // Which dialect it speaks, how many tokens a word has, how fast it is, about.
  Status look_around() {
    bool chat = options_.chat;
    probe_.emplace(loop_, *engine_, chat, options_.seed);
    Result<Observation> first = ask(8, 16);
    if (!first.ok() && !chat && first.error().code != ErrorCode::kDenied) {
      // Not every server has the older dialect of bare prompts.
      chat = true;
      probe_.emplace(loop_, *engine_, chat, options_.seed);
      first = ask(8, 16);
    }
    if (!first.ok())
      return first.error();
    MEDLEY_TRY(const Observation few, ask(8, kAnswer));
    MEDLEY_TRY(const Observation many, ask(108, kAnswer));
    tokens_per_word_ =
        std::max(0.5, static_cast<double>(many.prompt_tokens - few.prompt_tokens) / 100);
    tokens_beside_ = static_cast<double>(few.prompt_tokens) - 8 * tokens_per_word_;
    const double per_token_s =
        std::max(0.0, many.ttft_s() - few.ttft_s()) /
        std::max(1.0, static_cast<double>(many.prompt_tokens - few.prompt_tokens));
    for (Block& block : blocks_) {
      // As if one after the other.
      block.takes_s = block.concurrency * (few.finished_s - few.sent_s +
                                           per_token_s * static_cast<double>(block.prompt_tokens));
    }
    return Done{};
  }

  long long words_for(long long tokens) const {
    return std::max(
        1LL, std::llround((static_cast<double>(tokens) - tokens_beside_) / tokens_per_word_));
  }

  // One pass over the blocks, in an order of its own.
  Result<replica::EndpointRun> run_blocks(int round, bool drop_refused) {
    std::vector<std::size_t> order(blocks_.size());
    for (std::size_t i = 0; i < order.size(); ++i)
      order[i] = i;
    Prng prng = Prng::stream(options_.seed, kOrder, static_cast<std::uint64_t>(round));
    for (std::size_t i = order.size(); i > 1; --i)
      std::swap(order[i - 1], order[prng.below(i)]);
    std::vector<ProbeRequest> timetable;
    std::vector<int> block_of;
    double at_s = 0;
    for (const std::size_t i : order) {
      const Block& block = blocks_[i];
      for (int n = 0; n < block.concurrency; ++n) {
        timetable.push_back(
            {round_to_duration(Seconds(at_s)), words_for(block.prompt_tokens), kAnswer});
        block_of.push_back(static_cast<int>(i));
      }
      at_s += block.gap_s();
    }
    begin(timetable.size());
    MEDLEY_TRY(const std::vector<ProbeAnswer> answers, drive(timetable));
    ++rounds_done_;

    std::vector<int> refused(blocks_.size());
    for (std::size_t row = 0; row < answers.size(); ++row) {
      if (!answers[row].error)
        continue;
      if (!drop_refused)
        return *answers[row].error;
      const auto block = static_cast<std::size_t>(block_of[row]);
      if (++refused[block] == 1 && blocks_[block].concurrency == 1)
        return *answers[row].error;
      if (refused[block] == 1) {
        clear_progress();
        fmt::print(err_, "medley perf measure: bursts of {} are left out: {}\n",
                   blocks_[block].concurrency, answers[row].error->message);
      }
    }
    replica::EndpointRun run;
    std::vector<double> last_s(blocks_.size()), first_s(blocks_.size(), 1e300);
    for (std::size_t row = 0; row < answers.size(); ++row) {
      const auto block = static_cast<std::size_t>(block_of[row]);
      if (answers[row].error)
        continue;
      run.seen.push_back(answers[row].seen);
      // Numbers of blocks that stay.
      int number = -1;
      if (refused[block] == 0) {
        number = block_of[row] -
                 static_cast<int>(std::count_if(refused.begin(), refused.begin() + block_of[row],
                                                [](int count) { return count > 0; }));
      }
      run.block.push_back(number);
      first_s[block] = std::min(first_s[block], answers[row].seen.sent_s);
      last_s[block] = std::max(last_s[block], answers[row].seen.finished_s);
    }
    std::vector<Block> kept;
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      if (refused[i] > 0)
        continue;
      kept.push_back(blocks_[i]);
      kept.back().takes_s = last_s[i] - first_s[i];
    }
    blocks_ = std::move(kept);
    return run;
  }

  Result<std::vector<Observation>> run_timetable(const std::vector<ProbeRequest>& timetable) {
    begin(timetable.size());
    MEDLEY_TRY(const std::vector<ProbeAnswer> answers, drive(timetable));
    std::vector<Observation> seen;
    for (const ProbeAnswer& answer : answers) {
      if (answer.error)
        return *answer.error;
      seen.push_back(answer.seen);
    }
    return seen;
  }

  void see_limits(const std::vector<Observation>& seen) {
    limits_.max_running = std::max(limits_.max_running, replica::most_decoding(seen));
    limits_.chunk_tokens = options_.chunk_tokens;
  }
  bool limit_seen() const {
    int asked = 1;
    for (const Block& block : blocks_)
      asked = std::max(asked, block.concurrency);
    return limits_.max_running < asked;
  }

  // Prompts and answers of all sizes, at random times: as busy as asked for.
  std::vector<ProbeRequest> make_mixed(const replica::EndpointFit& rough) {
    Prng prng = Prng::stream(options_.seed, kMix);
    std::vector<ProbeRequest> timetable;
    std::vector<Observation> at_once;
    const auto longest = static_cast<double>(options_.max_prompt);
    for (int i = 0; i < options_.mixed_requests; ++i) {
      const auto prompt = static_cast<long long>(
          std::clamp(prng.log_normal(longest / 5, 0.8), double{kShortPrompt}, longest));
      const auto answer =
          static_cast<long long>(std::clamp(prng.log_normal(40, 0.6), 2.0, 2.0 * kAnswer));
      timetable.push_back({{}, words_for(prompt), answer});
      at_once.push_back({.prompt_tokens = prompt, .output_tokens = answer});
    }
    double end_s = 0;
    for (const Observation& of : replica::replay_endpoint(at_once, rough.constants, 0, limits_))
      end_s = std::max(end_s, of.finished_s);
    mixed_rate_ = options_.mixed_load * options_.mixed_requests / end_s;
    double at_s = 0;
    for (ProbeRequest& request : timetable) {
      at_s += prng.exponential(1 / mixed_rate_);
      request.at = round_to_duration(Seconds(at_s));
    }
    return timetable;
  }

  void check() {
    for (const std::vector<Observation>& seen : mixed_) {
      const std::vector<Observation> foretold =
          replica::replay_endpoint(seen, fit_.constants, fit_.request_s.value_or(0), limits_);
      check_.ttft.push_back(mean_ttft(seen));
      check_.tpot.push_back(mean_tpot(seen));
      check_.foretold_ttft.push_back(mean_ttft(foretold));
      check_.foretold_tpot.push_back(mean_tpot(foretold));
      for (std::size_t i = 0; i < seen.size(); ++i) {
        check_.ttft_ratios.push_back(std::log(seen[i].ttft_s() / foretold[i].ttft_s()));
        if (seen[i].output_tokens > 1 && seen[i].tpot_s() > 0)
          check_.tpot_ratios.push_back(std::log(seen[i].tpot_s() / foretold[i].tpot_s()));
      }
    }
  }

  // The curve: medians over the rounds of each block's means.
  std::vector<Row> rows() const {
    std::vector<Row> rows;
    for (std::size_t b = 0; b < blocks_.size(); ++b) {
      std::vector<double> ttft, tpot, fitted_ttft, fitted_tpot, prompt;
      for (const replica::EndpointRun& run : runs_) {
        const std::vector<Observation> fitted =
            replica::replay_endpoint(run.seen, fit_.constants, fit_.request_s.value_or(0), limits_);
        std::vector<Observation> seen_here, fitted_here;
        for (std::size_t i = 0; i < run.seen.size(); ++i) {
          if (run.block[i] != static_cast<int>(b))
            continue;
          seen_here.push_back(run.seen[i]);
          fitted_here.push_back(fitted[i]);
          prompt.push_back(static_cast<double>(run.seen[i].prompt_tokens));
        }
        ttft.push_back(mean_ttft(seen_here));
        tpot.push_back(mean_tpot(seen_here));
        fitted_ttft.push_back(mean_ttft(fitted_here));
        fitted_tpot.push_back(mean_tpot(fitted_here));
      }
      rows.push_back({&blocks_[b], summarise(prompt).mean, summarise(ttft).p50, summarise(tpot).p50,
                      summarise(fitted_ttft).p50, summarise(fitted_tpot).p50});
    }
    return rows;
  }

  void print_curve(std::FILE* out) const {
    Table table({{"at once", Align::kRight},
                 {"prompt tokens", Align::kRight},
                 {"TTFT ms", Align::kRight},
                 {"fitted", Align::kRight},
                 {"TPOT ms", Align::kRight},
                 {"fitted", Align::kRight}});
    for (const Row& row : rows()) {
      table.add_row(
          {std::to_string(row.block->concurrency), fmt::format("{:.0f}", row.prompt_tokens),
           fmt::format("{:.4g}", row.ttft_s * 1e3), fmt::format("{:.4g}", row.fitted_ttft_s * 1e3),
           row.tpot_s > 0 ? fmt::format("{:.4g}", row.tpot_s * 1e3) : "-",
           row.tpot_s > 0 ? fmt::format("{:.4g}", row.fitted_tpot_s * 1e3) : "-"});
    }
    fmt::print(out, "{} at {}, medians of {} rounds\n\n{}\n", printable(options_.model),
               printable(options_.url), options_.rounds, table.text());
  }

  void print_constants(std::FILE* out) const {
    const LinearConstants& k = fit_.constants;
    fmt::print(
        out,
        "a step takes {:.4g} ms, {:.4g} ms more for each answer in it and {:.4g} ns for each "
        "token of context;\n"
        "a prompt chunk {:.4g} ms, and {:.4g} ms for each of its tokens; beside the steps a "
        "request takes {}\n",
        k.step_s * 1e3, k.decode_s * 1e3, k.context_token_s * 1e9, k.chunk_s * 1e3,
        k.prompt_token_s * 1e3,
        fit_.request_s ? fmt::format("{:.4g} ms", *fit_.request_s * 1e3)
                       : std::string("too little to be told"));
    fmt::print(out, "fitted to these figures within {:.1f} % (rms); {} answers at once{}\n",
               fit_.rms * 100, limits_.max_running,
               limit_seen() ? "" : ", as many as were asked for: the limit was not seen");
    if (!fit_.unidentified.empty()) {
      fmt::print(out, "not told by these figures: {}\n", fmt::join(fit_.unidentified, ", "));
    }
  }

  void print_check(std::FILE* out) const {
    Table table({{"mixed run"},
                 {"measured ms", Align::kRight},
                 {"deviation of repeats", Align::kRight},
                 {"predicted ms", Align::kRight},
                 {"off by", Align::kRight}});
    const auto add = [&](const char* name, const std::vector<double>& seen,
                         const std::vector<double>& foretold) {
      const Figure measured = figure_of(seen), predicted = figure_of(foretold);
      table.add_row({name, fmt::format("{:.4g}", measured.mean * 1e3),
                     fmt::format("{:.4g} ({:.1f} %)", measured.deviation * 1e3,
                                 measured.deviation / measured.mean * 100),
                     fmt::format("{:.4g}", predicted.mean * 1e3),
                     fmt::format("{:+.1f} %", (predicted.mean / measured.mean - 1) * 100)});
    };
    add("mean TTFT", check_.ttft, check_.foretold_ttft);
    add("mean TPOT", check_.tpot, check_.foretold_tpot);
    fmt::print(
        out,
        "\n{} requests of all sizes at {:.3g} a second, {} times, between the rounds; nothing "
        "was fitted to them\n\n{}",
        options_.mixed_requests, mixed_rate_, options_.rounds, table.text());
  }

  // --- progress

  void begin(std::size_t requests) {
    part_ = requests;
    part_done_ = 0;
  }
  void show_progress() {
    ++part_done_;
    if (!shows_progress_)
      return;
    constexpr int kWidth = 30;
    const double parts = static_cast<double>(2 * options_.rounds + 1);
    const double done = std::min(
        1.0, (finished_parts() + static_cast<double>(part_done_) /
                                     static_cast<double>(std::max<std::size_t>(1, part_))) /
                 parts);
    const int filled = static_cast<int>(done * kWidth);
    fmt::print(err_, "\r[{:#<{}}{: <{}}] {:3.0f} %", "", filled, "", kWidth - filled, done * 100);
    std::fflush(err_);
  }
  // Rounds and mixed runs that have ended.
  double finished_parts() const {
    return static_cast<double>(rounds_done_ + static_cast<int>(mixed_.size()));
  }
  void clear_progress() {
    if (shows_progress_)
      fmt::print(err_, "\r\x1b[K");
  }

  const PerfMeasureOptions& options_;
  std::FILE* const err_;
  const bool shows_progress_;
  net::EventLoop events_;
  engine::AsioLoop loop_;
  Pool pool_;
  perf::PoolModel model_;
  std::unique_ptr<engine::Engine> engine_;
  std::optional<engine::Probe> probe_;
  std::vector<Block> blocks_;
  double tokens_per_word_ = 1, tokens_beside_ = 0;
  replica::EndpointLimits limits_;
  std::vector<replica::EndpointRun> runs_;
  std::vector<std::vector<Observation>> mixed_;  // by round
  double mixed_rate_ = 0;
  replica::EndpointFit fit_;
  Check check_;
  int rounds_done_ = 0;
  std::size_t part_ = 0, part_done_ = 0;
};

}  // namespace

int run_perf_measure(const PerfMeasureOptions& options, std::FILE* out, std::FILE* err) {
  if (!options.key_env.empty() && std::getenv(options.key_env.c_str()) == nullptr) {
    fmt::print(err, "medley perf measure: the environment has no variable '{}'\n",
               printable(options.key_env));
    return kUsage;
  }
  const auto complain = [err](const Error& error, int code) {
    fmt::print(err, "medley perf measure: {}\n", printable(error.message));
    return code;
  };
  if (const auto url = net::parse_http_url(options.url); !url.ok())
    return complain(url.error(), kUsage);
  Session session(options, err);
  if (const Status measured = session.measure(); !measured.ok()) {
    return complain(measured.error(),
                    measured.error().code == ErrorCode::kInvalid ? kUsage : kFailed);
  }
  if (options.json) {
    fmt::print(out, "{}\n", session.to_json());
  } else {
    session.print(out);
  }
  if (const auto& names = session.fit().unidentified; !names.empty()) {
    fmt::print(err,
               "medley perf measure: {}these figures do not tell {}; a larger --max-prompt or "
               "--max-concurrency, or more --rounds, may\n",
               options.out.empty() ? std::string()
                                   : fmt::format("'{}' is not written: ", printable(options.out)),
               fmt::join(names, ", "));
    return kFailed;
  }
  if (options.out.empty())
    return kDone;
  if (const Status written = write_file(options.out, data::to_yaml(session.result()));
      !written.ok()) {
    return complain(written.error(),
                    written.error().code == ErrorCode::kInvalid ? kUsage : kFailed);
  }
  return kDone;
}

}  // namespace medley::cli
