#include "engine/openai_http/load_metrics.h"

#include <gtest/gtest.h>

#include <string>

namespace medley::engine {
namespace {

TEST(LoadMetrics, ReadsTheCountsOfEveryServerThatAFleetFileMayName) {
  const struct {
    const char *server, *path, *page;
    std::optional<double> kv;
  } servers[] = {
      {"vllm", "/metrics",
       "# HELP vllm:num_requests_running Number of requests in model execution batches.\n"
       "# TYPE vllm:num_requests_running gauge\n"
       "vllm:num_requests_running{engine=\"0\",model_name=\"m\"} 7.0\n"
       "vllm:num_requests_waiting{engine=\"0\",model_name=\"m\"} 2.0\n"
       "vllm:num_requests_waiting_by_reason{engine=\"0\",reason=\"capacity\"} 2.0\n"
       "vllm:kv_cache_usage_perc{engine=\"0\"} 0.25\n",
       0.25},
      {"sglang", "/metrics",
       "sglang:num_running_reqs{model_name=\"m\"} 7\nsglang:num_queue_reqs{model_name=\"m\"} 2\n"
       "sglang:token_usage{model_name=\"m\"} 0.5\n",
       0.5},
      {"tensorrt_llm", "/prometheus/metrics",
       "trtllm_num_requests_running 7\ntrtllm_num_requests_waiting 2\n", std::nullopt},
      {"tgi", "/metrics", "tgi_batch_current_size 7\ntgi_queue_size 2\n", std::nullopt},
      {"llama_cpp", "/metrics", "llamacpp:requests_processing 7\nllamacpp:requests_deferred 2",
       std::nullopt},
  };
  for (const auto& each : servers) {
    EXPECT_EQ(load_metrics_path(each.server), each.path);
    const Result<LoadSignal> signal = read_load_metrics(each.server, each.page);
    ASSERT_TRUE(signal.ok()) << each.server << ": " << signal.error().message;
    EXPECT_EQ(signal->running, 7) << each.server;
    EXPECT_EQ(signal->waiting, 2) << each.server;
    EXPECT_EQ(signal->kv_fraction, each.kv) << each.server;
  }
}

TEST(LoadMetrics, AddsUpRanksAndTakesTheFullestCache) {
  const Result<LoadSignal> signal =
      read_load_metrics("vllm",
                        "vllm:num_requests_running{engine=\"0\"} 3\n"
                        "vllm:num_requests_running{engine=\"1\",x=\"a \\\" } 9\"} 4 1700000000\n"
                        "vllm:num_requests_waiting{engine=\"0\"} 0\n"
                        "vllm:num_requests_waiting{engine=\"1\"} 1\n"
                        "vllm:gpu_cache_usage_perc{engine=\"0\"} 0.5\n"
                        "vllm:gpu_cache_usage_perc{engine=\"1\"} 0.75\n");
  ASSERT_TRUE(signal.ok());
  EXPECT_EQ(signal->running, 7);
  EXPECT_EQ(signal->waiting, 1);
  EXPECT_EQ(signal->kv_fraction, 0.75);
}

TEST(LoadMetrics, WhatIsMissingOrNoCountDoesNotReadAsIdle) {
  const auto why = [](const std::string& page) {
    const Result<LoadSignal> signal = read_load_metrics("vllm", page);
    return signal.ok() ? "ok" : signal.error().message;
  };
  const std::string running = "vllm:num_requests_running 1\n";
  EXPECT_EQ(why(""), "expected a count of requests in vllm:num_requests_running, found none");
  EXPECT_EQ(why(running), "expected a count of requests in vllm:num_requests_waiting, found none");
  for (const char* value : {"NaN", "-1", "+Inf", "", "many", "{unclosed 1"})
    EXPECT_NE(why(running + "vllm:num_requests_waiting " + value + "\n"), "ok") << value;
  EXPECT_EQ(why(running + "vllm:num_requests_waiting 1e300\n"),
            "expected a count of requests in vllm:num_requests_waiting, found 1e+300");
}

}  // namespace
}  // namespace medley::engine
