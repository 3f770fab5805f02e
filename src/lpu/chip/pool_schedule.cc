#include "lpu/chip/pool_schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/digest.h"
#include "lpu/chip/from_graph.h"
#include "lpu/verify/verify.h"
#include "perf/dataflow.h"

namespace medley::lpu::chip {
namespace {

constexpr long long kTypicalContext = perf::DataflowModel::kTypicalContext;

Error invalid(std::string message) { return {ErrorCode::kInvalid, std::move(message), {}}; }

// The target's format for weights of 16 bits, whichever of the two it has; else the one that is
// asked for.
Precision held_as(const Target& target, Precision asked) {
  const bool sixteen = asked == Precision::kBf16 || asked == Precision::kFp16;
  const Precision other = asked == Precision::kBf16 ? Precision::kFp16 : Precision::kBf16;
  return sixteen && target.format(asked) == nullptr && target.format(other) != nullptr ? other
                                                                                       : asked;
}

Result<CompiledSchedule> compiled_for(const Pool& pool, const std::string& catalog) {
  if (pool.prefill_tokens_per_s)
    return invalid("prefill_tokens_per_s is stated, and a compiled schedule has a rate of its own");
  const auto beyond = pool.constants.dataflow.beyond_schedule_layer_s;
  if (!beyond) {
    return invalid(
        fmt::format("what {} takes beyond a schedule is unknown "
                    "(beyond_schedule_layer_us of its step constants)",
                    pool.accelerator->id));
  }
  MEDLEY_TRY(const Target target, target_for(*pool.accelerator, catalog));
  MEDLEY_TRY(const Shape shape, shape_for(pool.model, pool.model_path));
  CompileOptions options{.weights = held_as(target, pool.precision),
                         .context = pool.max_context.value_or(kTypicalContext),
                         .streams = pool.slots.value_or(1),
                         .chips = pool.chips};
  if (pool.model.max_context)
    options.context = std::min(options.context, *pool.model.max_context);
  MEDLEY_TRY(const Compiled compiled, compile(shape, target, options));
  const Schedule& s = compiled.schedule;
  if (const auto certificate = verify::verify(s, target, shape); !certificate.valid()) {
    return invalid(
        fmt::format("the verifier found of its schedule: {}", certificate.findings.front()));
  }
  return in_fleets(compiled, target, shape, *beyond, pool.constants.dataflow.chip_w);
}

}  // namespace

CompiledSchedule in_fleets(const Compiled& compiled, const Target& target, const Shape& shape,
                           double beyond_layer_s, double chip_w) {
  const Schedule& s = compiled.schedule;
  const auto seconds = [&](std::int64_t cycles) {
    return target.seconds(static_cast<double>(cycles));
  };
  CompiledSchedule result;
  result.target = target.id;
  Digest digest;
  digest.add(s.digest());
  result.digest = digest.hex();
  result.chips = s.chips();
  result.stages = static_cast<int>(s.stages.size());
  result.streams = static_cast<int>(std::clamp(compiled.most_streams, 1LL, 1LL << 20));
  result.context = s.context;
  result.layers = shape.layers;
  for (const Stage& stage : s.stages) {
    const auto layers = std::count_if(stage.runs.begin(), stage.runs.end(),
                                      [](const Run& run) { return run.layer >= 0; });
    result.layers_a_stage = std::max(result.layers_a_stage, static_cast<int>(layers));
  }
  result.token_s = seconds(s.token_cycles);
  result.interval_s = seconds(s.interval_cycles);
  result.chunk_tokens = compiled.prefill_tokens;
  result.chunk_s = seconds(compiled.prefill_cycles);
  result.chunk_interval_s = seconds(compiled.prefill_interval_cycles);
  result.beyond_layer_s = beyond_layer_s;
  result.power = Watts(chip_w * result.chips);
  return result;
}

Status schedule_pool(Pool& pool, const std::string& catalog) {
  pool.schedule.reset();
  pool.no_schedule.clear();
  if (!pool.accelerator || !pool.statically_scheduled() || pool.table || pool.metered)
    return Done{};
  if (pool.schedule_law == ScheduleLaw::kPublished) {
    pool.no_schedule = "schedule: published";
    return Done{};
  }
  auto schedule = compiled_for(pool, catalog);
  if (schedule) {
    pool.schedule = *std::move(schedule);
    return Done{};
  }
  if (pool.schedule_law == ScheduleLaw::kCompiled) {
    return Error{schedule.error().code,
                 fmt::format("pool '{}': {}", pool.name, schedule.error().message), "schedule"};
  }
  pool.no_schedule = schedule.error().message;
  return Done{};
}

Status schedule_pools(Fleet& fleet, const std::string& catalog) {
  for (Pool& pool : fleet.pools)
    MEDLEY_TRY_STATUS(schedule_pool(pool, catalog));
  return Done{};
}

}  // namespace medley::lpu::chip
