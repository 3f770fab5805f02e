// What a closed loop of clients sees in steady state: each of c sessions sends its next request as
// soon as the last one is answered. Serving benchmarks are measured so.
//
// In one cycle (a request's TTFT and all its tokens) each of the other sessions brings one prompt;
// a step that processes a prompt costs the same, whoever it belongs to. So a request meets every
// other prompt once a cycle: a share `burst` of them before its own first token (prompts that
// arrive together wait for each other), the rest between its tokens:
//
//   TPOT = step + (1 − burst)·((r − 1)·P/output + min(1, (r − 1)/(output·dp))·fix)
//   TTFT = first + own·(P·dp + fix) + burst·(r − 1)·(P + fix/(k·dp)) + wait·step + (c −
//   r)/r·output·TPOT r    = min(c, KV tokens / (prompt + output/2))           sessions that are
//   resident
//
// step: a decode step of r sequences with mean context prompt + output/2; P: what a prompt adds to
// the steps of the whole group; fix: the fixed cost of a step with a prompt; k: prompts in a step
// of kPromptBudget tokens; dp: attention groups, each taking its own prompts. The last term of TTFT
// is the queue in front of a full KV cache. The steady-state term follows hardware.md 2.1 ("prefill
// work per decode step is q = B·input/output"); its split over TTFT and TPOT, and the habits, are
// this project's, chosen on AIConfigurator's sample (docs/decisions/0031-terms-by-layer.md).
#pragma once

#include "perf/roofline.h"

namespace medley::perf {

// Habits of an engine and of whoever measured it, not of a device.
struct LoopHabits {
  double own = 1.5;     // how often a request pays its own prompt before the first token
  double burst = 0.07;  // share of the other prompts met before it
  double wait = 1;      // decode steps between a request's arrival and its first token
  double first_s = 0.02;
};

struct Loop {
  long long prompt_tokens = 0, output_tokens = 0;
  double sessions = 1;
  bool all_resident = false;  // the batch was measured: no queue in front of the KV cache
};

// The loop on a model, free of calibrated constants (but for the share of memory that its KV cache
// may have).
struct LoopTerms {
  StepTerms step, prompt;
  double sessions = 1, resident = 1, groups = 1, prompt_tokens = 0, output_tokens = 1;
};
// Preconditions: at least one token of each, sessions >= 1.
LoopTerms loop_terms(const RooflineModel& model, const Loop& loop);

struct LoopTimes {
  Seconds step;  // between two tokens when no prompt is in the way: the median gap
  Seconds tpot, ttft;
  double tokens_per_s = 0;  // output tokens of all sessions
};
LoopTimes loop_times(const LoopTerms& terms, const RooflineConstants& constants,
                     const LoopHabits& habits);

// Prompt tokens that engines take up in one step by default (vLLM's and TensorRT-LLM's 8192).
inline constexpr double kPromptBudget = 8192;

}  // namespace medley::perf
