// The files of `medley plan --cases` and `--training` (docs/plan.md). Unknown keys are ignored, so
// that a file which also carries expected answers can be read as it is. Errors name file and field.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "plan/fleet_mix.h"
#include "simulate/training_shares.h"

namespace medley::plan {

struct FleetMixCases {
  struct Case {
    std::string id;
    std::size_t table = 0;
    FleetMixDemand demand;
  };
  std::vector<FleetMixTable> tables;
  std::vector<Case> cases;
  std::vector<std::string> warnings;  // lines for people
};
Result<FleetMixCases> read_fleet_mix_cases(const std::string& path);
Result<FleetMixCases> parse_fleet_mix_cases(std::string_view text, const std::string& name);

struct TrainingCases {
  struct Case {
    std::string id;
    std::vector<std::string> types;  // of the cluster
    simulate::TrainingCase given;
  };
  std::vector<Case> cases;
};
Result<TrainingCases> read_training_cases(const std::string& path);
Result<TrainingCases> parse_training_cases(std::string_view text, const std::string& name);

}  // namespace medley::plan
