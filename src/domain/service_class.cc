#include "domain/service_class.h"

namespace medley {
namespace {

constexpr std::array<std::string_view, kServiceClassCount> kNames = {"guaranteed", "standard",
                                                                     "flex", "batch"};

}  // namespace

std::string_view name_of(ServiceClass service_class) { return kNames[index_of(service_class)]; }

std::optional<ServiceClass> service_class_named(std::string_view name) {
  for (const ServiceClass service_class : kServiceClasses) {
    if (name_of(service_class) == name)
      return service_class;
  }
  return std::nullopt;
}

ClassPolicy default_policy(ServiceClass service_class) {
  using std::chrono::milliseconds, std::chrono::seconds;
  switch (service_class) {
    case ServiceClass::kGuaranteed:
      return {{milliseconds(500), milliseconds(8), {}}, Money(0.02)};
    case ServiceClass::kStandard:
      return {{seconds(1), milliseconds(50), {}}, Money(0.005)};
    case ServiceClass::kFlex:
      return {{seconds(10), milliseconds(100), {}}, Money(0.002)};
    case ServiceClass::kBatch:
      return {{{}, {}, seconds(86400)}, Money(0.0008)};
  }
  return {};
}

}  // namespace medley
