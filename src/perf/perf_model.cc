#include "perf/perf_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "perf/dataflow.h"
#include "perf/linear.h"
#include "perf/roofline.h"
#include "perf/scheduled.h"

namespace medley::perf {
namespace {

// Relative deviations of predictions (scheduling.md 3): a schedule that is fixed cycle by cycle, a
// GPU whose constants were measured, somebody else's service. Everything else has the error bar of
// its constants.
constexpr double kLpuError = 0.03;
constexpr double kGpuTtftError = 0.2, kGpuTpotError = 0.16;
constexpr double kMeteredError = 0.4;

// A rented service has no slots of its own; the scheduler's quota bounds it. This keeps a burst
// finite.
constexpr int kMeteredRunning = 1024;
// For models whose file names no limit.
constexpr long long kUnknownContext = 131072, kUnknownContextHere = 4096;

Error at_pool(const Pool& pool, const Error& error) {
  return {error.code, fmt::format("pool '{}': {}", pool.name, error.message), error.param};
}
Error at_pool(const Pool& pool, std::string_view message) {
  return {ErrorCode::kInvalid, fmt::format("pool '{}': {}", pool.name, message), {}};
}

// Times as measured, watts as the step model has them.
class MeasuredSteps final : public StepModel {
 public:
  MeasuredSteps(const LinearConstants& constants, std::shared_ptr<const StepModel> modelled)
      : measured_(constants, {}), modelled_(std::move(modelled)) {}
  StepCost step(const StepShape& shape) const override {
    const Seconds time = measured_.step(shape).time;
    const StepCost modelled = modelled_->step(shape);
    return {time, modelled.energy * (time / modelled.time)};
  }
  Watts idle_power() const override { return modelled_->idle_power(); }

