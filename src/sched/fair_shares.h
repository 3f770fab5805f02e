// Whose turn it is among tenants that wait, and what each of them has had.
//
// Max-min over service by weight, by class: of those that wait, the tenant with the least service
// comes first. Service is counted in tokens, one of an answer like two of a prompt, at dispatch by
// the expected length and at the end by the true one. A tenant that begins to wait is lifted to the
// least of those that wait already: what it did not ask for it has not saved up. This is the
// virtual token counter of Sheng et al., "Fairness in Serving Large Language Models" (OSDI 2024),
// one for each class.
//
// Turns alone do not keep a flood off others: where work is dispatched as it comes, replicas are
// full up to its targets whenever somebody else's comes. So a tenant that lately had more than the
// mean also leaves room.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "domain/fleet.h"
#include "domain/request.h"

namespace medley::sched {

class FairShares {
 public:
  // Costs nothing and decides nothing where there is only one tenant, or where the policy is told
  // to do without fairness.
  explicit FairShares(const Fleet& fleet);

  // A request came.
  void came(Instant now, const Request& request);
  // Whose turn the request takes: its tenant's; with nothing to share, everybody's.
  TenantId taker(const Request& request) const { return several_ ? request.tenant : TenantId(); }
  // Whether `a` comes before `b`; a strict order.
  bool before(ServiceClass service_class, TenantId a, TenantId b) const;
  // How many wait of a tenant per weight, where `more` of it were to come.
  double waiting(ServiceClass service_class, TenantId tenant, int more = 0) const;

  // A request comes: its tenant is lifted if none of its work waits.
  void lift(const Request& request);
  void waits(const Request& request);
  void waits_no_more(const Request& request);
  // It is given so many tokens; of what was expected and did not come, fewer than none.
  void serve(Instant now, const Request& request, long long prompt_tokens, long long output_tokens);
  // How many seconds of prompts the request leaves free on a replica, for work of others that may
  // come. In proportion to what its tenant lately had beyond the mean of all who came lately, by
  // weight and of its class; up to a share of the tightest target that a first token has.
  double leaves_free_s(Instant now, const Request& request);

 private:
  struct Account {
    double service = 0;  // tokens per weight
    long long waiting = 0;
    double recent = 0;  // tokens, decaying, as of recent_at
    Instant recent_at;
    std::optional<Instant> came_at;  // its last request
  };
  static double recent(Instant now, const Account& account);
  // Recent tokens per weight of all who came lately.
  double mean(Instant now, ServiceClass service_class);
  Account& account(const Request& request) {
    return accounts_[index_of(request.service_class)][request.tenant.number()];
  }

  bool several_;
  double most_left_free_s_ = 0;
  struct Mean {
    double value = 0;
    std::optional<Instant> at;
  };
  std::array<Mean, kServiceClassCount> means_{};
  std::vector<double> weights_;                                      // by tenant
  std::array<std::vector<Account>, kServiceClassCount> accounts_{};  // by tenant
  std::array<double, kServiceClassCount>
      floor_{};  // service of who waited last, when all have left
};

}  // namespace medley::sched
