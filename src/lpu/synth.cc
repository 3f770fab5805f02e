#include "lpu/synth.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "base/prng.h"
#include "data/gguf_writer.h"

namespace medley::lpu {
namespace {

struct Planned {
  std::string name;
  long long columns, rows;
  TensorFormat format;
  bool is_norm = false;
  float deviation = 1;
  long long stacked = 1;  // matrices in it, one after the other
};

// Four draws of 16 bits a number: near enough to normal, and quick.
float about_normal(Prng& prng) {
  const std::uint64_t draw = prng.next();
  const auto sum = static_cast<float>((draw & 0xFFFF) + (draw >> 16 & 0xFFFF) +
                                      (draw >> 32 & 0xFFFF) + (draw >> 48));
  return (sum - 131070.0F) / 37837.0F;
}

bool has_quantiser(TensorFormat format) {
  return format == TensorFormat::kF32 || format == TensorFormat::kF16 ||
         format == TensorFormat::kBf16 || format == TensorFormat::kQ8_0 ||
         format == TensorFormat::kQ4_0;
}

// A block of random bits, its scales (and minima) such that its numbers have about `deviation`.
void random_block(TensorFormat format, float deviation, Prng& prng, std::uint8_t* block) {
  for (int i = 0; i < block_bytes(format); ++i)
    block[i] = static_cast<std::uint8_t>(prng.next());
  const auto put = [&](int at, float value) {
    const std::uint16_t half = to_half(value);
    std::memcpy(block + at, &half, sizeof half);
  };
  switch (format) {
    case TensorFormat::kQ5_0:
      return put(0, deviation / 9);
    case TensorFormat::kQ4_1:
      put(0, deviation / 5);
      return put(2, -1.5F * deviation);
    case TensorFormat::kQ5_1:
      put(0, deviation / 9);
      return put(2, -1.7F * deviation);
    case TensorFormat::kQ4_K:
      put(0, deviation / 150);
      return put(2, deviation / 20);
    case TensorFormat::kQ5_K:
      put(0, deviation / 300);
      return put(2, deviation / 20);
    default:  // Q6_K
      return put(208, deviation / 1400);
  }
}

class Synthesis {
 public:
  explicit Synthesis(const SynthShape& shape) : shape_(shape) {}

  Status prepare() {
    const SynthShape& s = shape_;
    const auto fail = [](std::string message) {
      return Error{ErrorCode::kInvalid, std::move(message), {}};
    };
    if (s.family != "llama" && s.family != "qwen2" && s.family != "qwen3" &&
        s.family != "qwen3moe" && s.family != "gemma") {
      return fail(
          fmt::format("family '{}': expected llama, qwen2, qwen3, qwen3moe or gemma", s.family));
    }
    if (s.experts != 0 && (s.experts < 2 || s.experts > 1024 || s.experts_per_token < 1 ||
                           s.experts_per_token > s.experts)) {
      return fail(fmt::format("{} of {} experts: expected 2 to 1024 of them, and no more chosen",
                              s.experts_per_token, s.experts));
    }
    for (const auto& [name, value, most] :
         {std::tuple("layers", s.layers, 1024), std::tuple("width", s.width, 1 << 16),
          std::tuple("heads", s.heads, 1024), std::tuple("kv heads", s.kv_heads, 1024),
          std::tuple("head size", s.head_size, 1024), std::tuple("inner size", s.inner, 1 << 18),
          std::tuple("context", s.context, 1 << 22)}) {
      if (value < 1 || value > most)
        return fail(fmt::format("{} {}: expected 1 to {}", name, value, most));
    }
    if (s.vocabulary < kWords || s.vocabulary > (1 << 20))
      return fail(fmt::format("vocabulary {}: expected {} to {}", s.vocabulary, kWords, 1 << 20));
    if (s.heads % s.kv_heads != 0)
      return fail(fmt::format("{} heads are no multiple of {} KV heads", s.heads, s.kv_heads));
    if (s.head_size % 2 != 0)
      return fail(fmt::format("head size {}: expected an even number", s.head_size));
    const int block = block_elements(s.format);
    for (const auto& [name, columns] :
         {std::pair("width", s.width), std::pair("heads x head size", s.heads * s.head_size),
          std::pair("inner size", s.inner)}) {
      if (columns % block != 0) {
        return fail(fmt::format("{} {}: expected a multiple of {} for {}", name, columns, block,
                                name_of(s.format)));
      }
    }
    write_facts();
    plan_tensors();
    return Done{};
  }

