#include "replica/metered.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace medley::replica {
namespace {

constexpr Instant at(double seconds) {
  return Instant(Duration(static_cast<Duration::rep>(seconds * 1e9)));
}

Sequence sequence(std::uint64_t id, long long prompt, long long output) {
  return {.request = RequestId(id), .prompt_tokens = prompt, .output_tokens = output};
}

std::vector<Report> run(VirtualReplica& replica) {
  std::vector<Report> reports;
  while (const auto next = replica.next_event()) {
    replica.advance(*next, reports);
    replica.form_step(*next);
  }
  return reports;
}

constexpr Metered kLaw{.ttft_median_s = 0.4, .ttft_sigma = 0.5, .tpot_s = 0.02};

TEST(Metered, DrawsTheFirstTokenFromItsLawAndPacesTheRest) {
  MeteredReplica replica(kLaw, 0, {.seed = 3});
  constexpr int kRequests = 1001;
  for (std::uint64_t id = 0; id < kRequests; ++id)
    replica.enqueue(at(1), sequence(id, 100, 11));
  EXPECT_EQ(replica.load().running, kRequests);
  std::vector<double> first(kRequests), ttft;
  for (const Report& report : run(replica)) {
    if (report.kind == ReportKind::kFirstToken) {
      first[report.request.number()] = report.at_s;
      ttft.push_back(report.at_s - 1);
    } else {
      EXPECT_NEAR(report.at_s - first[report.request.number()], 0.2, 1e-12);
    }
  }
  ASSERT_EQ(ttft.size(), kRequests);
  EXPECT_TRUE(std::is_sorted(ttft.begin(), ttft.end()));
  EXPECT_NEAR(ttft[kRequests / 2], 0.4, 0.03);
  EXPECT_NEAR(ttft[kRequests * 84 / 100], 0.4 * 1.6487, 0.08) << "one sigma";
  EXPECT_EQ(replica.usage().output_tokens, kRequests * 11);
  EXPECT_EQ(replica.usage().busy_s, 0);
}

TEST(Metered, DrawsByRequestAndSeedAlone) {
  const auto first_of_7 = [](std::uint64_t seed, bool with_others) {
    MeteredReplica replica(kLaw, 0, {.seed = seed});
    if (with_others)
      replica.enqueue(at(0), sequence(1, 5, 5));
    replica.enqueue(at(0), sequence(7, 5, 5));
    for (const Report& report : run(replica)) {
      if (report.request == RequestId(7))
        return report.at_s;
    }
    return -1.0;
  };
  EXPECT_EQ(first_of_7(1, false), first_of_7(1, true));
  EXPECT_NE(first_of_7(1, false), first_of_7(2, false));
}

TEST(Metered, TellsEveryTokenWhenAskedAndForgetsTheCancelled) {
  MeteredReplica replica({.ttft_median_s = 0.5, .ttft_sigma = 0, .tpot_s = 0.25}, 0,
                         {.report_tokens = true});
  replica.enqueue(at(0), sequence(1, 5, 3));
  replica.enqueue(at(0), sequence(2, 5, 3));
  EXPECT_EQ(replica.load().pending_tokens, 12);
  std::vector<Report> reports;
  replica.advance(at(0.5), reports);
  EXPECT_EQ(reports.size(), 2);
  EXPECT_TRUE(replica.cancel(at(0.6), RequestId(2)));
  EXPECT_FALSE(replica.cancel(at(0.6), RequestId(2)));
  EXPECT_EQ(replica.load().pending_tokens, 1);
  const std::vector<Report> rest = run(replica);
  ASSERT_EQ(rest.size(), 3);
  EXPECT_EQ(rest[0].kind, ReportKind::kToken);
  EXPECT_DOUBLE_EQ(rest[0].at_s, 0.75);
  EXPECT_EQ(rest[2].kind, ReportKind::kFinished);
  EXPECT_EQ(replica.usage().output_tokens, 4);
  EXPECT_EQ(replica.load().pending_tokens, 0);
}

TEST(Metered, KnowsItsLongestContext) {
  const MeteredReplica replica(kLaw, 100, {});
  EXPECT_TRUE(replica.fits(sequence(1, 60, 40)));
  EXPECT_FALSE(replica.fits(sequence(1, 60, 41)));
}

}  // namespace
}  // namespace medley::replica
