#include "simulate/step_tables.h"

#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "data/testing_shared.h"

namespace medley::simulate {
namespace {

// A folder of this process alone, with the files of a profile that works.
class StepTables : public testing::Test {
 protected:
  StepTables() : folder_(data::own_temporary("step_tables")) {
    std::filesystem::create_directories(folder_);
    write("dense.csv",
          "layer,tokens,time_us\nembedding,1,10\nlayernorm,1,1\nfinal_layernorm,1,5\nact_fn,1,2\n");
    write("per_sequence.csv", "layer,sequences,time_us\nsampler,1,100\n");
    write("attention.csv",
          "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us\n0,0,1,16,4\n0,0,2,16,6\n");
    write("meta.yaml", "skew_fit: {enabled: false}\n");
    write("perf_model.csv",
          "model,hardware,prompt_size,batch_size,prompt_time,token_time,tensor_parallel\n"
          "m,h,100,1,10,1,8\nm,h,200,1,20,2,8\nm,h,100,1,1,1,4\n");
  }
  ~StepTables() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ + "/" + name) << text;
  }
  Pool vllm_pool() const {
    Pool pool{.name = "card"};
    pool.batching.kv_blocks = 100;
    pool.table = StepTable{.format = "vllm_layer_profile", .path = folder_, .layers = 3};
    return pool;
  }
  Pool splitwise_pool() const {
    Pool pool = vllm_pool();
    pool.table = StepTable{.format = "splitwise_perf_model",
                           .path = folder_ + "/perf_model.csv",
                           .model = "m",
                           .hardware = "h",
                           .tensor_parallel = 8};
    return pool;
  }
  std::string error_of(const Pool& pool) const {
    const auto model = make_table_model(pool);
    if (model.ok())
      return "no error";
    std::string message = model.error().message;
    // The folder's name differs from run to run.
    for (std::size_t at; (at = message.find(folder_)) != std::string::npos;)
      message.replace(at, folder_.size(), "F");
    return message;
  }

  const std::string folder_;
};

TEST_F(StepTables, ReadAVllmProfile) {
  const auto model = make_table_model(vllm_pool());
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_NEAR(model->steps->step({.decodes = 1, .decode_context = 16}).time.value() * 1e6,
              10 + 3 * (2 * 1 + 2 + 4) + 5 + 100, 1e-9);
}

TEST_F(StepTables, ReadTheSkewFitOfAVllmProfile) {
  write("meta.yaml", R"(skew_fit:
  enabled: true
  bucket_axes: {n_bins: [0, 2, 9], n_labels: [few, many], skew_rate_bins: [0, 1], skew_rate_labels: [any],
                kv_big_bins: [0, 99], kv_big_labels: [short], kp_bins: [-1, 0], kp_labels: [none]}
  per_tp: {1: {alpha_default: 0.5}, 2: {alpha_default: 0}}
)");
  const std::string head = "pc,n_label,skew_rate_label,kv_big_label,kp_label,alpha\n";
  write("skew_fit.csv", head + "0,few,any,short,none,0.25\n");
  write("attention.csv",
        "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us\n0,0,1,0,4\n0,0,1,40,44\n");
  const auto model = make_table_model(vllm_pool());
  ASSERT_TRUE(model.ok()) << model.error().message;
  const perf::StepShape two{
      .decodes = 2, .decode_context = 40, .decode_context_min = 10, .decode_context_max = 30};
  EXPECT_NEAR(model->steps->step(two).time.value() * 1e6, 10 + 3 * (4 + 24 + 0.25 * 10) + 5 + 100,
              1e-9);
  write("skew_fit.csv", head + "0,few,any,long,none,0.25\n");
  EXPECT_EQ(error_of(vllm_pool()),
            "pool 'card': F/skew_fit.csv:2: kv_big_label: 'long' is none of "
            "the kv_big_labels in F/meta.yaml");
  Pool eight = vllm_pool();
  eight.table->all_reduce = StepTable::AllReduce{.ranks = 8, .bandwidth_gb_per_s = 1};
  EXPECT_EQ(error_of(eight), "pool 'card': F/meta.yaml:5:11: skew_fit.per_tp: missing key '8'");
}

TEST_F(StepTables, NameFileAndLineOfABadVllmProfile) {
  write("attention.csv", "prefill_chunk,kv_prefill,n_decode,time_us\n0,0,1,4\n");
  EXPECT_EQ(error_of(vllm_pool()),
            "pool 'card': F/attention.csv:1: no column 'kv_decode', did you mean 'n_decode'?");
  write("per_sequence.csv", "layer,sequences,time_us\nsampler,1,0\n");
  EXPECT_EQ(error_of(vllm_pool()),
            "pool 'card': F/per_sequence.csv:2: time_us: expected a positive time, got 0");
  write("dense.csv", "layer,tokens,time_us\nembedding,1,10\nembedding,1,11\n");
  EXPECT_EQ(error_of(vllm_pool()),
            "pool 'card': F/dense.csv:3: a second row for the same layer and sizes");
  write("dense.csv", "layer,tokens,time_us\nembedding,-1,10\n");
  EXPECT_EQ(error_of(vllm_pool()),
            "pool 'card': F/dense.csv:2: tokens: expected 0 to 1000000000, got -1");
}

