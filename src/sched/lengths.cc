#include "sched/lengths.h"

#include <algorithm>
#include <cmath>

namespace medley::sched {
namespace {

// Before anything was seen; the Azure 2023 conversation trace's mean is 211, its deviation .77 of
// that.
constexpr double kPriorTokens = 200, kPriorSpread = 0.6;
// Answers that the coarser mean is worth to a finer one.
constexpr int kLean = 10;
// A mean forgets: the last fifty answers or so are what it tells.
constexpr int kMostCount = 50;
constexpr double kMostTimes = 10;

}  // namespace

std::array<std::size_t, Lengths::kLevels> Lengths::places(const Request& request) const {
  const std::size_t service_class = index_of(request.service_class);
  const std::size_t offer = request.model.number() * kServiceClassCount + service_class;
  const std::size_t tenant = offer * tenants_ + request.tenant.number();
  return {service_class, offer, tenant,
          tenant * kEndpointCount + static_cast<std::size_t>(request.endpoint)};
}

const Lengths::Likely& Lengths::of(const Request& request) const {
  const std::array<std::size_t, kLevels> at = places(request);
  if (at.back() >= known_.size())
    known_.resize(at.back() + 1);
  Known& known = known_[at.back()];
  if (known.as_of == ends_)
    return known.likely;
  double tokens = kPriorTokens, spread = kPriorSpread;
  for (std::size_t level = 0; level < kLevels; ++level) {
    if (at[level] >= levels_[level].size())
      break;  // nor is there anything finer
    const Mean& mean = levels_[level][at[level]];
    const double weight = static_cast<double>(mean.count) / (mean.count + kLean);
    tokens += weight * (mean.tokens - tokens);
    spread += weight * (mean.spread - spread);
  }
  const double log_variance = std::log1p(spread);
  known = {ends_, {tokens, spread, log_variance, std::exp(-log_variance / 2)}};
  return known.likely;
}

void Lengths::ended(const Request& request, long long tokens) {
  const double before = std::max(1.0, expected(request));
  const double counted = std::min(static_cast<double>(tokens), kMostTimes * before);
  const double off = counted / before - 1;
  const std::array<std::size_t, kLevels> at = places(request);
  for (std::size_t level = 0; level < kLevels; ++level) {
    if (at[level] >= levels_[level].size())
      levels_[level].resize(at[level] + 1);
    Mean& mean = levels_[level][at[level]];
    mean.count = std::min(mean.count + 1, kMostCount);
    mean.tokens += (counted - mean.tokens) / mean.count;
    mean.spread += (off * off - mean.spread) / mean.count;
  }
  ++ends_;
}

}  // namespace medley::sched
