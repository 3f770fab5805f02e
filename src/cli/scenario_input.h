// What the forms of `medley simulate` share: the scenario with what the command line puts in its
// place, and the command that says the same again.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

#include "base/result.h"
#include "data/scenario_file.h"

namespace medley::cli {

struct SimulateOptions;

// The scenario file with --trace in it. Errors name the file or the flag.
Result<data::Scenario> read_scenario(const SimulateOptions& options);

// A placement policy that the fleet can have; `flag` stands for its origin in errors.
Result<PlacementPolicy> policy_named(std::string_view flag, const std::string& name,
                                     const Fleet& fleet);

// What --prediction-error and --prefill-error say; 0 without them.
Result<double> prediction_error(const SimulateOptions& options);
Result<double> prefill_error(const SimulateOptions& options);
Result<Duration> heard_every(const SimulateOptions& options);

// "medley simulate FILE" and those flags that change what comes out, quoted for a shell.
class Command {
 public:
  explicit Command(const SimulateOptions& options);
  // Nothing where `value` is empty.
  Command& add(std::string_view flag, std::string_view value);
  const std::string& text() const { return text_; }

 private:
  std::string text_ = "medley simulate";
};

// Prints "medley simulate: MESSAGE" and answers the exit status: 1 for a file that could not be
// written to its end, which is no fault of the command line or an input, else 2.
int complain(const Error& error, std::FILE* err);

}  // namespace medley::cli
