#include "serve/gateway.h"

#include <fmt/format.h>

#include <algorithm>

#include "serve/openai/json_text.h"
#include "serve/openai/models.h"
#include "serve/openai/parse.h"
#include "serve/openai/sse_writer.h"

namespace medley::serve {

using openai::ApiError;

namespace {

constexpr std::string_view kJson = "application/json";

// A tokenizer takes about 2 ms for so much; longer prompts would keep tokens of others waiting.
constexpr std::size_t kCountedAtOnce = 1000;

std::size_t prompt_bytes(const engine::Generation& generation) {
  std::size_t bytes = generation.prompt.size();
  for (const engine::Message& message : generation.messages)
    bytes += message.content.size();
  return bytes;
}

Tokens estimate_prompt_tokens(const engine::Generation& generation) {
  const std::size_t bytes = prompt_bytes(generation);
  const long long messages = static_cast<long long>(generation.messages.size());
  return Tokens(
      std::max(static_cast<long long>(bytes) / kBytesPerToken + kTokensPerMessage * messages, 1LL));
}

// The first that can count speaks for all.
void count_prompt(const std::vector<const engine::Engine*>& engines,
                  engine::Generation& generation) {
  for (const engine::Engine* engine : engines) {
    if (const std::optional<Tokens> tokens = engine->count_prompt_tokens(generation)) {
      generation.prompt_tokens = std::max(*tokens, Tokens(1));
      return;
    }
  }
  generation.prompt_tokens = estimate_prompt_tokens(generation);
}

net::HttpHeaders request_headers(RequestId id) {
  return {{"x-request-id", name_of(id)}, {"medley-request-id", name_of(id)}};
}

net::HttpResponse error_response(const ApiError& error, RequestId id) {
  net::HttpResponse response = openai::error_response(error);
  for (const net::HttpHeader& header : request_headers(id))
    response.headers.add(header.name, header.value);
  return response;
}

bool any_caches_prefixes(const Fleet& fleet, const Offer& offer, ServiceClass service_class) {
  const std::vector<PoolId>& pools = offer.pools[index_of(service_class)];
  return std::any_of(pools.begin(), pools.end(),
                     [&fleet](PoolId pool) { return fleet.pool(pool).batching.prefix_caching; });
}

std::string_view engine_kind(const Pool& pool) { return pool.emulated() ? "emulated" : "real"; }

}  // namespace

// One completion between its arrival and its last byte.
class Gateway::Call final : public RequestListener {
 public:
  Call(Gateway& gateway, const openai::Dialect& dialect, openai::AnswerHead head,
       const Request& request, bool stream, bool include_usage,
       std::shared_ptr<net::HttpExchange> exchange)
      : gateway_(gateway),
        dialect_(dialect),
        head_(std::move(head)),
        request_(request),
        stream_(stream),
        exchange_(std::move(exchange)),
        sse_(*exchange_, dialect, head_, include_usage),
        arrived_at_(gateway.loop_.now()),
        spoke_at_(arrived_at_) {}

  void on_dispatched(const sched::Dispatch& dispatch) override {
    pool_ = gateway_.owners_.at(dispatch.replica.number());
    if (dispatch.window)
      promised_by_ = pool_;
  }

  void on_tokens(std::string_view text, int) override {
    if (stream_) {
      sse_.start(headers());
      sse_.text(text);
      spoke_at_ = gateway_.loop_.now();
    } else if (text.size() <= gateway_.options_.whole_answer_bytes - text_.size()) {
      text_ += text;
    } else {
      cancel("failed");
      fail({502, "api_error",
            fmt::format("the answer has more than the {} bytes that an answer in one piece may "
                        "have: ask for a stream, or set max_tokens",
                        gateway_.options_.whole_answer_bytes),
            "", "answer_too_large", std::nullopt});
      finish("failed");
    }
  }

  void on_restarted() override { text_.clear(); }

