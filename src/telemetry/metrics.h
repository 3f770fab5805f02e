// What Prometheus sees of a running gateway. The names are an interface: dashboards and alerts hang
// on them.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "domain/service_class.h"

namespace medley::telemetry {

// Counters only grow; gauges are set when somebody looks. Labels come from the fleet, never from a
// request, so that their number is bounded; empty ones say "none". Single-threaded.
class Metrics {
 public:
  Metrics();
  ~Metrics();

  struct RequestLabels {
    std::string_view service_class, model, pool;
    std::string_view outcome;  // completed, rejected, failed, cancelled, invalid
  };
  void count_request(const RequestLabels& labels);
  void observe_ttft(ServiceClass service_class, std::string_view pool, double seconds);
  void observe_tpot(ServiceClass service_class, std::string_view pool, double seconds);
  void count_tokens(ServiceClass service_class, std::string_view pool, long long prompt,
                    long long output);
  // `source`: "modelled" or "measured".
  void count_energy(std::string_view pool, std::string_view source, double joules);
  // `outcome`: "kept", "broken" or "abandoned".
  void count_token_window(ServiceClass service_class, std::string_view pool,
                          std::string_view outcome);
  void count_cost(std::string_view pool, std::string_view currency, double money);

  // Of a tenant's requests; `outcome` as of requests.
  void count_tenant(std::string_view tenant, ServiceClass service_class, std::string_view outcome,
                    long long prompt, long long output);

  // Times that requests of the class made room for guaranteed work, since the start.
  void set_preemptions(ServiceClass service_class, double preemptions);
  void set_queue_depth(ServiceClass service_class, double requests);
  void set_saturation(double share);
  void set_in_flight(double requests);
  void set_backend_up(std::string_view pool, double replicas);
  // Of engines that release tokens on a beat, since they were started.
  void set_beats(std::string_view pool, double all, double missed);
  void set_handed_over(std::string_view pool, double done, double failed);

  // Questions to a pool's engines for their load, since the start, and how old the oldest answer
  // among its replicas is, seconds.
  void set_load_reports(std::string_view pool, double heard, double failed, double oldest_s);

  // The text exposition format.
  std::string text() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace medley::telemetry
