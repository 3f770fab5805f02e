#include <gtest/gtest.h>

#include "data/testing_shared.h"
#include "simulate/trace_fit.h"

namespace medley::simulate {
namespace {

TEST(TraceFit, TheRealTracesComeOutAlike) {
  const std::string shared = data::shared_folder();
  if (shared.empty())
    GTEST_SKIP() << "no shared folder with traces beside the checkout (MEDLEY_SHARED)";
  struct Real {
    const char* path;
    data::TraceFormat format;
  };
  for (const Real& real : {Real{"azure2023/conv.csv", data::TraceFormat::kAzure},
                           Real{"mooncake/conversation_trace.jsonl", data::TraceFormat::kMooncake},
                           Real{"servegen/msmall_40min.csv", data::TraceFormat::kServegen}}) {
    const auto requests =
        data::read_trace({.path = shared + "/traces/" + real.path, .format = real.format});
    ASSERT_TRUE(requests.ok()) << requests.error().message;
    const auto fit =
        fit_trace(*requests, trace_stats(*requests, data::tells_prefixes(real.format, *requests)));
    ASSERT_TRUE(fit.ok()) << fit.error().message;
    for (const FitFigure& figure : fit->figures) {
      // The longest of all lengths and windows of which a trace has but a few are chance.
      if (figure.name.ends_with("max") || figure.name.ends_with("00 s"))
        continue;
      EXPECT_NEAR(figure.mean / figure.trace, 1, 0.25) << real.path << ": " << figure.name;
    }
  }
}

}  // namespace
}  // namespace medley::simulate
