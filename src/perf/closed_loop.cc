#include "perf/closed_loop.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace medley::perf {

LoopTerms loop_terms(const RooflineModel& model, const Loop& loop) {
  MEDLEY_CHECK(loop.prompt_tokens > 0 && loop.output_tokens > 0 && loop.sessions >= 1);
  LoopTerms terms;
  terms.prompt_tokens = static_cast<double>(loop.prompt_tokens);
  terms.output_tokens = static_cast<double>(loop.output_tokens);
  terms.sessions = terms.resident = loop.sessions;
  terms.groups = model.attention_groups();
  const double context = terms.prompt_tokens + terms.output_tokens / 2;
  if (model.kv_tokens() && !loop.all_resident)
    terms.resident = std::clamp(*model.kv_tokens() / context, 1.0, loop.sessions);

  StepShape step;
  step.decodes = std::max(1LL, std::llround(terms.resident));
  step.decode_context = std::llround(static_cast<double>(step.decodes) * context);
  step.decode_context_min = step.decode_context_max = std::llround(context);
  terms.step = model.terms(step);
  const PrefillChunk whole{.tokens = loop.prompt_tokens, .context = 0};
  terms.prompt = model.terms({.chunks = {&whole, 1}});
  return terms;
}

LoopTimes loop_times(const LoopTerms& terms, const RooflineConstants& c, const LoopHabits& habits) {
  const Seconds step = spent(terms.step, c).time();
  const Seconds prompt =
      (terms.prompt.prompt + terms.prompt.prompt_experts / c.e_expert) / c.e_pre +
      terms.prompt.link;
  const Seconds fix(c.t_prefill_s + terms.prompt.layers * c.t_prefill_layer_s +
                    terms.prompt.moe_layers * c.t_prefill_moe_layer_s);
  const double others = terms.resident - 1, groups = terms.groups;
  const double per_step = std::max(1.0, kPromptBudget / terms.prompt_tokens);

  LoopTimes times;
  times.step = step;
  times.tpot =
      step + (1 - habits.burst) * (prompt * (others / terms.output_tokens) +
                                   fix * std::min(1.0, others / (terms.output_tokens * groups)));
  const Seconds decoding = times.tpot * terms.output_tokens;
  times.ttft = Seconds(habits.first_s) + habits.own * (prompt * groups + fix) +
               habits.burst * others * (prompt + fix / (per_step * groups)) + habits.wait * step +
               decoding * ((terms.sessions - terms.resident) / terms.resident);
  times.tokens_per_s = terms.sessions * terms.output_tokens / (times.ttft + decoding).value();
  return times;
}

}  // namespace medley::perf
