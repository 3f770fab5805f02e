#include "telemetry/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <map>

namespace medley::telemetry {
namespace {

using Labels = std::map<std::string, std::string>;

// OpenTelemetry's buckets for generative models begin at 10 ms; statically scheduled devices make a
// token in 1 to 3 ms, so ours begin earlier (api-clients.md, section 10).
const prometheus::Histogram::BucketBoundaries kTtftBuckets = {
    0.001, 0.002, 0.005, 0.01, 0.02,  0.04,  0.08,  0.16, 0.32,
    0.64,  1.28,  2.56,  5.12, 10.24, 20.48, 40.96, 81.92};
const prometheus::Histogram::BucketBoundaries kTpotBuckets = {
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1,
    0.15,   0.2,   0.3,   0.4,   0.5,  0.75,  1,    2.5};

template <typename Builder>
auto& family(prometheus::Registry& registry, Builder builder, const char* name, const char* help) {
  return builder.Name(name).Help(help).Register(registry);
}

std::string label(std::string_view value) { return value.empty() ? "none" : std::string(value); }

}  // namespace

struct Metrics::Impl {
  prometheus::Registry registry;

  prometheus::Family<prometheus::Counter>& requests =
      family(registry, prometheus::BuildCounter(), "medley_requests_total",
             "Requests that ended, by how they ended");
  prometheus::Family<prometheus::Histogram>& ttft =
      family(registry, prometheus::BuildHistogram(), "medley_ttft_seconds",
             "Time from arrival to the first token");
  prometheus::Family<prometheus::Histogram>& tpot =
      family(registry, prometheus::BuildHistogram(), "medley_tpot_seconds",
             "Mean time per output token after the first, per request");
  prometheus::Family<prometheus::Counter>& tokens = family(
      registry, prometheus::BuildCounter(), "medley_tokens_total", "Tokens of finished requests");
  prometheus::Family<prometheus::Counter>& energy =
      family(registry, prometheus::BuildCounter(), "medley_energy_joules_total",
             "Energy of finished requests");
  prometheus::Family<prometheus::Counter>& cost =
      family(registry, prometheus::BuildCounter(), "medley_cost_currency_total",
             "Cost of finished requests, in the site's currency");
  prometheus::Family<prometheus::Counter>& token_windows =
      family(registry, prometheus::BuildCounter(), "medley_token_windows_total",
             "Promises of a time for every token, by what became of them");
  prometheus::Family<prometheus::Counter>& preemptions =
      family(registry, prometheus::BuildCounter(), "medley_preemptions_total",
             "Times that requests made room for guaranteed work");
  prometheus::Family<prometheus::Counter>& tenant_requests =
      family(registry, prometheus::BuildCounter(), "medley_tenant_requests_total",
             "Requests of each tenant that ended, by how they ended");
  prometheus::Family<prometheus::Counter>& tenant_tokens =
      family(registry, prometheus::BuildCounter(), "medley_tenant_tokens_total",
             "Tokens of each tenant's finished requests");
  prometheus::Family<prometheus::Gauge>& queue_depth =
      family(registry, prometheus::BuildGauge(), "medley_queue_depth",
             "Requests admitted and waiting for a replica");
  prometheus::Family<prometheus::Gauge>& saturation =
      family(registry, prometheus::BuildGauge(), "medley_saturation",
             "Share of what the live fleet can do that is taken, 0 to 1");
  prometheus::Family<prometheus::Gauge>& in_flight =
      family(registry, prometheus::BuildGauge(), "medley_in_flight", "Requests at the engines");
  prometheus::Family<prometheus::Gauge>& backend_up =
      family(registry, prometheus::BuildGauge(), "medley_backend_up", "Replicas that can be used");
  prometheus::Family<prometheus::Gauge>& beats =
      family(registry, prometheus::BuildGauge(), "medley_token_beats",
             "Beats of static schedules on which tokens were to be released, since the start");
  prometheus::Family<prometheus::Gauge>& handed_over =
      family(registry, prometheus::BuildGauge(), "medley_prompts_handed_over",
             "Long prompts that were to be read by another engine of the replica, since the start");
  prometheus::Family<prometheus::Gauge>& load_reports =
      family(registry, prometheus::BuildGauge(), "medley_load_reports",
             "Questions to engines for their load, by outcome, since the start");
  prometheus::Family<prometheus::Gauge>& load_report_age =
      family(registry, prometheus::BuildGauge(), "medley_load_report_age_seconds",
             "Age of the oldest report of load among a pool's replicas");
};

Metrics::Metrics() : impl_(std::make_unique<Impl>()) {}
Metrics::~Metrics() = default;

void Metrics::count_request(const RequestLabels& labels) {
  impl_->requests
      .Add({{"class", label(labels.service_class)},
            {"model", label(labels.model)},
            {"pool", label(labels.pool)},
            {"outcome", label(labels.outcome)}})
      .Increment();
}

void Metrics::observe_ttft(ServiceClass service_class, std::string_view pool, double seconds) {
  impl_->ttft
      .Add({{"class", std::string(name_of(service_class))}, {"pool", label(pool)}}, kTtftBuckets)
      .Observe(seconds);
}

void Metrics::observe_tpot(ServiceClass service_class, std::string_view pool, double seconds) {
  impl_->tpot
      .Add({{"class", std::string(name_of(service_class))}, {"pool", label(pool)}}, kTpotBuckets)
      .Observe(seconds);
}

void Metrics::count_tokens(ServiceClass service_class, std::string_view pool, long long prompt,
                           long long output) {
  const auto add = [&](const char* direction, long long count) {
    impl_->tokens
        .Add({{"class", std::string(name_of(service_class))},
              {"pool", label(pool)},
              {"direction", direction}})
        .Increment(static_cast<double>(count));
  };
  add("prompt", prompt);
  add("output", output);
}

void Metrics::count_energy(std::string_view pool, std::string_view source, double joules) {
  impl_->energy.Add({{"pool", label(pool)}, {"source", label(source)}}).Increment(joules);
}

void Metrics::count_token_window(ServiceClass service_class, std::string_view pool,
                                 std::string_view outcome) {
  impl_->token_windows
      .Add({{"class", std::string(name_of(service_class))},
            {"pool", label(pool)},
            {"outcome", label(outcome)}})
      .Increment();
}

void Metrics::count_cost(std::string_view pool, std::string_view currency, double money) {
  impl_->cost.Add({{"pool", label(pool)}, {"currency", label(currency)}}).Increment(money);
}

void Metrics::count_tenant(std::string_view tenant, ServiceClass service_class,
                           std::string_view outcome, long long prompt, long long output) {
  const std::string of_class(name_of(service_class));
  impl_->tenant_requests
      .Add({{"tenant", label(tenant)}, {"class", of_class}, {"outcome", label(outcome)}})
      .Increment();
  const auto add = [&](const char* direction, long long count) {
    impl_->tenant_tokens
        .Add({{"tenant", label(tenant)}, {"class", of_class}, {"direction", direction}})
        .Increment(static_cast<double>(count));
  };
  add("prompt", prompt);
  add("output", output);
}

void Metrics::set_preemptions(ServiceClass service_class, double preemptions) {
  prometheus::Counter& counter =
      impl_->preemptions.Add({{"class", std::string(name_of(service_class))}});
  counter.Increment(preemptions - counter.Value());
}

void Metrics::set_queue_depth(ServiceClass service_class, double requests) {
  impl_->queue_depth.Add({{"class", std::string(name_of(service_class))}}).Set(requests);
}

void Metrics::set_saturation(double share) { impl_->saturation.Add(Labels{}).Set(share); }

void Metrics::set_in_flight(double requests) { impl_->in_flight.Add(Labels{}).Set(requests); }

void Metrics::set_backend_up(std::string_view pool, double replicas) {
  impl_->backend_up.Add({{"pool", label(pool)}}).Set(replicas);
}

void Metrics::set_beats(std::string_view pool, double all, double missed) {
  impl_->beats.Add({{"pool", label(pool)}, {"outcome", "kept"}}).Set(all - missed);
  impl_->beats.Add({{"pool", label(pool)}, {"outcome", "missed"}}).Set(missed);
}

void Metrics::set_handed_over(std::string_view pool, double done, double failed) {
  impl_->handed_over.Add({{"pool", label(pool)}, {"outcome", "done"}}).Set(done);
  impl_->handed_over.Add({{"pool", label(pool)}, {"outcome", "failed"}}).Set(failed);
}

void Metrics::set_load_reports(std::string_view pool, double heard, double failed,
                               double oldest_s) {
  impl_->load_reports.Add({{"pool", label(pool)}, {"outcome", "heard"}}).Set(heard);
  impl_->load_reports.Add({{"pool", label(pool)}, {"outcome", "failed"}}).Set(failed);
  impl_->load_report_age.Add({{"pool", label(pool)}}).Set(oldest_s);
}

std::string Metrics::text() const {
  return prometheus::TextSerializer().Serialize(impl_->registry.Collect());
}

}  // namespace medley::telemetry