TEST_F(StepTables, NameTheLayerThatAVllmProfileLacks) {
  write("dense.csv", "layer,tokens,time_us\nembedding,1,10\n");
  EXPECT_EQ(error_of(vllm_pool()),
            "pool 'card': F: the dense table has no rows for layer 'layernorm'");
  std::filesystem::remove(folder_ + "/meta.yaml");
  EXPECT_EQ(error_of(vllm_pool()), "pool 'card': F/meta.yaml: No such file or directory");
}

TEST_F(StepTables, NameFileAndLineOfBadVidurTables) {
  Pool pool = vllm_pool();
  pool.table->format = "vidur_tables";
  const std::string per_token =
      "num_tokens,add,all_reduce,attn_kv_cache_save,attn_post_proj,attn_pre_proj,attn_rope,"
      "input_layernorm,mlp_act,mlp_down_proj,mlp_up_proj,post_attention_layernorm\n"
      "1,1,1,0,1,1,1,1,1,1,1,1\n";
  const std::string decode = "batch_size,kv_cache_size,prediction\n1,0,1\n";
  const std::string prefill = "kv_cache_size,prefill_chunk_from,prediction\n0,1,1\n";
  write("per_token_ops_steps_ms.csv", per_token);
  write("attn_decode_ms.csv", decode);
  write("attn_prefill_steps_ms.csv", prefill);
  EXPECT_EQ(error_of(pool), "no error") << "some operations take no time that Vidur can tell";
  write("attn_prefill_steps_ms.csv", prefill + "0,1,2\n");
  EXPECT_EQ(error_of(pool),
            "pool 'card': F/attn_prefill_steps_ms.csv:3: a second row for the same sizes");
  write("attn_prefill_steps_ms.csv", prefill + "64,1,0\n");
  EXPECT_EQ(error_of(pool),
            "pool 'card': F/attn_prefill_steps_ms.csv:3: prediction 0: expected positive "
            "milliseconds");
  write("attn_decode_ms.csv", decode + "2,0,-5\n");
  EXPECT_EQ(error_of(pool),
            "pool 'card': F/attn_decode_ms.csv:3: prediction -5: expected positive milliseconds");
  write("attn_decode_ms.csv", decode + "2,65,5\n");
  EXPECT_EQ(error_of(pool),
            "pool 'card': F/attn_decode_ms.csv:3: kv_cache_size 65: expected a multiple of 64");
  write("per_token_ops_steps_ms.csv", per_token + "2,1,1,0,1,-1,1,1,1,1,1,1\n");
  EXPECT_EQ(error_of(pool),
            "pool 'card': F/per_token_ops_steps_ms.csv:3: a time of -1: expected milliseconds, 0 "
            "or more");
}

TEST_F(StepTables, ReadTheRowsOfOneMachineFromSplitwisesMeasurements) {
  const auto model = make_table_model(splitwise_pool());
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_NEAR(model->steps->step({.decodes = 150}).time.value() * 1e3, 1.5, 1e-9);
}

TEST_F(StepTables, NameFileAndLineOfBadMeasurements) {
  Pool other = splitwise_pool();
  other.table->tensor_parallel = 2;
  EXPECT_EQ(error_of(other),
            "pool 'card': F/perf_model.csv: no rows for m on h x 2 (model, "
            "hardware, tensor_parallel), did you mean 'm on h x 4'?");
  other.table->tensor_parallel = 4;
  EXPECT_EQ(error_of(other),
            "pool 'card': F/perf_model.csv: expected at least two sizes (prompt_size x batch_size) "
            "to draw a line through, got 1");
  write("perf_model.csv",
        "model,hardware,prompt_size,batch_size,prompt_time,token_time,tensor_parallel\n"
        "m,h,100,1,10,1,8\nm,h,200,1,20,0,8\n");
  EXPECT_EQ(error_of(splitwise_pool()),
            "pool 'card': F/perf_model.csv:3: prompt_time 20, "
            "token_time 0: expected positive milliseconds");
  write("perf_model.csv", "model,hardware,prompt_size,batch_size,prompt_time,token_times\n");
  EXPECT_EQ(error_of(splitwise_pool()),
            "pool 'card': F/perf_model.csv:1: no column 'tensor_parallel'; known: model, "
            "hardware, prompt_size, batch_size, prompt_time, token_times");
}

TEST_F(StepTables, NeedABlockCount) {
  Pool pool = vllm_pool();
  pool.batching.kv_blocks.reset();
  EXPECT_EQ(error_of(pool), "pool 'card': a pool with step_times needs kv_blocks");
}

}  // namespace
}  // namespace medley::simulate
