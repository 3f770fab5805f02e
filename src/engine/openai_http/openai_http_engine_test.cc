#include "engine/openai_http/openai_http_engine.h"

#include <gtest/gtest.h>

#include "engine/fake_openai_server.h"

namespace medley::engine {
namespace {

using Manner = FakeOpenaiServer::Manner;
using namespace std::chrono_literals;

struct Heard : GenerationSink {
  void on_tokens(RequestId, std::string_view text, int) override { said += text; }
  void on_end(RequestId, const Ending& e) override { ending = e; }
  void on_failed(RequestId, const Error& e) override { error = e; }
  bool over() const { return ending || error; }
  std::string said;
  std::optional<Ending> ending;
  std::optional<Error> error;
};

class OpenaiHttpEngineTest : public testing::Test {
 protected:
  Heard run(Manner manner, std::chrono::milliseconds patience = 20s) {
    server_.manner = manner;
    OpenaiHttpEngine engine(loop_, *net::parse_http_url(server_.url()),
                            {.key = "sk-x",
                             .model = "upstream-name",
                             .http = {.first_byte_time = patience, .idle_time = patience}});
    Heard heard;
    Generation generation;
    generation.id = RequestId(1);
    generation.body =
        R"({"model":"chat","messages":[{"role":"user","content":"marker=7"}],"top_k":3,"max_tokens":5})";
    engine.start(std::move(generation), heard);
    EXPECT_TRUE(events_.run_until([&] { return heard.over(); }, 20s));
    return heard;
  }
  ErrorCode failure(Manner manner, std::chrono::milliseconds patience = 20s) {
    const Heard heard = run(manner, patience);
    EXPECT_FALSE(heard.ending);
    last_ = heard.error ? heard.error->message : "";
    return heard.error ? heard.error->code : ErrorCode::kInternal;
  }

