// What the beginning of a prompt is, without its text: prompts that begin alike are told by it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace medley {

// The whole blocks of a prompt, from its front; what is left over has no name. A hash names its
// block together with all before it and whose prompt it is, so equal hashes are equal beginnings
// of prompts that may share memory. Hashes of different labels or
// tenants are never equal.
struct PrefixChain {
  long long block_tokens = 64;        // of each block, at least 1
  std::vector<std::uint64_t> blocks;  // so many block_tokens are at most the prompt
};

// Shared by the copies of a request; null: nothing is known.
using Prefix = std::shared_ptr<const PrefixChain>;

}  // namespace medley
