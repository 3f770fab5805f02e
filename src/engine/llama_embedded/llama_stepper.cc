#include "engine/llama_embedded/llama_stepper.h"

#include <fmt/format.h>
#include <ggml-backend.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/llama_embedded/libllama.h"
#include "lpu/cpu/kernels.h"

namespace medley::engine::llama_embedded {
namespace {

// libllama's own threads between steps: without a pool it starts new ones for each. Its functions
// are the CPU backend's, which is loaded while the program runs.
class ThreadPool {
 public:
  explicit ThreadPool(int threads) {
    ggml_backend_dev_t device = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    ggml_backend_reg_t registry = ggml_backend_dev_backend_reg(device);
    const auto make = reinterpret_cast<ggml_threadpool* (*)(ggml_threadpool_params*)>(
        ggml_backend_reg_get_proc_address(registry, "ggml_threadpool_new"));
    free_ = reinterpret_cast<void (*)(ggml_threadpool*)>(
        ggml_backend_reg_get_proc_address(registry, "ggml_threadpool_free"));
    if (threads > 1 && make != nullptr && free_ != nullptr) {
      ggml_threadpool_params params = ggml_threadpool_params_default(threads);
      pool_ = make(&params);
    }
  }
  ~ThreadPool() {
    if (pool_ != nullptr)
      free_(pool_);
  }
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ggml_threadpool* get() const { return pool_; }

 private:
  ggml_threadpool* pool_ = nullptr;
  void (*free_)(ggml_threadpool*) = nullptr;
};

class LlamaStepper final : public Stepper {
 public:
  LlamaStepper(ModelHandle model, ContextHandle context, int threads)
      : pool_(threads),
        model_(std::move(model)),
        context_(std::move(context)),
        vocabulary_(llama_vocab_n_tokens(llama_model_get_vocab(model_.get()))) {
    if (pool_.get() != nullptr)
      llama_attach_threadpool(context_.get(), pool_.get(), pool_.get());
  }
  ~LlamaStepper() override {
    if (pool_.get() != nullptr)
      llama_detach_threadpool(context_.get());
    context_.reset();
  }

  Status step(int token) override { return read({&token, 1}); }
  Status read(std::span<const int> tokens) override {
    // It only reads them.
    auto* batch = const_cast<llama_token*>(tokens.data());
    if (const std::int32_t code = llama_decode(
            context_.get(), llama_batch_get_one(batch, static_cast<std::int32_t>(tokens.size())));
        code != 0) {
      return Error{ErrorCode::kUnavailable,
                   fmt::format("llama_decode answered {}: {}", code, take_logged_error()),
                   {}};
    }
    return Done{};
  }
  std::span<const float> logits() override {
    return {llama_get_logits_ith(context_.get(), -1), static_cast<std::size_t>(vocabulary_)};
  }
  int choice() override { return lpu::cpu::likeliest(logits().data(), vocabulary_); }
  void reset() override { llama_memory_clear(llama_get_memory(context_.get()), true); }
  int vocabulary() const override { return vocabulary_; }

  // libllama's own format of a sequence's state, as its release writes it: a mark and flags; the
  // numbers of streams and positions, the sequences at each; then for each layer the keys by
  // position, then for each layer the values, transposed unless flash attention is on.
  Result<KvState> export_kv() override {
    std::vector<std::uint8_t> bytes(llama_state_seq_get_size(context_.get(), 0));
    if (llama_state_seq_get_data(context_.get(), bytes.data(), bytes.size(), 0) != bytes.size())
      return Error{ErrorCode::kUnavailable, "libllama gives no state of its sequence", {}};
    return parse_state(bytes);
  }
  Status import_kv(const KvState&) override {
    return Error{ErrorCode::kInvalid, "llama_embedded takes no cache of another engine", {}};
  }

 private:
  Result<KvState> parse_state(const std::vector<std::uint8_t>& bytes) const;

