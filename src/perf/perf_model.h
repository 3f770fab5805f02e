// What the scheduler and the virtual replicas know of every pool's speed: one PoolModel a pool.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "domain/fleet.h"
#include "perf/step_model.h"

namespace medley::perf {

// How a replica serves: continuous batching, slots of a static schedule, or a rented service.
enum class ServingKind { kBatched, kSlotted, kMetered };

// What one replica of a pool can do.
struct PoolModel {
  ServingKind kind = ServingKind::kBatched;
  std::shared_ptr<const StepModel>
      steps;                   // null for metered; shared by the pool's replicas and predictions
  int max_running = 0;         // sequences at once: batch limit, slots, or a bound on metered ones
  long long kv_tokens = 0;     // tokens of context that fit at once, all sequences
  long long max_context = 0;   // tokens of one sequence, prompt and output
  long long chunk_tokens = 0;  // prompt tokens that one step takes (batched); 0: whole prompts
  double ttft_error = 0.2, tpot_error = 0.16;  // relative deviations of predictions
};

struct PerfModel {
  std::vector<PoolModel> pools;  // by PoolId
  const PoolModel& pool(PoolId id) const { return pools.at(id.number()); }
};

// The longest sequence, prompt and output, that `blocks` of KV cache can hold to its end by the
// rules of the batching.
long long longest_sequence(const Batching& batching, long long blocks);

// Builds the models of a fleet whose pools name hardware. An error names the pool and says what is
// missing: a model that does not fit the memory of its devices, a device without bandwidth or peak.
Result<PerfModel> make_perf_model(const Fleet& fleet);
// One pool of it.
Result<PoolModel> make_pool_model(const Pool& pool);

// What a token takes on a pool of chips by published speeds alone (dataflow.h), whatever times it;
// empty where that is unknown. Precondition: it has an accelerator.
std::optional<double> published_token_s(const Pool& pool);
// Where the token window of a pool of chips comes from, in one line: what its compiled schedule
// takes and what published speeds show beyond it, or why there is no schedule; with the same by
// published speeds alone. Empty for pools that no schedule was looked for.
std::string schedule_text(const Pool& pool);

}  // namespace medley::perf
