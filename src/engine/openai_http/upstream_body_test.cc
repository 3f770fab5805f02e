#include "engine/openai_http/upstream_body.h"

#include <gtest/gtest.h>

namespace medley::engine {
namespace {

TEST(UpstreamBody, KeepsWhatItDoesNotKnow) {
  Generation generation;
  generation.body =
      R"({"model":"chat","messages":[],"top_k":40,"service_tier":"flex","priority":3,"medley":{"ttft":"1s"},"stream":false,"stream_options":{"x":1}})";
  EXPECT_EQ(
      *upstream_body(generation, "llama"),
      R"({"model":"llama","messages":[],"top_k":40,"stream_options":{"x":1,"include_usage":true},"stream":true})");
}

TEST(UpstreamBody, IsMadeFromPartsWhereThereIsNone) {
  Generation generation;
  generation.chat = false;
  generation.prompt = "Once";
  generation.max_tokens = Tokens(3);
  generation.sampling.stop = {"x"};
  EXPECT_EQ(
      *upstream_body(generation, "m"),
      R"({"prompt":"Once","max_tokens":3,"stop":["x"],"model":"m","stream":true,"stream_options":{"include_usage":true}})");
}

TEST(UpstreamChunk, ReadsTheDialects) {
  const auto text = parse_upstream_chunk(
      R"({"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]})");
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(text->text, "hi");
  EXPECT_FALSE(text->finish);
  const auto thought =
      parse_upstream_chunk(R"({"choices":[{"delta":{"reasoning_content":"hm"}}]})");
  ASSERT_TRUE(thought.ok());
  EXPECT_TRUE(thought->reasoned);
  EXPECT_EQ(thought->text, "");
  const auto old = parse_upstream_chunk(R"({"choices":[{"text":"old","finish_reason":"length"}]})");
  ASSERT_TRUE(old.ok());
  EXPECT_EQ(old->text, "old");
  EXPECT_EQ(old->finish, FinishReason::kLength);
  const auto usage =
      parse_upstream_chunk(R"({"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7}})");
  ASSERT_TRUE(usage.ok());
  EXPECT_EQ(usage->output_tokens, Tokens(7));
  const auto groq = parse_upstream_chunk(
      R"({"choices":[{"delta":{},"finish_reason":"stop"}],"x_groq":{"usage":{"completion_tokens":9}}})");
  ASSERT_TRUE(groq.ok());
  EXPECT_EQ(groq->output_tokens, Tokens(9));
  EXPECT_EQ(groq->finish, FinishReason::kStop);
}

TEST(UpstreamChunk, SaysWhatItCannotRelay) {
  const auto code = [](std::string_view json) { return parse_upstream_chunk(json).error().code; };
  EXPECT_EQ(code("<html>"), ErrorCode::kGarbled);
  EXPECT_EQ(code("[1]"), ErrorCode::kGarbled);
  EXPECT_EQ(code(R"({"hello":1})"), ErrorCode::kGarbled);
  EXPECT_EQ(code(R"({"error":{"message":"gone"}})"), ErrorCode::kUnavailable);
  EXPECT_EQ(code(R"({"choices":[{"delta":{"tool_calls":[{"index":0}]}}]})"), ErrorCode::kInvalid);
  EXPECT_EQ(code(R"({"choices":[{"delta":{},"finish_reason":"content_filter"}]})"),
            ErrorCode::kDenied);
}

TEST(UpstreamError, MapsTheStatus) {
  const auto code = [](int status) { return upstream_error(status, "", "here").code; };
  EXPECT_EQ(code(400), ErrorCode::kInvalid);
  EXPECT_EQ(code(401), ErrorCode::kDenied);
  EXPECT_EQ(code(404), ErrorCode::kUnavailable);
  for (const int status : {429, 498, 500, 502, 503, 529})
    EXPECT_EQ(code(status), ErrorCode::kUnavailable) << status;
  EXPECT_EQ(code(504), ErrorCode::kTimedOut);
  EXPECT_EQ(code(302), ErrorCode::kGarbled);
  const Error told =
      upstream_error(400, R"({"error":{"message":"too\nlong","param":"messages"}})", "here");
  EXPECT_EQ(told.message, "too long");
  EXPECT_EQ(told.param, "messages");
  EXPECT_EQ(upstream_error(401, R"({"error":{"message":"key sk-123 is wrong"}})", "here")
                .message.find("sk-123"),
            std::string::npos);
  EXPECT_EQ(upstream_error(503, R"({"message":"busy"})", "here").message,
            "the upstream here answered 503: busy");
}

}  // namespace
}  // namespace medley::engine
