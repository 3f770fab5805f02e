#include "net/sse.h"

#include <gtest/gtest.h>

namespace medley::net {
namespace {

std::vector<SseEvent> read_in_pieces(std::string_view text, std::size_t piece) {
  SseReader reader;
  std::vector<SseEvent> events;
  for (std::size_t at = 0; at < text.size(); at += piece)
    EXPECT_TRUE(reader.feed(text.substr(at, piece), events));
  return events;
}

TEST(SseReader, ReadsTheSameEventsHoweverTheBytesAreCut) {
  const std::string_view text =
      "\xef\xbb\xbf"
      "data: one\n\n: a comment\r\nevent: error\r\ndata:two\r\ndata: three\r\n\r\nid: "
      "7\rdata\r\rretry: 5\n\n";
  for (std::size_t piece = 1; piece <= text.size(); ++piece) {
    const std::vector<SseEvent> events = read_in_pieces(text, piece);
    ASSERT_EQ(events.size(), 3U) << piece;
    EXPECT_EQ(events[0].data, "one");
    EXPECT_EQ(events[0].name, "");
    EXPECT_EQ(events[1].data, "two\nthree");
    EXPECT_EQ(events[1].name, "error");
    EXPECT_EQ(events[2].data, "");
  }
}

TEST(SseReader, KeepsATornEventToItself) {
  std::vector<SseEvent> events;
  SseReader reader;
  EXPECT_TRUE(reader.feed("data: half", events));
  EXPECT_TRUE(reader.feed(" of it\n", events));
  EXPECT_TRUE(events.empty());
}

TEST(SseReader, GivesUpOnAnEventWithoutEnd) {
  SseReader reader(100);
  std::vector<SseEvent> events;
  EXPECT_TRUE(reader.feed("data: " + std::string(80, 'x') + "\n", events));
  EXPECT_FALSE(reader.feed("data: " + std::string(80, 'x') + "\n\n", events));
  EXPECT_FALSE(reader.feed("\n\ndata: small\n\n", events));
  EXPECT_TRUE(events.empty());
}

}  // namespace
}  // namespace medley::net
