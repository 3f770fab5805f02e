#include "cli/simulate.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <future>

#include "cli/compare.h"
#include "cli/decision_log_file.h"
#include "cli/scenario_input.h"
#include "cli/table.h"
#include "cli/warn.h"
#include "cli/write_file.h"
#include "data/job_scenario_file.h"
#include "data/scenario_file.h"
#include "simulate/bound.h"
#include "simulate/job_simulation.h"
#include "simulate/report.h"
#include "simulate/report_html.h"
#include "simulate/timeline.h"
#include "simulate/workload.h"

namespace medley::cli {
namespace {

constexpr int kAnswered = 0, kUnusable = 2, kMissed = 6;
constexpr std::size_t kMostBoundRequests = 100'000;

std::string milliseconds(const Summary& of, double Summary::*figure) {
  if (of.count == 0)
    return "-";
  const double seconds = of.*figure;
  return seconds < 10 ? fmt::format("{:.4g} ms", seconds * 1000) : fmt::format("{:.4g} s", seconds);
}

std::string percent(double share) { return fmt::format("{:.1f} %", share * 100); }

std::string energy(double joules) {
  if (joules >= 3.6e5)
    return fmt::format("{:.4g} kWh", joules / 3.6e6);
  return joules >= 1000 ? fmt::format("{:.4g} kJ", joules / 1000) : fmt::format("{:.4g} J", joules);
}

void print_tenants(const simulate::Report& report, const Fleet& fleet, std::FILE* out) {
  const Align right = Align::kRight;
  std::vector<Column> columns = {{"tenant"},       {"weight", right},   {"requests", right},
                                 {"kept", right},  {"attained", right}, {"refused", right},
                                 {"tokens", right}};
  for (const simulate::ClassReport& of_class : report.classes)
    columns.push_back({std::string(name_of(of_class.service_class)), right});
  Table table(std::move(columns));
  for (const simulate::TenantReport& tenant : report.tenants) {
    if (tenant.requests == 0)
      continue;
    const Tenant& facts = fleet.tenants.at(tenant.tenant.number());
    std::vector<std::string> row = {printable(facts.name),
                                    fmt::format("{:.4g}", facts.weight),
                                    std::to_string(tenant.requests),
                                    std::to_string(tenant.kept),
                                    percent(tenant.attainment()),
                                    std::to_string(tenant.rejected),
                                    std::to_string(tenant.prompt_tokens + tenant.output_tokens)};
    for (const simulate::ClassReport& of_class : report.classes) {
      const std::size_t i = index_of(of_class.service_class);
      const long long requests = tenant.class_requests[i];
      row.push_back(requests > 0 ? percent(static_cast<double>(tenant.class_kept[i]) /
                                           static_cast<double>(requests))
                                 : "-");
    }
    table.add_row(std::move(row));
  }
  fmt::print(out,
             "{}Jain's index over tenants: of attainment {:.3f}, of tokens by weight {:.3f}\n\n",
             table.text(), report.jain_of_attainment(), report.jain_of_service(fleet));
}

void print_tables(const simulate::Report& report, const Fleet& fleet, std::FILE* out) {
  const std::string& currency = fleet.site.currency;
  fmt::print(
      out,
      "{}\n{} requests in {:.1f} simulated s, placement {}; every device here is simulated\n\n",
      printable(report.name), report.requests, report.simulated_s, name_of(fleet.placement));
  const Align right = Align::kRight;
  Table classes({{"class"},
                 {"requests", right},
                 {"kept", right},
                 {"attained", right},
                 {"refused", right},
                 {"failed", right},
                 {"TTFT p50", right},
                 {"p90", right},
                 {"p99", right},
                 {"TPOT p50", right},
                 {"p99", right},
                 {"E2E p50", right},
                 {"p99", right},
                 {"goodput/s", right}});
  const auto row = [&](std::string_view name, long long requests, long long kept, double attainment,
                       long long rejected, long long failed, const simulate::Latencies& latencies,
                       double goodput) {
    classes.add_row({std::string(name), std::to_string(requests), std::to_string(kept),
                     percent(attainment), std::to_string(rejected), std::to_string(failed),
                     milliseconds(latencies.ttft_s, &Summary::p50),
                     milliseconds(latencies.ttft_s, &Summary::p90),
                     milliseconds(latencies.ttft_s, &Summary::p99),
                     milliseconds(latencies.tpot_s, &Summary::p50),
                     milliseconds(latencies.tpot_s, &Summary::p99),
                     milliseconds(latencies.e2e_s, &Summary::p50),
                     milliseconds(latencies.e2e_s, &Summary::p99), fmt::format("{:.2f}", goodput)});
  };
  for (const simulate::ClassReport& of_class : report.classes) {
    row(name_of(of_class.service_class), of_class.requests, of_class.kept, of_class.attainment,
        of_class.rejected, of_class.failed + of_class.unfinished, of_class.latencies,
        of_class.goodput_per_s);
  }
  if (report.classes.size() > 1) {
    classes.add_rule();
    row("all", report.requests, report.kept, report.attainment, report.rejected,
        report.failed + report.unfinished, report.latencies, report.goodput_per_s);
  }
  fmt::print(out, "{}\n", classes.text());
  if (fleet.tenants.size() > 1)
    print_tenants(report, fleet, out);

  Table pools({{"pool"},
               {"device"},
               {"zone"},
               {"replicas", right},
               {"requests", right},
               {"prompt tokens", right},
               {"output tokens", right},
               {"use", right},
               {"energy", right},
               {"of it idle", right},
               {currency, right},
               {"J/1k tokens", right},
               {currency + "/1k tokens", right}});
  const auto per_thousand = [](double amount, long long tokens) {
    if (tokens == 0 || amount <= 0)
      return std::string("-");
    const double figure = amount * 1000 / static_cast<double>(tokens);
    return figure >= 100 ? fmt::format("{:.0f}", figure) : fmt::format("{:.3g}", figure);
  };
  for (const simulate::PoolReport& pool : report.pools) {
    const Pool& facts = fleet.pool(pool.pool);
    const bool metered = facts.metered.has_value();
    const bool known = pool.joules > 0;
    pools.add_row({facts.name, facts.device.empty() ? "table" : facts.device, facts.zone,
                   std::to_string(facts.replicas), std::to_string(pool.requests),
                   std::to_string(pool.prompt_tokens), std::to_string(pool.output_tokens),
                   metered ? "-" : percent(pool.use), known ? energy(pool.joules) : "unknown",
                   pool.idle_joules ? energy(*pool.idle_joules) : "unknown",
                   fmt::format("{:.4g}", pool.money), per_thousand(pool.joules, pool.output_tokens),
                   per_thousand(pool.money, pool.output_tokens)});
  }
  fmt::print(out, "{}\n", pools.text());
  for (const Pool& pool : fleet.pools) {
    if (const std::string text = perf::schedule_text(pool); !text.empty())
      fmt::print(out, "{}: {}\n", printable(pool.name), printable(text));
  }
  fmt::print(out,
             "energy {}, of which requests {}; {} {:.4g} (energy at the tariff, metered prices; no "
             "capital)\n",
             report.joules > 0 ? energy(report.joules) : "unknown",
             report.joules > 0 ? energy(report.request_joules) : "unknown", printable(currency),
             report.money);
  if (const std::string power = simulate::power_text(report.power); !power.empty())
    fmt::print(out, "{}\n", power);
  if (const std::optional<double> value_goodput = report.value_goodput()) {
    const auto per_good = [](const std::optional<double>& figure) {
      return figure ? fmt::format("{:.4g}", *figure) : std::string("-");
    };
    fmt::print(out,
               "value kept {:.4g} of {:.4g} {} ({}), net of what requests cost {:.4g}; a kept "
               "request took {} {} and {} J of the fleet\n",
               report.value_kept, report.value_offered, printable(currency),
               percent(*value_goodput), report.net_value(), per_good(report.money_per_good()),
               printable(currency), per_good(report.joules_per_good()));
  }
  if (const std::string bound = simulate::bound_text(report); !bound.empty())
    fmt::print(out, "{}\n", bound);
  for (const simulate::ClassReport& of_class : report.classes) {
    if (const std::string windows = simulate::windows_text(of_class); !windows.empty())
      fmt::print(out, "{}\n", windows);
  }
  if (report.prediction_error > 0)
    fmt::print(out, "forecasts with an error of {}\n", percent(report.prediction_error));
  if (report.prefill_error > 0)
    fmt::print(out, "prompts on scheduled devices with an error of {}\n",
               percent(report.prefill_error));
  if (report.truncated > 0)
    fmt::print(out, "{} answers were cut where a context was full; they count as not kept\n",
               report.truncated);
  for (const simulate::PoolReport& pool : report.pools) {
    if (pool.extrapolated_steps == 0)
      continue;
    fmt::print(out,
               "extrapolated: {} of {} steps of pool {} lie outside the range that its table was "
               "measured in\n",
               pool.extrapolated_steps, pool.steps, printable(fleet.pool(pool.pool).name));
  }
  if (const std::string unknown = simulate::unknown_energy(report, fleet); !unknown.empty())
    fmt::print(out, "not in these sums, since unknown: {}\n", printable(unknown));
  fmt::print(out, "evictions {}, preemptions {}, steps {}, wake-ups {}, decision digest {}\n",
             report.evictions, report.preemptions, report.steps, report.wake_ups,
             report.decision_digest);
}

// Follows "ttft_s.p99" through the JSON report, to a number or the null of an unknown one.
const boost::json::value* figure_at(const boost::json::value& report, std::string_view path) {
  const boost::json::value* at = &report;
  while (!path.empty()) {
    const std::size_t dot = path.find('.');
    const std::string_view key = path.substr(0, dot);
    path = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
    if (!at->is_object())
      return nullptr;
    at = at->as_object().if_contains(key);
    if (at == nullptr)
      return nullptr;
  }
  return at->is_number() || at->is_null() ? at : nullptr;
}

// A figure holds when it is within one in a million of what the scenario expects.
int check_expected(const std::string& file, const std::map<std::string, data::Expected>& all,
                   const std::string& report_json, std::FILE* err) {
  if (all.empty())
    return kAnswered;
  const boost::json::value report = boost::json::parse(report_json);
  int status = kAnswered;
  for (const auto& [path, expected] : all) {
    const boost::json::value* found = figure_at(report, path);
    if (found == nullptr) {
      fmt::print(err, "medley simulate: {}: expected.{}: the report has no such figure\n",
                 printable(file), printable(path));
      return kUnusable;
    }
    std::string came_out = "unknown";
    if (found->is_number()) {
      const double figure = found->to_number<double>();
      if (expected.holds(figure))
        continue;
      came_out = fmt::format("{}", figure);
    }
    fmt::print(err, "medley simulate: {}: expected.{} is {}, came out {}\n", printable(file),
               printable(path), data::text_of(expected), came_out);
    status = kMissed;
  }
  return status;
}

void print_jobs(const simulate::JobReport& report, const data::JobScenario& scenario,
                std::FILE* out) {
  fmt::print(out,
             "{}\n{} jobs in {} rounds of {:.4g} s, a move costs {:.4g} s; every device here is "
             "simulated\n\n",
             printable(scenario.name), report.jobs.size(), report.rounds, scenario.round_s,
             scenario.move_s);
  const Align right = Align::kRight;
  std::vector<Column> columns = {
      {"job"}, {"gang", right}, {"arrived s", right}, {"finished s", right}};
  for (std::size_t t = 0; t < scenario.types.size(); ++t)
    columns.push_back({fmt::format("on {}", scenario.types[t]), right});
  columns.push_back({"moves", right});
  Table table(std::move(columns));
  for (std::size_t j = 0; j < report.jobs.size(); ++j) {
    std::vector<std::string> row = {scenario.jobs[j].name, std::to_string(scenario.jobs[j].gang),
                                    fmt::format("{:.0f}", scenario.jobs[j].arrived_s),
                                    fmt::format("{:.0f}", report.jobs[j].finished_s)};
    for (const int rounds : report.jobs[j].rounds)
      row.push_back(rounds > 0 ? std::to_string(rounds) : std::string("-"));
    row.push_back(std::to_string(report.jobs[j].moves));
    table.add_row(std::move(row));
  }
  fmt::print(out,
             "{}\nmakespan {:.0f} s, no schedule of any kind ends before {:.0f} s ({:+.2f} %); "
             "mean completion {:.0f} s; devices busy {}\n",
             table.text(), report.makespan_s, report.bound_s,
             report.bound_s > 0 ? 100 * (report.makespan_s / report.bound_s - 1) : 0.0,
             report.completion_s, percent(report.use));
}

int run_jobs(const SimulateOptions& options, std::FILE* out, std::FILE* err) {
  const std::pair<const char*, bool> others[] = {
      {"--requests-csv", !options.requests_csv.empty()},
      {"--report", !options.report.empty()},
      {"--decisions", !options.decisions.empty()},
      {"--placement", !options.placement.empty()},
      {"--compare", options.compare.has_value()},
      {"--prediction-error", options.prediction_error.has_value()},
      {"--prefill-error", options.prefill_error.has_value()}};
  for (const auto& [flag, given] : others) {
    if (given)
      return complain({ErrorCode::kInvalid,
                       fmt::format("{}: not with a scenario of jobs ({})", flag, options.scenario),
                       {}},
                      err);
  }
  const Result<data::JobScenario> scenario =
      data::read_job_scenario(options.scenario, options.trace);
  if (!scenario.ok())
    return complain(scenario.error(), err);
  const Result<simulate::JobReport> report = simulate::simulate_jobs(*scenario);
  if (!report.ok())
    return complain(
        {report.error().code, fmt::format("{}: {}", options.scenario, report.error().message), {}},
        err);
  const std::string json = simulate::to_json(*report, *scenario);
  if (options.json) {
    fmt::print(out, "{}", json);
  } else {
    print_jobs(*report, *scenario, out);
  }
  return check_expected(scenario->file, scenario->expected, json, err);
}

// Where the records of a run go: into the report, and as rows into a file, which is written as the
// run goes on.
class Rows final : public simulate::RecordSink {
 public:
  // `csv_path` empty: no file. `timeline` null: no pictures.
  Rows(const Fleet& fleet, std::string csv_path, simulate::Timeline* timeline)
      : report_(fleet, timeline != nullptr),
        csv_(fleet),
        path_(std::move(csv_path)),
        timeline_(timeline) {}

