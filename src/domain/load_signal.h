// What an engine last said of its load. A missing figure is empty: it never reads as idle.
#pragma once

#include <optional>

#include "base/instant.h"

namespace medley {

enum class SignalSource { kLedger, kPolled, kReported };

struct LoadSignal {
  std::optional<int> running, waiting;
  std::optional<long long> waiting_uncached_tokens;
  std::optional<double> kv_fraction;  // 0 to 1
  std::optional<long long> kv_capacity_tokens;
  std::optional<double> prefill_tokens_per_s, decode_tokens_per_s;  // measured, not configured
  std::optional<unsigned long long> beats, missed_beats;  // of engines that release on a beat
  // Of engines whose prompts another one reads: how many it has read, and could not read.
  std::optional<unsigned long long> prompts_handed_over, prompts_not_handed_over;
  Instant as_of;
  SignalSource source = SignalSource::kReported;
};

}  // namespace medley