 private:
  LinearModel measured_;
  std::shared_ptr<const StepModel> modelled_;
};

PoolModel metered_model(const Pool& pool) {
  PoolModel result;
  result.kind = ServingKind::kMetered;
  result.max_running = pool.slots.value_or(kMeteredRunning);
  result.max_context = pool.model.max_context.value_or(kUnknownContext);
  result.kv_tokens = result.max_context * result.max_running;
  result.ttft_error = pool.metered->ttft_sigma;
  result.tpot_error = kMeteredError;
  return result;
}

void set_slotted_errors(PoolModel& result, const StepConstants& constants) {
  result.ttft_error = result.tpot_error = constants.class_default ? constants.error_bar : kLpuError;
}

Result<PoolModel> scheduled_model(const Pool& pool) {
  const CompiledSchedule& schedule = *pool.schedule;
  if (pool.slots.value_or(0) > schedule.streams) {
    return at_pool(pool, fmt::format("its schedule holds {} streams of {} tokens, not {} slots",
                                     schedule.streams, schedule.context, *pool.slots));
  }
  auto steps = std::make_shared<const ScheduledModel>(schedule, pool.slots.value_or(0));
  PoolModel result;
  result.kind = ServingKind::kSlotted;
  result.max_running = steps->slots();
  result.max_context =
      std::min(pool.model.max_context.value_or(schedule.context), schedule.context);
  result.kv_tokens = schedule.context * result.max_running;
  set_slotted_errors(result, pool.constants);
  result.steps = std::move(steps);
  return result;
}

// By published speeds alone.
Result<PoolModel> slotted_model(const Pool& pool) {
  auto steps = DataflowModel::make({.accelerator = *pool.accelerator,
                                    .model = pool.model,
                                    .precision = pool.precision,
                                    .chips = pool.chips,
                                    .constants = pool.constants.dataflow,
                                    .prefill_tokens_per_s = pool.prefill_tokens_per_s});
  if (!steps)
    return at_pool(pool, steps.error());
  PoolModel result;
  result.kind = ServingKind::kSlotted;
  result.kv_tokens = steps->kv_tokens();
  result.max_context = std::min({pool.model.max_context.value_or(result.kv_tokens),
                                 result.kv_tokens, pool.max_context.value_or(result.kv_tokens)});
  // Where not one typical context fits, one stream still runs, with what context there is.
  const long long typical = std::min(DataflowModel::kTypicalContext, result.max_context);
  result.max_running = pool.slots.value_or(std::max(1, steps->slots(typical)));
  set_slotted_errors(result, pool.constants);
  result.steps = std::make_shared<const DataflowModel>(*std::move(steps));
  return result;
}

// Prompt tokens of one sequence that a step takes; 0: whole prompts.
long long chunk_of(const Batching& batching) {
  switch (batching.kind) {
    case BatchingKind::kChunkedPrefill:
      return batching.chunk_tokens;
    case BatchingKind::kTokenBudget:
      return batching.max_batched_tokens;
    case BatchingKind::kPrefillFirst:
    case BatchingKind::kMixed:
      return 0;
  }
  return 0;
}

// What is wrong with the numbers of `batching`, or nothing.
std::string_view complaint(const Batching& batching) {
  if (batching.block_tokens < 1)
    return "block_tokens must be at least 1";
  if (batching.max_running < 1)
    return "max_running must be at least 1";
  if (batching.watermark < 0 || batching.watermark >= 1)
    return "watermark must be in [0, 1)";
  if (batching.kv_blocks && *batching.kv_blocks < 1)
    return "kv_blocks must be at least 1";
  if (batching.kind == BatchingKind::kChunkedPrefill) {
    if (batching.chunk_tokens < 1)
      return "chunk_tokens must be at least 1";
  } else if (batching.max_batched_tokens < 1) {
    return "max_batched_tokens must be at least 1";
  }
  return {};
}

// Fills what follows from the number of blocks.
void set_kv(PoolModel& result, const Pool& pool, long long blocks) {
  result.kv_tokens = blocks * pool.batching.block_tokens;
  const long long fits = longest_sequence(pool.batching, blocks);
  result.max_context = std::min(pool.model.max_context.value_or(fits), fits);
}

// Bytes of the devices' memory that weights and KV cache may fill (hardware.md 2.1).
double usable_bytes(Bytes capacity, int devices, const RooflineConstants& constants) {
  return devices * (capacity.value() * constants.memory_share - constants.memory_reserve_bytes);
}

Result<long long> kv_blocks_that_fit(const Pool& pool) {
  const MemoryTier* memory = pool.accelerator->serving_memory();
  if (memory == nullptr || !memory->capacity) {
    return at_pool(pool, fmt::format("the memory size of {} is unknown; set batching.kv_blocks",
                                     pool.accelerator->id));
  }
  const RooflineConstants& constants = pool.constants.roofline;
  const double weights = weight_bytes(pool.model, pool.precision).value();
  const double per_block = kv_bytes_per_token(pool.model, constants.kv_precision).value() *
                           static_cast<double>(pool.batching.block_tokens);
  if (per_block <= 0) {
    return at_pool(pool, fmt::format("the KV cache per token of model {} is unknown; set "
                                     "batching.kv_blocks",
                                     pool.model.id));
  }
  // Two blocks: one for a token and the free one that batching asks for.
  const auto blocks = [&](int devices) {
    return (usable_bytes(*memory->capacity, devices, constants) - weights) / per_block;
  };
  if (const double found = blocks(pool.tensor_parallel); found >= 2) {
    return static_cast<long long>(found);
  }
  constexpr int kLargestGroup = 1024;
  int enough = 1;
  while (enough <= kLargestGroup && blocks(enough) < 2)
    enough *= 2;
  return at_pool(
      pool, fmt::format(
                "{} at {} needs {:.1f} GB, {} x {} gives {:.1f} GB{}", pool.model.id,
                name_of(pool.precision), weights / 1e9, pool.tensor_parallel, pool.accelerator->id,
                usable_bytes(*memory->capacity, pool.tensor_parallel, constants) / 1e9,
                enough <= kLargestGroup ? fmt::format("; tensor_parallel {} would fit", enough)
                                        : std::string()));
}

void set_batching(PoolModel& result, const Pool& pool) {
  result.kind = ServingKind::kBatched;
  result.max_running =
      std::min(pool.batching.max_running, pool.slots.value_or(pool.batching.max_running));
  result.chunk_tokens = chunk_of(pool.batching);
}

Result<PoolModel> batched_model(const Pool& pool) {
  const Accelerator& accelerator = *pool.accelerator;
  auto steps = RooflineModel::make({.accelerator = accelerator,
                                    .model = pool.model,
                                    .precision = pool.precision,
                                    .devices = pool.tensor_parallel,
                                    .constants = pool.constants.roofline,
                                    .power = pool.constants.power});
  if (!steps)
    return at_pool(pool, steps.error());
  if (!steps->compute_known()) {
    return at_pool(pool, fmt::format("the peak of {} is unknown at {} and at every wider format",
                                     accelerator.id, name_of(pool.precision)));
  }
  PoolModel result;
  set_batching(result, pool);
  long long blocks = 0;
  if (pool.batching.kv_blocks) {
    blocks = *pool.batching.kv_blocks;
  } else {
    MEDLEY_TRY(blocks, kv_blocks_that_fit(pool));
  }
  set_kv(result, pool, blocks);
  if (accelerator.kind == AcceleratorKind::kGpu && !pool.constants.class_default) {
    result.ttft_error = kGpuTtftError;
    result.tpot_error = kGpuTpotError;
  } else {
    result.ttft_error = result.tpot_error = pool.constants.error_bar;
  }
  result.steps = std::make_shared<const RooflineModel>(*std::move(steps));
  if (pool.measured) {
    result.steps = std::make_shared<const MeasuredSteps>(*pool.measured, result.steps);
    result.ttft_error = pool.measured->ttft_error;
    result.tpot_error = pool.measured->tpot_error;
  }
  return result;
}

// Engine static_schedule: slots of a fixed rotation, a lane for prompts beside them.
PoolModel rotation_model(const Pool& pool) {
  constexpr int kSlots = 4;
  PoolModel result;
  result.kind = ServingKind::kSlotted;
  result.max_running = pool.slots.value_or(kSlots);
  result.max_context = pool.model.max_context.value_or(kUnknownContextHere);
  result.kv_tokens = result.max_context * result.max_running;
  result.ttft_error = result.tpot_error = pool.constants.error_bar;
  if (pool.measured) {
    result.ttft_error = pool.measured->ttft_error;
    result.tpot_error = pool.measured->tpot_error;
  }
  const auto guess = [&] {
    const LinearConstants step = guess_for_this_machine(pool.model, pool.precision);
    const double token_s = step.step_s + step.decode_s;
    return in_rotation(token_s, token_s, result.max_running, pool.engine.token_window_s);
  };
  const RotationModel rotation(pool.measured ? *pool.measured : guess(), pool.constants.power);
  if (const std::optional<PrefillSpec>& prefill = pool.engine.prefill) {
    const LinearModel reader(
        pool.measured_prefill.value_or(guess_for_this_machine(pool.model, pool.precision)),
        pool.constants.power);
    result.steps = std::make_shared<const ReadBeside>(rotation, reader, prefill->from_tokens);
  } else {
    result.steps = std::make_shared<const RotationModel>(rotation);
  }
  return result;
}

PoolModel machine_model(const Pool& pool) {
  PoolModel result;
  set_batching(result, pool);
  const long long block = pool.batching.block_tokens;
  const long long context = pool.model.max_context.value_or(kUnknownContextHere);
  const long long blocks_each = (context + block - 1) / block;
  // One more block than the sequences can fill, the free one that batching asks for.
  const long long blocks = pool.batching.kv_blocks.value_or(blocks_each * result.max_running + 1);
  set_kv(result, pool, blocks);
  result.max_context = std::min(result.max_context, context);
  if (pool.measured) {
    result.ttft_error = pool.measured->ttft_error;
    result.tpot_error = pool.measured->tpot_error;
  } else {
    result.ttft_error = result.tpot_error = pool.constants.error_bar;
  }
  result.steps = std::make_shared<const LinearModel>(
      pool.measured.value_or(guess_for_this_machine(pool.model, pool.precision)),
      pool.constants.power);
  return result;
}

}  // namespace

long long longest_sequence(const Batching& batching, long long blocks) {
  switch (batching.kind) {
    case BatchingKind::kTokenBudget:
      return blocks * batching.block_tokens + 1;  // the last token is never computed
    case BatchingKind::kMixed:
      return blocks * batching.block_tokens;
    case BatchingKind::kChunkedPrefill:
    case BatchingKind::kPrefillFirst:
      break;
  }
  // One block stays out of its reach: these want one free block, or the watermark, before they let
  // a sequence go on.
  const auto kept_free =
      static_cast<long long>(std::floor(batching.watermark * static_cast<double>(blocks)));
  return std::max(1LL, blocks - std::max(kept_free, 1LL)) * batching.block_tokens;
}

namespace {

Result<PoolModel> modelled(const Pool& pool) {
  if (pool.metered)
    return metered_model(pool);
  if (pool.table) {
    return at_pool(pool, "its step times come from a table, which only a scenario can read");
  }
  if (pool.slots && *pool.slots < 1)
    return at_pool(pool, "slots must be at least 1");
  if (pool.schedule)
    return scheduled_model(pool);
  if (pool.statically_scheduled())
    return pool.accelerator ? slotted_model(pool) : Result<PoolModel>(rotation_model(pool));
  if (const std::string_view wrong = complaint(pool.batching); !wrong.empty()) {
    return at_pool(pool, wrong);
  }
  return pool.accelerator ? batched_model(pool) : Result<PoolModel>(machine_model(pool));
}

}  // namespace

Result<PoolModel> make_pool_model(const Pool& pool) {
  MEDLEY_TRY(PoolModel model, modelled(pool));
  model.max_context = std::min(model.max_context, pool.max_context.value_or(model.max_context));
  return model;
}

Result<PerfModel> make_perf_model(const Fleet& fleet) {
  PerfModel result;
  result.pools.reserve(fleet.pools.size());
  for (const Pool& pool : fleet.pools) {
    MEDLEY_TRY(PoolModel model, make_pool_model(pool));
    result.pools.push_back(std::move(model));
  }
  return result;
}

std::optional<double> published_token_s(const Pool& pool) {
  const auto steps =
      DataflowModel::make({.accelerator = *pool.accelerator,
                           .model = pool.model,
                           .precision = pool.precision,
                           .chips = pool.schedule ? pool.schedule->chips : pool.chips,
                           .constants = pool.constants.dataflow});
  return steps ? std::optional(steps->token_time().value()) : std::nullopt;
}

std::string schedule_text(const Pool& pool) {
  if (!pool.schedule && pool.no_schedule.empty())
    return {};
  const auto us = [](double seconds) { return fmt::format("{:.0f} us", seconds * 1e6); };
  const std::optional<double> published_s = published_token_s(pool);
  const std::string by_published = published_s ? us(*published_s) : std::string("unknown");
  if (!pool.schedule) {
    return fmt::format("token window {} by published speeds, not a compiled schedule: {}",
                       by_published, pool.no_schedule);
  }
  const CompiledSchedule& s = *pool.schedule;
  const ScheduledModel steps(s, pool.slots.value_or(0));
  const double window_s = steps.token_window().value();
  const double waits_s = window_s - s.token_s - s.beyond_s();
  return fmt::format(
      "token window {}: {} compiled for {} on {} chips, {} more as published speeds show{}; "
      "{} slots of {} tokens, {} prompt tokens a window; by published speeds alone {}",
      us(window_s), us(s.token_s), s.target, s.chips, us(s.beyond_s()),
      waits_s > 5e-7 ? fmt::format(", {} for who else is there", us(waits_s)) : "", steps.slots(),
      s.context, steps.chunks_a_window() * s.chunk_tokens, by_published);
}

}  // namespace medley::perf
