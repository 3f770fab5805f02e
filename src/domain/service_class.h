// The four service classes, and what keeping their promise means.
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "base/instant.h"
#include "base/quantity.h"

namespace medley {

enum class ServiceClass { kGuaranteed, kStandard, kFlex, kBatch };
inline constexpr std::size_t kServiceClassCount = 4;
inline constexpr std::array<ServiceClass, kServiceClassCount> kServiceClasses = {
    ServiceClass::kGuaranteed, ServiceClass::kStandard, ServiceClass::kFlex, ServiceClass::kBatch};

// "guaranteed", "standard", "flex", "batch".
std::string_view name_of(ServiceClass service_class);
std::optional<ServiceClass> service_class_named(std::string_view name);
constexpr std::size_t index_of(ServiceClass service_class) {
  return static_cast<std::size_t>(service_class);
}

// Somebody waits for each of its tokens. The other classes are patient: they wait for lost pools,
// and make room for guaranteed work.
constexpr bool is_interactive(ServiceClass service_class) {
  return service_class == ServiceClass::kGuaranteed || service_class == ServiceClass::kStandard;
}

// A request keeps its promise when every target that is set is met.
struct Targets {
  std::optional<Duration> ttft;      // first token no later than this after arrival
  std::optional<Duration> tpot;      // mean time per output token after the first
  std::optional<Duration> deadline;  // last token no later than this after arrival

  bool operator==(const Targets&) const = default;
};

struct ClassPolicy {
  Targets targets;
  Money value;  // what one kept promise is worth
};

// The documented defaults of a fleet file (reference: docs/fleet.md).
ClassPolicy default_policy(ServiceClass service_class);

}  // namespace medley
