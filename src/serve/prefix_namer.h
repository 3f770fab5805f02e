// Names what a prompt begins with (domain/prefix.h), so that the core finds a replica that has
// computed it before.
//
// By its text, before any tokenizer: a block is as much of it as the gateway's estimate takes for
// kPrefixBlockTokens. Engines cache by tokens and with a chat template around the messages, but
// prompts whose text begins alike begin alike in tokens, too, up to the block in which they part.
//
// The hashes are keyed by a key of the process, and tell nothing without it. They begin with label
// and tenant: of what one tenant or label sent nothing can be found by another.
#pragma once

#include "base/sip_hash.h"
#include "domain/ids.h"
#include "domain/prefix.h"
#include "engine/engine.h"

namespace medley::serve {

// Where no engine can count: four bytes to a token is the rule of thumb for English text, and each
// message costs a few.
inline constexpr long long kBytesPerToken = 4, kTokensPerMessage = 4;
inline constexpr long long kPrefixBlockTokens = 64;  // a multiple of what engines share (vLLM: 16)

class PrefixNamer {
 public:
  explicit PrefixNamer(SipHash::Key key) : key_(key) {}

  // Whole blocks, no more of them than `generation.prompt_tokens`; null where there is none.
  Prefix name(const engine::Generation& generation, LabelId label, TenantId tenant) const;

 private:
  const SipHash::Key key_;
};

}  // namespace medley::serve
