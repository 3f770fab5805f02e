#include "serve/openai/parse.h"

#include <gtest/gtest.h>

#include "serve/openai/errors.h"
#include "serve/openai/json_text.h"

namespace medley::serve::openai {
namespace {

TEST(ParseChatCompletion, ReadsEveryFieldItKnows) {
  const auto parsed = parse_chat_completion(R"({
    "model": "llama", "stream": true, "stream_options": {"include_usage": true},
    "messages": [
      {"role": "system", "content": "Be brief."},
      {"role": "user", "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]},
      {"role": "assistant", "content": null, "tool_calls": []}],
    "max_tokens": 5, "max_completion_tokens": 7, "temperature": 0, "top_p": 0.5, "seed": 42,
    "stop": ["a", "b"], "n": 1, "service_tier": "priority", "top_k": 40, "user": null, "logit_bias": {},
    "tools": [], "functions": null})");
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  EXPECT_EQ(parsed->model, "llama");
  ASSERT_EQ(parsed->messages.size(), 3U);
  EXPECT_EQ(parsed->messages[0].role, "system");
  EXPECT_EQ(parsed->messages[1].content, "Hello");
  EXPECT_EQ(parsed->messages[2].content, "");
  EXPECT_EQ(parsed->max_tokens, Tokens(7));
  EXPECT_EQ(parsed->sampling.temperature, 0.0);
  EXPECT_EQ(parsed->sampling.top_p, 0.5);
  EXPECT_EQ(parsed->sampling.seed, 42U);
  EXPECT_EQ(parsed->sampling.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(parsed->stream);
  EXPECT_TRUE(parsed->include_usage);
  EXPECT_EQ(parsed->service_class, ServiceClass::kGuaranteed);
  EXPECT_EQ(parsed->service_tier, "priority");
}

TEST(ParseChatCompletion, NullsAndAbsentFieldsAreTheSame) {
  const auto parsed = parse_chat_completion(
      R"({"model":"m","messages":[{"role":"user","content":"x"}],"stream":null,"max_tokens":null,"service_tier":null,"stop":null})");
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  EXPECT_FALSE(parsed->stream);
  EXPECT_FALSE(parsed->max_tokens);
  EXPECT_EQ(parsed->service_class, ServiceClass::kStandard);
  EXPECT_FALSE(parsed->service_tier);
}

struct Wrong {
  std::string body, param, message;
};

// Every wrong body has one message, and names the field as its sender knows it.
TEST(ParseChatCompletion, SaysWhatIsWrongAndWhere) {
  const auto with = [](const std::string& field) {
    return R"({"model":"m","messages":[{"role":"user","content":"x"}],)" + field + "}";
  };
  const auto message = [](const std::string& text) {
    return R"({"model":"m","messages":[)" + text + "]}";
  };
  const std::vector<Wrong> all = {
      {"", "", "the body is empty: a JSON object is needed"},
      {"  \n", "", "the body is empty: a JSON object is needed"},
      {"[]", "", "the body must be a JSON object, not an array"},
      {"{\"model\":\"m\"", "", "the body is not valid JSON"},
      {"{\"model\":\"m\"} trailing", "", "the body is not valid JSON"},
      {"{\"model\":\"\xff\"}", "", "the body is not valid JSON"},
      {std::string(5000, '['), "", "the body is not valid JSON"},
      {R"({"messages":[]})", "messages", "'messages' is empty: at least one message is needed"},
      {R"({"messages":[{"role":"user","content":"x"}]})", "model", "'model' is missing"},
      {R"({"model":7,"messages":[]})", "model", "'model' must be a string, not a number"},
      {R"({"model":"m"})", "messages", "'messages' is missing"},
      {R"({"model":"m","messages":"hi"})", "messages", "'messages' must be an array, not a string"},
      {message("3"), "messages[0]", "'messages[0]' must be an object, not a number"},
      {message(R"({"content":"x"})"), "messages[0].role", "'messages[0].role' is missing"},
      {message(R"({"role":"user","content":"x"},{"role":"usr","content":"x"})"), "messages[1].role",
       "'messages[1].role' is 'usr', did you mean 'user'?"},
      {message(R"({"role":"user"})"), "messages[0].content", "'messages[0].content' is missing"},
      {message(R"({"role":"user","content":5})"), "messages[0].content",
       "'messages[0].content' must be a string or an array of text parts, not a number"},
      {message(R"({"role":"user","content":[{"type":"image_url"}]})"),
       "messages[0].content[0].type",
       "'messages[0].content[0].type' is 'image_url'; only text parts are supported"},
      {message(R"({"role":"user","content":[{"type":"text","text":"a"},{"type":"text"}]})"),
       "messages[0].content[1].text", "'messages[0].content[1].text' is missing"},
      {with(R"("max_tokens":0)"), "max_tokens",
       "'max_tokens' must be between 1 and 1000000000, not 0"},
      {with(R"("max_tokens":1.5)"), "max_tokens",
       "'max_tokens' must be a whole number of at most 64 bits"},
      {with(R"("max_tokens":"5")"), "max_tokens",
       "'max_tokens' must be a whole number, not a string"},
      {with(R"("max_completion_tokens":-1)"), "max_completion_tokens",
       "'max_completion_tokens' must be between 1 and 1000000000, not -1"},
      {with(R"("temperature":2.5)"), "temperature",
       "'temperature' must be between 0 and 2, not 2.5"},
      {with(R"("temperature":"hot")"), "temperature",
       "'temperature' must be a number, not a string"},
      {with(R"("top_p":-0.1)"), "top_p", "'top_p' must be between 0 and 1, not -0.1"},
      {with(R"("seed":1e30)"), "seed", "'seed' must be a whole number of at most 64 bits"},
      {with(R"("stream":"yes")"), "stream", "'stream' must be a boolean, not a string"},
      {with(R"("stream_options":true)"), "stream_options",
       "'stream_options' must be an object, not a boolean"},
      {with(R"("stream_options":{"include_usage":1})"), "stream_options.include_usage",
       "'stream_options.include_usage' must be a boolean, not a number"},
      {with(R"("stop":5)"), "stop", "'stop' must be a string or an array of strings, not a number"},
      {with(R"("stop":["a",5])"), "stop[1]", "'stop[1]' must be a string, not a number"},
      {with(R"("stop":"")"), "stop", "'stop' holds an empty string, which would stop at once"},
      {with(R"("n":2)"), "n", "'n' is 2; only one answer per request is supported"},
      {with(R"("service_tier":"flexx")"), "service_tier",
       "'flexx' is no service tier, did you mean 'flex'?"},
      {with(R"("service_tier":5)"), "service_tier",
       "'service_tier' must be a string, not a number"},
      {with(R"("tools":[{"type":"function","function":{"name":"f"}}])"), "tools",
       "'tools' is not supported yet: a tool call could not be relayed. Leave it out"},
      {with(R"("functions":[{"name":"f"}])"), "functions", "'functions' is not supported yet"},
      {with(R"("tools":"all")"), "tools", "'tools' must be an array, not a string"},
      {R"({"messages":null,"model":"m","messages":[{"role":"user","content":"x"}]})", "messages",
       "'messages' is given twice"},
      {with(R"("model":null)"), "model", "'model' is given twice"},
      {with(R"("top_k":1,"top_k":1)"), "top_k", "'top_k' is given twice"},
      {with(R"("stream_options":{"include_usage":true,"include_usage":null})"),
       "stream_options.include_usage", "'stream_options.include_usage' is given twice"},
      {message(R"({"role":"user","content":null,"content":"x"})"), "messages[0].content",
       "'messages[0].content' is given twice"},
      {message(R"({"role":"user","content":[{"type":"text","text":"a","text":"b"}]})"),
       "messages[0].content[0].text", "'messages[0].content[0].text' is given twice"},
  };
  for (const Wrong& wrong : all) {
    const auto parsed = parse_chat_completion(wrong.body);
    ASSERT_FALSE(parsed.ok()) << wrong.body;
    EXPECT_EQ(parsed.error().code, ErrorCode::kInvalid);
    EXPECT_EQ(parsed.error().param, wrong.param) << wrong.body;
    EXPECT_TRUE(parsed.error().message.starts_with(wrong.message)) << parsed.error().message;
    const ApiError api = of_bad_request(parsed.error());
    EXPECT_EQ(api.status, 400);
    EXPECT_EQ(api.type, "invalid_request_error");
  }
}

TEST(ParseCompletion, TakesOnePrompt) {
  const auto parsed = parse_completion(R"({"model":"m","prompt":["Once"],"max_tokens":3})");
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  EXPECT_FALSE(parsed->chat);
  EXPECT_EQ(parsed->prompt, "Once");
  EXPECT_EQ(parse_completion(R"({"model":"m","prompt":["a","b"]})").error().param, "prompt");
  EXPECT_EQ(parse_completion(R"({"model":"m","prompt":[1,2]})").error().param, "prompt");
  EXPECT_EQ(parse_completion(R"({"model":"m","prompt":[1]})").error().param, "prompt[0]");
  EXPECT_EQ(parse_completion(R"({"model":"m"})").error().message, "'prompt' is missing");
}

TEST(ServiceTier, KnowsEveryDialect) {
  for (const char* tier : {"priority", "fast", "performance", "scale"}) {
    EXPECT_EQ(*class_of_tier(tier), ServiceClass::kGuaranteed) << tier;
  }
  for (const char* tier : {"auto", "default", "on_demand", "standard_only"}) {
    EXPECT_EQ(*class_of_tier(tier), ServiceClass::kStandard) << tier;
  }
  EXPECT_EQ(*class_of_tier("flex"), ServiceClass::kFlex);
  EXPECT_FALSE(class_of_tier("batch").ok());
}

TEST(Headers, OverrideClassLabelAndTargets) {
  Fleet fleet;
  fleet.labels = {{"public", true, {}}, {"internal", false, {"a"}}};
  fleet.default_label = LabelId(1);
  fleet.tenants = {{"default"}, {"physics"}};
  const auto plain = parse_wishes({}, {}, fleet);
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->label, LabelId(1));
  EXPECT_FALSE(plain->service_class);
  const auto wishes = parse_wishes({{"Medley-Class", "batch"},
                                    {"medley-label", "public"},
                                    {"medley-ttft", "200ms"},
                                    {"medley-tpot", "1.5s"},
                                    {"medley-deadline", "24h"},
                                    {"medley-priority", "-3"},
                                    {"medley-tenant", "physics"}},
                                   {}, fleet);
  ASSERT_TRUE(wishes.ok()) << wishes.error().message;
  EXPECT_EQ(wishes->service_class, ServiceClass::kBatch);
  EXPECT_EQ(wishes->label, LabelId(0));
  EXPECT_EQ(wishes->targets.ttft, std::chrono::milliseconds(200));
  EXPECT_EQ(wishes->targets.tpot, std::chrono::milliseconds(1500));
  EXPECT_EQ(wishes->targets.deadline, std::chrono::hours(24));
  EXPECT_EQ(wishes->priority, -3);
  EXPECT_EQ(wishes->tenant, TenantId(1));

  const auto error = [&](const char* name, const char* value) {
    return parse_wishes({{name, value}}, {}, fleet).error();
  };
  EXPECT_EQ(error("medley-class", "guarantee").param, "medley-class");
  EXPECT_NE(error("medley-class", "guarantee").message.find("did you mean 'guaranteed'?"),
            std::string::npos);
  EXPECT_EQ(error("medley-label", "secret").param, "medley-label");
  EXPECT_EQ(error("medley-ttft", "fast").message,
            "the header medley-ttft is 'fast'; a duration such as 200ms, 1.5s or 10m is needed");
  EXPECT_EQ(error("medley-priority", "high").message,
            "the header medley-priority is 'high'; a whole number of at most 64 bits is needed");
  // Nobody has proved who they are, so who is unknown is no error.
  EXPECT_EQ(parse_wishes({{"medley-tenant", "chemistry"}}, {}, fleet)->tenant, TenantId(0));
  // And the body is not asked where the header says something, known or not.
  fleet.tenants = {{"default"}, {"physics"}};
  const auto body = parse_chat_completion(
      R"({"model":"m","messages":[{"role":"user","content":"x"}],"medley":{"tenant":"physics"}})");
  ASSERT_TRUE(body.ok()) << body.error().message;
  EXPECT_EQ(parse_wishes({}, body->wishes, fleet)->tenant, TenantId(1));
  EXPECT_EQ(parse_wishes({{"medley-tenant", "chemistry"}}, body->wishes, fleet)->tenant,
            TenantId(0));
}

TEST(Body, SaysTheSameAsTheHeadersWhichGoBeforeIt) {
  Fleet fleet;
  fleet.labels = {{"internal", false, {"a"}}, {"public", true, {}}};
  fleet.tenants = {{"default"}, {"physics"}};
  const auto with = [](const std::string& field) {
    return parse_chat_completion(R"({"model":"m","messages":[{"role":"user","content":"x"}],)" +
                                 field + "}");
  };
  const auto parsed = with(
      R"("priority": 7, "medley": {"class": "flex", "label": "public", "tenant": "physics",
          "ttft": "200ms", "tpot": null, "deadline": "1m", "priority": -2})");
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  const auto wishes =
      parse_wishes({{"medley-ttft", "300ms"}, {"medley-tpot", "40ms"}}, parsed->wishes, fleet);
  ASSERT_TRUE(wishes.ok()) << wishes.error().message;
  EXPECT_EQ(wishes->service_class, ServiceClass::kFlex);
  EXPECT_EQ(wishes->label, LabelId(1));
  EXPECT_EQ(wishes->tenant, TenantId(1));
  EXPECT_EQ(wishes->targets.ttft, std::chrono::milliseconds(300));
  EXPECT_EQ(wishes->targets.tpot, std::chrono::milliseconds(40));
  EXPECT_EQ(wishes->targets.deadline, std::chrono::minutes(1));
  EXPECT_EQ(wishes->priority, -2);  // of the two in the body the one that is meant for medley
  EXPECT_EQ(
      parse_wishes({}, with(R"("medley":{"priority":1},"priority":7)")->wishes, fleet)->priority,
      1);
  EXPECT_EQ(parse_wishes({}, with(R"("priority":7)")->wishes, fleet)->priority, 7);
  const auto error = [&](const std::string& field) {
    const auto wrong = with(field);
    return (wrong.ok() ? parse_wishes({}, wrong->wishes, fleet).error() : wrong.error()).message;
  };
  EXPECT_EQ(error(R"("medley":{"ttft":"fast"})"),
            "'medley.ttft' is 'fast'; a duration such as 200ms, 1.5s or 10m is needed");
  EXPECT_EQ(error(R"("medley":{"ttft":0.2})"), "'medley.ttft' must be a string, not a number");
  EXPECT_EQ(error(R"("medley":{"ttfs":"1s"})"), "'medley.ttfs' is unknown, did you mean 'ttft'?");
  EXPECT_EQ(error(R"("medley":{"ttft":"1s","ttft":"2s"})"), "'medley.ttft' is given twice");
  EXPECT_EQ(error(R"("medley":"fast")"), "'medley' must be an object, not a string");
  EXPECT_EQ(error(R"("medley":{"label":"secret"})"),
            "'medley.label' is 'secret', which is no label; known: internal, public");
  EXPECT_EQ(error(R"("priority":1.5)"), "'priority' must be a whole number of at most 64 bits");
}

TEST(Duration, NeedsAUnitAndSense) {
  EXPECT_EQ(parse_duration("500us"), std::chrono::microseconds(500));
  EXPECT_EQ(parse_duration("10m"), std::chrono::minutes(10));
  for (const char* wrong :
       {"", "5", "0s", "-1s", "1e3s", "nan", "infs", "s", "1 s", "99999d", "5sec"}) {
    EXPECT_FALSE(parse_duration(wrong)) << wrong;
  }
}

TEST(JsonText, IsAlwaysReadable) {
  const auto text = [](std::string_view raw) {
    std::string out;
    append_json_string(out, raw);
    return out;
  };
  EXPECT_EQ(text("a\"b\\c\n\x01 é"), "\"a\\\"b\\\\c\\n\\u0001 é\"");
  EXPECT_EQ(text("x\xff\xc3"), "\"x\xef\xbf\xbd\xef\xbf\xbd\"");
  std::string number;
  append_json_number(number, 0.1);
  append_json_number(number, std::nullopt);
  append_json_number(number, 0.0 / 0.0);
  EXPECT_EQ(number, "0.1nullnull");
}

TEST(Errors, TellEachRefusalInItsOwnWay) {
  using sched::Reject;
  using sched::RejectReason;
  const auto of = [](RejectReason reason, ServiceClass service_class) {
    Request request;
    request.service_class = service_class;
    request.prompt_tokens = Tokens(5000);
    return of_rejection(Reject{RequestId(1), reason, std::chrono::milliseconds(1500)}, request,
                        "messages", "secret");
  };
  const ApiError lawless = of(RejectReason::kNoLawfulPool, ServiceClass::kStandard);
  EXPECT_EQ(lawless.status, 403);
  EXPECT_EQ(lawless.code, "no_lawful_pool");
  EXPECT_EQ(lawless.param, "label");
  const ApiError too_long = of(RejectReason::kTooLong, ServiceClass::kStandard);
  EXPECT_EQ(too_long.status, 400);
  EXPECT_EQ(too_long.code, "context_length_exceeded");
  EXPECT_EQ(too_long.param, "messages");
  EXPECT_EQ(
      too_long.message,
      "the prompt of 5000 tokens is longer than the context of every pool that serves this model");
  EXPECT_EQ(of(RejectReason::kNoReplica, ServiceClass::kStandard).status, 503);
  EXPECT_EQ(of(RejectReason::kSaturated, ServiceClass::kStandard).status, 503);
  EXPECT_EQ(of(RejectReason::kSaturated, ServiceClass::kStandard).code, "server_is_overloaded");
  EXPECT_EQ(of(RejectReason::kTimedOut, ServiceClass::kFlex).status, 503);
  EXPECT_EQ(of(RejectReason::kSaturated, ServiceClass::kGuaranteed).status, 429);

  const net::HttpResponse response =
      error_response(of(RejectReason::kSaturated, ServiceClass::kStandard));
  ASSERT_NE(response.headers.find("retry-after"), nullptr);
  EXPECT_EQ(*response.headers.find("retry-after"), "2");
  const int milliseconds = std::stoi(*response.headers.find("retry-after-ms"));
  EXPECT_GE(milliseconds, 1500);
  EXPECT_LE(milliseconds, 1875);
}

TEST(Errors, KeepRetryAfterWithinAMinute) {
  for (const auto& [wait, told] : std::vector<std::pair<Duration, std::string>>{
           {std::chrono::hours(3), "59"}, {Duration(0), "1"}, {Duration(-5), "1"}}) {
    EXPECT_EQ(*error_response({.status = 503, .retry_after = wait}).headers.find("Retry-After"),
              told);
  }
  EXPECT_EQ(error_json({.message = "m"}),
            R"({"error":{"message":"m","type":"invalid_request_error","param":null,"code":null}})");
}

}  // namespace
}  // namespace medley::serve::openai