  void on_end(const engine::Ending& ending, const Served& served) override {
    const openai::AnswerEnd end{ending.reason, ending.prompt_tokens, ending.output_tokens,
                                medley_object(served)};
    if (stream_) {
      sse_.start(headers());
      sse_.end(end);
    } else {
      net::HttpResponse response{200, headers(), dialect_.whole(head_, text_, end)};
      response.headers.add("Content-Type", std::string(kJson));
      exchange_->respond(std::move(response));
    }
    observe(ending, served);
    count_window(served, served.window && served.window->late ? "broken" : "kept");
    finish("completed");
  }

  void on_rejected(const sched::Reject& rejection) override {
    const std::string& label = gateway_.fleet_.labels.empty()
                                   ? no_label_
                                   : gateway_.fleet_.labels.at(request_.label.number()).name;
    fail(openai::of_rejection(rejection, request_, dialect_.prompt_param(), label));
    finish("rejected");
  }

  void on_failed(const Error& error, const Served& served) override {
    count_cost(served);
    count_window(served, "broken");
    fail(openai::of_failure(error));
    finish("failed");
  }

  void peer_gone() {
    cancel("cancelled");
    finish("cancelled");
  }

  void submit(engine::Generation generation) {
    request_.prompt_tokens = generation.prompt_tokens;
    request_.prefix = generation.prefix;
    gateway_.driver_.submit(request_, std::move(generation), *this);
  }

  // The gateway goes: the client hears of it.
  void shut_down() {
    cancel("cancelled");
    exchange_->on_peer_gone(nullptr);
    fail({503, "service_unavailable_error", "the gateway is shutting down", "", "shutting_down",
          std::chrono::seconds(1)});
  }

  void keep_alive(Instant now) {
    if (!stream_ || now - spoke_at_ < gateway_.options_.keep_alive_after)
      return;
    sse_.start(headers());
    sse_.keep_alive();
    spoke_at_ = now;
  }

 private:
  net::HttpHeaders headers() const {
    net::HttpHeaders headers = request_headers(request_.id);
    const auto elapsed = gateway_.loop_.now() - arrived_at_;
    headers.add(
        "openai-processing-ms",
        std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(elapsed).count()));
    return headers;
  }

  void fail(const ApiError& error) {
    if (sse_.started()) {
      sse_.fail(error);
      return;
    }
    net::HttpResponse response = openai::error_response(error);
    for (const net::HttpHeader& header : headers())
      response.headers.add(header.name, header.value);
    exchange_->respond(std::move(response));
  }

  std::string medley_object(const Served& served) const {
    std::string out = "{";
    if (pool_) {
      const Pool& pool = gateway_.fleet_.pool(*pool_);
      out += R"("pool":)";
      openai::append_json_string(out, pool.name);
      out += R"(,"zone":)";
      openai::append_json_string(out, pool.zone);
      out += R"(,"device":)";
      openai::append_json_string(out, pool.device);
      out += R"(,"model":)";
      openai::append_json_string(out, pool.model.id);
      out += fmt::format(R"(,"engine":"{}",)", engine_kind(pool));
    }
    out += fmt::format(R"("class":"{}","predicted":{{"ttft_s":)", name_of(request_.service_class));
    const auto predicted = [&served](double sched::Prediction::*figure) {
      return served.predicted ? std::optional((*served.predicted).*figure) : std::nullopt;
    };
    openai::append_json_number(out, predicted(&sched::Prediction::ttft_s));
    out += R"(,"tpot_s":)";
    openai::append_json_number(out, predicted(&sched::Prediction::tpot_s));
    out += R"(},"observed":{"ttft_s":)";
    openai::append_json_number(out, served.ttft_s);
    out += R"(,"tpot_s":)";
    openai::append_json_number(out, served.tpot_s);
    out += R"(},"joules":)";
    openai::append_json_number(out, served.joules);
    out += R"(,"cost":)";
    openai::append_json_number(out, served.money);
    out += R"(,"currency":)";
    openai::append_json_string(out, gateway_.fleet_.site.currency);
    out += R"(,"handed_over":)";
    out += served.handed_over ? std::to_string(served.handed_over->count()) : "null";
    out += R"(,"token_window":)";
    if (const std::optional<ServedWindow>& window = served.window) {
      out += fmt::format(R"({{"promised":{{"ttft_s":{},"itl_s":{}}},"itl_max_s":{},"kept":{}}})",
                         to_seconds(window->promised.first_token_within).value(),
                         to_seconds(window->promised.every_token_within).value(), window->itl_max_s,
                         !window->late);
    } else {
      out += "null";
    }
    return out += '}';
  }

