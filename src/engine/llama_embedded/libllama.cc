#include "engine/llama_embedded/libllama.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace medley::engine::llama_embedded {
namespace {

// The release whose headers we were compiled against: structs passed by value change between
// releases.
constexpr std::string_view kVersion = "0.5.0";

// libllama reports reasons only through its log, on the thread that asked.
thread_local std::string logged_error;

void keep_errors(ggml_log_level level, const char* text, void*) {
  static thread_local bool in_error = false;
  if (level != GGML_LOG_LEVEL_CONT)
    in_error = level == GGML_LOG_LEVEL_ERROR;
  // The first error is the cause, what follows repeats that loading failed.
  if (in_error && logged_error.size() < 400)
    logged_error += text;
}

// libggml ends the process over some broken files. While one is loaded on this thread, an exception
// goes up to llama_model_load_from_file instead, which takes it for a reason to refuse the file.
thread_local bool loading = false;

void on_abort(const char* message) {
  std::string_view what = message;  // "path/of/the/builder/file.cpp:123: what"
  what.remove_prefix(what.substr(0, what.find(' ')).rfind('/') + 1);
  if (loading)
    throw std::runtime_error(std::string(what));
  std::fprintf(stderr, "libggml: %s\n", std::string(what).c_str());
}

std::string& chosen_cpu_code() {
  static std::string variant;
  return variant;
}

Status open_once() {
  if (const std::string_view version = llama_version(); !version.starts_with(kVersion)) {
    return Error{ErrorCode::kInternal,
                 fmt::format("libllama is version {}, medley was built for {}: run tools/setup.sh",
                             version, kVersion)};
  }
  llama_log_set(keep_errors, nullptr);
  ggml_set_abort_callback(on_abort);
  Dl_info library{};
  if (dladdr(reinterpret_cast<const void*>(&llama_version), &library) == 0 ||
      library.dli_fname == nullptr) {
    return Error{ErrorCode::kInternal, "cannot tell where libllama was loaded from"};
  }
  const std::string folder = std::filesystem::path(library.dli_fname).parent_path().string();
  if (const std::string& variant = chosen_cpu_code(); variant.empty()) {
    ggml_backend_load_all_from_path(folder.c_str());
  } else {
    ggml_backend_load(fmt::format("{}/libggml-cpu-{}.so", folder, variant).c_str());
  }
  if (ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU) == nullptr) {
    return Error{ErrorCode::kUnavailable,
                 fmt::format("no libggml-cpu-*.so in '{}' runs on this processor", folder)};
  }
  llama_backend_init();
  return Done{};
}

// What can be said without libllama, in plainer words than its own.
Status check_file(const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) {
    return Error{ErrorCode::kNotFound, fmt::format("model file '{}' does not exist", path)};
  }
  if (!std::filesystem::is_regular_file(status)) {
    return Error{ErrorCode::kInvalid, fmt::format("model file '{}' is not a file", path)};
  }
  std::ifstream file(path, std::ios::binary);
  if (!file)
    return Error{ErrorCode::kDenied, fmt::format("cannot open model file '{}'", path)};
  char magic[4] = {};
  file.read(magic, sizeof magic);
  if (file.gcount() != sizeof magic || std::memcmp(magic, "GGUF", sizeof magic) != 0) {
    return Error{
        ErrorCode::kInvalid,
        fmt::format("model file '{}' is not a GGUF file: it does not begin with 'GGUF'", path)};
  }
  return Done{};
}

}  // namespace

Status open_library() {
  static const Status opened = open_once();
  return opened;
}

void choose_cpu_code(const std::string& variant) { chosen_cpu_code() = variant; }

std::string take_logged_error() {
  std::string error = std::exchange(logged_error, {});
  while (!error.empty() && (error.back() == '\n' || error.back() == ' '))
    error.pop_back();
  std::replace(error.begin(), error.end(), '\n', ';');
  return error;
}

