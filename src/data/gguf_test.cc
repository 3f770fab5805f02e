#include "data/gguf.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "base/prng.h"
#include "data/catalog.h"
#include "data/file.h"
#include "data/model_facts.h"
#include "data/testing_shared.h"

namespace medley::data {
namespace {

// Writes GGUF bytes, wrong ones too.
class Writer {
 public:
  template <typename T>
  Writer& number(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Writer& text(const std::string& value) { return number<std::uint64_t>(value.size()).raw(value); }
  Writer& raw(const std::string& value) {
    bytes_ += value;
    return *this;
  }
  Writer& head(std::uint64_t tensors, std::uint64_t entries, std::uint32_t version = 3) {
    return raw("GGUF").number(version).number(tensors).number(entries);
  }
  Writer& entry(const std::string& key, std::uint32_t value) {
    return text(key).number<std::uint32_t>(4).number(value);
  }
  Writer& entry(const std::string& key, const std::string& value) {
    return text(key).number<std::uint32_t>(8).text(value);
  }
  Writer& tensor(const std::string& name, std::vector<std::uint64_t> shape, std::uint32_t type,
                 std::uint64_t offset) {
    text(name).number(static_cast<std::uint32_t>(shape.size()));
    for (const std::uint64_t size : shape)
      number(size);
    return number(type).number(offset);
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

std::string error(const Writer& writer, std::uint64_t more = 0) {
  const auto gguf = parse_gguf(writer.bytes(), writer.bytes().size() + more, "m.gguf");
  return gguf.ok() ? "" : gguf.error().message;
}

// A mixture of two layers, four experts, two of them used.
Writer mixture() {
  Writer w;
  w.head(5, 9)
      .entry("general.architecture", "llama")
      .entry("general.name", "tiny")
      .entry("llama.block_count", 2)
      .entry("llama.embedding_length", 32)
      .entry("llama.attention.head_count", 4)
      .entry("llama.attention.head_count_kv", 2)
      .entry("llama.context_length", 128)
      .entry("llama.expert_count", 4)
      .entry("llama.expert_used_count", 2);
  w.tensor("token_embd.weight", {32, 100}, 1, 0)                 // 6400 bytes of f16
      .tensor("blk.0.ffn_up_exps.weight", {32, 64, 4}, 8, 6400)  // q8_0: 8192 numbers in 8704 bytes
      .tensor("blk.0.ffn_down_exps.weight", {64, 32, 4}, 8, 15104)
      .tensor("blk.1.ffn_up_exps.weight", {32, 64, 4}, 8, 23808)
      .tensor("blk.1.ffn_down_exps.weight", {64, 32, 4}, 8, 32512);
  return w;
}
constexpr std::uint64_t kMixtureData = 41216;

TEST(Gguf, NamesArePrintable) {
  std::string bytes = mixture().bytes();
  bytes.replace(bytes.find("tiny"), 4, "\x1b[2J");
  const auto read = parse_gguf(bytes, bytes.size() + (1 << 20), "m.gguf");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->text("general.name"), " [2J");
}

TEST(Gguf, ReadsFactsOfAMixture) {
  const Writer w = mixture();
  const auto gguf = parse_gguf(w.bytes(), w.bytes().size() + 32 + kMixtureData, "m.gguf");
  ASSERT_TRUE(gguf.ok()) << gguf.error().message;
  const auto model = gguf_model(*gguf, "m.gguf");
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ(model->name, "tiny");
  EXPECT_EQ(model->layers, 2);
  EXPECT_EQ(model->head_size, 8);
  EXPECT_EQ(model->kv_numbers_per_token_and_layer, 32);
  EXPECT_EQ(model->vocabulary, 100);
  EXPECT_EQ(*model->max_context, 128);
  EXPECT_EQ(model->parameters, 3200 + 4 * 8192);
  EXPECT_EQ(model->expert_layers, 2);
  EXPECT_EQ(model->expert_parameters, 4096);
  EXPECT_EQ(model->active_parameters, 3200 + 2 * 8192);
  EXPECT_EQ(model->weight_bytes->value(), kMixtureData);
  EXPECT_EQ(model->native_precision, Precision::kInt8);
}

TEST(Gguf, ReadsARealModel) {
  const std::string shared = shared_folder();
  if (shared.empty())
    GTEST_SKIP() << "no shared folder with a model beside the checkout (MEDLEY_SHARED)";
  const auto catalog = read_catalog("catalog");
  ASSERT_TRUE(catalog.ok());
  const auto facts = model_facts("stories260K.gguf", *catalog, shared + "/models");
  ASSERT_TRUE(facts.ok()) << facts.error().message;
  EXPECT_EQ(facts->model.id, "stories260K");
  EXPECT_EQ(facts->gguf_path, shared + "/models/stories260K.gguf");
  EXPECT_EQ(facts->model.layers, 5);
  EXPECT_EQ(facts->model.hidden_size, 64);
  EXPECT_EQ(facts->model.heads, 8);
  EXPECT_EQ(facts->model.kv_heads, 4);
  EXPECT_EQ(facts->model.intermediate_size, 172);
  EXPECT_EQ(facts->model.vocabulary, 512);
  EXPECT_EQ(*facts->model.max_context, 512);
  EXPECT_EQ(facts->model.parameters, 292800);
  EXPECT_EQ(facts->model.native_precision, Precision::kFp32);
}

TEST(Gguf, SaysAtWhichByteItIsWrong) {
  constexpr auto kHuge = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(error(Writer().raw("GGML rest of it")), "m.gguf: byte 0: not a GGUF file");
  EXPECT_EQ(error(Writer()), "m.gguf: byte 0: not a GGUF file");
  EXPECT_EQ(error(Writer().head(0, 0, 1)), "m.gguf: byte 4: GGUF version 1, expected 2 or 3");
  EXPECT_EQ(error(Writer().raw("GGUF").number<std::uint32_t>(3)),
            "m.gguf: byte 8: the number of tensors takes 8 bytes, 0 are left in the file");
  EXPECT_EQ(error(Writer().head(0, kHuge)),
            "m.gguf: byte 24: 18446744073709551615 metadata entries, more than the 0 bytes left in "
            "the file can hold");
  EXPECT_EQ(error(Writer().head(kHuge / 24, 0).raw("xx")),
            "m.gguf: byte 24: 768614336404564650 tensors, more than the 2 bytes left in the file "
            "can hold");
  EXPECT_EQ(error(Writer().head(0, 1).number(kHuge).raw("12345")),
            "m.gguf: byte 24: a key of 18446744073709551615 bytes, at most 5 are possible here");
  EXPECT_EQ(error(Writer().head(0, 1).text("k").number<std::uint32_t>(99)),
            "m.gguf: byte 37: unknown value type 99");
  EXPECT_EQ(error(Writer().head(0, 1).text("k").number<std::uint32_t>(8).number(kHuge)),
            "m.gguf: byte 37: a text of 18446744073709551615 bytes, at most 0 are possible here");
  EXPECT_EQ(
      error(Writer().head(0, 1).text("k").number<std::uint32_t>(9).number<std::uint32_t>(6).number(
          kHuge / 4)),
      "m.gguf: byte 49: 4611686018427387903 array elements, more than the 0 bytes left in the file "
      "can hold");
  EXPECT_EQ(error(Writer().head(0, 2).entry("k", 1).entry("k", 2)),
            "m.gguf: byte 41: key 'k' stands here twice");
  EXPECT_EQ(error(Writer().head(0, 1).entry("general.alignment", 33)),
            "m.gguf: byte 57: alignment 33, expected a power of two up to 1048576");
  EXPECT_EQ(error(Writer().head(0, 1).entry("general.alignment", 0)),
            "m.gguf: byte 57: alignment 0, expected a power of two up to 1048576");
  EXPECT_EQ(
      error(Writer().head(1, 0).text("t").number<std::uint32_t>(4000).raw(std::string(64, 'x'))),
      "m.gguf: byte 37: tensor 't' has 4000 dimensions, at most 8 are expected");
  EXPECT_EQ(error(Writer().head(1, 0).tensor("t", {1000}, 0, 0), 100),
            "m.gguf: byte 57: tensor 't' ends at byte 4000 of the data section, which has 93");
  EXPECT_EQ(
      error(Writer().head(1, 0).tensor("t", {kHuge, kHuge, kHuge}, 0, kHuge), 100).substr(0, 17),
      "m.gguf: byte 73: ");
}

TEST(Gguf, DoesNotFollowArraysWithoutEnd) {
  Writer w;
  w.head(0, 1).text("k").number<std::uint32_t>(9);
  for (int level = 0; level < 100'000; ++level)
    w.number<std::uint32_t>(9).number<std::uint64_t>(1);
  EXPECT_EQ(error(w), "m.gguf: byte 85: arrays nested more than 4 deep");
}

TEST(Gguf, NamesTheKeyThatIsMissing) {
  const auto facts = [](const Writer& w) {
    const auto gguf = parse_gguf(w.bytes(), w.bytes().size() + 64, "m.gguf");
    EXPECT_TRUE(gguf.ok()) << (gguf.ok() ? "" : gguf.error().message);
    const auto model = gguf_model(*gguf, "m.gguf");
    return model.ok() ? "" : model.error().message;
  };
  EXPECT_EQ(facts(Writer().head(0, 0)), "m.gguf: no general.architecture in its metadata");
  EXPECT_EQ(facts(Writer().head(0, 1).entry("general.architecture", "llama")),
            "m.gguf: no tensors: a vocabulary without a model");
  EXPECT_EQ(
      facts(Writer().head(1, 1).entry("general.architecture", "llama").tensor("t", {2}, 0, 0)),
      "m.gguf: llama.block_count: expected a whole number of at least 1, got 0");
}

TEST(Gguf, SurvivesMutatedInput) {
  const std::string whole = mixture().bytes();
  Prng prng(5);
  for (int round = 0; round < 5000; ++round) {
    std::string bytes = whole;
    for (std::uint64_t i = 0; i <= prng.below(4); ++i) {
      const std::size_t at = prng.below(bytes.size());
      if (prng.below(3) == 0) {
        std::memset(bytes.data() + at, 0xFF, std::min<std::size_t>(8, bytes.size() - at));
      } else {
        bytes[at] = static_cast<char>(prng.below(256));
      }
    }
    if (prng.below(4) == 0)
      bytes.resize(prng.below(bytes.size()));
    const auto gguf = parse_gguf(bytes, bytes.size() + kMixtureData, "m.gguf");
    if (!gguf.ok()) {
      ASSERT_EQ(gguf.error().message.substr(0, 13), "m.gguf: byte ") << gguf.error().message;
      continue;
    }
    (void)gguf_model(*gguf, "m.gguf");
  }
}

}  // namespace
}  // namespace medley::data
