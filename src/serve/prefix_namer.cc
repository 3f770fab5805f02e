#include "serve/prefix_namer.h"

#include <algorithm>
#include <string_view>

namespace medley::serve {
namespace {

// Takes text word by word and ends a block every so many words.
class Blocks {
 public:
  Blocks(SipHash hash, std::size_t most) : hash_(hash), most_(most) {}

  void add(std::string_view text) {
    for (const char c : text) {
      if (full())
        return;
      word_ |= static_cast<std::uint64_t>(static_cast<unsigned char>(c)) << (8 * (bytes_ % 8));
      if (++bytes_ % 8 != 0)
        continue;
      hash_.add(word_);
      word_ = 0;
      if (bytes_ % (kPrefixBlockTokens * kBytesPerToken) == 0)
        names_.push_back(hash_.value());
    }
  }
  std::vector<std::uint64_t> take() { return std::move(names_); }

 private:
  bool full() const { return names_.size() >= most_; }

  SipHash hash_;
  const std::size_t most_;
  std::uint64_t word_ = 0;
  long long bytes_ = 0;
  std::vector<std::uint64_t> names_;
};

// As long as the estimate has it, and of bytes that no text has, so that none can pass for one.
std::string beginning_of(const engine::Message& message) {
  std::string mark = "\xff" + message.role;
  mark.resize(static_cast<std::size_t>(kTokensPerMessage * kBytesPerToken), '\xff');
  return mark;
}

}  // namespace

Prefix PrefixNamer::name(const engine::Generation& generation, LabelId label,
                         TenantId tenant) const {
  SipHash hash(key_);
  hash.add(label.number());
  hash.add(tenant.number());
  Blocks blocks(hash,
                static_cast<std::size_t>(generation.prompt_tokens.count() / kPrefixBlockTokens));
  for (const engine::Message& message : generation.messages) {
    blocks.add(beginning_of(message));
    blocks.add(message.content);
  }
  blocks.add(generation.prompt);
  std::vector<std::uint64_t> names = blocks.take();
  if (names.empty())
    return nullptr;
  return std::make_shared<PrefixChain>(PrefixChain{kPrefixBlockTokens, std::move(names)});
}

}  // namespace medley::serve
