// A machine or a deployment timed as a whole, by a few measured numbers: no catalogue entry needed.
//
// For a step of B decodes (contexts summed: Σc) and chunks of q prompt tokens after c others:
//
//   time   = step + decode·B + context_token·Σc + Σ over chunks (chunk + prompt_token·q +
//            context_token·q·(c + q/2))
//   energy = intercept watts · time
//
// Linear in what a step contains, as batching engines measure (perf-model of Splitwise, Patel et
// al., ISCA 2024, for decode and prompt phases), and attention in proportion to the tokens attended
// to. The engine of a `this_machine` pool measures the numbers when it starts; `medley perf
// measure` fits them to an endpoint.
#pragma once

#include <optional>
#include <utility>

#include "base/quantity.h"
#include "domain/model.h"
#include "domain/step_constants.h"
#include "perf/step_model.h"

namespace medley::perf {

class LinearModel final : public StepModel {
 public:
  // Preconditions: no negative time, and a step takes some.
  LinearModel(const LinearConstants& constants, const PowerLaw& power);

  StepCost step(const StepShape& shape) const override;
  std::optional<StepCost> run(const StepShape& first, long long steps) const override;
  Watts idle_power() const override;

 private:
  LinearConstants constants_;
  PowerLaw power_;
};

// A guess for two cores of a server of 2025: weights read at 25 GB/s, arithmetic at 100 GFLOP/s
// (static-schedule.md, "Limits of the machine", measured one core at 27 to 37 GB/s).
LinearConstants guess_for_this_machine(const Model& model, Precision precision);

// Streams in rotation on a processor (engine static_schedule, docs/lpu.md): every window each of
// `slots` streams has a token, and prompts have what is left. Without `window_s` the window is half
// as long again as the tokens of all slots, at least 0.5 ms: shorter ones cost more to announce
// than to compute. Answers step: the window, decode: `token_s`, of one with a full context, and
// prompt_token: `prompt_token_s`.
LinearConstants in_rotation(double token_s, double prompt_token_s, int slots,
                            std::optional<double> window_s = {});

// The same, timed. Slots that nobody is in are skipped, so prompts have their time too. With B
// streams decoding beside chunks of q prompt tokens in all:
//
//   own  = Σ over chunks (prompt_token·q + context_token·q·(c + q/2))
//   lane = own                                                  B = 0
//        = step + min(q·step, own·step / (step − decode·B))     else
//
// That is, a prompt waits for a window of others to end, and each has room for at least a token.
class RotationModel final : public StepModel {
 public:
  // Preconditions: no negative time, and a window and a prompt's token take some.
  RotationModel(const LinearConstants& constants, const PowerLaw& power);

  // Without chunks a window, whoever is in it; with chunks, what they keep the lane for.
  StepCost step(const StepShape& shape) const override;
  Watts idle_power() const override { return idle_; }

 private:
  LinearConstants constants_;
  Watts busy_, idle_;
};

// A rotation whose long prompts another engine reads, beside it, in turn: they take that engine's
// time, and of the rotation that of their last token. Prompts that wait count as one.
class ReadBeside final : public StepModel {
 public:
  ReadBeside(RotationModel rotation, LinearModel reader, long long from_tokens)
      : rotation_(std::move(rotation)), reader_(std::move(reader)), from_tokens_(from_tokens) {}

  StepCost step(const StepShape& shape) const override;
  Watts idle_power() const override { return rotation_.idle_power(); }

 private:
  RotationModel rotation_;
  LinearModel reader_;
  long long from_tokens_;
};

}  // namespace medley::perf
