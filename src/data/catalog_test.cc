#include "data/catalog.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "data/testing_shared.h"

namespace medley::data {
namespace {

// The real one: tests run in the top folder.
const Catalog& real() {
  static const auto catalog = read_catalog("catalog");
  EXPECT_TRUE(catalog.ok()) << catalog.error().message;
  return *catalog;
}

// A small catalogue of which a test changes one file.
class Sample {
 public:
  Sample() : folder_(own_temporary("medley_catalog_test")) {
    std::filesystem::create_directories(folder_);
    write(
        "accelerators.yaml",
        "schema_version: 1\nas_of: '2026-01-01'\nsources: {A: a page, B: another}\naccelerators:\n"
        "  - id: big_gpu\n    aliases: [GPU-1]\n    kind: gpu\n"
        "    memory: [{tier: l2, capacity_gb: 0.05, bandwidth_gb_per_s: null}, {tier: hbm, "
        "capacity_gb: 80, "
        "bandwidth_gb_per_s: 2000}]\n"
        "    serving_tier: hbm\n    peak_tflops: {bf16: 300}\n    power_w: {tdp: 400, idle: null, "
        "context_extra: "
        "[20, 40]}\n    price_usd: [10, 20]\n    sources: [A]\n"
        "  - {id: small_gpu, kind: gpu, sources: [B]}\n  - {id: chip, kind: lpu, sources: [A]}\n"
        "  - {id: oddity, kind: npu, sources: [A]}\n");
    write(
        "models.yaml",
        "sources: {A: a page}\nmodels:\n  - {id: m-1, parameters: 1000, layers: 2, hidden_size: 8, "
        "attention: {heads: 2}, sources: [A]}\n");
    write("step_constants.yaml",
          "sources: {A: a page}\nprecisions:\n"
          "  - {id: bf16, aliases: [bfloat16], weight_bytes_per_parameter: 2, computes_as: [bf16, "
          "fp16]}\n"
          "  - {id: fp16, weight_bytes_per_parameter: 2, computes_as: [fp16, bf16]}\n"
          "  - {id: int8, weight_bytes_per_parameter: 1, computes_as: [int8]}\n"
          "  - {id: q4_k_m, weight_bytes_per_parameter: 0.61, computes_as: [bf16]}\n"
          "roofline:\n"
          "  - {device: big_gpu, kind: gpu, engine: vllm, engine_version: '3', precision: bf16, "
          "e_mem: 0.81, t_layer_us: 20}\n"
          "  - {device: big_gpu, kind: gpu, engine: vllm, engine_version: '1', precision: bf16, "
          "e_mem: 0.82, only_if_asked: true}\n"
          "  - {device: big_gpu, kind: gpu, engine: llama_cpp, precision: null, e_mem: 0.83}\n"
          "  - {device: null, kind: gpu, e_mem: 0.84, error_bar: 0.5}\n"
          "dataflow:\n  - {device: null, kind: lpu, t_layer_us: 41}\n"
          "power:\n  - {device: null, kind: gpu, origin: class_default, tdp_share: {intercept: "
          "0.5, per_mfu: 0.8, cap: 1, idle: "
          "0.1}}\n  - {device: chip, kind: lpu, fixed_w: {low: 185, typical: 240, high: 375}}\n");
  }
  ~Sample() { std::filesystem::remove_all(folder_); }

  void write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ + "/" + name) << text;
  }
  void replace(const std::string& name, const std::string& from, const std::string& to) {
    std::ifstream in(folder_ + "/" + name);
    std::string text((std::istreambuf_iterator<char>(in)), {});
    const std::size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos);
    write(name, text.replace(at, from.size(), to));
  }
  Result<Catalog> read() const { return read_catalog(folder_); }
  // Without the folder, which differs from machine to machine.
  std::string error() const {
    const auto catalog = read();
    return catalog.ok() ? "" : catalog.error().message.substr(folder_.size() + 1);
  }

 private:
  std::string folder_;
};

