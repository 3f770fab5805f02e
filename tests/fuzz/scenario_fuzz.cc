// Scenarios, with the fleets and workloads in them: read, and the first of their requests made.
#include "base/check.h"
#include "data/scenario_file.h"
#include "fuzz.h"
#include "simulate/generator.h"
#include "simulate/workload.h"

namespace {

void generate(const medley::data::WorkloadSpec& workload) {
  medley::simulate::WorkloadGenerator generator(workload, 1);
  double last_s = 0;
  for (int i = 0; i < 50; ++i) {
    const auto made = generator.next();
    if (!made)
      return;
    MEDLEY_CHECK(made->arrived_s >= last_s);
    MEDLEY_CHECK(made->prompt_tokens >= 1 && made->output_tokens >= 1);
    last_s = made->arrived_s;
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace medley;
  // The catalogue of the repository, which is the working folder.
  static const auto catalog = data::read_catalog("catalog");
  MEDLEY_CHECK(catalog.ok(), catalog.ok() ? "" : catalog.error().message);
  const std::string_view text = text_of(data, size);
  // Other files are not this target's business, and some (/dev/stdin) never end.
  if (text.find("/dev") != std::string_view::npos || text.find("/proc") != std::string_view::npos)
    return 0;
  if (const auto workload = data::parse_workload(text, "fuzz/w.yaml"); workload.ok())
    generate(*workload);
  const auto scenario = data::parse_scenario(text, "fuzz/s.yaml", *catalog);
  if (!scenario.ok())
    return 0;
  (void)simulate::make_models(scenario->fleet);
  (void)simulate::make_faults(*scenario);
  if (scenario->workload)
    generate(*scenario->workload);
  return 0;
}
