#include "stub/rsp/hex.hpp"

#include <random>

#include <gtest/gtest.h>

namespace ringside::rsp {
namespace {

Bytes every_byte() {
  Bytes bytes(256);
  for (unsigned i = 0; i < 256; ++i) bytes[i] = static_cast<std::uint8_t>(i);
  return bytes;
}

TEST(Hex, EveryByteSurvivesTheWayThereAndBack) {
  const Bytes bytes = every_byte();

  EXPECT_EQ(from_hex(to_hex(bytes)), bytes);
}

TEST(Hex, DigitsAreLowerCaseAndBothCasesAreRead) {
  EXPECT_EQ(to_hex(Bytes{0xab, 0x0f}), "ab0f");
  EXPECT_EQ(from_hex("AbCd"), (Bytes{0xab, 0xcd}));
}

TEST(Hex, OddOrWrongDigitsGiveNothingAtAll) {
  EXPECT_EQ(from_hex("abc"), std::nullopt);
  EXPECT_EQ(from_hex("abxx"), std::nullopt);
  EXPECT_EQ(from_hex("0x12"), std::nullopt);
  EXPECT_EQ(from_hex(" 12 "), std::nullopt);
  EXPECT_EQ(from_hex(""), Bytes{});
}

TEST(Hex, FixedSizeTargetIsUntouchedOnFailure) {
  Bytes bytes{1, 2};

  EXPECT_FALSE(from_hex("ffzz", bytes));
  EXPECT_FALSE(from_hex("ff", bytes));
  EXPECT_EQ(bytes, (Bytes{1, 2}));
  EXPECT_TRUE(from_hex("fffe", bytes));
  EXPECT_EQ(bytes, (Bytes{0xff, 0xfe}));
}

TEST(HexNumber, ReadsUpTo64BitsWithLeadingZeros) {
  EXPECT_EQ(parse_hex_u64("0"), 0u);
  EXPECT_EQ(parse_hex_u64("00000000000000000000000000000001"), 1u);
  EXPECT_EQ(parse_hex_u64("ffffffffffffffff"), ~std::uint64_t{0});
}

TEST(HexNumber, RefusesOverflowSignsAndEmptiness) {
  EXPECT_EQ(parse_hex_u64("10000000000000000"), std::nullopt);
  EXPECT_EQ(parse_hex_u64(""), std::nullopt);
  EXPECT_EQ(parse_hex_u64("-1"), std::nullopt);
  EXPECT_EQ(parse_hex_u64("0x1"), std::nullopt);
  EXPECT_EQ(parse_hex_u64("1 "), std::nullopt);
}

TEST(HexNumber, IsWrittenWithoutLeadingZeros) {
  std::string out;
  append_hex_number(out, 0);
  append_hex_number(out, 0xffffffff81000000);

  EXPECT_EQ(out, "0ffffffff81000000");
}

TEST(Escape, EveryByteSurvivesTheWayThereAndBack) {
  const Bytes bytes = every_byte();
  std::string wire;

  append_escaped(wire, bytes);

  EXPECT_EQ(unescape(wire), bytes);
  EXPECT_EQ(wire.find_first_of("#$*"), wire.npos);
}

TEST(Escape, RandomBytesSurviveTheWayThereAndBack) {
  std::mt19937 random(1);
  Bytes bytes(4096);
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>("#$}*\x03z"[random() % 6]);
  std::string wire;

  append_escaped(wire, bytes);

  EXPECT_EQ(unescape(wire), bytes);
}

TEST(Escape, TheFourSpecialBytesAreFlipped) {
  std::string wire;

  append_escaped(wire, as_bytes("#$}*"));

  EXPECT_EQ(wire, "}\x03}\x04}]}\x0a");
}

TEST(Escape, LoneEscapeAtTheEndGivesNothing) {
  EXPECT_EQ(unescape("abc}"), std::nullopt);
  EXPECT_EQ(unescape("}}"), Bytes{0x5d});
}

}  // namespace
}  // namespace ringside::rsp