  net::EventLoop events_;
  AsioLoop loop_{events_};
  FakeOpenaiServer server_{events_};
  std::string last_;
};

TEST_F(OpenaiHttpEngineTest, RelaysAnAnswerAndSendsTheClientsBody) {
  const Heard heard = run(Manner::kProper);
  ASSERT_TRUE(heard.ending) << heard.error->message;
  EXPECT_EQ(heard.said, " 7:0 7:1 7:2 7:3 7:4");
  EXPECT_EQ(heard.ending->reason, FinishReason::kLength);
  EXPECT_EQ(heard.ending->prompt_tokens, Tokens(9));
  EXPECT_EQ(heard.ending->output_tokens, Tokens(5));
  EXPECT_EQ(server_.last_target, "/v1/chat/completions");
  EXPECT_EQ(server_.last_authorization, "Bearer sk-x");
  EXPECT_EQ(
      server_.bodies.at(0),
      R"({"model":"upstream-name","messages":[{"role":"user","content":"marker=7"}],"top_k":3,"max_tokens":5,)"
      R"("stream":true,"stream_options":{"include_usage":true}})");
}

TEST_F(OpenaiHttpEngineTest, TakesAnAnswerInOnePieceAndOneWithoutDone) {
  for (const Manner manner : {Manner::kWhole, Manner::kNoDone}) {
    const Heard heard = run(manner);
    ASSERT_TRUE(heard.ending) << heard.error->message;
    EXPECT_EQ(heard.said, " 7:0 7:1 7:2 7:3 7:4");
    EXPECT_EQ(heard.ending->output_tokens, Tokens(5));
  }
}

TEST_F(OpenaiHttpEngineTest, NeverTakesABrokenStreamForAnAnswer) {
  EXPECT_EQ(failure(Manner::kBreakAfter), ErrorCode::kUnavailable);
  EXPECT_EQ(failure(Manner::kEndAfter), ErrorCode::kGarbled);
  EXPECT_EQ(failure(Manner::kErrorFrame), ErrorCode::kUnavailable);
  EXPECT_NE(last_.find("out of memory"), std::string::npos);
  EXPECT_EQ(failure(Manner::kGarbageFrame), ErrorCode::kGarbled);
  EXPECT_EQ(failure(Manner::kEndlessFrame), ErrorCode::kGarbled);
  EXPECT_EQ(failure(Manner::kHold, 100ms), ErrorCode::kTimedOut);
  EXPECT_EQ(failure(Manner::kSlowHead, 100ms), ErrorCode::kTimedOut);
  EXPECT_EQ(failure(Manner::kSilent, 100ms), ErrorCode::kTimedOut);
}

TEST_F(OpenaiHttpEngineTest, SaysWhyTheUpstreamRefused) {
  server_.status = 400;
  server_.body = R"({"error":{"message":"too long","param":"messages"}})";
  EXPECT_EQ(failure(Manner::kRefuse), ErrorCode::kInvalid);
  EXPECT_EQ(last_, "too long");
  server_.status = 503;
  server_.body = "<html>busy</html>";
  EXPECT_EQ(failure(Manner::kRefuse), ErrorCode::kUnavailable);
  server_.status = 200;
  EXPECT_EQ(failure(Manner::kRefuse), ErrorCode::kGarbled);
  server_.kill();
  EXPECT_EQ(failure(Manner::kProper), ErrorCode::kUnavailable);
}

TEST_F(OpenaiHttpEngineTest, AsksTheServerForItsLoadAgainAndAgain) {
  server_.metrics = "vllm:num_requests_running 5\nvllm:num_requests_waiting 2\n";
  OpenaiHttpEngine engine(loop_, *net::parse_http_url(server_.url()),
                          {.key = "", .model = "m", .metrics = "vllm", .poll_every = 5ms});
  std::vector<Result<LoadSignal>> heard;
  engine.report_load_to([&](const Result<LoadSignal>& load) { heard.push_back(load); });
  EXPECT_TRUE(heard.empty()) << "called from inside";
  ASSERT_TRUE(events_.run_until([&] { return heard.size() == 2; }, 20s));
  for (const Result<LoadSignal>& load : heard) {
    ASSERT_TRUE(load.ok()) << load.error().message;
    EXPECT_EQ(load->running, 5);
    EXPECT_EQ(load->waiting, 2);
    EXPECT_EQ(load->source, SignalSource::kPolled);
    EXPECT_LE(load->as_of, loop_.now());
  }
  EXPECT_GE(heard[1]->as_of - heard[0]->as_of, Duration(5ms));

  // Without the page, without its series, without the server: each time why, and again asked.
  const auto trouble = [&] {
    heard.clear();
    EXPECT_TRUE(events_.run_until([&] { return heard.size() == 2; }, 20s));
    return heard[1].ok() ? "none" : heard[1].error().message;
  };
  const std::string page = server_.url().substr(0, server_.url().size() - 3) + "/metrics";
  server_.metrics.clear();
  EXPECT_EQ(trouble(), page + ": answered 404 Not Found");
  server_.metrics = "vllm:requests_of_another_version 5\n";
  EXPECT_EQ(trouble(), page +
                           ": expected a count of requests in vllm:num_requests_running, "
                           "found none");
  server_.kill();
  EXPECT_TRUE(trouble().starts_with(page + ": "));
}

TEST_F(OpenaiHttpEngineTest, AsksNothingWhereNobodySaysWhoseMetricsTheyAre) {
  server_.metrics = "vllm:num_requests_running 5\nvllm:num_requests_waiting 2\n";
  OpenaiHttpEngine engine(loop_, *net::parse_http_url(server_.url()),
                          {.key = "", .model = "m", .poll_every = 1ms});
  engine.report_load_to([](const Result<LoadSignal>&) { FAIL() << "a report"; });
  EXPECT_FALSE(events_.run_until([] { return false; }, 20ms));
  EXPECT_EQ(server_.asked_for_metrics, 0);
}

}  // namespace
}  // namespace medley::engine
