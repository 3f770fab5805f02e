#include "engine/llama_embedded/llama_stepper.h"

#include <fmt/format.h>
#include <ggml-backend.h>

#include <algorithm>
#include <utility>

#include "engine/llama_embedded/libllama.h"
#include "engine/llama_embedded/llama_kv.h"
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

  Result<KvState> export_kv() override {
    return llama_embedded::export_kv(*context_, /*sequence=*/0);
  }
  Status import_kv(const KvState&) override {
    return Error{ErrorCode::kInvalid, "llama_embedded takes no cache of another engine", {}};
  }

 private:
  ThreadPool pool_;
  ModelHandle model_;
  ContextHandle context_;
  const int vocabulary_;
};

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