  std::string_view pool_name() const {
    return pool_ ? std::string_view(gateway_.fleet_.pool(*pool_).name) : std::string_view();
  }

  void observe(const engine::Ending& ending, const Served& served) {
    telemetry::Metrics& metrics = gateway_.metrics_;
    const ServiceClass service_class = request_.service_class;
    if (served.ttft_s)
      metrics.observe_ttft(service_class, pool_name(), *served.ttft_s);
    if (served.tpot_s)
      metrics.observe_tpot(service_class, pool_name(), *served.tpot_s);
    metrics.count_tokens(service_class, pool_name(), ending.prompt_tokens.count(),
                         ending.output_tokens.count());
    prompt_tokens_ = ending.prompt_tokens.count();
    output_tokens_ = ending.output_tokens.count();
    if (served.joules)
      metrics.count_energy(pool_name(), "modelled", *served.joules);
    count_cost(served);
  }

  void count_window(const Served& served, std::string_view outcome) {
    if (served.window) {
      gateway_.metrics_.count_token_window(
          request_.service_class, gateway_.fleet_.pool(promised_by_.value()).name, outcome);
    }
  }

  void count_cost(const Served& served) {
    if (served.money)
      gateway_.metrics_.count_cost(pool_name(), gateway_.fleet_.site.currency, *served.money);
  }

  // Stops the work. What was processed until now has its price all the same, and a promise that is
  // broken by then stays so.
  void cancel(std::string_view outcome) {
    if (const std::optional<Served> served = gateway_.driver_.cancel(request_.id, outcome)) {
      count_cost(*served);
      const bool broken = outcome == "failed" || (served->window && served->window->late);
      count_window(*served, broken ? "broken" : "abandoned");
    }
  }

  // The last thing a call does: it is gone when the loop comes round.
  void finish(std::string_view outcome) {
    gateway_.metrics_.count_request({.service_class = name_of(request_.service_class),
                                     .model = head_.model,
                                     .pool = pool_name(),
                                     .outcome = outcome});
    if (const auto& tenants = gateway_.fleet_.tenants; tenants.size() > 1) {
      gateway_.metrics_.count_tenant(tenants.at(request_.tenant.number()).name,
                                     request_.service_class, outcome, prompt_tokens_,
                                     output_tokens_);
    }
    gateway_.finish(request_.id);
  }

  Gateway& gateway_;
  const openai::Dialect& dialect_;
  const openai::AnswerHead head_;
  Request request_;  // its prompt is counted before submit()
  const bool stream_;
  const std::shared_ptr<net::HttpExchange> exchange_;
  openai::SseWriter sse_;
  const Instant arrived_at_;
  Instant spoke_at_;  // when the client last heard something
  std::optional<PoolId> pool_;
  std::optional<PoolId> promised_by_;  // whose token window it carries
  std::string text_;
  long long prompt_tokens_ = 0, output_tokens_ = 0;  // of a whole answer
  const std::string no_label_;
};

Gateway::Gateway(engine::Loop& loop, const Fleet& fleet, Driver& driver,
                 telemetry::Metrics& metrics, GatewayOptions options)
    : loop_(loop),
      fleet_(fleet),
      driver_(driver),
      metrics_(metrics),
      options_(std::move(options)),
      prefix_namer_(options_.prefix_key),
      owners_(fleet.pools_of_replicas()),
      counter_(loop) {}

