#include "replica/replica.h"

#include "base/check.h"
#include "replica/batched.h"
#include "replica/metered.h"
#include "replica/slotted.h"

namespace medley::replica {

std::unique_ptr<VirtualReplica> make_replica(const Pool& pool, const perf::PoolModel& model,
                                             const Options& options) {
  switch (model.kind) {
    case perf::ServingKind::kBatched: {
      BatchedReplica::Setup setup{
          .batching = pool.batching, .max_context = model.max_context, .steps = model.steps};
      if (model.max_running > 0)
        setup.batching.max_running = model.max_running;
      setup.kv_blocks =
          pool.batching.kv_blocks.value_or(model.kv_tokens / pool.batching.block_tokens);
      return std::make_unique<BatchedReplica>(setup, options);
    }
    case perf::ServingKind::kSlotted:
      return std::make_unique<SlottedReplica>(
          SlottedReplica::Setup{.slots = model.max_running,
                                .kv_tokens = model.kv_tokens,
                                .max_context = model.max_context,
                                .steps = model.steps},
          options);
    case perf::ServingKind::kMetered:
      return std::make_unique<MeteredReplica>(pool.metered.value_or(Metered{}), model.max_context,
                                              options);
  }
  MEDLEY_CHECK(false, pool.name);
}

}  // namespace medley::replica