  ThreadPool pool_;
  ModelHandle model_;
  ContextHandle context_;
  const int vocabulary_;
};

Result<KvState> LlamaStepper::parse_state(const std::vector<std::uint8_t>& bytes) const {
  const auto fail = [](const char* what) {
    return Error{ErrorCode::kGarbled, fmt::format("libllama's state of a sequence: {}", what), {}};
  };
  std::size_t at = 0;
  const auto has = [&](std::size_t size) { return bytes.size() - at >= size; };
  const auto take = [&](auto& value) {
    if (!has(sizeof value))
      return false;
    std::memcpy(&value, &bytes[at], sizeof value);
    at += sizeof value;
    return true;
  };
  constexpr std::uint32_t kMark = 0xAF143CD8;
  std::uint32_t mark = 0, flags = 0, streams = 0, cells = 0;
  if (!take(mark) || mark != kMark || !take(flags) || flags != 0)
    return fail("of another release's format");
  if (!take(streams) || streams != 1 || !take(cells))
    return fail("expected one stream");
  for (std::uint32_t i = 0; i < cells; ++i) {
    std::int32_t position = 0;
    std::uint32_t sequences = 0;
    if (!take(position) || !take(sequences) || position != static_cast<std::int32_t>(i))
      return fail("positions are not in order");
    at += std::size_t{4} * sequences;
    if (at > bytes.size())
      return fail("it ends too soon");
  }
  std::uint32_t transposed = 0, layers = 0;
  if (!take(transposed) || !take(layers) || layers > 4096)
    return fail("expected the number of layers");
  KvState state{.layers = static_cast<int>(layers), .positions = static_cast<int>(cells)};
  for (std::uint32_t layer = 0; layer < layers; ++layer) {
    std::int32_t type = 0;
    std::uint64_t row_bytes = 0;
    if (!take(type) || !take(row_bytes) || type != GGML_TYPE_F32)
      return fail("expected keys in F32");
    const std::size_t size = row_bytes * cells;
    if (row_bytes > (1U << 24) || !has(size))
      return fail("it ends too soon");
    state.row = static_cast<int>(row_bytes / 4);
    const auto* from = reinterpret_cast<const float*>(&bytes[at]);
    const std::size_t before = state.keys.size();
    state.keys.resize(before + size / 4);
    std::memcpy(&state.keys[before], from, size);
    at += size;
  }
  const auto row = static_cast<std::size_t>(state.row);
  for (std::uint32_t layer = 0; layer < layers; ++layer) {
    std::int32_t type = 0;
    if (!take(type) || type != GGML_TYPE_F32)
      return fail("expected values in F32");
    std::size_t begin = state.values.size();
    state.values.resize(begin + row * cells);
    if (transposed != 0) {
      std::uint32_t element_bytes = 0, width = 0;
      if (!take(element_bytes) || !take(width) || element_bytes != 4 || width != row)
        return fail("expected values as wide as keys");
    } else {
      std::uint64_t row_bytes = 0;
      if (!take(row_bytes) || row_bytes != 4 * row)
        return fail("expected values as wide as keys");
    }
    if (!has(4 * row * cells))
      return fail("it ends too soon");
    for (std::size_t i = 0; i < row * cells; ++i) {
      const std::size_t to = transposed != 0 ? i % cells * row + i / cells : i;
      std::memcpy(&state.values[begin + to], &bytes[at + 4 * i], 4);
    }
    at += 4 * row * cells;
  }
  return state;
}

}  // namespace

Result<std::unique_ptr<Stepper>> make_llama_stepper(const StepperOptions& options) {
  if (options.narrow)
    choose_cpu_code("haswell");
  MEDLEY_TRY(ModelHandle model, load_model(options.model_path));
  const ContextShape shape{.sequences = 1,
                           .context_tokens = options.context,
                           .step_tokens = std::min(options.context, 64),
                           .threads = options.threads,
                           .half_kv = options.half_kv,
                           .flash_attention = options.flash_attention};
  MEDLEY_TRY(ContextHandle context, make_context(*model, shape, nullptr, nullptr));
  return std::unique_ptr<Stepper>(
      std::make_unique<LlamaStepper>(std::move(model), std::move(context), options.threads));
}

}  // namespace medley::engine::llama_embedded
