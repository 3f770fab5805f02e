// Memory-hierarchy devices (GPU, TPU, NPU, CPU): a calibrated roofline per engine step.
//
// For a step of B decodes (contexts summed: Σc) and q prompt tokens on n devices
// (docs/step-models.md; reference: hardware.md 2.1):
//
//   mem    = (W_touched + Σc·κ + q·κ) / (n·BW)
//   comp_d = 2·P_act·B / (n·F)
//   comp_p = Σ over chunks (2·P_act·q + 4·L·h·q·(context + q/2)) / (n·F)    causal attention
//   coll   = 0 for n = 1, else 2·(t_ar + 2·(n−1)/n · (B + q)·h·2 bytes / BW_link)
//   time   = t_fix + L·(t_layer + coll) + max(mem/e_mem, comp_d/e_comp) + comp_p/e_pre + t_seq·B
//   W_touched = W when dense, else dense part + experts·(1 − (1 − k/E)^(B + q))
//
// The prefill term of the reference writes c_p/2 for a prompt's mean attended context; for a chunk
// that follows `context` tokens that is context + q/2, equal for whole prompts.
//
// Power (hardware.md 6): W = n · min(cap, intercept + per_mfu·MFU + per_mbu·MBU), with
// MFU = 2·P_act·(B + q) / (time·n·F) and MBU = bytes moved / (time·n·BW) of this very step.
#pragma once

#include <optional>

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

class RooflineModel final : public StepModel {
 public:
  struct Setup {
    const Accelerator& accelerator;
    const Model& model;
    Precision precision;
    int devices = 1;  // tensor parallel
    const RooflineConstants& constants;
    const PowerLaw& power;
  };
  // Fails when the bandwidth of the serving memory, or the model's layers or parameters, are
  // unknown. Where no peak is known the arithmetic terms are left out (compute_known() is false):
  // good for decodes at small batches, no good for prompts. An unknown link is taken as
  // kUnknownLink.
  static Result<RooflineModel> make(const Setup& setup);

  StepCost step(const StepShape& shape) const override;
  std::optional<StepCost> run(const StepShape& first, long long steps) const override;
  Watts idle_power() const override;

  bool compute_known() const { return compute_.value() > 0; }
  // Of one step, as they enter the power law.
  struct Utilisation {
    double mfu = 0, mbu = 0;
  };
  Utilisation utilisation(const StepShape& shape) const;

  // PCIe 4.0 ×16, one direction: what devices that name no link are joined by.
  static constexpr BytesPerSecond kUnknownLink{32e9};

 private:
  RooflineModel() = default;
  struct Parts {
    Seconds time;
    Bytes moved;
    Flops linear;  // 2·P_act per token
  };
  Parts parts(const StepShape& shape) const;

  double devices_ = 1;
  BytesPerSecond bandwidth_;  // of the group
  FlopsPerSecond compute_;    // of the group; 0: unknown
  Bytes dense_weights_, expert_weights_;
  double expert_miss_ = 0;  // share of the experts that one token does not touch
  Bytes kv_per_token_;
  Flops per_token_, per_token_and_attended_;
  Seconds fixed_, collective_per_token_, per_decode_;
  double e_mem_ = 1, e_comp_ = 1, e_pre_ = 1;
  PowerLaw power_;
};

}  // namespace medley::perf
