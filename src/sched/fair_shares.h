// Whose turn it is among tenants that wait, and what each of them has had.
//
// Max-min over service by weight, by class: of those that wait, the tenant with the least service
// comes first. Service is counted in tokens, one of an answer like two of a prompt, at dispatch by
// the expected length and at the end by the true one. A tenant that begins to wait is lifted to the
// least of those that wait already: what it did not ask for it has not saved up. This is the
// virtual token counter of Sheng et al., "Fairness in Serving Large Language Models" (OSDI 2024),
// with a batch of a class in place of a server's; lengths are predicted, as in its section 4.4.
#pragma once

#include <array>
#include <vector>

#include "domain/fleet.h"
#include "domain/request.h"

namespace medley::sched {

class FairShares {
 public:
  // Costs nothing and decides nothing where there is only one tenant, or where the policy is told
  // to do without fairness.
  explicit FairShares(const Fleet& fleet);

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
  void serve(const Request& request, long long prompt_tokens, long long output_tokens);

 private:
  struct Account {
    double service = 0;  // tokens per weight
    long long waiting = 0;
  };
  Account& account(const Request& request) {
    return accounts_[index_of(request.service_class)][request.tenant.number()];
  }

  bool several_;
  std::vector<double> weights_;                                      // by tenant
  std::array<std::vector<Account>, kServiceClassCount> accounts_{};  // by tenant
  std::array<double, kServiceClassCount>
      floor_{};  // service of who waited last, when all have left
};

}  // namespace medley::sched