TEST(Catalog, ReadsEveryRealAcceleratorAndModel) {
  EXPECT_GE(real().accelerators().size(), 48u);
  EXPECT_GE(real().models().size(), 30u);
  for (const Accelerator& accelerator : real().accelerators()) {
    SCOPED_TRACE(accelerator.id);
    EXPECT_EQ(real().accelerator(accelerator.id)->id, accelerator.id);
    for (const std::string& alias : accelerator.aliases)
      EXPECT_EQ(real().accelerator(alias)->id, accelerator.id);
    ASSERT_NE(accelerator.serving_memory(), nullptr);
    EXPECT_FALSE(accelerator.sources.empty());
    EXPECT_FALSE(real().accelerator_facts(accelerator.id).empty());
    EXPECT_NE(real().constants_for(accelerator, "", Precision::kBf16).law, StepLaw::kNone);
  }
  for (const Model& model : real().models()) {
    SCOPED_TRACE(model.id);
    for (const std::string& alias : model.aliases)
      EXPECT_EQ(real().model(alias)->id, model.id);
    EXPECT_GT(model.kv_numbers_per_token_and_layer, 0);
    EXPECT_LE(model.active_parameters, model.parameters);
    EXPECT_TRUE(model.native_precision.has_value());
    if (model.is_mixture()) {
      const double others =
          model.expert_parameters * model.expert_layers * (model.experts - model.experts_per_token);
      EXPECT_NEAR(model.active_parameters / (model.parameters - others), 1, 0.01);
    }
  }
}

TEST(Catalog, KeepsUnknownFiguresEmpty) {
  const Accelerator lpu = *real().accelerator("groq_lpu_v1");
  EXPECT_EQ(lpu.kind, AcceleratorKind::kLpu);
  EXPECT_FALSE(lpu.price_usd.has_value());
  EXPECT_FALSE(lpu.idle_w.has_value());
  EXPECT_EQ(lpu.serving_memory()->capacity->value(), 0.23e9);
  EXPECT_EQ(lpu.weight_feed->value(), 18432e9);
}

TEST(Catalog, FindsNamesWithoutRegardToCaseAndDashes) {
  const Sample sample;
  const auto catalog = sample.read();
  ASSERT_TRUE(catalog.ok()) << catalog.error().message;
  for (const char* name : {"big_gpu", "BIG-GPU", "gpu-1", "GPU_1"}) {
    EXPECT_EQ(catalog->accelerator(name)->id, "big_gpu") << name;
  }
  const auto missing = catalog->accelerator("bg_gpu");
  EXPECT_EQ(missing.error().message,
            "no accelerator 'bg_gpu' in the catalogue, did you mean 'big_gpu'?");
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(catalog->accelerator("zzzzzzzz").error().message,
            "no accelerator 'zzzzzzzz' in the catalogue; known: big_gpu, small_gpu, chip, oddity");
  EXPECT_EQ(catalog->model("m-2").error().message,
            "no model 'm-2' in the catalogue, did you mean 'm-1'?");
  EXPECT_EQ(catalog->number_format("BFLOAT16")->precision, Precision::kBf16);
  EXPECT_EQ(catalog->number_format("q4_k_m")->precision, Precision::kInt4);
}

TEST(Catalog, LooksConstantsUpByDeviceEngineAndVersion) {
  const Sample sample;
  const auto catalog = sample.read();
  ASSERT_TRUE(catalog.ok()) << catalog.error().message;
  const Accelerator device = *catalog->accelerator("big_gpu");
  const auto e_mem = [&](std::string_view engine, Precision precision,
                         std::string_view version = {}) {
    return catalog->constants_for(device, engine, precision, version).roofline.e_mem;
  };
  EXPECT_EQ(e_mem("", Precision::kBf16), 0.81) << "an open question takes the first entry";
  EXPECT_EQ(e_mem("vllm", Precision::kFp16), 0.81) << "bf16 and fp16 are one";
  EXPECT_EQ(e_mem("vllm", Precision::kBf16, "1"), 0.82) << "an old engine only by its version";
  EXPECT_EQ(e_mem("vllm", Precision::kBf16, "9"), 0.81) << "else the version is ignored";
  EXPECT_EQ(e_mem("llama_cpp", Precision::kInt8), 0.83) << "any precision where the entry says so";
  EXPECT_EQ(e_mem("sglang", Precision::kBf16), 0.84) << "no engine lends to another";
  EXPECT_EQ(e_mem("vllm", Precision::kInt8), 0.84);

  const StepConstants fallback =
      catalog->constants_for(*catalog->accelerator("small_gpu"), "", Precision::kBf16);
  EXPECT_TRUE(fallback.class_default);
  EXPECT_EQ(fallback.device, "gpu");
  EXPECT_EQ(fallback.error_bar, 0.5);
  EXPECT_EQ(catalog->constants_for(*catalog->accelerator("chip"), "", Precision::kBf16).law,
            StepLaw::kDataflow);
  EXPECT_EQ(catalog->constants_for(*catalog->accelerator("oddity"), "", Precision::kBf16).law,
            StepLaw::kNone);
}

