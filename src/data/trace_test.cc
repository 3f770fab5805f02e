#include "data/trace.h"

#include <gtest/gtest.h>

#include "base/prng.h"
#include "data/testing_shared.h"

namespace medley::data {
namespace {

std::vector<TraceRequest> trace(std::string text, TraceSpec spec) {
  spec.path = "t.csv";
  auto requests = parse_trace(std::move(text), spec);
  EXPECT_TRUE(requests.ok()) << (requests.ok() ? "" : requests.error().message);
  return requests.ok() ? *requests : std::vector<TraceRequest>{};
}

std::string error(std::string text, TraceFormat format) {
  const auto requests = parse_trace(std::move(text), {.path = "t.csv", .format = format});
  return requests.ok() ? "" : requests.error().message;
}

constexpr char kAzure[] =
    "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    "2023-11-16 18:15:46.6805900,374,44\n"
    "2023-11-16 18:15:50.9951690,396,109\n";

TEST(Trace, ReadsAzureTimestampsToTheirLastDigit) {
  const auto requests = trace(kAzure, {.format = TraceFormat::kAzure});
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[0].arrived, Instant());
  EXPECT_EQ(requests[1].arrived, Instant(Duration(4'314'579'000)));
  EXPECT_EQ(requests[1].arrived_s, 43145790 / 1e7);
  EXPECT_EQ(requests[1].prompt, Tokens(396));
  EXPECT_EQ(requests[1].output, Tokens(109));
}

TEST(Trace, CrossesMidnightMonthsAndYears) {
  const auto requests = trace(
      "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-12-31 23:59:59.9999999,1,1\n"
      "2024-01-01 00:00:00.0000000,1,1\n2024-03-01T00:00:00+00:00,1,1\n",
      {.format = TraceFormat::kAzure});
  EXPECT_EQ(requests[1].arrived, Instant(Duration(100)));
  EXPECT_EQ(requests[2].arrived, Instant(Duration(60 * 86400 * 1'000'000'000LL + 100)));
}

TEST(Trace, ScalesShiftsAndCuts) {
  const auto requests = trace(
      kAzure,
      {.format = TraceFormat::kAzure, .time_scale = 8, .start_s = 1, .max_request_tokens = 400});
  EXPECT_EQ(requests[0].arrived_s, 1);
  EXPECT_EQ(requests[1].arrived_s, 4.314579 * 8 + 1);
  EXPECT_EQ(requests[0].prompt, Tokens(356));
  EXPECT_EQ(requests[1].prompt, Tokens(291));
  EXPECT_EQ(requests[1].output, Tokens(109));
}

TEST(Trace, TakesCountsBelowOneAsOne) {
  const auto requests = trace("arrived_at,input_tokens,output_tokens\n0.5,0,-3\n0.5,9,9\n",
                              {.format = TraceFormat::kServegen, .max_request_tokens = 5});
  EXPECT_EQ(requests[0].prompt, Tokens(1));
  EXPECT_EQ(requests[0].output, Tokens(1));
  EXPECT_EQ(requests[1].prompt, Tokens(1)) << "a prompt is never cut away";
}

TEST(Trace, ReadsTheOtherFormats) {
  const auto vllm =
      trace("arrival_ns,input_tokens,output_tokens\r\n46926808,2358,531\r\n347938951,1034,769",
            {.format = TraceFormat::kVllmWorkload});
  ASSERT_EQ(vllm.size(), 2u);
  EXPECT_EQ(vllm[1].arrived, Instant(Duration(347938951)));
  EXPECT_EQ(vllm[1].arrived_s, 0.347938951);
  const auto mooncake = trace(
      "{\"timestamp\": 27, \"input_length\": 6758, \"output_length\": 500, \"hash_ids\": [0, "
      "1]}\r\n"
      "{\"timestamp\": 3027.5, \"input_length\": 1, \"output_length\": 0, \"hash_ids\": []}",
      {.format = TraceFormat::kMooncake});
  ASSERT_EQ(mooncake.size(), 2u);
  EXPECT_EQ(mooncake[0].arrived_s, 0.027);
  EXPECT_EQ(mooncake[1].arrived_s, 3.0275);
  EXPECT_EQ(mooncake[1].output, Tokens(1));
}

TEST(Trace, FindsWhatPromptsHaveInCommonByTheirBlocks) {
  const auto requests = trace(
      "{\"timestamp\": 0, \"input_length\": 1100, \"output_length\": 5, \"hash_ids\": [0, 1, 2]}\n"
      "{\"timestamp\": 1, \"input_length\": 1200, \"output_length\": 5, \"hash_ids\": [0, 1, 3]}\n"
      "{\"timestamp\": 2, \"input_length\": 1100, \"output_length\": 5, \"hash_ids\": [0, 1, 2]}\n"
      "{\"timestamp\": 3, \"input_length\": 600, \"output_length\": 5, \"hash_ids\": [9, 1]}\n"
      "{\"timestamp\": 4, \"input_length\": 600, \"output_length\": 5}\n",
      {.format = TraceFormat::kMooncake});
  ASSERT_EQ(requests.size(), 5u);
  EXPECT_EQ(requests[0].prefix, Tokens(0));
  EXPECT_EQ(requests[1].prefix, Tokens(1024));
  EXPECT_EQ(requests[1].prefix_of, 0u);
  EXPECT_EQ(requests[2].prefix, Tokens(1100)) << "its last block is not full";
  EXPECT_EQ(requests[2].prefix_of, 0u);
  EXPECT_EQ(requests[3].prefix, Tokens(0)) << "an unknown block ends what is in common";
  EXPECT_EQ(requests[4].prefix, Tokens(0)) << "hash_ids may be missing";
  EXPECT_EQ(
      error("{\"timestamp\": 0, \"input_length\": 1, \"output_length\": 5, \"hash_ids\": [1.5]}",
            TraceFormat::kMooncake),
      "t.csv:1: hash_ids: expected a list of whole numbers");
}

TEST(Trace, ReadsPrefixesOfItsOwnFormat) {
  const std::string head = "arrived_s,prompt_tokens,output_tokens,prefix_of,prefix_tokens\n";
  const auto requests = trace(head + "0,100,1,,0\n1,80,1,0,90\n2,100,1,0,60\n",
                              {.format = TraceFormat::kMedley, .max_request_tokens = 51});
  EXPECT_EQ(requests[1].prefix, Tokens(50)) << "no more than the prompts still have";
  EXPECT_EQ(requests[2].prefix_of, 0u);
  EXPECT_EQ(error(head + "0,100,1,0,5\n", TraceFormat::kMedley),
            "t.csv:2: prefix_of: expected an earlier row, counted from 0, got '0'");
  EXPECT_EQ(error(head + "0,9,1,,0\n0,9,1,0,-4\n", TraceFormat::kMedley),
            "t.csv:3: prefix_tokens: expected 0 or more, got -4");
}

TEST(Trace, KnowsAFormatByItsFirstLine) {
  const auto format = [](std::string_view text) {
    const auto known = trace_format_of(text, "t.csv");
    return known.ok() ? std::string(name_of(*known)) : known.error().message;
  };
  EXPECT_EQ(format(kAzure), "azure");
  EXPECT_EQ(format("{\"timestamp\": 1}"), "mooncake");
  EXPECT_EQ(format("\xEF\xBB\xBF"
                   "arrived_at,input_tokens,output_tokens\n"),
            "servegen");
  EXPECT_EQ(format("arrival_ns,input_tokens,output_tokens"), "vllm_workload");
  EXPECT_EQ(format("request_id,arrived_s,prompt_tokens"), "medley");
  EXPECT_EQ(format("a,b\n").substr(0, 50), "t.csv:1: no trace that medley knows: expected a co");
}

TEST(Trace, SaysWhichLineIsTorn) {
  EXPECT_EQ(error("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,374\n",
                  TraceFormat::kAzure),
            "t.csv:2: expected 3 cells as in the first line, got 2");
  EXPECT_EQ(error("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 "
                  "18:15:46.68,374,44\n2023-11-16 18:1,1,1\n",
                  TraceFormat::kAzure),
            "t.csv:3: TIMESTAMP: expected a time like 2023-11-16 18:15:46.6805900, got '2023-11-16 "
            "18:1'");
  EXPECT_EQ(error("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-02-29 18:15:46.68,374,44\n",
                  TraceFormat::kAzure),
            "t.csv:2: TIMESTAMP: expected a time like 2023-11-16 18:15:46.6805900, got '2023-02-29 "
            "18:15:46.68'");
  EXPECT_EQ(error("arrived_at,input_tokens,output_tokens\n0.1,x,2\n", TraceFormat::kServegen),
            "t.csv:2: input_tokens: expected a whole number, got 'x'");
  EXPECT_EQ(error("arrived_at,input,output_tokens\n0.1,1,2\n", TraceFormat::kServegen),
            "t.csv:1: no column 'input_tokens', did you mean 'output_tokens'?");
  const std::string whole =
      "{\"timestamp\": 0, \"input_length\": 1, \"output_length\": 2, \"hash_ids\": [0]}\n";
  EXPECT_EQ(error(whole + whole.substr(0, 68), TraceFormat::kMooncake).substr(0, 29),
            "t.csv:2: not a JSON object: T");
  EXPECT_EQ(error("{\"timestamp\": 0, \"output_length\": 2}\n", TraceFormat::kMooncake),
            "t.csv:1: input_length: expected a whole number");
}

TEST(Trace, RefusesArrivalsThatScalingMovesOutOfReach) {
  TraceSpec spec;
  spec.path = "t.csv";
  spec.format = TraceFormat::kServegen;
  spec.time_scale = 1e6;
  const auto read = parse_trace("arrived_at,input_tokens,output_tokens\n2,1,1\n1e8,1,1\n", spec);
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().message,
            "t.csv:3: time_scale and start_s move its arrival to 100000000000000 s, expected at "
            "most 1000000000");
}

TEST(Trace, RefusesArrivalsOutOfOrder) {
  EXPECT_EQ(
      error("arrived_at,input_tokens,output_tokens\n2,1,1\n1.5,1,1\n", TraceFormat::kServegen),
      "t.csv:3: arrival at 1.5 s after one at 2 s: rows must be in order of arrival");
  EXPECT_EQ(error("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.1,1,1\n2023-11-16 "
                  "18:15:46.0,1,1\n",
                  TraceFormat::kAzure),
            "t.csv:3: TIMESTAMP: '2023-11-16 18:15:46.0' is before the first row's: rows must be "
            "in order of arrival");
  EXPECT_EQ(error("arrived_at,input_tokens,output_tokens\n-2,1,1\n", TraceFormat::kServegen),
            "t.csv:2: expected an arrival from 0 to 1000000000 s, got -2");
}

TEST(Trace, AnswersNoRequestsForAHeaderAlone) {
  EXPECT_TRUE(
      trace("arrived_at,input_tokens,output_tokens\n", {.format = TraceFormat::kServegen}).empty());
}

struct Real {
  const char* path;
  TraceFormat format;
  std::size_t requests;
  double last_s;
};

TEST(Trace, ReadsTheRealTracesQuickly) {
  const std::string shared = shared_folder();
  if (shared.empty())
    GTEST_SKIP() << "no shared folder with traces beside the checkout (MEDLEY_SHARED)";
  for (const Real& real :
       {Real{"azure2023/conv.csv", TraceFormat::kAzure, 19366, 3501.721937},
        Real{"mooncake/conversation_trace.jsonl", TraceFormat::kMooncake, 12031, 3536.999},
        Real{"servegen/msmall_40min.csv", TraceFormat::kServegen, 21589, 2400},
        Real{"vllm_measured/rtx4090_llama31-8b/workload.csv", TraceFormat::kVllmWorkload, 300,
             29.183763203},
        Real{"vllm_measured/rtxpro6000_llama31-8b/workload.csv", TraceFormat::kVllmWorkload, 300,
             29.183763203}}) {
    const auto requests =
        read_trace({.path = shared + "/traces/" + real.path, .format = real.format});
    ASSERT_TRUE(requests.ok()) << requests.error().message;
    EXPECT_EQ(requests->size(), real.requests) << real.path;
    EXPECT_DOUBLE_EQ(requests->back().arrived_s, real.last_s) << real.path;
  }
}

TEST(Trace, SurvivesMutatedInput) {
  const std::string texts[] = {kAzure,
                               "arrived_at,input_tokens,output_tokens\n0.5,10,3\n0.75,9,9\n",
                               "{\"timestamp\": 27, \"input_length\": 6758, \"output_length\": "
                               "500, \"hash_ids\": [0, 1]}\n"};
  const TraceFormat formats[] = {TraceFormat::kAzure, TraceFormat::kServegen,
                                 TraceFormat::kMooncake};
  Prng prng(11);
  for (int round = 0; round < 3000; ++round) {
    const std::size_t which = prng.below(3);
    std::string text = texts[which];
    for (std::uint64_t i = 0; i <= prng.below(4); ++i) {
      const std::size_t at = prng.below(text.size());
      if (prng.below(2) == 0) {
        text[at] = static_cast<char>(prng.below(256));
      } else {
        text.erase(at, 1 + prng.below(8));
      }
      if (text.empty())
        text = "\n";
    }
    const auto requests = parse_trace(text, {.path = "t.csv", .format = formats[which]});
    if (!requests.ok()) {
      ASSERT_EQ(requests.error().message.substr(0, 6), "t.csv:") << requests.error().message;
      continue;
    }
    for (const TraceRequest& request : *requests)
      ASSERT_GE(request.prompt, Tokens(1));
  }
}

}  // namespace
}  // namespace medley::data
