// Cases of fleet mixes and of training shares.
#include "base/check.h"
#include "fuzz.h"
#include "plan/cases_file.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace medley;
  const std::string_view text = text_of(data, size);
  if (const auto mixes = plan::parse_fleet_mix_cases(text, "fuzz.json"); mixes.ok()) {
    for (const plan::FleetMixCases::Case& of : mixes->cases) {
      MEDLEY_CHECK(of.table < mixes->tables.size());
      MEDLEY_CHECK(of.demand.requests_per_s > 0 && of.demand.slices >= 1);
    }
  }
  if (const auto training = plan::parse_training_cases(text, "fuzz.json"); training.ok()) {
    for (const plan::TrainingCases::Case& of : training->cases) {
      MEDLEY_CHECK(of.given.count.size() == of.types.size());
      for (const simulate::TrainingJob& job : of.given.jobs)
        MEDLEY_CHECK(job.gang >= 1 && job.steps_per_s.size() == of.types.size());
    }
  }
  return 0;
}
