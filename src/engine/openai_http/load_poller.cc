#include "engine/openai_http/load_poller.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/openai_http/load_metrics.h"

namespace medley::engine {
namespace {

constexpr std::chrono::milliseconds kPatience(2'000);
// Histograms by label make such pages long: some hundred kilobytes are common.
constexpr std::size_t kPageBytes = 8 << 20;

net::HttpUrl root_of(net::HttpUrl api) {
  for (const std::string_view version : {"/v1", "/v3"}) {
    if (api.path.ends_with(version))
      api.path.resize(api.path.size() - version.size());
  }
  return api;
}

}  // namespace

class LoadPoller::Question : public net::HttpListener {
 public:
  explicit Question(LoadPoller& poller) : poller_(poller) {}

  void on_head(int status, const net::HttpHeaders&) override { status_ = status; }
  void on_data(std::string_view bytes) override {
    if (page_.size() + bytes.size() <= kPageBytes) {
      page_ += bytes;
    } else {
      too_long_ = true;
    }
  }
  void on_complete() override {
    if (status_ != 200) {
      fail(fmt::format("answered {} {}", status_, net::reason_phrase(status_)));
    } else if (too_long_) {
      fail(fmt::format("is longer than {} bytes", kPageBytes));
    } else if (Result<LoadSignal> signal = read_load_metrics(poller_.options_.server, page_);
               !signal.ok()) {
      fail(signal.error().message);
    } else {
      signal->as_of = poller_.asked_at_;
      signal->source = SignalSource::kPolled;
      poller_.heard(signal);
    }
  }
  void on_error(const Error& error) override { fail(error.message); }

 private:
  void fail(const std::string& why) {
    poller_.heard(Error{ErrorCode::kGarbled, fmt::format("{}: {}", poller_.address_, why), {}});
  }

  LoadPoller& poller_;
  int status_ = 0;
  bool too_long_ = false;
  std::string page_;
};

LoadPoller::LoadPoller(AsioLoop& loop, const net::HttpUrl& api, Options options, LoadHeard hear)
    : loop_(loop),
      options_(std::move(options)),
      address_(fmt::format("http://{}{}{}", api.authority(), root_of(api).path,
                           load_metrics_path(options_.server))),
      hear_(std::move(hear)),
      client_(loop.events(), root_of(api),
              {.connect_time = kPatience,
               .first_byte_time = kPatience,
               .idle_time = kPatience,
               .pooled_connections = 1}) {
  ask();
}

LoadPoller::~LoadPoller() {
  if (timer_)
    loop_.cancel(*timer_);
}

void LoadPoller::ask() {
  asked_at_ = loop_.now();
  question_ = std::make_unique<Question>(*this);
  net::HttpCall call{.method = "GET",
                     .target = std::string(load_metrics_path(options_.server)),
                     .headers = {{"Accept", "text/plain"}},
                     .body = {}};
  if (!options_.key.empty())
    call.headers.add("Authorization", "Bearer " + options_.key);
  client_.start(std::move(call), *question_);
}

void LoadPoller::heard(const Result<LoadSignal>& signal) {
  timer_ = loop_.call_at(std::max(asked_at_ + options_.period, loop_.now()), replica::Phase::kFault,
                         0, [this] {
                           timer_.reset();
                           ask();
                         });
  hear_(signal);
}

}  // namespace medley::engine
