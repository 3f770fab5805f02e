// Measured step times (`step_times:`) in all their formats, and steps looked up in what was read.
//
// An input is several files: its first line names the format, a line "=== NAME" begins a file. They
// are written to a folder of this process, since the readers take paths.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <string>

#include "base/check.h"
#include "domain/fleet.h"
#include "fuzz.h"
#include "simulate/step_tables.h"

namespace {

// A folder of this process, gone with it.
struct OwnFolder {
  std::string name;
  OwnFolder() {
    const std::filesystem::path memory = "/dev/shm";
    const auto base =
        std::filesystem::is_directory(memory) ? memory : std::filesystem::temp_directory_path();
    name = (base / ("medley_profile_fuzz_" + std::to_string(getpid()))).string();
    std::filesystem::create_directories(name);
  }
  ~OwnFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(name, ignored);
  }
};
const std::string& own_folder() {
  static const OwnFolder folder;
  return folder.name;
}

constexpr std::array<const char*, 9> kFiles = {"per_token_ops_steps_ms.csv",
                                               "attn_decode_ms.csv",
                                               "attn_prefill_steps_ms.csv",
                                               "perf_model.csv",
                                               "dense.csv",
                                               "per_sequence.csv",
                                               "attention.csv",
                                               "meta.yaml",
                                               "skew_fit.csv"};

void write(const std::string& name, std::string_view text) {
  std::FILE* file = std::fopen((own_folder() + "/" + name).c_str(), "w");
  MEDLEY_CHECK(file != nullptr);
  std::fwrite(text.data(), 1, text.size(), file);
  std::fclose(file);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace medley;
  std::string_view text = text_of(data, size);
  const auto take_line = [&text] {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    return line;
  };
  const std::string_view format = take_line();
  for (const char* name : kFiles)
    std::filesystem::remove(own_folder() + "/" + name);
  while (text.starts_with("=== ")) {
    const std::string_view name = take_line().substr(4);
    const std::size_t end = std::min(text.find("\n=== "), text.size());
    const std::string_view content = text.substr(0, end == text.size() ? end : end + 1);
    text.remove_prefix(content.size());
    for (const char* known : kFiles) {
      if (name == known)
        write(known, content);
    }
  }

  Pool pool;
  pool.name = "p";
  pool.batching.kv_blocks = 1000;
  StepTable& table = pool.table.emplace();
  table.layers = 2;
  table.path = own_folder();
  if (format == "splitwise_perf_model") {
    table.format = format;
    table.path += "/perf_model.csv";
    table.model = "m";
    table.hardware = "h";
    table.tensor_parallel = 1;
  } else {
    table.format = format == "vllm_layer_profile" ? "vllm_layer_profile" : "vidur_tables";
  }
  const auto model = simulate::make_table_model(pool);
  if (!model.ok())
    return 0;
  constexpr std::array<perf::PrefillChunk, 2> kChunks = {perf::PrefillChunk{300, 0},
                                                         perf::PrefillChunk{77, 5000}};
  for (const std::size_t chunks : {0, 1, 2}) {
    for (const long long decodes : {0, 1, 100, 5000}) {
      if (chunks == 0 && decodes == 0)
        continue;
      perf::StepShape shape;
      shape.decodes = decodes;
      shape.decode_context = decodes * 700;
      shape.decode_context_max = decodes > 1 ? 1500 : decodes * 700;
      shape.decode_context_min = decodes > 1 ? 10 : decodes * 700;
      shape.chunks = std::span(kChunks).first(chunks);
      const double seconds = model->steps->step(shape).time.value();
      MEDLEY_CHECK(std::isfinite(seconds) && seconds >= 0,
                   std::to_string(seconds) + " s for " + std::to_string(chunks) + " chunks, " +
                       std::to_string(decodes) + " decodes");
    }
  }
  return 0;
}
