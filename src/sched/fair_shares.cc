#include "sched/fair_shares.h"

#include <algorithm>
#include <limits>
#include <tuple>

namespace medley::sched {
namespace {

// What a token of an answer counts for, in tokens of a prompt: as in the paper.
constexpr double kOutputWeight = 2;

}  // namespace

FairShares::FairShares(const Fleet& fleet)
    : several_(fleet.tenants.size() > 1 && fleet.placement.has(ScorePart::kFairness)) {
  for (const Tenant& tenant : fleet.tenants)
    weights_.push_back(tenant.weight);
  if (several_) {
    for (std::vector<Account>& of_class : accounts_)
      of_class.resize(fleet.tenants.size());
  }
}

bool FairShares::before(ServiceClass service_class, TenantId a, TenantId b) const {
  if (a == b || !several_)
    return false;
  const std::vector<Account>& accounts = accounts_[index_of(service_class)];
  const Account& first = accounts[a.number()];
  const Account& second = accounts[b.number()];
  // Equals begin with who asks for less.
  return std::tuple(first.service, first.waiting, a.number()) <
         std::tuple(second.service, second.waiting, b.number());
}

double FairShares::waiting(ServiceClass service_class, TenantId tenant, int more) const {
  if (!several_)
    return 0;
  const Account& account = accounts_[index_of(service_class)][tenant.number()];
  return static_cast<double>(account.waiting + more) / weights_[tenant.number()];
}

void FairShares::lift(const Request& request) {
  if (!several_ || account(request).waiting > 0)
    return;
  double least = std::numeric_limits<double>::infinity();
  for (const Account& other : accounts_[index_of(request.service_class)]) {
    if (other.waiting > 0)
      least = std::min(least, other.service);
  }
  if (least == std::numeric_limits<double>::infinity())
    least = floor_[index_of(request.service_class)];
  account(request).service = std::max(account(request).service, least);
}

void FairShares::waits(const Request& request) {
  if (!several_)
    return;
  lift(request);
  ++account(request).waiting;
}

void FairShares::waits_no_more(const Request& request) {
  if (!several_)
    return;
  --account(request).waiting;
  floor_[index_of(request.service_class)] = account(request).service;
}

void FairShares::serve(const Request& request, long long prompt_tokens, long long output_tokens) {
  if (!several_)
    return;
  const double tokens =
      static_cast<double>(prompt_tokens) + kOutputWeight * static_cast<double>(output_tokens);
  account(request).service += tokens / weights_[request.tenant.number()];
}

}  // namespace medley::sched
