#include "cli/warn.h"

#include <fmt/format.h>

#include "cli/table.h"
#include "perf/impossible.h"

namespace medley::cli {

void warn_of_impossible(const Fleet& fleet, const perf::PerfModel& perf, std::FILE* err) {
  for (const std::string& sentence : perf::impossible(fleet, perf))
    fmt::print(err, "medley: warning: {}\n", printable(sentence));
}

}  // namespace medley::cli
