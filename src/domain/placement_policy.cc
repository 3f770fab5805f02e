#include "domain/placement_policy.h"

namespace medley {
namespace {

constexpr std::array<std::string_view, kPlacementKindCount> kKinds = {
    "medley",
    "round_robin",
    "least_queued",
    "least_outstanding",
    "least_pending_tokens",
    "p2c",
    "skypilot_instance_aware",
    "smg_least_load",
    "smg_cache_aware",
    "smg_cache_aware_library",
    "dynamo_kv",
    "static_grid",
    "llmd_default",
    "llmd_headroom",
    "llmd_headroom_most",
    "aibrix_slo",
    "aibrix_prefix_cache",
    "litellm_latency",
    "litellm_latency_repaired",
    "litellm_cost",
    "multi_factor",
    "splitwise",
    "polyserve",
    "greedy_cheapest",
    "edf_composite",
};
constexpr std::array<std::string_view, kScorePartCount> kParts = {
    "prices",   "later",    "residents",    "refusal", "probability",
    "fairness", "prefixes", "displacement", "signals"};
constexpr std::string_view kAdmission = "+admission", kLengths = "+lengths";

}  // namespace

std::string_view name_of(PlacementKind kind) { return kKinds[static_cast<std::size_t>(kind)]; }

std::vector<std::string> placement_names() { return {kKinds.begin(), kKinds.end()}; }

bool counts_only(PlacementKind kind) {
  return kind == PlacementKind::kRoundRobin || kind == PlacementKind::kLeastQueued ||
         kind == PlacementKind::kLeastOutstanding || kind == PlacementKind::kLeastPendingTokens;
}

std::string name_of(const PlacementPolicy& policy) {
  std::string name(name_of(policy.kind));
  for (std::size_t i = 0; i < kParts.size(); ++i) {
    if (policy.left_out[i])
      name += '-' + std::string(kParts[i]);
  }
  if (policy.admission)
    name += kAdmission;
  if (policy.knows_lengths)
    name += kLengths;
  return name;
}

std::optional<PlacementPolicy> placement_named(std::string_view name) {
  PlacementPolicy policy;
  const auto ends_with = [&name](std::string_view end) {
    if (!name.ends_with(end))
      return false;
    name.remove_suffix(end.size());
    return true;
  };
  policy.knows_lengths = ends_with(kLengths);
  policy.admission = ends_with(kAdmission);
  for (std::size_t dash = name.rfind('-'); dash != std::string_view::npos; dash = name.rfind('-')) {
    const std::string_view part = name.substr(dash + 1);
    std::size_t i = 0;
    while (i < kParts.size() && kParts[i] != part)
      ++i;
    if (i == kParts.size() || policy.left_out[i])
      return std::nullopt;
    policy.left_out[i] = true;
    name = name.substr(0, dash);
  }
  std::size_t kind = 0;
  while (kind < kKinds.size() && kKinds[kind] != name)
    ++kind;
  if (kind == kKinds.size())
    return std::nullopt;
  policy.kind = static_cast<PlacementKind>(kind);
  const bool ours = policy.kind == PlacementKind::kMedley;
  const bool changed = policy.left_out != decltype(policy.left_out){} || policy.knows_lengths;
  if (ours ? policy.admission : changed)
    return std::nullopt;
  return policy;
}

}  // namespace medley
