#include "perf/linear.h"

#include <algorithm>

#include "base/check.h"
#include "perf/step_run.h"

namespace medley::perf {
namespace {

constexpr BytesPerSecond kGuessedBandwidth(25e9);
constexpr FlopsPerSecond kGuessedCompute(100e9);

}  // namespace

LinearModel::LinearModel(const LinearConstants& constants, const PowerLaw& power)
    : constants_(constants), power_(power) {
  MEDLEY_CHECK(constants.step_s >= 0 && constants.decode_s >= 0 && constants.chunk_s >= 0 &&
               constants.prompt_token_s >= 0 && constants.context_token_s >= 0);
  MEDLEY_CHECK(constants.step_s +
                   std::min(constants.decode_s, constants.chunk_s + constants.prompt_token_s) >
               0);
}

StepCost LinearModel::step(const StepShape& shape) const {
  MEDLEY_CHECK(shape.decodes > 0 || !shape.chunks.empty());
  const LinearConstants& k = constants_;
  double seconds = k.step_s + k.decode_s * static_cast<double>(shape.decodes) +
                   k.context_token_s * static_cast<double>(shape.decode_context);
  for (const PrefillChunk& chunk : shape.chunks) {
    const auto tokens = static_cast<double>(chunk.tokens);
    seconds += k.chunk_s + k.prompt_token_s * tokens +
               k.context_token_s * tokens * (static_cast<double>(chunk.context) + tokens / 2);
  }
  const Seconds time(seconds);
  return {time, Watts(power_.intercept_w) * time};
}

std::optional<StepCost> LinearModel::run(const StepShape& first, long long steps) const {
  return sum_of_linear_pieces(*this, first, steps);
}

Watts LinearModel::idle_power() const { return Watts(power_.idle_w + power_.context_extra_w); }

RotationModel::RotationModel(const LinearConstants& constants, const PowerLaw& power)
    : constants_(constants),
      busy_(power.intercept_w),
      idle_(Watts(power.idle_w + power.context_extra_w)) {
  MEDLEY_CHECK(constants.step_s > 0 && constants.decode_s >= 0 && constants.prompt_token_s > 0 &&
               constants.context_token_s >= 0);
}

StepCost RotationModel::step(const StepShape& shape) const {
  MEDLEY_CHECK(shape.decodes > 0 || !shape.chunks.empty());
  const LinearConstants& k = constants_;
  double seconds = k.step_s;
  if (!shape.chunks.empty()) {
    double own = 0;
    for (const PrefillChunk& chunk : shape.chunks) {
      const auto tokens = static_cast<double>(chunk.tokens);
      own += tokens * (k.prompt_token_s +
                       k.context_token_s * (static_cast<double>(chunk.context) + tokens / 2));
    }
    seconds = own;
    if (shape.decodes > 0) {
      const double left = k.step_s - k.decode_s * static_cast<double>(shape.decodes);
      const double a_token_each = k.step_s * static_cast<double>(shape.prefill_tokens());
      seconds =
          k.step_s + (left > 0 ? std::min(a_token_each, own * k.step_s / left) : a_token_each);
    }
  }
  const Seconds time(seconds);
  return {time, busy_ * time};
}

StepCost ReadBeside::step(const StepShape& shape) const {
  if (shape.chunks.empty() || shape.prefill_tokens() < from_tokens_)
    return rotation_.step(shape);
  const PrefillChunk last{.tokens = 1, .context = shape.prefill_tokens() - 1};
  const StepCost read = reader_.step({.chunks = shape.chunks}),
                 joined = rotation_.step({.chunks = {&last, 1}, .decodes = shape.decodes});
  return {read.time + joined.time, read.energy + joined.energy};
}

LinearConstants guess_for_this_machine(const Model& model, Precision precision) {
  const double active = model.active_parameters > 0 ? model.active_parameters : model.parameters;
  const Seconds per_token = Flops(2 * active) / kGuessedCompute;
  LinearConstants guess;
  // A model without parameters (a stand-in of tests) takes next to no time.
  guess.step_s = std::max(1e-9, (weight_bytes(model, precision) / kGuessedBandwidth).value());
  guess.decode_s = guess.prompt_token_s = per_token.value();
  return guess;
}

LinearConstants in_rotation(double token_s, double prompt_token_s, int slots,
                            std::optional<double> window_s) {
  constexpr double kLeastWindow_s = 0.5e-3;
  const double window = window_s.value_or(std::max(kLeastWindow_s, 1.5 * token_s * slots));
  return {.step_s = window, .decode_s = token_s, .prompt_token_s = prompt_token_s};
}

}  // namespace medley::perf
