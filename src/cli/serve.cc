#include "cli/serve.h"

#include <fmt/format.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <ctime>
#include <random>
#include <utility>

#include "cli/decision_log_file.h"
#include "cli/table.h"
#include "cli/warn.h"
#include "data/catalog.h"
#include "data/fleet_file.h"
#include "engine/asio_loop.h"
#include "engine/measure.h"
#include "lpu/chip/pool_schedule.h"
#include "net/http_server.h"
#include "serve/gateway.h"

namespace medley::cli {
namespace {

constexpr int kEnded = 0, kFailed = 1, kUsage = 2;
constexpr auto kDrainTime = std::chrono::seconds(5);

// Spans of the usage file begin at multiples of it, so that none lies in two hours of the day
// wherever clocks are; what a crash loses is at most one of them.
constexpr std::int64_t kUsageSpan = 300;

// The fleet of a user who named none.
constexpr std::string_view kDefaultFleet = R"(
site: {zone: local}
pools:
  - name: here
    device: this_machine
    model: builtin
    engine: {type: llama_embedded, threads: 1}
)";

std::int64_t unix_time() {
  using namespace std::chrono;
  return duration_cast<seconds>(system_clock::now().time_since_epoch()).count();
}

// By the clock of the place.
int hour_of_day(std::int64_t unix_s) {
  const std::time_t at = unix_s;
  std::tm local{};
  return localtime_r(&at, &local) != nullptr ? local.tm_hour : static_cast<int>(at / 3600 % 24);
}

SipHash::Key secret_key() {
  std::random_device device;
  const auto word = [&device] { return (static_cast<std::uint64_t>(device()) << 32) | device(); };
  return {word(), word()};
}

Result<Fleet> read_the_fleet(const ServeOptions& options) {
  const std::string folder =
      options.catalog.empty() ? data::default_catalog_folder() : options.catalog;
  MEDLEY_TRY(const data::Catalog catalog, data::read_catalog(folder));
  if (options.fleet.empty()) {
    MEDLEY_TRY(const data::Node node, data::parse_yaml(kDefaultFleet, "the default fleet"));
    return data::read_fleet(node, catalog);
  }
  MEDLEY_TRY(Fleet fleet, data::read_fleet(options.fleet, catalog));
  MEDLEY_TRY_STATUS(lpu::chip::schedule_pools(fleet, folder));
  return fleet;
}

bool is_loopback(const std::string& host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

void print_pools(const Fleet& fleet, std::FILE* err) {
  Table table({{"pool"}, {"model"}, {"device"}, {"zone"}, {"engine"}, {"replicas", Align::kRight}});
  for (const Pool& pool : fleet.pools) {
    table.add_row({printable(pool.name), printable(pool.model.id), printable(pool.device),
                   printable(pool.zone), std::string(name_of(pool.engine.type)),
                   std::to_string(pool.replicas)});
  }
  std::fputs(table.text().c_str(), err);
  for (const Pool& pool : fleet.pools) {
    if (const std::string text = perf::schedule_text(pool); !text.empty())
      fmt::print(err, "{}: {}\n", printable(pool.name), printable(text));
  }
}

// The usage file: a line whenever a span of the clock is over, and one at the end.
class UsageFile {
 public:
  static Result<std::unique_ptr<UsageFile>> open(const std::string& path, const Fleet& fleet,
                                                 serve::Driver& driver) {
    std::FILE* file = std::fopen(path.c_str(), "a");
    if (file == nullptr) {
      return Error{ErrorCode::kInvalid,
                   fmt::format("cannot write the usage file '{}': {}", path, std::strerror(errno)),
                   {}};
    }
    return std::unique_ptr<UsageFile>(new UsageFile(path, fleet, driver, file));
  }

  // The next line is due.
  std::chrono::seconds until_due() const {
    return std::chrono::seconds(kUsageSpan - unix_time() % kUsageSpan);
  }

  void write() {
    const auto now = std::chrono::steady_clock::now();
    data::UsageSpan span = recorder_.take(driver_.scheduler());
    span.from_unix_s = from_unix_s_;
    span.hour = hour_of_day(from_unix_s_);
    span.seconds = std::chrono::duration<double>(now - from_).count();
    from_ = now;
    from_unix_s_ = unix_time();
    for (std::size_t i = 0; i < owners_.size(); ++i)
      span.pools[owners_[i].number()].up += driver_.replica_up(ReplicaId(i)) ? 1 : 0;
    const std::string line = data::usage_line(span) + "\n";
    if ((std::fwrite(line.data(), 1, line.size(), file_.get()) != line.size() ||
         std::fflush(file_.get()) != 0) &&
        reason_ == 0) {
      reason_ = errno;
    }
  }

  Status status() const {
    if (reason_ == 0)
      return Done{};
    return Error{
        ErrorCode::kUnavailable,
        fmt::format("the usage file '{}' is incomplete: {}", path_, std::strerror(reason_)),
        {}};
  }

 private:
  struct Closer {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  UsageFile(std::string path, const Fleet& fleet, serve::Driver& driver, std::FILE* file)
      : path_(std::move(path)),
        driver_(driver),
        recorder_(fleet),
        owners_(fleet.pools_of_replicas()),
        file_(file) {
    driver.record_to(recorder_);
  }

  const std::string path_;
  serve::Driver& driver_;
  serve::UsageRecorder recorder_;
  const std::vector<PoolId> owners_;
  std::unique_ptr<std::FILE, Closer> file_;
  std::chrono::steady_clock::time_point from_ = std::chrono::steady_clock::now();
  std::int64_t from_unix_s_ = unix_time();
  int reason_ = 0;  // errno of the first failure
};

// What serves, in the order in which it must come and, backwards, go.
class Service {
 public:
  explicit Service(const ServeOptions& options) : options_(options), loop_(events_) {}

  Status start(std::FILE* out, std::FILE* err) {
    MEDLEY_TRY(const net::HostPort address, net::parse_host_port(options_.listen));
    MEDLEY_TRY(fleet_, read_the_fleet(options_));
    std::vector<std::shared_ptr<engine::Preloaded>> preloaded;
    for (Pool& pool : fleet_.pools) {
      MEDLEY_TRY(std::shared_ptr<engine::Preloaded> loaded, engine::measure(pool));
      preloaded.push_back(std::move(loaded));
    }
    Result<perf::PerfModel> perf = perf::make_perf_model(fleet_);
    if (!perf.ok()) {
      Error error = perf.error();
      if (!options_.fleet.empty())
        error.message = options_.fleet + ": " + error.message;
      return error;
    }
    perf_ = std::move(*perf);
    MEDLEY_TRY(std::vector<std::unique_ptr<engine::Engine>> engines,
               make_engines(std::move(preloaded)));
    driver_.emplace(loop_, fleet_, perf_, std::move(engines),
                    serve::make_threaded_price_solver(loop_));
    driver_->warn_to(
        [err](const std::string& line) { fmt::print(err, "medley: warning: {}\n", line); });
    MEDLEY_TRY_STATUS(open_log());
    if (!options_.usage.empty()) {
      MEDLEY_TRY(usage_, UsageFile::open(options_.usage, fleet_, *driver_));
    }
    gateway_.emplace(
        loop_, fleet_, *driver_, metrics_,
        serve::GatewayOptions{
            .started_at = unix_time(), .unix_time = unix_time, .prefix_key = secret_key()});
    net::HttpServerOptions http;
    http.error_response = &serve::Gateway::protocol_error;
    server_.emplace(events_, std::move(http),
                    [this](net::HttpRequest request, std::shared_ptr<net::HttpExchange> exchange) {
                      if (gateway_)
                        gateway_->handle(std::move(request), std::move(exchange));
                    });
    MEDLEY_TRY(const std::uint16_t port, server_->listen(address));

    print_pools(fleet_, err);
    if (!options_.fleet.empty())  // else the promises are nobody's statement
      warn_of_impossible(fleet_, perf_, err);
    if (!is_loopback(address.host)) {
      fmt::print(
          err,
          "medley: warning: {} can be reached from outside and there is no authentication yet\n",
          address.host);
    }
    const bool v6 = address.host.find(':') != std::string::npos;
    fmt::print(out, "medley: ready on http://{}{}{}:{}/v1\n", v6 ? "[" : "", address.host,
               v6 ? "]" : "", port);
    std::fflush(out);
    return Done{};
  }

  Status run(std::FILE* err) {
    int signals = 0;
    events_.on_signals({SIGINT, SIGTERM}, [&](int) {
      // The second one means now.
      if (++signals > 1)
        return events_.stop();
      server_->drain();
      fmt::print(err, "medley: ending; {} requests are still being answered\n",
                 server_->exchanges());
      draining_until_ = net::EventLoop::Clock::now() + kDrainTime;
      drain();
    });
    flush_log();
    write_usage_when_due();
    events_.run();
    if (usage_) {
      gateway_.reset();  // what is under way ends, and is counted
      usage_->write();
      MEDLEY_TRY_STATUS(usage_->status());
    }
    return log_ ? log_->flush() : Status(Done{});
  }

 private:
  // `preloaded`: by pool, for the first of its replicas.
  Result<std::vector<std::unique_ptr<engine::Engine>>> make_engines(
      std::vector<std::shared_ptr<engine::Preloaded>> preloaded) {
    std::vector<std::unique_ptr<engine::Engine>> engines;
    for (std::size_t i = 0; i < fleet_.pools.size(); ++i) {
      const Pool& pool = fleet_.pools[i];
      for (int replica = 0; replica < pool.replicas; ++replica) {
        const engine::EngineContext context{loop_,
                                            pool,
                                            perf_.pools[i],
                                            ReplicaId(engines.size()),
                                            static_cast<std::size_t>(replica),
                                            options_.seed,
                                            std::exchange(preloaded[i], nullptr)};
        MEDLEY_TRY(std::unique_ptr<engine::Engine> made, engine::make_engine(context));
        engines.push_back(std::move(made));
      }
    }
    return engines;
  }

  Status open_log() {
    if (options_.decisions.empty())
      return Done{};
    MEDLEY_TRY(log_, DecisionLogFile::open(options_.decisions, fleet_, "serve"));
    driver_->scheduler().explain_to(log_.get());
    driver_->log_results_to([this](const sched::LoggedResult& result) { log_->add(result); });
    return Done{};
  }

  // Once a second, so that `explain` can be asked about a request just answered. Disk full shows at
  // the end.
  void flush_log() {
    if (!log_)
      return;
    (void)log_->flush();
    log_alarm_.set(net::EventLoop::Clock::now() + std::chrono::seconds(1), [this] { flush_log(); });
  }

  void write_usage_when_due() {
    if (!usage_)
      return;
    usage_alarm_.set(net::EventLoop::Clock::now() + usage_->until_due(), [this] {
      usage_->write();
      write_usage_when_due();
    });
  }

  void drain() {
    const auto now = net::EventLoop::Clock::now();
    if (server_->exchanges() == 0)
      return events_.stop();
    if (now >= draining_until_) {
      // Who still waits is told so; the loop runs on for a moment, to get it out.
      gateway_.reset();
      drain_alarm_.set(now + std::chrono::milliseconds(100), [this] { events_.stop(); });
      return;
    }
    drain_alarm_.set(now + std::chrono::milliseconds(20), [this] { drain(); });
  }

  const ServeOptions& options_;
  net::EventLoop events_;
  engine::AsioLoop loop_;
  Fleet fleet_;
  perf::PerfModel perf_;
  telemetry::Metrics metrics_;
  std::unique_ptr<DecisionLogFile> log_;
  std::unique_ptr<UsageFile> usage_;  // the driver tells it, it asks the driver
  std::optional<serve::Driver> driver_;
  std::optional<serve::Gateway> gateway_;
  std::optional<net::HttpServer> server_;
  net::EventLoop::Alarm drain_alarm_{events_}, log_alarm_{events_}, usage_alarm_{events_};
  net::EventLoop::Clock::time_point draining_until_;
};

int complain(const Error& error, std::FILE* err) {
  fmt::print(err, "medley serve: {}\n", error.message);
  return error.code == ErrorCode::kInvalid || error.code == ErrorCode::kNotFound ? kUsage : kFailed;
}

}  // namespace

int run_serve(const ServeOptions& options, std::FILE* out, std::FILE* err) {
  Service service(options);
  if (const Status started = service.start(out, err); !started.ok())
    return complain(started.error(), err);
  if (const Status ended = service.run(err); !ended.ok())
    return complain(ended.error(), err);
  return kEnded;
}

}  // namespace medley::cli