  Status open() {
    if (path_.empty())
      return Done{};
    file_.reset(std::fopen(path_.c_str(), "w"));
    if (file_)
      return Done{};
    return Error{ErrorCode::kInvalid,
                 fmt::format("cannot write '{}': {}", path_, std::strerror(errno))};
  }
  void add(const simulate::RequestRecord& record) override {
    report_.add(record);
    if (timeline_ != nullptr)
      timeline_->add(record);
    if (!file_)
      return;
    csv_.add(record);
    constexpr std::size_t kBlock = 1 << 18;
    if (csv_.str().size() >= kBlock)
      write();
  }
  Status close() {
    if (!file_)
      return Done{};
    write();
    if (std::fclose(file_.release()) != 0 && reason_ == 0)
      reason_ = errno;
    if (reason_ == 0)
      return Done{};
    return Error{ErrorCode::kUnavailable,
                 fmt::format("'{}' is incomplete: {}", path_, std::strerror(reason_))};
  }
  simulate::Report report(const std::string& name, const simulate::SimulationResult& result) {
    return std::move(report_).finish(name, result);
  }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  void write() {
    const std::string& text = csv_.str();
    // After a failure the rest would only hide its reason.
    if (reason_ == 0 && std::fwrite(text.data(), 1, text.size(), file_.get()) != text.size())
      reason_ = errno;
    csv_.clear();
  }

