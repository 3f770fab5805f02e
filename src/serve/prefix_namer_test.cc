#include "serve/prefix_namer.h"

#include <gtest/gtest.h>

namespace medley::serve {
namespace {

constexpr std::size_t kBlockBytes = kPrefixBlockTokens * kBytesPerToken;

engine::Generation chat(std::vector<engine::Message> messages, long long tokens = 1 << 20) {
  engine::Generation generation;
  generation.messages = std::move(messages);
  generation.prompt_tokens = Tokens(tokens);
  return generation;
}

class PrefixNamerTest : public testing::Test {
 protected:
  std::vector<std::uint64_t> names(const engine::Generation& generation, std::uint64_t label = 0,
                                   std::uint64_t tenant = 0) const {
    const Prefix prefix = namer_.name(generation, LabelId(label), TenantId(tenant));
    return prefix ? prefix->blocks : std::vector<std::uint64_t>();
  }
  const PrefixNamer namer_{{1, 2}};
  const std::string rules_ = std::string(4 * kBlockBytes, 'r');
};

TEST_F(PrefixNamerTest, PromptsThatBeginAlikeHaveTheSameNamesUpToWhereTheyPart) {
  const auto one = names(chat({{"system", rules_}, {"user", std::string(kBlockBytes, 'a')}}));
  const auto two = names(chat({{"system", rules_}, {"user", std::string(kBlockBytes, 'b')}}));
  ASSERT_EQ(one.size(), 5u);
  ASSERT_EQ(two.size(), 5u);
  for (std::size_t i = 0; i < 4; ++i)
    EXPECT_EQ(one[i], two[i]) << i;
  EXPECT_NE(one[4], two[4]);
}

TEST_F(PrefixNamerTest, ABlockIsNamedTogetherWithAllBeforeIt) {
  const auto one = names(chat({{"system", "a" + rules_}}));
  const auto two = names(chat({{"system", "b" + rules_}}));
  for (std::size_t i = 0; i < one.size(); ++i)
    EXPECT_NE(one[i], two[i]) << i;
}

TEST_F(PrefixNamerTest, AnotherLabelTenantOrProcessHasOtherNames) {
  const engine::Generation generation = chat({{"system", rules_}});
  const auto mine = names(generation, 1, 1);
  EXPECT_NE(mine, names(generation, 2, 1));
  EXPECT_NE(mine, names(generation, 1, 2));
  EXPECT_NE(mine, PrefixNamer({1, 3}).name(generation, LabelId(1), TenantId(1))->blocks);
  EXPECT_EQ(mine, names(generation, 1, 1));
}

TEST_F(PrefixNamerTest, RolesAndTheBordersOfMessagesCount) {
  const auto one = names(chat({{"user", rules_ + rules_}}));
  EXPECT_NE(one, names(chat({{"system", rules_ + rules_}})));
  EXPECT_NE(one, names(chat({{"user", rules_}, {"user", rules_}})));
  engine::Generation completion;
  completion.prompt = rules_ + rules_;
  completion.prompt_tokens = Tokens(1 << 20);
  EXPECT_NE(one, names(completion));
}

TEST_F(PrefixNamerTest, WhatIsLeftOfABlockHasNoName) {
  const std::string text(kBlockBytes - 16, 'x');  // with the message's own tokens one block
  EXPECT_EQ(names(chat({{"user", text}})).size(), 1u);
  EXPECT_EQ(names(chat({{"user", text.substr(1)}})).size(), 0u);
}

TEST_F(PrefixNamerTest, NamesNoMoreThanTheTokensOfThePrompt) {
  EXPECT_EQ(names(chat({{"user", rules_}}, 3 * kPrefixBlockTokens - 1)).size(), 2u);
}

}  // namespace
}  // namespace medley::serve
