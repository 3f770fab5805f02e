#include "domain/model.h"

#include <gtest/gtest.h>

namespace medley {
namespace {

// Llama 3 8B: 32 layers, 8 key/value heads of 128.
Model llama() {
  Model model;
  model.parameters = 8e9;
  model.layers = 32;
  model.kv_numbers_per_token_and_layer = 2 * 8 * 128;
  return model;
}

TEST(Model, WeighsItsParametersUnlessAFileSaysMore) {
  EXPECT_EQ(weight_bytes(llama(), Precision::kBf16), Bytes(16e9));
  EXPECT_EQ(weight_bytes(llama(), Precision::kInt4), Bytes(4e9));
  Model file = llama();
  file.weight_bytes = Bytes(4.9e9);
  EXPECT_EQ(weight_bytes(file, Precision::kBf16), Bytes(4.9e9));
}

TEST(Model, KeepsKeysAndValuesOfAllLayersForEachToken) {
  EXPECT_EQ(kv_bytes_per_token(llama(), Precision::kFp16), Bytes(131072));
  EXPECT_EQ(kv_bytes_per_token(llama(), Precision::kFp8), Bytes(65536));
}

}  // namespace
}  // namespace medley
