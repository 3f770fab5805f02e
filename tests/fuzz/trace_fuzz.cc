// Traces of every format, and what `medley trace info` and `fit` make of them.
#include "base/check.h"
#include "data/trace.h"
#include "fuzz.h"
#include "simulate/trace_fit.h"
#include "simulate/trace_report.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace medley;
  const std::string text(text_of(data, size));
  const auto format = data::trace_format_of(text, "t");
  for (int i = 0; i < data::kTraceFormatCount; ++i) {
    data::TraceSpec spec{.path = "t", .format = static_cast<data::TraceFormat>(i)};
    if (format.ok() && *format != spec.format)
      continue;
    if (size % 3 == 0)
      spec.max_request_tokens = 100;
    const auto requests = data::parse_trace(text, spec);
    if (!requests.ok() || requests->empty())
      continue;
    for (std::size_t row = 0; row < requests->size(); ++row) {
      const data::TraceRequest& request = (*requests)[row];
      MEDLEY_CHECK(request.prompt.count() >= 1 && request.output.count() >= 1);
      MEDLEY_CHECK(request.prefix.count() >= 0 && request.prefix <= request.prompt);
      MEDLEY_CHECK(request.prefix.count() == 0 || request.prefix_of < row);
    }
    const simulate::TraceStats stats =
        simulate::trace_stats(*requests, data::tells_prefixes(*spec.format, *requests));
    (void)simulate::trace_page(stats, *requests, *spec.format, "t", "c");
    if (requests->size() > 400)
      continue;
    const auto fit = simulate::fit_trace(*requests, stats);
    // What a fit would write can be read: it tries.
    MEDLEY_CHECK(fit.ok() || !fit.error().message.starts_with("the fit:"), fit.error().message);
  }
  return 0;
}
