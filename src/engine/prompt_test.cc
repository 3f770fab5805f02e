#include "engine/prompt.h"

#include <gtest/gtest.h>

#include <string>

namespace medley::engine {
namespace {

// A token a letter, and two letters at most.
struct Letters {
  int read = 0;
  Tokenizer tokenizer{
      "m.gguf", 2, [this](const Generation& generation) {
        ++read;
        return Result<std::vector<int>>(std::vector<int>(generation.prompt.size(), 5));
      }};
};

Generation bare(const std::string& prompt) {
  Generation generation;
  generation.chat = false;
  generation.prompt = prompt;
  return generation;
}

TEST(Prompt, IsReadOnceWhereTheSameModelCountedIt) {
  Letters letters;
  Generation generation = bare("abc");
  EXPECT_EQ(count_prompt(letters.tokenizer, 100, generation), Tokens(3));
  const auto tokens = read_prompt(letters.tokenizer, 100, generation);
  ASSERT_TRUE(tokens.ok());
  EXPECT_EQ(tokens->size(), 3U);
  EXPECT_EQ(letters.read, 1);

  Generation foreign = bare("abc");
  foreign.tokens = {1};
  foreign.tokens_of = "other.gguf";
  EXPECT_EQ(read_prompt(letters.tokenizer, 100, foreign)->size(), 3U);
  EXPECT_EQ(letters.read, 2);
}

TEST(Prompt, IsNotReadWhereItsBytesAreTooManyForTheContext) {
  Letters letters;
  Generation fits = bare(std::string(99, 'x'));
  EXPECT_EQ(count_prompt(letters.tokenizer, 50, fits), Tokens(99)) << "49 tokens might do";
  EXPECT_EQ(letters.read, 1);
  Generation huge = bare(std::string(100, 'x'));
  EXPECT_EQ(count_prompt(letters.tokenizer, 50, huge), Tokens(50));
  const auto tokens = read_prompt(letters.tokenizer, 50, huge);
  ASSERT_FALSE(tokens.ok());
  EXPECT_EQ(tokens.error().code, ErrorCode::kInvalid);
  EXPECT_EQ(tokens.error().param, "prompt");
  EXPECT_EQ(letters.read, 1);
}

TEST(Prompt, DoesNotCountSpaceThatATemplateMayLeaveOut) {
  Generation generation;
  generation.messages = {{"user", std::string(1000, ' ') + "ab cd" + std::string(1000, '\n')},
                         {"user", std::string(1000, ' ')}};
  EXPECT_EQ(least_tokens(generation, 1), 5);
}

}  // namespace
}  // namespace medley::engine
