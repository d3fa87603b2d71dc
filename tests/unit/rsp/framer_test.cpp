#include "stub/rsp/framer.hpp"

#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "stub/rsp/hex.hpp"

namespace ringside::rsp {
namespace {

using Frames = std::vector<Frame>;

constexpr std::size_t kLimit = 64;

Frames drain(Framer& framer) {
  Frames frames;
  while (auto frame = framer.next()) frames.push_back(std::move(*frame));
  return frames;
}

Frames feed_whole(std::string_view wire) {
  Framer framer(kLimit);
  framer.push(as_bytes(wire));
  return drain(framer);
}

// `cut` bytes first, then the rest.
Frames feed_torn(std::string_view wire, std::size_t cut) {
  Framer framer(kLimit);
  framer.push(as_bytes(wire.substr(0, cut)));
  Frames frames = drain(framer);
  framer.push(as_bytes(wire.substr(cut)));
  for (Frame& frame : drain(framer)) frames.push_back(std::move(frame));
  return frames;
}

Frames feed_bytewise(std::string_view wire) {
  Framer framer(kLimit);
  Frames frames;
  for (const char c : wire) {
    framer.push(as_bytes(std::string_view(&c, 1)));
    for (Frame& frame : drain(framer)) frames.push_back(std::move(frame));
  }
  return frames;
}

struct Case {
  const char* what;
  std::string wire;
  Frames frames;
};

class FramerTable : public testing::TestWithParam<Case> {};

TEST_P(FramerTable, GivesTheSameFramesHoweverTheBytesArrive) {
  const Case& row = GetParam();

  EXPECT_EQ(feed_whole(row.wire), row.frames) << row.what;
  EXPECT_EQ(feed_bytewise(row.wire), row.frames) << row.what;
  for (std::size_t cut = 0; cut <= row.wire.size(); ++cut) {
    EXPECT_EQ(feed_torn(row.wire, cut), row.frames) << row.what << ", torn at " << cut;
  }
}

const Case kCases[] = {
    {"empty packet", "$#00", {Packet{""}}},
    {"a packet", "$g#67", {Packet{"g"}}},
    {"upper-case checksum", "$OK#9A", {Packet{"OK"}}},
    {"ack before a packet", "+$g#67", {Ack{}, Packet{"g"}}},
    {"nak", "-", {Nak{}}},
    {"two packets in one piece", "$g#67$?#3f", {Packet{"g"}, Packet{"?"}}},
    {"interrupt alone", "\x03", {Interrupt{}}},
    {"interrupt twice", "\x03\x03", {Interrupt{}, Interrupt{}}},
    {"interrupt behind a packet", "$c#63\x03", {Packet{"c"}, Interrupt{}}},
    {"0x03 in a body is data", "$X\x03#5b", {Packet{"X\x03"}}},
    {"escaped data stays escaped", "$}]#da", {Packet{"}]"}}},
    {"ack characters in a body", "$+-#58", {Packet{"+-"}}},
    {"a zero byte in a body", std::string("$\0#00", 5), {Packet{std::string(1, '\0')}}},
    {"junk between packets", "\r\n x$g#67junk$?#3f\n", {Packet{"g"}, Packet{"?"}}},
    {"wrong checksum", "$g#68", {BadChecksum{}}},
    {"checksum without digits", "$g#zz", {BadChecksum{}}},
    {"wrong checksum, then a good packet", "$g#00$g#67", {BadChecksum{}, Packet{"g"}}},
    {"a packet given up half-way", "$m1234$g#67", {Packet{"g"}}},
    {"a checksum given up half-way", "$m1#0$g#67", {Packet{"g"}}},
    {"unfinished packet", "$m1234", {}},
    {"unfinished checksum", "$g#6", {}},
    {"# outside a packet", "#67$g#67", {Packet{"g"}}},
    {"exactly the limit", "$" + std::string(kLimit, 'a') + "#40", {Packet{std::string(kLimit, 'a')}}},
    {"one above the limit", "$" + std::string(kLimit + 1, 'a') + "#a1", {Oversize{}}},
    {"far above the limit, then a good packet",
     "$" + std::string(50 * kLimit, '\x03') + "#00$g#67",
     {Oversize{}, Packet{"g"}}},
};
INSTANTIATE_TEST_SUITE_P(Wire, FramerTable, testing::ValuesIn(kCases));

TEST(Framer, WithoutVerificationAWrongChecksumIsGood) {
  Framer framer(kLimit);
  framer.set_checksums(Framer::Checksums::kIgnore);

  framer.push(as_bytes("$g#00$?#zz"));

  EXPECT_EQ(drain(framer), (Frames{Packet{"g"}, Packet{"?"}}));
}

TEST(Framer, ReadsWhatIsEncoded) {
  std::string wire;
  append_packet(wire, "T05thread:p1.1;");
  append_packet(wire, "");

  EXPECT_EQ(feed_whole(wire), (Frames{Packet{"T05thread:p1.1;"}, Packet{""}}));
}

TEST(Encode, PacketHasItsChecksumInTwoDigits) {
  std::string wire;

  append_packet(wire, "OK");
  append_packet(wire, "");

  EXPECT_EQ(wire, "$OK#9a$#00");
}

TEST(Encode, NotificationStartsWithPercent) {
  std::string wire;

  append_notification(wire, "Stop:T05");

  EXPECT_EQ(wire, "%Stop:T05#99");
}

// The inverse, as clients have it.
std::string expand(std::string_view wire) {
  std::string out;
  for (std::size_t i = 0; i < wire.size(); ++i) {
    if (wire[i] != '*') {
      out += wire[i];
      continue;
    }
    ++i;
    out.append(static_cast<std::size_t>(wire[i] - 29), out.back());
  }
  return out;
}

std::string rle(std::string_view text) {
  std::string out;
  append_rle(out, text);
  return out;
}

TEST(RunLength, ShortRunsStayAsTheyAre) {
  EXPECT_EQ(rle(""), "");
  EXPECT_EQ(rle("0"), "0");
  EXPECT_EQ(rle("000"), "000");
  EXPECT_EQ(rle("abab"), "abab");
}

TEST(RunLength, FourOfAKindAreWorthACount) { EXPECT_EQ(rle("0000"), "0* "); }

TEST(RunLength, EveryRunLengthExpandsToItselfWithoutSpecialCounts) {
  for (std::size_t length = 0; length < 400; ++length) {
    const std::string text = std::string(length, '0') + "1";
    const std::string wire = rle(text);

    EXPECT_EQ(expand(wire), text) << length;
    EXPECT_EQ(wire.find_first_of("#$+-"), wire.npos) << length;
    EXPECT_LE(wire.size(), text.size());
  }
}

TEST(RunLength, RandomHexExpandsToItself) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::string text;
    while (text.size() < 500) text.append(random() % 120, "0f1x"[random() % 4]);

    EXPECT_EQ(expand(rle(text)), text);
  }
}

}  // namespace
}  // namespace ringside::rsp