Gateway::~Gateway() {
  // Ending one call may end others, out of the backlog: the timers go last.
  const auto calls = std::move(calls_);
  calls_.clear();
  for (const auto& [id, call] : calls)
    call->shut_down();
  if (sweep_)
    loop_.cancel(*sweep_);
  if (keep_alive_)
    loop_.cancel(*keep_alive_);
}

net::HttpResponse Gateway::protocol_error(int status, std::string_view message,
                                          std::uint64_t number) {
  return error_response({.status = status, .message = std::string(message)}, RequestId(number));
}

void Gateway::handle(net::HttpRequest request, std::shared_ptr<net::HttpExchange> exchange) {
  std::string_view path = request.path();
  const RequestId id(request.number);
  const bool get = request.method == "GET" || request.method == "HEAD";
  const auto answer = [&](int status, std::string_view type, std::string body) {
    net::HttpResponse response{status, request_headers(id), std::move(body)};
    response.headers.add("Content-Type", std::string(type));
    exchange->respond(std::move(response));
  };
  if (path == "/livez" && get)
    return answer(200, "text/plain", "ok\n");
  if (path == "/readyz" && get) {
    bool ready = false;
    std::string body = readiness(ready);
    return answer(ready ? 200 : 503, kJson, std::move(body));
  }
  if (path == "/metrics" && get) {
    return answer(200, "text/plain; version=0.0.4; charset=utf-8", metrics_text());
  }
  // Groq's clients put their own prefix in front.
  if (path.starts_with("/openai/v1/"))
    path.remove_prefix(std::string_view("/openai").size());
  const openai::Dialect* dialect = path == "/v1/chat/completions" ? &openai::chat_completions()
                                   : path == "/v1/completions"    ? &openai::completions()
                                                                  : nullptr;
  if (dialect != nullptr && request.method == "POST") {
    return complete(*dialect, id, std::move(request), std::move(exchange));
  }
  if (path == "/v1/models" && get)
    return answer(200, kJson, openai::models_json(fleet_, options_.started_at));
  constexpr std::string_view kModel = "/v1/models/";
  if (path.starts_with(kModel) && get) {
    const std::string name = net::percent_decode(path.substr(kModel.size()));
    if (const auto offer = openai::find_offer(fleet_, name)) {
      return answer(200, kJson, openai::model_json(fleet_, *offer, options_.started_at));
    }
    return refuse(id,
                  {.status = 404,
                   .message = fmt::format("the model '{}' does not exist{}", name.substr(0, 128),
                                          openai::model_suggestion(fleet_, name)),
                   .param = "model",
                   .code = "model_not_found"},
                  *exchange);
  }
  const bool known = dialect != nullptr || path == "/livez" || path == "/readyz" ||
                     path == "/metrics" || path == "/v1/models" || path.starts_with(kModel);
  refuse(id,
         {.status = known ? 405 : 404,
          .message =
              known ? fmt::format("{} is not a method of {}", request.method.substr(0, 32), path)
                    : fmt::format("there is nothing at {} {}", request.method.substr(0, 32),
                                  path.substr(0, 128)),
          .code = known ? "method_not_allowed" : "unknown_url"},
         *exchange);
}

