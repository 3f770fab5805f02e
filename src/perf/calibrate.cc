#include "perf/calibrate.h"

#include <algorithm>

#include "base/check.h"

namespace medley::perf {
namespace {

// How a constant may vary. Spreads are those of engines and devices before they were measured: the
// published fits of hardware.md 2.2 and 2.3 lie within one or two of them.
struct Range {
  const char* name;
  double RooflineConstants::*member;
  double low, high, spread;
};
constexpr Range kRoofline[] = {
    {"e_mem", &RooflineConstants::e_mem, 0.1, 1, 0.15},
    {"e_kv", &RooflineConstants::e_kv, 0.1, 1, 0.2},
    {"e_comp", &RooflineConstants::e_comp, 0.05, 1, 0.2},
    {"e_pre", &RooflineConstants::e_pre, 0.05, 1, 0.2},
    {"e_expert", &RooflineConstants::e_expert, 0.05, 1, 0.4},
    {"t_layer", &RooflineConstants::t_layer_s, 0, 500e-6, 30e-6},
    {"t_moe_layer", &RooflineConstants::t_moe_layer_s, 0, 1e-3, 40e-6},
    {"t_expert_exchange", &RooflineConstants::t_expert_exchange_s, 0, 1e-3, 60e-6},
    {"t_allreduce", &RooflineConstants::t_allreduce_s, 0, 300e-6, 10e-6},
    {"t_seq", &RooflineConstants::t_seq_s, 0, 1e-3, 40e-6},
    {"t_seq_layer", &RooflineConstants::t_seq_layer_s, 0, 20e-6, 0.5e-6},
    {"t_prefill_layer", &RooflineConstants::t_prefill_layer_s, 0, 5e-3, 150e-6},
    {"t_prefill_moe_layer", &RooflineConstants::t_prefill_moe_layer_s, 0, 10e-3, 400e-6},
};
struct HabitRange {
  const char* name;
  double LoopHabits::*member;
  double low, high, spread;
};
constexpr HabitRange kHabitRanges[kHabits] = {
    {"own", &LoopHabits::own, 1, 10, 1},
    {"burst", &LoopHabits::burst, 0, 0.95, 0.07},
    {"wait", &LoopHabits::wait, 0, 25, 3},
    {"first", &LoopHabits::first_s, 0, 1, 0.03},
};

Constants with(std::span<const double> values, const Constants& start) {
  Constants result = start;
  std::size_t k = 0;
  for (const Range& range : kRoofline)
    result.roofline.*range.member = values[k++];
  for (const HabitRange& range : kHabitRanges)
    result.habits.*range.member = values[k++];
  return result;
}

}  // namespace

std::vector<Unknown> roofline_unknowns(const Constants& start, double doubt) {
  std::vector<Unknown> unknowns;
  const auto add = [&](const auto& range, double value) {
    unknowns.push_back({range.name, std::clamp(value, range.low, range.high), range.spread * doubt,
                        range.low, range.high});
  };
  for (const Range& range : kRoofline) {
    double value = start.roofline.*range.member;
    if (range.member == &RooflineConstants::e_kv && value <= 0)
      value = start.roofline.e_mem;
    add(range, value);
  }
  for (const HabitRange& range : kHabitRanges)
    add(range, start.habits.*range.member);
  return unknowns;
}

double predicted(const Measured& measured, const Constants& constants) {
  const LoopTerms& terms = measured.terms;
  switch (measured.figure) {
    case Measured::Figure::kStep:
      return spent(terms.step, constants.roofline).time().value();
    case Measured::Figure::kPrompt:
      return spent(terms.prompt, constants.roofline).time().value();
    case Measured::Figure::kTpot:
      return loop_times(terms, constants.roofline, constants.habits).tpot.value();
    case Measured::Figure::kTtft:
      return loop_times(terms, constants.roofline, constants.habits).ttft.value();
    case Measured::Figure::kCycle: {
      const LoopTimes times = loop_times(terms, constants.roofline, constants.habits);
      return terms.sessions / times.tokens_per_s;
    }
  }
  MEDLEY_CHECK(false, "no such figure");
  return 0;
}

Calibration calibrate(std::span<const Measured> measured, std::span<const Unknown> unknowns,
                      const Constants& start, double noise) {
  std::vector<double> weights;
  for (const Measured& one : measured)
    weights.push_back(one.weight);
  Calibration result;
  result.fit = fit(unknowns, measured.size(),
                   [&](std::span<const double> values, std::span<double> residuals) {
                     const Constants constants = with(values, start);
                     // Relative to the mean of both, so that half and double are equally wrong.
                     for (std::size_t i = 0; i < measured.size(); ++i) {
                       const double time = predicted(measured[i], constants);
                       residuals[i] =
                           2 * (time - measured[i].seconds) / (time + measured[i].seconds);
                     }
                   },
                   {.noise = noise, .max_iterations = 2000, .weights = weights});
  const std::vector<double> values = result.fit.values();
  result.constants = with(values, start);
  return result;
}

double predicted_watts(const PowerLaw& law, double mfu, double mbu) {
  const double watts = law.intercept_w + law.per_mfu_w * mfu + law.per_mbu_w * mbu;
  return law.cap_w > 0 ? std::min(law.cap_w, watts) : watts;
}

PowerCalibration calibrate_power(std::span<const MeasuredPower> measured, const PowerLaw& start,
                                 double noise) {
  const double cap = start.cap_w;
  MEDLEY_CHECK(cap > 0);
  const std::vector<Unknown> unknowns = {
      {"intercept", std::clamp(start.intercept_w, 0.0, cap), 0.15 * cap, 0, cap},
      {"per_mfu", std::max(0.0, start.per_mfu_w), 0.5 * cap, 0, 4 * cap},
      {"per_mbu", std::max(0.0, start.per_mbu_w), 0.3 * cap, 0, 4 * cap}};
  const auto law = [&](std::span<const double> v) {
    PowerLaw result = start;
    result.intercept_w = v[0];
    result.per_mfu_w = v[1];
    result.per_mbu_w = v[2];
    return result;
  };
  PowerCalibration result;
  result.fit =
      fit(unknowns, measured.size(),
          [&](std::span<const double> values, std::span<double> residuals) {
            const PowerLaw tried = law(values);
            for (std::size_t i = 0; i < measured.size(); ++i) {
              residuals[i] =
                  predicted_watts(tried, measured[i].mfu, measured[i].mbu) / measured[i].watts - 1;
            }
          },
          {.noise = noise});
  result.law = law(result.fit.values());
  return result;
}

double predicted_tokens_per_s(const MeasuredStream& stream, const DataflowConstants& constants) {
  return 1 /
         (stream.layers * constants.t_layer_s + stream.moe_layers * constants.moe_extra_layer_s +
          constants.t_head_s + stream.weights.value());
}

StreamCalibration calibrate_streams(std::span<const MeasuredStream> measured,
                                    const DataflowConstants& start, double noise) {
  const std::vector<Unknown> unknowns = {{"t_layer", start.t_layer_s, 50e-6, 1e-7, 10e-3},
                                         {"t_moe_layer", start.moe_extra_layer_s, 15e-6, 0, 10e-3}};
  const auto constants = [&](std::span<const double> v) {
    DataflowConstants result = start;
    result.t_layer_s = v[0];
    result.moe_extra_layer_s = v[1];
    return result;
  };
  StreamCalibration result;
  result.fit = fit(
      unknowns, measured.size(),
      [&](std::span<const double> values, std::span<double> residuals) {
        const DataflowConstants tried = constants(values);
        for (std::size_t i = 0; i < measured.size(); ++i)
          residuals[i] = predicted_tokens_per_s(measured[i], tried) / measured[i].tokens_per_s - 1;
      },
      {.noise = noise});
  result.constants = constants(result.fit.values());
  return result;
}

}  // namespace medley::perf