TEST(Catalog, ScalesPowerByTheLimitAndKeepsFixedDraw) {
  const Sample sample;
  const auto catalog = sample.read();
  ASSERT_TRUE(catalog.ok()) << catalog.error().message;
  const StepConstants gpu =
      catalog->constants_for(*catalog->accelerator("big_gpu"), "", Precision::kBf16);
  EXPECT_EQ(gpu.power.intercept_w, 200);
  EXPECT_EQ(gpu.power.cap_w, 400);
  EXPECT_EQ(gpu.power.idle_w, 40);
  EXPECT_EQ(gpu.power.context_extra_w, 30);
  EXPECT_FALSE(gpu.power.known);
  EXPECT_EQ(gpu.computes_in, Precision::kBf16);
  const StepConstants lpu =
      catalog->constants_for(*catalog->accelerator("chip"), "", Precision::kInt8);
  EXPECT_EQ(lpu.dataflow.chip_w, 240);
  EXPECT_EQ(lpu.dataflow.chip_w_high, 375);
  EXPECT_EQ(lpu.power.intercept_w, 240);
}

TEST(Catalog, SaysWhatIsWrongAndWhere) {
  {
    Sample sample;
    sample.replace("accelerators.yaml", "tdp: 400", "tpd: 400");
    EXPECT_EQ(
        sample.error(),
        "accelerators.yaml:11:15: accelerators[0].power_w: unknown key 'tpd', did you mean 'tdp'?");
  }
  {
    Sample sample;
    sample.replace("accelerators.yaml", "sources: [B]", "sources: [C]");
    EXPECT_EQ(sample.error(),
              "accelerators.yaml:14:41: accelerators[1].sources: unknown source 'C'; known: A, B");
  }
  {
    Sample sample;
    sample.replace("accelerators.yaml", "id: small_gpu", "id: GPU_1");
    EXPECT_EQ(sample.error(),
              "accelerators.yaml:14:10: accelerators[1].id: the name 'GPU_1' is taken by an "
              "earlier entry");
  }
  {
    Sample sample;
    sample.replace("accelerators.yaml", "price_usd: [10, 20]", "price_usd: [20, 10]");
    EXPECT_EQ(sample.error(),
              "accelerators.yaml:12:16: accelerators[0].price_usd: expected [low, high], got the "
              "higher number first");
  }
  {
    Sample sample;
    sample.replace("step_constants.yaml", "device: big_gpu", "device: bigg_gpu");
    EXPECT_EQ(sample.error(),
              "step_constants.yaml:8:14: roofline[0].device: no accelerator 'bigg_gpu' in the "
              "catalogue, did you mean "
              "'big_gpu'?");
  }
  {
    Sample sample;
    sample.replace("models.yaml", "sources: {A: a page}",
                   "schema_version: 2\nsources: {A: a page}");
    EXPECT_EQ(sample.error(),
              "models.yaml:1:17: schema_version: schema version 2 is not known here, expected 1");
  }
  EXPECT_EQ(read_catalog("no/such/folder").error().message,
            "no/such/folder/accelerators.yaml: No such file or directory");
}

}  // namespace
}  // namespace medley::data