void Gateway::complete(const openai::Dialect& dialect, RequestId id, net::HttpRequest http,
                       std::shared_ptr<net::HttpExchange> exchange) {
  const Result<openai::CompletionRequest> parsed = dialect.parse(http.body);
  if (!parsed.ok())
    return refuse(id, openai::of_bad_request(parsed.error()), *exchange);
  const Result<openai::Wishes> wishes = openai::parse_wishes(http.headers, parsed->wishes, fleet_);
  if (!wishes.ok())
    return refuse(id, openai::of_bad_request(wishes.error()), *exchange);
  const ServiceClass service_class = wishes->service_class.value_or(parsed->service_class);

  const auto not_found = [&](std::string message) {
    refuse(
        id,
        {.status = 404, .message = std::move(message), .param = "model", .code = "model_not_found"},
        *exchange);
  };
  const std::optional<OfferId> offer_id = openai::find_offer(fleet_, parsed->model);
  if (!offer_id) {
    return not_found(fmt::format("the model '{}' does not exist{}", parsed->model.substr(0, 128),
                                 openai::model_suggestion(fleet_, parsed->model)));
  }
  const Offer& offer = fleet_.offers[offer_id->number()];
  if (offer.pools[index_of(service_class)].empty()) {
    return not_found(fmt::format("the model '{}' is not offered to the class '{}'", offer.name,
                                 name_of(service_class)));
  }

  engine::Generation generation;
  generation.id = id;
  generation.chat = parsed->chat;
  generation.messages = parsed->messages;
  generation.prompt = parsed->prompt;
  generation.max_tokens = parsed->max_tokens;
  generation.sampling = parsed->sampling;
  generation.body = std::move(http.body);

  Request request;
  request.id = id;
  request.arrived_at = loop_.now();
  request.service_class = service_class;
  request.label = wishes->label;
  request.tenant = wishes->tenant;
  request.priority = wishes->priority;
  request.model = *offer_id;
  request.endpoint = parsed->chat ? Endpoint::kChat : Endpoint::kCompletion;
  request.output_cap = parsed->max_tokens;
  request.targets = wishes->targets;
  request.streamed = parsed->stream;

  const openai::AnswerHead head{id, parsed->model,
                                options_.unix_time ? options_.unix_time() : options_.started_at,
                                parsed->service_tier};
  auto call = std::make_unique<Call>(*this, dialect, head, request, parsed->stream,
                                     parsed->include_usage, exchange);
  Call& started = *call;
  calls_.emplace(id, std::move(call));
  exchange->on_peer_gone([&started] { started.peer_gone(); });
  ask_to_keep_alive();
  // What a prompt begins with is named up to its last token, so the count comes first.
  const auto count = [this, engines = counting_engines(offer, service_class),
                      names = any_caches_prefixes(fleet_, offer, service_class),
                      label = wishes->label, tenant = wishes->tenant](engine::Generation& of) {
    count_prompt(engines, of);
    if (names)
      of.prefix = prefix_namer_.name(of, label, tenant);
  };
  if (prompt_bytes(generation) <= kCountedAtOnce) {
    count(generation);
    return started.submit(std::move(generation));
  }
  counter_.ask(std::move(generation), count, [this, id](engine::Generation counted) {
    if (const auto found = calls_.find(id); found != calls_.end())  // else the client has left
      found->second->submit(std::move(counted));
  });
}

void Gateway::refuse(RequestId id, const ApiError& error, net::HttpExchange& exchange) {
  exchange.respond(error_response(error, id));
  metrics_.count_request({.outcome = "invalid"});
}

// One of each pool: it is not known yet which will serve.
std::vector<const engine::Engine*> Gateway::counting_engines(const Offer& offer,
                                                             ServiceClass service_class) const {
  std::vector<const engine::Engine*> engines;
  for (const PoolId pool : offer.pools[index_of(service_class)]) {
    const auto replica = std::find(owners_.begin(), owners_.end(), pool);
    if (replica != owners_.end())
      engines.push_back(
          &driver_.engine(ReplicaId(static_cast<std::uint64_t>(replica - owners_.begin()))));
  }
  return engines;
}