  const data::GgufWriter& writer() const { return writer_; }

  void fill(std::size_t index, const data::GgufWriter::Write& write) const {
    const Planned& tensor = planned_[index];
    Prng prng = Prng::stream(shape_.seed, index);
    const auto columns = static_cast<std::size_t>(tensor.columns);
    std::vector<float> row(columns);
    std::vector<std::uint8_t> bytes(row_bytes(tensor.format, columns));
    for (long long r = 0; r < tensor.rows; ++r) {
      if (has_quantiser(tensor.format)) {
        for (float& number : row)
          number = tensor.is_norm ? 1 + 0.1F * about_normal(prng)
                                  : tensor.deviation * about_normal(prng);
        quantise(tensor.format, row, bytes.data());
      } else {
        for (std::size_t at = 0; at < bytes.size();
             at += static_cast<std::size_t>(block_bytes(tensor.format))) {
          random_block(tensor.format, tensor.deviation, prng, &bytes[at]);
        }
      }
      write({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    }
  }

 private:
  static constexpr int kWords = 259;  // behind <unk>, <s>, </s> and the bytes

  void write_facts() {
    const SynthShape& s = shape_;
    const auto number = [&](const char* key, int value) {
      writer_.entry(fmt::format("{}.{}", s.family, key), static_cast<std::uint32_t>(value));
    };
    writer_.entry("general.architecture", s.family);
    writer_.entry("general.name", fmt::format("random {} weights, seed {}", s.family, s.seed));
    number("block_count", s.layers);
    number("context_length", s.context);
    number("embedding_length", s.width);
    number("feed_forward_length", s.inner);
    number("attention.head_count", s.heads);
    number("attention.head_count_kv", s.kv_heads);
    number("attention.key_length", s.head_size);
    number("attention.value_length", s.head_size);
    number("rope.dimension_count", s.head_size);
    writer_.entry(s.family + ".attention.layer_norm_rms_epsilon", 1e-5F);
    writer_.entry(s.family + ".rope.freq_base", 10000.0F);
    if (s.attn_factor != 1)
      writer_.entry(s.family + ".rope.scaling.attn_factor", s.attn_factor);
    number("vocab_size", s.vocabulary);
    if (s.experts > 0) {
      number("expert_count", s.experts);
      number("expert_used_count", s.experts_per_token);
      number("expert_feed_forward_length", s.inner);
    }

    std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
    std::vector<std::int32_t> types = {2, 3, 3};
    for (int byte = 0; byte < 256; ++byte) {
      tokens.push_back(fmt::format("<0x{:02X}>", byte));
      types.push_back(6);
    }
    std::vector<float> scores(tokens.size(), 0.0F);
    for (int word = 0; static_cast<int>(tokens.size()) < s.vocabulary; ++word) {
      tokens.push_back(fmt::format("\xE2\x96\x81w{}", word));  // SentencePiece's space
      types.push_back(1);
      scores.push_back(static_cast<float>(-word));
    }
    writer_.entry("tokenizer.ggml.model", "llama")
        .entry("tokenizer.ggml.tokens", tokens)
        .entry("tokenizer.ggml.scores", scores)
        .entry("tokenizer.ggml.token_type", types)
        .entry("tokenizer.ggml.bos_token_id", std::uint32_t{1})
        .entry("tokenizer.ggml.eos_token_id", std::uint32_t{2})
        .entry("tokenizer.ggml.unknown_token_id", std::uint32_t{0});
  }

  void add(Planned tensor) {
    std::vector<std::uint64_t> shape = {static_cast<std::uint64_t>(tensor.columns)};
    if (tensor.rows > 1)
      shape.push_back(static_cast<std::uint64_t>(tensor.rows / tensor.stacked));
    if (tensor.stacked > 1)
      shape.push_back(static_cast<std::uint64_t>(tensor.stacked));
    writer_.tensor(tensor.name, shape, static_cast<std::uint32_t>(tensor.format),
                   static_cast<std::uint64_t>(tensor.rows) *
                       row_bytes(tensor.format, static_cast<std::size_t>(tensor.columns)));
    planned_.push_back(std::move(tensor));
  }
  void add_matrix(const std::string& name, int columns, int rows) {
    add({name, columns, rows, shape_.format, false, 1 / std::sqrt(static_cast<float>(columns))});
  }
  void add_experts(const std::string& name, int columns, int rows) {
    add({name, columns, 1LL * rows * shape_.experts, shape_.format, false,
         1 / std::sqrt(static_cast<float>(columns)), shape_.experts});
  }
  void add_norm(const std::string& name, int size) {
    add({name, size, 1, TensorFormat::kF32, true});
  }

  void plan_tensors() {
    const SynthShape& s = shape_;
    const int q = s.heads * s.head_size, kv = s.kv_heads * s.head_size;
    add({"token_embd.weight", s.width, s.vocabulary, s.format, false,
         s.tied || s.family == "gemma" ? 1 / std::sqrt(static_cast<float>(s.width)) : 1.0F});
    for (int layer = 0; layer < s.layers; ++layer) {
      const std::string blk = fmt::format("blk.{}.", layer);
      add_norm(blk + "attn_norm.weight", s.width);
      add_matrix(blk + "attn_q.weight", s.width, q);
      add_matrix(blk + "attn_k.weight", s.width, kv);
      add_matrix(blk + "attn_v.weight", s.width, kv);
      if (s.family == "qwen2") {
        for (const auto& [name, size] : {std::pair("attn_q.bias", q), std::pair("attn_k.bias", kv),
                                         std::pair("attn_v.bias", kv)})
          add({blk + name, size, 1, TensorFormat::kF32, false, 0.1F});
      }
      if (s.family == "qwen3" || s.family == "qwen3moe") {
        add_norm(blk + "attn_q_norm.weight", s.head_size);
        add_norm(blk + "attn_k_norm.weight", s.head_size);
      }
      add_matrix(blk + "attn_output.weight", q, s.width);
      add_norm(blk + "ffn_norm.weight", s.width);
      if (s.experts > 0) {
        add({blk + "ffn_gate_inp.weight", s.width, s.experts, TensorFormat::kF32, false,
             1 / std::sqrt(static_cast<float>(s.width))});
        add_experts(blk + "ffn_gate_exps.weight", s.width, s.inner);
        add_experts(blk + "ffn_up_exps.weight", s.width, s.inner);
        add_experts(blk + "ffn_down_exps.weight", s.inner, s.width);
        continue;
      }
      add_matrix(blk + "ffn_gate.weight", s.width, s.inner);
      add_matrix(blk + "ffn_up.weight", s.width, s.inner);
      add_matrix(blk + "ffn_down.weight", s.inner, s.width);
    }
    add_norm("output_norm.weight", s.width);
    if (!s.tied && s.family != "gemma")  // Gemma's head is always the embedding
      add_matrix("output.weight", s.width, s.vocabulary);
  }

  const SynthShape& shape_;
  data::GgufWriter writer_;
  std::vector<Planned> planned_;
};

}  // namespace

Result<SynthShape> synth_shape(const std::string& name) {
  if (name == "260k") {
    return SynthShape{
        .layers = 5, .width = 64, .heads = 8, .kv_heads = 4, .head_size = 8, .inner = 172};
  }
  if (name == "110m") {
    return SynthShape{.layers = 12,
                      .width = 768,
                      .heads = 12,
                      .kv_heads = 12,
                      .head_size = 64,
                      .inner = 2048,
                      .vocabulary = 32000,
                      .context = 1024,
                      .tied = true};
  }
  if (name == "1.1b") {
    return SynthShape{.layers = 22,
                      .width = 2048,
                      .heads = 32,
                      .kv_heads = 4,
                      .head_size = 64,
                      .inner = 5632,
                      .vocabulary = 32000,
                      .context = 2048};
  }
  return Error{ErrorCode::kInvalid, fmt::format("shape '{}': expected 260k, 110m or 1.1b", name),
               "shape"};
}

Result<std::string> synthesise(const SynthShape& shape) {
  Synthesis synthesis(shape);
  MEDLEY_TRY_STATUS(synthesis.prepare());
  std::string bytes;
  synthesis.writer().write([&](std::string_view more) { bytes += more; },
                           [&](std::size_t i, const auto& write) { synthesis.fill(i, write); });
  return bytes;
}

Status synthesise(const SynthShape& shape, const std::string& path) {
  Synthesis synthesis(shape);
  MEDLEY_TRY_STATUS(synthesis.prepare());
  return synthesis.writer().write_file(
      path, [&](std::size_t i, const auto& write) { synthesis.fill(i, write); });
}

}  // namespace medley::lpu