  simulate::ReportBuilder report_;
  simulate::RequestsCsv csv_;
  const std::string path_;
  simulate::Timeline* const timeline_;
  std::unique_ptr<std::FILE, Close> file_;
  int reason_ = 0;  // of the first failure to write
};

}  // namespace

int run_simulate(const SimulateOptions& options, std::FILE* out, std::FILE* err) {
  if (data::is_job_scenario(options.scenario))
    return run_jobs(options, out, err);
  if (options.compare)
    return run_compare(options, out, err);
  Result<data::Scenario> read = read_scenario(options);
  if (!read.ok())
    return complain(read.error(), err);
  data::Scenario& scenario = *read;
  if (!options.placement.empty()) {
    const Result<PlacementPolicy> placement =
        policy_named("--placement", options.placement, scenario.fleet);
    if (!placement.ok())
      return complain(placement.error(), err);
    scenario.fleet.placement = *placement;
  }
  const Result<double> forecast_error = prediction_error(options);
  if (!forecast_error.ok())
    return complain(forecast_error.error(), err);
  const Result<double> lane_error = prefill_error(options);
  if (!lane_error.ok())
    return complain(lane_error.error(), err);
  const Result<perf::PerfModel> models = simulate::make_models(scenario.fleet);
  if (!models.ok())
    return complain({ErrorCode::kInvalid, scenario.file + ": " + models.error().message, {}}, err);
  warn_of_impossible(scenario.fleet, *models, err);
  const Result<std::vector<simulate::Arrival>> arrivals = simulate::make_arrivals(scenario);
  if (!arrivals.ok())
    return complain(arrivals.error(), err);
  const Result<std::vector<simulate::Fault>> faults = simulate::make_faults(scenario);
  if (!faults.ok())
    return complain(faults.error(), err);

  std::unique_ptr<DecisionLogFile> log;
  if (!options.decisions.empty()) {
    Result<std::unique_ptr<DecisionLogFile>> opened =
        DecisionLogFile::open(options.decisions, scenario.fleet, "simulate");
    if (!opened.ok())
      return complain(opened.error(), err);
    log = std::move(*opened);
  }
  std::optional<simulate::Timeline> timeline;
  if (!options.report.empty())
    timeline.emplace(scenario.fleet);
  simulate::Timeline* const told = timeline ? &*timeline : nullptr;
  Rows rows(scenario.fleet, options.requests_csv, told);
  if (const Status opened = rows.open(); !opened.ok())
    return complain(opened.error(), err);
  const std::vector<simulate::OutsideArrival> outside = simulate::make_outside(scenario, *arrivals);
  // Beside the run; above this size it would take longer than most runs do.
  std::future<simulate::Bound> bound;
  if (arrivals->size() <= kMostBoundRequests) {
    bound = std::async(std::launch::async,
                       [&] { return simulate::bound(scenario.fleet, *models, *arrivals); });
  }
  // The log has its results behind all decisions, so they are kept until then.
  const simulate::SimulationResult result =
      simulate::simulate(scenario.fleet, *models, *arrivals, *faults,
                         {.seed = scenario.seed,
                          .explanations = log.get(),
                          .records = log ? nullptr : &rows,
                          .timeline = told,
                          .prediction_error = *forecast_error,
                          .prefill_error = *lane_error,
                          .signals_every = simulate::signals_every(scenario),
                          .outside = &outside});
  if (log) {
    for (const simulate::RequestRecord& record : result.requests) {
      rows.add(record);
      sched::LoggedResult logged{record.request.id,
                                 std::string(name_of(record.outcome)),
                                 record.ttft_s(),
                                 record.tpot_s(),
                                 record.e2e_s(),
                                 {},
                                 {},
                                 {}};
      if (record.outcome == simulate::RequestOutcome::kCompleted) {
        logged.joules = record.joules;
        logged.money = record.money;
        logged.output_tokens = record.output_tokens;
      } else if (record.money > 0) {
        logged.money = record.money;  // a rented service is paid for a broken answer too
      }
      log->add(logged);
    }
    if (const Status flushed = log->flush(); !flushed.ok())
      return complain(flushed.error(), err);
  }
  if (const Status written = rows.close(); !written.ok())
    return complain(written.error(), err);
  simulate::Report report = rows.report(scenario.name, result);
  if (bound.valid()) {
    const simulate::Bound found = bound.get();
    report.bound = simulate::NetValueBound{found.value, found.gap()};
  } else {
    report.bound_left_out =
        fmt::format("since the run has more than {} requests; --compare {} does",
                    kMostBoundRequests, name_of(scenario.fleet.placement));
  }
  if (timeline) {
    timeline->add(*faults, result.simulated_s);
    const Status written = write_file(
        options.report, simulate::to_html(report, scenario.fleet, *timeline, result,
                                          Command(options).add("--report", "report.html").text()));
    if (!written.ok())
      return complain(written.error(), err);
  }
  const std::string json = simulate::to_json(report, scenario.fleet);
  if (options.json) {
    fmt::print(out, "{}\n", json);
  } else {
    print_tables(report, scenario.fleet, out);
  }
  return check_expected(scenario.file, scenario.expected, json, err);
}

}  // namespace medley::cli
