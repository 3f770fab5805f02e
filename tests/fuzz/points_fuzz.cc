// Measured points, as YAML and as CSV of serving runs.
#include "base/check.h"
#include "data/points.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace medley;
  const std::string text(text_of(data, size));
  (void)data::parse_points(text, "p.yaml");
  const auto rows = data::parse_serving_rows(text, "p.csv");
  if (!rows.ok())
    return 0;
  for (const data::ServingRow& row : *rows)
    MEDLEY_CHECK(row.ttft_s > 0 && row.tpot_s > 0);
  return 0;
}
