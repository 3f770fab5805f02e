#include "serve/usage_recorder.h"

#include <gtest/gtest.h>

#include "sched/test_fleet.h"

namespace medley::serve {
namespace {

using std::chrono::milliseconds, std::chrono::seconds;

class UsageRecorderTest : public testing::Test {
 protected:
  Request request(ServiceClass service_class = ServiceClass::kStandard) {
    Request made;
    made.id = RequestId(++last_);
    made.arrived_at = now_;
    made.service_class = service_class;
    made.label = LabelId(1);
    made.prompt_tokens = Tokens(100);
    return made;
  }

  sched::TestFleet made_ = sched::make_test_fleet({{.name = "a", .replicas = 2}});
  sched::Scheduler scheduler_{made_.fleet, made_.perf};
  UsageRecorder recorder_{made_.fleet};
  Instant now_{};
  std::uint64_t last_ = 0;
};

TEST_F(UsageRecorderTest, CountsArrivalsAndEndsByClassLabelAndName) {
  const Request one = request(), two = request(ServiceClass::kBatch), three = request();
  for (const Request& of : {one, two, three})
    recorder_.arrived(of);
  recorder_.ended(one, "completed",
                  {.pool = PoolId(0),
                   .ttft_s = 0.1,
                   .tpot_s = 0.01,
                   .e2e_s = 1,
                   .output_tokens = Tokens(40),
                   .joules = 7.0,
                   .money = 0.5});
  recorder_.ended(three, "rejected", {});
  const data::UsageSpan span = recorder_.take(scheduler_);
  ASSERT_EQ(span.kinds.size(), 2u);
  EXPECT_EQ(span.kinds[0].service_class, "standard");
  EXPECT_EQ(span.kinds[0].arrived, 2);
  EXPECT_EQ(span.kinds[0].kept, 1);
  EXPECT_EQ(span.kinds[0].judged(), 2);
  EXPECT_EQ(span.kinds[0].output_tokens.mean(), 40);
  EXPECT_EQ(span.kinds[1].service_class, "batch");
  EXPECT_EQ(span.pools[0].completed, 1);
  EXPECT_EQ(span.pools[0].joules, 7.0);
  EXPECT_FALSE(span.pools[0].tpot_ratio) << "nothing was learned yet";
}

TEST_F(UsageRecorderTest, APromiseIsBrokenByAnyTargetThatWasMissed) {
  const ClassPolicy& policy = made_.fleet.policy(ServiceClass::kStandard);
  const double late = to_seconds(*policy.targets.ttft).value() * 1.01;
  const Request by_class = request();
  recorder_.ended(by_class, "completed", {.pool = PoolId(0), .ttft_s = late, .tpot_s = 0.001});
  Request by_itself = request();
  by_itself.targets.ttft = std::chrono::hours(1);
  recorder_.arrived(by_itself);
  recorder_.ended(by_itself, "completed", {.pool = PoolId(0), .ttft_s = late, .tpot_s = 0.001});
  const data::UsageSpan span = recorder_.take(scheduler_);
  EXPECT_EQ(span.kinds[0].completed, 2);
  EXPECT_EQ(span.kinds[0].kept, 1);
  EXPECT_EQ(span.kinds[0].own_targets, 1);
}

TEST_F(UsageRecorderTest, TakingStartsAnewButGapsGoOn) {
  recorder_.arrived(request());
  (void)recorder_.take(scheduler_);
  now_ += seconds(3);
  recorder_.arrived(request());
  const data::UsageSpan span = recorder_.take(scheduler_);
  EXPECT_EQ(span.kinds[0].arrived, 1);
  EXPECT_EQ(span.kinds[0].gaps, 1);
  EXPECT_EQ(span.kinds[0].gap_sum_s, 3);
  EXPECT_TRUE(recorder_.take(scheduler_).kinds.empty());
}

}  // namespace
}  // namespace medley::serve