Result<ModelHandle> load_model(const std::string& path, bool vocabulary_only) {
  MEDLEY_TRY_STATUS(open_library());
  MEDLEY_TRY_STATUS(check_file(path));
  take_logged_error();
  llama_model_params params = llama_model_default_params();
  params.n_gpu_layers = 0;
  params.vocab_only = vocabulary_only;
  ModelHandle model;
  loading = true;
  try {
    model.reset(llama_model_load_from_file(path.c_str(), params));
  } catch (const std::exception& e) {
    logged_error = e.what();
  }
  loading = false;
  if (!model) {
    // "llama_model_load: error loading model: the reason;further complaints"
    std::string reason = take_logged_error();
    constexpr std::string_view kPreamble = "error loading model: ";
    if (const std::size_t at = reason.find(kPreamble); at != std::string::npos) {
      reason.erase(0, at + kPreamble.size());
    }
    reason.erase(std::min(reason.find(';'), reason.size()));
    return Error{ErrorCode::kInvalid, fmt::format("llama.cpp cannot load model file '{}': {}", path,
                                                  reason.empty() ? "it gives no reason" : reason)};
  }
  if (llama_model_has_encoder(model.get()) || !llama_model_has_decoder(model.get())) {
    return Error{ErrorCode::kInvalid,
                 fmt::format("model file '{}' has an encoder; llama_embedded serves models that "
                             "only decode",
                             path)};
  }
  if (llama_vocab_n_tokens(llama_model_get_vocab(model.get())) == 0) {
    return Error{ErrorCode::kInvalid, fmt::format("model file '{}' has no vocabulary", path)};
  }
  return model;
}

std::string token_text(const llama_vocab& vocab, llama_token token) {
  std::string text(32, '\0');
  const auto render = [&] {
    return llama_token_to_piece(&vocab, token, text.data(), static_cast<std::int32_t>(text.size()),
                                /*lstrip=*/0, /*special=*/false);
  };
  std::int32_t length = render();
  if (length < 0) {
    text.resize(static_cast<std::size_t>(-length));
    length = render();
  }
  text.resize(static_cast<std::size_t>(std::max(length, 0)));
  return text;
}

Result<ContextHandle> make_context(llama_model& model, const ContextShape& shape,
                                   ggml_abort_callback abort, void* abort_data) {
  llama_context_params params = llama_context_default_params();
  const auto sequences = static_cast<std::uint32_t>(shape.sequences);
  params.n_ctx = static_cast<std::uint32_t>(shape.context_tokens) * sequences;
  params.n_batch = params.n_ubatch = static_cast<std::uint32_t>(shape.step_tokens);
  params.n_seq_max = sequences;
  params.n_threads = params.n_threads_batch = shape.threads;
  // Measured on stories260K (docs of the reference machine): on CPU, flash attention halves the
  // speed of narrow heads, and a unified cache makes 16 sequences 4 to 5 times slower.
  params.flash_attn_type =
      shape.flash_attention ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
  params.type_k = params.type_v = shape.half_kv ? GGML_TYPE_F16 : GGML_TYPE_F32;
  params.kv_unified = false;
  params.abort_callback = abort;
  params.abort_callback_data = abort_data;
  take_logged_error();
  ContextHandle context;
  std::string reason;
  try {
    context.reset(llama_init_from_model(&model, params));
    if (!context)
      reason = take_logged_error();
  } catch (const std::exception& e) {
    reason = e.what();
  }
  if (!context) {
    return Error{
        ErrorCode::kUnavailable,
        fmt::format("llama.cpp cannot make room for {} sequences of {} tokens: {}", shape.sequences,
                    shape.context_tokens, reason.empty() ? "it gives no reason" : reason)};
  }
  return context;
}

Capacity fit_capacity(const Wishes& wishes, long long trained_tokens, double kv_bytes_per_token,
                      double kv_budget_bytes) {
  Capacity fit{std::max(1, wishes.sequences), std::max(1LL, trained_tokens)};
  if (wishes.context_tokens > 0)
    fit.context_tokens = std::min(fit.context_tokens, wishes.context_tokens);
  const double budget_tokens = std::max(1.0, kv_budget_bytes / std::max(1.0, kv_bytes_per_token));
  const auto share = [&] { return static_cast<long long>(budget_tokens / fit.sequences); };
  constexpr long long kEnoughTokens = 2048;
  while (fit.sequences > 1 && share() < std::min(fit.context_tokens, kEnoughTokens))
    fit.sequences /= 2;
  fit.context_tokens = std::min(fit.context_tokens, std::max(1LL, share()));
  return fit;
}

Capacity fit_capacity(const Wishes& wishes, const llama_model& model) {
  // Heads of the usual width (a few models have wider ones).
  const double head_size =
      static_cast<double>(llama_model_n_embd(&model)) / std::max(1, llama_model_n_head(&model));
  const double kv_bytes_per_token = 2.0 * (wishes.half_kv ? 2.0 : 4.0) *
                                    llama_model_n_layer(&model) * llama_model_n_head_kv(&model) *
                                    head_size;
  const double memory_bytes =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  return fit_capacity(wishes, llama_model_n_ctx_train(&model), kv_bytes_per_token,
                      memory_bytes / 4);
}

}  // namespace medley::engine::llama_embedded
