#include "perf/linear.h"

#include "base/check.h"
#include "perf/step_run.h"

namespace medley::perf {
namespace {

constexpr BytesPerSecond kGuessedBandwidth(25e9);
constexpr FlopsPerSecond kGuessedCompute(100e9);

}  // namespace

LinearModel::LinearModel(const Setup& setup) : setup_(setup) {
  MEDLEY_CHECK(setup.per_step.value() >= 0 && setup.per_decode.value() >= 0);
  MEDLEY_CHECK(setup.prefill_tokens_per_s > 0);
}

StepCost LinearModel::step(const StepShape& shape) const {
  MEDLEY_CHECK(shape.decodes > 0 || !shape.chunks.empty());
  const Seconds time =
      setup_.per_step + setup_.per_decode * static_cast<double>(shape.decodes) +
      Seconds(static_cast<double>(shape.prefill_tokens()) / setup_.prefill_tokens_per_s);
  return {time, Watts(setup_.power.intercept_w) * time};
}

std::optional<StepCost> LinearModel::run(const StepShape& first, long long steps) const {
  return sum_of_linear_pieces(*this, first, steps);
}

Watts LinearModel::idle_power() const {
  return Watts(setup_.power.idle_w + setup_.power.context_extra_w);
}

LinearModel::Setup machine_setup(const Model& model, Precision precision,
                                 const StepConstants& constants) {
  const double active = model.active_parameters > 0 ? model.active_parameters : model.parameters;
  const Seconds per_token = Flops(2 * active) / kGuessedCompute;
  const RooflineConstants& known = constants.roofline;
  LinearModel::Setup setup;
  setup.per_step = known.t_fix_s > 0 ? Seconds(known.t_fix_s)
                                     : weight_bytes(model, precision) / kGuessedBandwidth;
  setup.per_decode = known.t_seq_s > 0 ? Seconds(known.t_seq_s) : per_token;
  setup.prefill_tokens_per_s = known.prefill_tokens_per_s;
  if (setup.prefill_tokens_per_s <= 0) {
    // A model without parameters (a stand-in of tests) takes no time for a prompt.
    setup.prefill_tokens_per_s = per_token.value() > 0 ? 1 / per_token.value() : 1e9;
  }
  setup.power = constants.power;
  return setup;
}

}  // namespace medley::perf
