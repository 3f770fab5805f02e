// The calibrated constants of the step models: data, keyed by (device, engine and version,
// precision).
#pragma once

#include <optional>
#include <string>

#include "domain/accelerator.h"

namespace medley {

// Watts of one device while it serves: min(cap, intercept + per_mfu·MFU + per_mbu·MBU).
struct PowerLaw {
  double intercept_w = 0, per_mfu_w = 0, per_mbu_w = 0;
  double cap_w = 0;
  double idle_w = 0;           // no model loaded
  double context_extra_w = 0;  // added while a model is loaded and idle
  bool known = false;          // false: figures above are a guess from the class, say so
};

// Memory-hierarchy devices: symbols of docs/step-models.md, seconds and shares.
struct RooflineConstants {
  double e_mem = 0.6, e_comp = 0.4, e_pre = 0.35;  // achieved shares of bandwidth and peak
  double t_fix_s = 0, t_layer_s = 0, t_allreduce_s = 0, t_seq_s = 0;
  Precision kv_precision = Precision::kFp16;
  double memory_share = 0.9;        // of the device memory that the engine may use
  double memory_reserve_bytes = 0;  // per device, for activations and buffers
  // Fixed times of mixtures (a layer with experts; its exchange between attention groups) and of
  // steps with prompts.
  double t_moe_layer_s = 0, t_expert_exchange_s = 0, t_prefill_s = 0;
  // The same by layer: of every resident sequence, and of a step with prompts (which replays no
  // recorded kernels), more where a layer has experts.
  double t_seq_layer_s = 0, t_prefill_layer_s = 0, t_prefill_moe_layer_s = 0;
  double e_kv = 0;      // share of the bandwidth that reading the KV cache achieves; 0: as e_mem
  double e_expert = 1;  // of e_pre: what routed experts achieve of it in prompts
};

// Statically scheduled devices.
struct DataflowConstants {
  double t_layer_s = 0, moe_extra_layer_s = 0, t_head_s = 0;
  int group_chips = 16;  // chips that share one layer
  double sram_share_for_weights = 0.52;
  int tokens_per_pass = 20;  // prompt tokens a stage takes per weight pass
  double chip_w = 240, chip_w_low = 185, chip_w_high = 375;
  Precision kv_precision = Precision::kFp16;
  int free_sequences_per_stage = 20;          // sequences a stage takes without slowing down
  double weight_bytes_per_parameter = 1;      // as the chips hold them
  std::optional<BytesPerSecond> weight_feed;  // as fitted; else the accelerator's
  double throughput_error_bar = 0.5;          // of tokens per second of a full replica
  // What a layer takes beyond its compiled schedule (lpu/chip), as published speeds say: `medley
  // perf schedule`. Empty: no schedule is believed.
  std::optional<double> beyond_schedule_layer_s;
};

// A deployment timed as a whole: when its engine starts, or from outside by `medley perf measure`.
// Symbols of perf/linear.h; seconds.
struct LinearConstants {
  double step_s = 0, decode_s = 0, chunk_s = 0, prompt_token_s = 0, context_token_s = 0;
  double ttft_error = 0.3, tpot_error = 0.3;  // relative deviations of its predictions
};

// Which of the two step models a device follows; kNone: the catalogue has no constants for it.
enum class StepLaw { kRoofline, kDataflow, kNone };

struct StepConstants {
  std::string device;  // a catalogue id, or a kind ("gpu") for a class default
  std::string engine;
  std::optional<Precision> precision;  // empty: any
  bool class_default = false;          // the device was never measured
  RooflineConstants roofline;
  DataflowConstants dataflow;
  PowerLaw power;
  double error_bar = 0.4;  // relative deviation of predicted step times
  std::string source, confidence, date;
  std::string power_source, power_confidence;  // of the power law
  std::string engine_version;
  StepLaw law = StepLaw::kRoofline;
  // The number format the arithmetic runs in: the first suitable one whose peak the device states.
  std::optional<Precision> computes_in;
};

}  // namespace medley
