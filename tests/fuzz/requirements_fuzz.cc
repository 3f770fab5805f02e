// Requirements files: read, and the pools that they could have made, where these are few.
#include "base/check.h"
#include "data/requirements_file.h"
#include "fuzz.h"
#include "plan/pool_types.h"
#include "plan/program.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace medley;
  // The catalogue of the repository, which is the working folder.
  static const auto catalog = data::read_catalog("catalog");
  MEDLEY_CHECK(catalog.ok(), catalog.ok() ? "" : catalog.error().message);
  const std::string_view text = text_of(data, size);
  // Other files are not this target's business, and some (/dev/stdin) never end.
  if (text.find("/dev") != std::string_view::npos || text.find("/proc") != std::string_view::npos)
    return 0;
  const auto read = data::parse_requirements(text, "fuzz/r.yaml", *catalog);
  if (!read.ok())
    return 0;
  for (const data::Demand& demand : read->demands) {
    MEDLEY_CHECK(data::mean_of(demand, false) >= 1 && data::mean_of(demand, true) >= 1);
    MEDLEY_CHECK(data::long_of(demand.prompt_tokens) >= 1);
  }
  MEDLEY_CHECK(!plan::periods_of(*read).empty());
  std::size_t drafts = 0;
  for (const data::DeviceOffer& offer : read->devices) {
    drafts += std::max<std::size_t>(1, offer.widths.size()) *
              std::max<std::size_t>(1, offer.precisions.size()) * offer.zones.size();
  }
  if (drafts * read->demands.size() > 16)
    return 0;
  const auto pools = plan::pool_types(*read, *catalog);
  if (!pools.ok())
    return 0;
  // What is chosen of them is a file that the reader of fleets reads.
  (void)plan::fleet_text(*read, pools->types, std::vector<int>(pools->types.size(), 1), "");
  return 0;
}
