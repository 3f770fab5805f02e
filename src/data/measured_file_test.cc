#include "data/measured_file.h"

#include <gtest/gtest.h>

namespace medley::data {
namespace {

TEST(MeasuredFile, ReadsWhatItWrites) {
  Measured measured;
  measured.endpoint = "http://127.0.0.1:8080/v1";
  measured.model = "a \"quoted\\ name\"\n";
  measured.date = "2026-11-24";
  measured.constants = {.step_s = 5e-4,
                        .decode_s = 2.5e-4,
                        .chunk_s = 1e-5,
                        .prompt_token_s = 1.8e-4,
                        .context_token_s = 3e-9,
                        .ttft_error = 0.08,
                        .tpot_error = 0.05};
  measured.request_s = 0.0004;
  measured.most_running = 8;
  measured.limit_seen = true;
  measured.chunk_tokens = 512;
  const Result<Measured> read = parse_measured(to_yaml(measured), "here.yaml");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->endpoint, measured.endpoint);
  EXPECT_EQ(read->model, "a \"quoted\\ name\"");
  EXPECT_EQ(read->date, "2026-11-24");
  EXPECT_NEAR(read->constants.step_s, 5e-4, 1e-12);
  EXPECT_NEAR(read->constants.decode_s, 2.5e-4, 1e-12);
  EXPECT_NEAR(read->constants.chunk_s, 1e-5, 1e-12);
  EXPECT_NEAR(read->constants.prompt_token_s, 1.8e-4, 1e-12);
  EXPECT_NEAR(read->constants.context_token_s, 3e-9, 1e-16);
  EXPECT_EQ(read->constants.ttft_error, 0.08);
  EXPECT_EQ(read->constants.tpot_error, 0.05);
  EXPECT_NEAR(read->request_s.value_or(0), 0.0004, 1e-12);
  EXPECT_EQ(read->most_running, 8);
  EXPECT_TRUE(read->limit_seen);
  EXPECT_EQ(read->chunk_tokens, 512);
}

TEST(MeasuredFile, SaysWhatIsWrongAndWhere) {
  const auto error = [](std::string_view text) {
    return parse_measured(text, "here.yaml").error().message;
  };
  const std::string good = "decode_us: 1\nprompt_token_us: 1\nttft_error: 0.1\ntpot_error: 0.1\n";
  EXPECT_EQ(error(good), "here.yaml:1:1: missing key 'step_us'");
  EXPECT_EQ(error(good + "step_us: 0\n"),
            "here.yaml:5:10: step_us: expected a number above 0 and at most 1000000000, got '0'");
  EXPECT_EQ(error(good + "step_us: 5\nstep_ms: 3\n"),
            "here.yaml:6:1: unknown key 'step_ms', did you mean 'step_us'?");
}

}  // namespace
}  // namespace medley::data