void Gateway::set_own_counts(PoolId pool) {
  std::optional<unsigned long long> all, handed_over;
  unsigned long long missed = 0, failed = 0;
  for (std::size_t i = 0; i < owners_.size(); ++i) {
    if (owners_[i] != pool)
      continue;
    const LoadSignal load = driver_.engine(ReplicaId(i)).load();
    if (load.beats)
      all = all.value_or(0) + *load.beats;
    missed += load.missed_beats.value_or(0);
    if (load.prompts_handed_over)
      handed_over = handed_over.value_or(0) + *load.prompts_handed_over;
    failed += load.prompts_not_handed_over.value_or(0);
  }
  const std::string& name = fleet_.pool(pool).name;
  if (all)
    metrics_.set_beats(name, static_cast<double>(*all), static_cast<double>(missed));
  if (handed_over)
    metrics_.set_handed_over(name, static_cast<double>(*handed_over), static_cast<double>(failed));
}

void Gateway::set_load_reports(PoolId pool) {
  const Instant now = loop_.now();
  double heard = 0, failed = 0;
  Instant oldest = now;
  for (std::size_t i = 0; i < owners_.size(); ++i) {
    if (owners_[i] != pool)
      continue;
    const LoadReports& reports = driver_.load_reports(ReplicaId(i));
    heard += static_cast<double>(reports.heard);
    failed += static_cast<double>(reports.failed);
    oldest = std::min(oldest, reports.last.value_or(Instant{}));  // never: since the start
  }
  if (heard + failed > 0) {
    metrics_.set_load_reports(fleet_.pool(pool).name, heard, failed,
                              to_seconds(now - oldest).value());
  }
}

int Gateway::replicas_up(PoolId pool) const {
  int up = 0;
  for (std::size_t i = 0; i < owners_.size(); ++i) {
    if (owners_[i] == pool && driver_.replica_up(ReplicaId(i)))
      ++up;
  }
  return up;
}

std::string Gateway::readiness(bool& ready) const {
  ready = false;
  std::string pools;
  for (std::size_t i = 0; i < fleet_.pools.size(); ++i) {
    const Pool& pool = fleet_.pools[i];
    const int up = replicas_up(PoolId(i));
    ready = ready || up > 0;
    pools += i > 0 ? R"(,{"name":)" : R"({"name":)";
    openai::append_json_string(pools, pool.name);
    pools += fmt::format(R"(,"engine":"{}","replicas":{},"up":{}}})", engine_kind(pool),
                         pool.replicas, up);
  }
  return fmt::format(R"({{"ready":{},"pools":[{}]}})", ready, pools);
}

std::string Gateway::metrics_text() {
  const sched::SchedulerStats stats = driver_.scheduler().stats();
  for (const ServiceClass service_class : kServiceClasses) {
    const sched::ClassStats& of_class = stats.classes[index_of(service_class)];
    metrics_.set_queue_depth(service_class, static_cast<double>(of_class.waiting));
    metrics_.set_preemptions(service_class, static_cast<double>(of_class.preempted));
  }
  metrics_.set_saturation(stats.saturation);
  metrics_.set_in_flight(static_cast<double>(stats.in_flight));
  for (std::size_t i = 0; i < fleet_.pools.size(); ++i) {
    metrics_.set_backend_up(fleet_.pools[i].name, replicas_up(PoolId(i)));
    set_own_counts(PoolId(i));
    set_load_reports(PoolId(i));
  }
  return metrics_.text();
}

void Gateway::finish(RequestId id) {
  const auto found = calls_.find(id);
  if (found == calls_.end())
    return;
  ended_.push_back(std::move(found->second));
  calls_.erase(found);
  if (sweep_)
    return;
  sweep_ = loop_.call_at(loop_.now(), replica::Phase::kAlarm, 0, [this] {
    sweep_.reset();
    ended_.clear();
  });
}

void Gateway::ask_to_keep_alive() {
  if (keep_alive_)
    return;
  const Instant next = loop_.now() + options_.keep_alive_after / 3;
  keep_alive_ = loop_.call_at(next, replica::Phase::kAlarm, 0, [this] {
    keep_alive_.reset();
    for (const auto& [id, call] : calls_)
      call->keep_alive(loop_.now());
    if (!calls_.empty())
      ask_to_keep_alive();
  });
}

}  // namespace medley::serve
