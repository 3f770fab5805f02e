// dynamo_kv: KV blocks to prefill and KV blocks that decode.
//
// Rule: argmin of 1.0·P + 1.0·D with P = max(0, active prefill blocks + the prompt's − credits) and
// D = active decode blocks + the prompt's; a third term, requests, has weight 0. Credits are blocks
// of the prompt that the worker has: 1.0 on the device, 0.75 on the host, 0.25 on disk.
//
// Source: NVIDIA Dynamo ~1.4 of 2026-08-21, KV router with temperature 0 (the least cost wins); its
// queue and its busy rejection are off by default.
//
// Signals: its own books of what it dispatched, first tokens and ends: live.
//
// Made up here: blocks of 16 tokens for all (a pool's own `block_tokens`); decoding sequences hold
// half of their expected answer. Credits are blocks on the device, by the core's own index in the
// place of the engines' events.
#include <algorithm>

#include "sched/placement/baselines/baseline.h"
#include "sched/placement/baselines/makers.h"

namespace medley::sched {
namespace {

constexpr double kPrefillScale = 1, kDecodeScale = 1;

class DynamoKv final : public Baseline {
 protected:
  const Option* pick(const View& view, const Request& request, std::span<Option> options) override {
    for (Option& option : options) {
      const auto block =
          static_cast<double>(std::max(1LL, view.fleet.pool(option.pool).batching.block_tokens));
      const ReplicaAccount& account = *option.account;
      const double prompt = static_cast<double>(request.prompt_tokens.count()) / block;
      const double waiting = static_cast<double>(account.pending_prompt_tokens) / block;
      const double to_prefill = static_cast<double>(account.tokens_to_prefill()) / block;
      const double decoding = static_cast<double>(account.decode_context) / block;
      const double credits = cached_share(view, request, option) * prompt;
      // A prompt holds its blocks from dispatch on, so the waiting ones are active as well.
      option.cost = kPrefillScale * std::max(0.0, to_prefill + prompt - credits) +
                    kDecodeScale * (decoding + waiting + prompt);
    }
    return least(options);
  }
};

}  // namespace

std::unique_ptr<Placement> make_dynamo_kv() { return std::make_unique<DynamoKv>(); }

}  // namespace medley::sched
