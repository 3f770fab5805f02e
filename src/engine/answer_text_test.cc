#include "engine/answer_text.h"

#include <gtest/gtest.h>

namespace medley::engine {
namespace {

TEST(AnswerText, LetsPlainTextThroughAtOnce) {
  AnswerText text;
  EXPECT_EQ(text.add("Once"), "Once");
  EXPECT_EQ(text.add(" upon"), " upon");
  EXPECT_EQ(text.finish(), "");
}

TEST(AnswerText, HoldsBackHalfACharacter) {
  AnswerText text;
  EXPECT_EQ(text.add("gr\xC3"), "gr");
  EXPECT_EQ(text.add("\xBC"), "\xC3\xBC");
  EXPECT_EQ(text.add("\xF0\x9F"), "");
  EXPECT_EQ(text.add("\x98"), "");
  EXPECT_EQ(text.add("\x80!"), "\xF0\x9F\x98\x80!");
}

TEST(AnswerText, NeverShowsBytesThatAreNoUtf8) {
  AnswerText text;
  EXPECT_EQ(text.add("a\xFF"
                     "b"),
            "a\uFFFD"
            "b");
  EXPECT_EQ(text.add("\x80"), "\uFFFD");                      // a continuation of nothing
  EXPECT_EQ(text.add("\xC0\xAF"), "\uFFFD\uFFFD");            // overlong
  EXPECT_EQ(text.add("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");  // a surrogate
  EXPECT_EQ(text.add("\xE2\x82"), "");
  EXPECT_EQ(text.add("x"), "\uFFFDx");  // the character never came to its end
  EXPECT_EQ(text.add("\xE2\x82"), "");
  EXPECT_EQ(text.finish(), "\uFFFD");
}

TEST(AnswerText, StopsBeforeAStopString) {
  AnswerText text({"END"});
  EXPECT_EQ(text.add("abEND and more"), "ab");
  EXPECT_TRUE(text.stopped());
  EXPECT_EQ(text.finish(), "");
}

TEST(AnswerText, HoldsBackWhatMayBeginAStopString) {
  AnswerText text({"\n\nuser:"});
  EXPECT_EQ(text.add("hi\n"), "hi");
  EXPECT_EQ(text.add("\nus"), "");
  EXPECT_EQ(text.add("ual"), "\n\nusual");
  EXPECT_EQ(text.add("\n\nuser"), "");
  EXPECT_EQ(text.add(": x"), "");
  EXPECT_TRUE(text.stopped());
}

TEST(AnswerText, ShowsWhatWasHeldBackWhenTheAnswerEnds) {
  AnswerText text({"</answer>"});
  EXPECT_EQ(text.add("1 </ans"), "1 ");
  EXPECT_EQ(text.finish(), "</ans");
  EXPECT_FALSE(text.stopped());
}

TEST(AnswerText, TakesTheFirstOfSeveralStopStrings) {
  AnswerText text({"later", "now", ""});
  EXPECT_EQ(text.add("stop now or later"), "stop ");
  EXPECT_TRUE(text.stopped());
}

TEST(AnswerText, FindsAStopStringThatOverlapsItsOwnBeginning) {
  AnswerText text({"aab"});
  EXPECT_EQ(text.add("a"), "");
  EXPECT_EQ(text.add("a"), "");
  EXPECT_EQ(text.add("a"), "a");
  EXPECT_EQ(text.add("b"), "");
  EXPECT_TRUE(text.stopped());
}

TEST(AnswerText, FindsAStopStringInsideAndBesideCharactersOfSeveralBytes) {
  AnswerText text({"\u20AC\u20AC"});
  EXPECT_EQ(text.add("5 \u20AC"), "5 ");
  EXPECT_EQ(text.add("\xE2"), "");
  EXPECT_EQ(text.add("\x82\xAC"), "");
  EXPECT_TRUE(text.stopped());

  AnswerText other({"\u20AC\u20AC"});
  EXPECT_EQ(other.add("\u20AC\xE2\x82"), "");
  EXPECT_EQ(other.add("\xAD"), "\u20AC\u20AD");
}

}  // namespace
}  // namespace medley::engine
