// Memory-hierarchy devices (GPU, TPU, NPU, CPU): a calibrated roofline per engine step.
//
// For a step of B decodes (mean context c) and q prompt tokens on n = tp·dp devices in pipeline
// stages of their own (docs/step-models.md; reference: hardware.md 2.1, catalog/README.md):
//
//   time = t_fix + L·t_layer + collectives·t_ar + L_moe·(t_moe + [dp > 1] t_exchange)
//        + max(weights/e_mem + kv/e_kv, decode/e_comp)
//        + [q > 0]·(t_prefill + L·t_prefill_layer + L_moe·t_prefill_moe) + prompt/e_pre + link
//        + B·(t_seq + L·t_seq_layer/dp)        one host serves all groups
//
//   weights = (W_dense/tp + W_experts/n·(1 − (1 − k/E)^(B + q))) / BW      of the busiest device
//   kv      = (B·c + q)·κ / (dp·share·BW), share = min(tp, KV heads), 1 for a shared latent (MLA);
//             sliding layers read at most their window
//   decode  = 2·P_act·B / (n·F)
//   prompt  = Σ over chunks (2·P_act·q + 4·L·h·q·(context + q/2)) / (n·F)      causal attention
//             routed experts count 1/e_expert fold
//   link    = L·2·2·(tp − 1)/tp·(B + q)/dp·h·2 bytes / BW_link     two all-reduces a layer (ring)
//           + [dp > 1] L_moe·2·k·(B + q)/n·h·2 bytes / BW_link     experts: dispatch and combine
//   collectives = [tp > 1] 2·L
//
// The prefill term of the reference writes c_p/2 for a prompt's mean attended context; for a chunk
// that follows `context` tokens that is context + q/2, equal for whole prompts. The terms by layer
// (t_seq_layer, t_prefill_layer, t_prefill_moe) and e_expert are this project's: on the 1,656
// serving points of AIConfigurator's sample the cost of a sequence and of a step with a prompt
// grows with the layers (docs/decisions/0031-terms-by-layer.md).
//
// Pipeline of P stages (hardware.md 2.1, steady state): m = min(P, B) micro-batches are under way
// at once, so a token takes P stages at a micro-batch of B/m, and P − 1 sends of it.
//
// Power (hardware.md 6): W = n · min(cap, intercept + per_mfu·MFU + per_mbu·MBU), with
// MFU = 2·P_act·(B + q) / (time·n·F) and MBU = bytes moved / (time·n·BW) of this very step.
#pragma once

#include <optional>
#include <string_view>

#include "base/quantity.h"
#include "base/result.h"
#include "domain/accelerator.h"
#include "domain/model.h"
#include "domain/step_constants.h"
#include "perf/step_model.h"

namespace medley::perf {

// The dense peak at which numbers stored at `precision` are multiplied: that of the precision
// itself, else the nearest wider format whose peak is known, since weights may be stored narrower
// than they are multiplied (int4 and fp4 weights on a device that computes in bf16). Empty: nothing
// suitable is known.
std::optional<FlopsPerSecond> arithmetic_peak(const Accelerator& accelerator, Precision precision);

// What a step asks of the hardware, free of calibrated constants: seconds are those at the data
// sheet's full speed. The fitter keeps these and tries constants on them.
struct StepTerms {
  Seconds weights, kv;             // bytes over bandwidth
  Seconds decode;                  // arithmetic over peak
  Seconds prompt, prompt_experts;  // the same of prompt tokens, outside and inside routed experts
  Seconds link;                    // bytes of collectives over the links
  double sequences = 0;            // decodes, all attention groups
  double sequence_layers = 0;      // decodes of one group times layers
  double has_prompt = 0;           // 1: the step processes prompt tokens
  double layers = 0, moe_layers = 0, collectives = 0, exchanges = 0;
};

// The same by what it is spent on; the sum is the step's time.
struct StepSpent {
  Seconds memory, compute;  // the larger of the two decides: the other is zero
  Seconds prompt, link, fixed, sequences;
  Seconds time() const { return memory + compute + prompt + link + fixed + sequences; }
  // The largest part: "memory", "compute", "prompt", "link", "fixed" or "sequences".
  std::string_view binding() const;
};
StepSpent spent(const StepTerms& terms, const RooflineConstants& constants);

class RooflineModel final : public StepModel {
 public:
  struct Setup {
    const Accelerator& accelerator;
    const Model& model;
    Precision precision;
    int devices = 1;  // tensor parallel
    const RooflineConstants& constants;
    const PowerLaw& power;
    int attention_groups = 1;  // data parallel attention, experts spread over all groups
    int stages = 1;            // pipeline parallel
    int all() const { return devices * attention_groups * stages; }
  };
  // Fails when the bandwidth of the serving memory, or the model's layers or parameters, are
  // unknown. Where no peak is known the arithmetic terms are left out (compute_known() is false):
  // good for decodes at small batches, no good for prompts. An unknown link is taken as
  // kUnknownLink.
  static Result<RooflineModel> make(const Setup& setup);

  StepCost step(const StepShape& shape) const override;
  Seconds step_time(const StepShape& shape) const override { return spent_on(shape).time(); }
  std::optional<StepCost> run(const StepShape& first, long long steps) const override;
  Watts idle_power() const override;

  bool compute_known() const { return compute_.value() > 0; }
  StepTerms terms(const StepShape& shape) const;
  // Where the time of a step goes.
  StepSpent spent_on(const StepShape& shape) const;
  // Of one step, as they enter the power law.
  struct Utilisation {
    double mfu = 0, mbu = 0;
  };
  Utilisation utilisation(const StepShape& shape) const;
  double attention_groups() const { return groups_; }
  // Tokens of context that fit beside the weights, all attention groups (hardware.md 2.1):
  //   dp · (memory·share − reserve − W/P of one device) / (κ / split / P)
  // Empty where the memory size is unknown; negative where the weights alone do not fit.
  std::optional<double> kv_tokens() const { return kv_tokens_; }

  // PCIe 4.0 ×16, one direction: what devices that name no link are joined by.
  static constexpr BytesPerSecond kUnknownLink{32e9};

 private:
  RooflineModel() = default;
  Utilisation utilisation(const StepTerms& terms, const StepShape& shape, Seconds time) const;

  RooflineConstants constants_;
  StepTerms counts_;  // what every step has: layers, collectives, exchanges
  double devices_ = 1, groups_ = 1, stages_ = 1;
  BytesPerSecond bandwidth_;  // of one device
  FlopsPerSecond compute_;    // of the devices of one stage; 0: unknown
  Seconds dense_weights_, expert_weights_;
  double expert_miss_ = 0;  // share of the experts that one token does not touch
  Bytes kv_per_token_;      // whole model, all devices of a group
  Bytes kv_per_sliding_;    // of it, in the layers that see a window only
  double window_ = 0;       // tokens
  std::optional<double> kv_tokens_;
  double kv_split_ = 1;  // devices that share a sequence's cache
  Flops per_token_, per_token_experts_, per_token_and_attended_;
  Seconds link_per_token_, send_per_token_;
  PowerLaw power_;
};

}  // namespace medley::perf
