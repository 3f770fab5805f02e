// One running model copy in virtual time: the simulator's replicas and the emulated engine's are
// these.
//
// On the main path it stands where a real engine would: it is handed sequences and says when their
// tokens come. It knows no clock: whoever drives it calls advance() when an event is due and
// form_step() after everything else of that instant. It keeps its own step clock in double seconds
// and tells only reports.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/instant.h"
#include "base/prng.h"
#include "domain/ids.h"
#include "domain/prefix.h"
#include "perf/perf_model.h"

namespace medley::replica {

struct Sequence {
  RequestId request;
  double arrived_s = 0;  // for orders "by arrival"
  long long prompt_tokens = 1;
  long long output_tokens = 1;  // the true length
  Prefix prefix = nullptr;
};

enum class ReportKind { kFirstToken, kToken, kFinished, kEvicted };

// kFirstToken and kToken carry the tokens generated so far; kFinished follows the last token's
// report at the same time. kToken only with Options::report_tokens. kEvicted happens when a step is
// formed and is told with the next advance(); its at_s is then earlier than that of the reports
// after it.
struct Report {
  ReportKind kind;
  RequestId request;
  double at_s = 0;
  long long generated = 0;
  double joules =
      0;  // kFinished: the sequence's share of the energy of the steps it was in, by tokens
  double itl_max_s = 0;  // kFinished, slotted replicas: the longest gap between two of its tokens
};

struct Load {
  int running = 0, waiting = 0;
  long long kv_tokens_used = 0, kv_tokens = 0;
  // In a run of steps kv_tokens_used is that of its first one: as of `since_s`, growing from there.
  double since_s = 0, kv_tokens_per_s = 0;
  long long pending_tokens =
      0;  // over requests: the prompt, while it is not complete, plus 1 until they finish
};

// Since the start, over all sequences, cancelled ones included; a step counts when it ends. Of one
// that reset() cuts short only the time and energy until then do.
// prompt_tokens includes what is computed again after an eviction. idle energy is the owner's to
// add: idle_power × (elapsed − busy_s), for owned hardware.
struct Usage {
  double busy_s = 0, joules = 0;
  double prefill_s = 0;  // part of busy_s in steps that had prompt chunks
  long long steps = 0, evictions = 0, prompt_tokens = 0, output_tokens = 0;
  long long reused_tokens = 0;       // of prompts, found in the cache and not computed
  long long extrapolated_steps = 0;  // of the steps: those outside their table's range
};

struct Options {
  bool report_tokens = false;
  std::uint64_t seed = 1;  // latency laws of metered services draw from (seed, request)
  // Of slotted replicas: a prompt truly takes exp(prefill_error·z) of what the step model says, z
  // standard normal, drawn from (seed, request).
  double prefill_error = 0;
};

class VirtualReplica {
 public:
  virtual ~VirtualReplica() = default;
  // The sequence must fit the replica at all (its context in the KV pool): see fits().
  virtual void enqueue(Instant now, const Sequence& sequence) = 0;
  // Forgets a sequence at once and frees what it held; the step in progress goes on to its end.
  // Answers its joules so far, without that step's. Empty: unknown here.
  virtual std::optional<double> cancel(Instant now, RequestId request) = 0;
  // The replica is lost: forgets every sequence at once and drops the step in progress.
  virtual void reset(Instant now) = 0;
  // When the next effect is due, as an Instant (the exact double rounded); empty: idle.
  virtual std::optional<Instant> next_event() const = 0;
  // Carries out every effect that is due by `now` and appends what is to be told, in order.
  virtual void advance(Instant now, std::vector<Report>& reports) = 0;
  // Forms the next step if none is running. Call after everything else of the instant.
  virtual void form_step(Instant now) = 0;
  virtual bool fits(const Sequence& sequence) const = 0;
  // As of the last call that brought a time or, between them, of the last step that was formed: a
  // run of steps that decode alone is formed at once, unless every token is told.
  virtual Load load() const = 0;
  virtual Usage usage() const = 0;
};

// The virtual replica of a pool: batched, slotted or metered as the model says.
std::unique_ptr<VirtualReplica> make_replica(const Pool& pool, const perf::PoolModel& model,
                                             const Options& options);

}  // namespace medley::replica
