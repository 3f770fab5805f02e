// What `serve --usage` wrote: read, written and read again; and what can be planned for by it.
#include "base/check.h"
#include "data/fleet_file.h"
#include "data/usage_file.h"
#include "fuzz.h"
#include "plan/replan.h"

namespace {

constexpr char kFleet[] = R"(
site: {zone: here, tariff: {currency: USD, per_kwh: 0.2}}
pools: [{name: a, device: h100_sxm, model: llama-3.1-8b, replicas: 2}]
)";

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace medley;
  static const auto catalog = data::read_catalog("catalog");
  MEDLEY_CHECK(catalog.ok(), catalog.ok() ? "" : catalog.error().message);
  const auto spans = data::parse_usage(text_of(data, size), "fuzz.jsonl");
  if (!spans.ok())
    return 0;
  std::string again;
  for (const data::UsageSpan& span : *spans)
    again += data::usage_line(span) + "\n";
  const auto reread = data::parse_usage(again, "fuzz.jsonl");
  MEDLEY_CHECK(reread.ok() && reread->size() == spans->size());
  static const auto fleet = data::read_fleet(*data::parse_yaml(kFleet, "fleet.yaml"), *catalog);
  const auto usage =
      plan::requirements_of({"fuzz.jsonl", "fleet.yaml", *spans, *fleet, {}}, *catalog);
  if (!usage.ok())
    return 0;
  for (const data::Demand& demand : usage->requirements.demands) {
    MEDLEY_CHECK(data::mean_of(demand, false) >= 1 && data::mean_of(demand, true) >= 1);
    for (const double rate : demand.rate_per_s)
      MEDLEY_CHECK(rate >= 0);
  }
  return 0;
}
