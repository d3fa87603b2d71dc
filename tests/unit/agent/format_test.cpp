#include "stub/agent/format.hpp"

#include <cstdio>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stub/agent/machine.hpp"
#include "stub/agent/print.hpp"
#include "tests/fakes/fake_environment.hpp"
#include "tests/unit/agent/agent_testing.hpp"

namespace ringside::agent {
namespace {

using fakes::FakeEnvironment;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

std::string complaint_of(std::string_view source, unsigned arguments) {
  const auto format = Format::parse(source, arguments);
  return format ? "" : format.error().text;
}

std::string printed(std::string_view source, const std::vector<std::uint64_t>& arguments,
                    FakeEnvironment& guest) {
  const auto format = Format::parse(source, static_cast<unsigned>(arguments.size()));
  if (!format) return "refused: " + format.error().text;
  Text text;
  print(*format, arguments, guest, text);
  return std::string(text.view());
}

std::string printed(std::string_view source, const std::vector<std::uint64_t>& arguments = {}) {
  FakeEnvironment guest;
  return printed(source, arguments, guest);
}

TEST(Format, EscapesAreThoseOfC) {
  EXPECT_EQ(printed(R"(a\n\t\\\"\a\b\f\r\v\e\'\?z)"), "a\n\t\\\"\a\b\f\r\v\x1b'?z");
  EXPECT_EQ(printed(R"(\x41\x7a.\101\60\0608)"),
            "Az.A0"
            "08");
  EXPECT_EQ(printed(R"(\0)"), std::string(1, '\0'));
}

TEST(Format, WrongEscapesAreRefused) {
  EXPECT_THAT(complaint_of("\\q", 0), HasSubstr("unknown escape \\ with 'q'"));
  EXPECT_THAT(complaint_of("\\\x01", 0), HasSubstr("unknown escape \\ with 0x01"));
  EXPECT_THAT(complaint_of("\\", 0), HasSubstr("lone backslash"));
  EXPECT_THAT(complaint_of("\\x", 0), HasSubstr("without digits"));
  EXPECT_THAT(complaint_of("\\xg", 0), HasSubstr("without digits"));
  EXPECT_THAT(complaint_of("\\x100", 0), HasSubstr("more than a byte"));
  EXPECT_THAT(complaint_of("\\777", 0), HasSubstr("more than a byte"));
}

TEST(Format, ConversionsThatCannotBeAreRefusedWithTheReason) {
  EXPECT_THAT(complaint_of("%f", 1), HasSubstr("floating point"));
  EXPECT_THAT(complaint_of("%Lg", 1), HasSubstr("floating point"));
  EXPECT_THAT(complaint_of("%n", 1), HasSubstr("writes memory"));
  EXPECT_THAT(complaint_of("%*d", 2), HasSubstr("'*'"));
  EXPECT_THAT(complaint_of("%.*d", 2), HasSubstr("'*'"));
  EXPECT_THAT(complaint_of("%ls", 1), HasSubstr("wide characters"));
  EXPECT_THAT(complaint_of("%lc", 1), HasSubstr("wide characters"));
  EXPECT_THAT(complaint_of("%y", 1), HasSubstr("unknown conversion 'y'"));
  EXPECT_THAT(complaint_of("%1$d", 1), HasSubstr("unknown conversion '$'"));
  EXPECT_THAT(complaint_of("%", 1), HasSubstr("ends within"));
  EXPECT_THAT(complaint_of("%-08.3l", 1), HasSubstr("ends within"));
  EXPECT_THAT(complaint_of("%1025d", 1), HasSubstr("above 1024"));
  EXPECT_THAT(complaint_of("%.99999999999999999999d", 1), HasSubstr("above 1024"));
  EXPECT_EQ(complaint_of("%1024.1024d", 1), "");
}

TEST(Format, ThereAreAsManyConversionsAsArguments) {
  EXPECT_EQ(complaint_of("%d %d", 1), "format: 2 conversions for 1 arguments");
  EXPECT_EQ(complaint_of("%%d", 1), "format: 0 conversions for 1 arguments");
  EXPECT_EQ(complaint_of("%d%%%d", 2), "");
}

TEST(Format, AnEscapedPercentStartsAConversionAsItDoesInC) { EXPECT_EQ(printed("\\45d", {7}), "7"); }

TEST(Print, IntegersUseAsMuchOfTheArgumentAsTheirLengthSays) {
  const std::uint64_t value = 0xfedcba9876543f80;
  EXPECT_EQ(printed("%hhd %hd %d %ld", {value, value, value, value}),
            "-128 16256 1985232768 -81985529216483456");
  EXPECT_EQ(printed("%hhx %hX %x %lx", {value, value, value, value}), "80 3F80 76543f80 fedcba9876543f80");
  EXPECT_EQ(printed("%lld %zu %ji %tx", {~0ull, ~0ull, ~0ull, ~0ull}),
            "-1 18446744073709551615 -1 ffffffffffffffff");
}

// A format that snprintf takes as it is: all integers are given as 64 bits wide there, with the same value.
std::string by_the_c_library(const std::string& flags, const std::string& sizes, char letter,
                             std::uint64_t value) {
  const std::string format = "%" + flags + sizes + "ll" + letter;
  char text[4096];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  std::snprintf(text, sizeof text, format.c_str(), value);
#pragma GCC diagnostic pop
  return text;
}

TEST(Print, IntegersLookAsTheCLibraryPrintsThem) {
  const std::vector<std::string> sizes = {"",   "1",  "5",   "12",   "40",   ".0",
                                          ".1", ".7", ".30", "12.5", "5.12", "30.25"};
  const std::vector<std::uint64_t> values = {0, 1, 7, 8, 255, 123456, ~0ull, 1ull << 63, (1ull << 63) - 1};
  std::size_t compared = 0;
  for (unsigned set = 0; set < 32; ++set) {
    std::string flags;
    for (unsigned i = 0; i < 5; ++i) flags += (set >> i & 1) != 0 ? std::string(1, "-+ #0"[i]) : "";
    for (const std::string& size : sizes) {
      for (const char letter : std::string("diuxXo")) {
        for (const std::uint64_t value : values) {
          const std::string format = "%" + flags + size + "l" + letter;
          ASSERT_EQ(printed(format, {value}), by_the_c_library(flags, size, letter, value)) << format;
          ++compared;
        }
      }
    }
  }
  EXPECT_EQ(compared, 32 * 12 * 6 * 9u);
}

TEST(Print, CharactersAreBytesAsTheyAre) {
  EXPECT_EQ(printed("%c%c|%3c|%-3c|", {'A', 0xff, 'b', 'c'}), "A\xff|  b|c  |");
  EXPECT_EQ(printed("%c", {0}), std::string(1, '\0'));
}

TEST(Print, PointersAreHexAndNilIsSaid) {
  EXPECT_EQ(printed("%p %p|%8p|%-8p|", {0xffffffff81000000, 0, 0x10, 0x10}),
            "0xffffffff81000000 (nil)|    0x10|0x10    |");
}

TEST(Print, StringsAreReadFromTheGuest) {
  FakeEnvironment guest;
  guest.put(0x1100, "/etc/passwd");

  EXPECT_EQ(
      printed("%s|%15s|%-15s|%.4s|%6.4s|%.0s|", {0x1100, 0x1100, 0x1100, 0x1100, 0x1100, 0x1100}, guest),
      "/etc/passwd|    /etc/passwd|/etc/passwd    |/etc|  /etc||");
}

TEST(Print, NullIsSaidAndNotRead) { EXPECT_EQ(printed("%s|%8s|%.2s", {0, 0, 0}), "(null)|  (null)|(null)"); }

TEST(Print, WhatCannotBeReadIsSaidWithItsAddress) {
  FakeEnvironment guest;
  guest.put(0x2ff0, "0123456789abcdef");  // up to the end of memory, and no NUL

  EXPECT_EQ(printed("%s", {0xdead0000}, guest), "<unreadable 0xdead0000>");
  EXPECT_EQ(printed("%s", {0x2ff0}, guest), "0123456789abcdef<unreadable 0x3000>");
  EXPECT_EQ(printed("%.16s", {0x2ff0}, guest), "0123456789abcdef");
  EXPECT_EQ(printed("%s", {0xfffffffffffffff0}, guest), "<unreadable 0xfffffffffffffff0>");
}

TEST(Print, AStringThatEndsBeforeUnmappedMemoryIsWhole) {
  FakeEnvironment guest;
  guest.put(0x2ffc, std::string_view("abc\0", 4));

  EXPECT_EQ(printed("%s", {0x2ffc}, guest), "abc");
}

TEST(Print, StringsCrossPagesAndReadsDoNot) {
  FakeEnvironment guest;
  guest.put(0x1fc1, std::string(0x100, 'x'));

  EXPECT_EQ(printed("%s", {0x1fc1}, guest), std::string(0x100, 'x'));
  EXPECT_LE(guest.longest_read, 64u);
}

TEST(Print, StringsHaveABoundThatIsSaid) {
  FakeEnvironment guest;
  guest.memory.assign(guest.memory.size(), 'x');

  EXPECT_EQ(printed("%s", {0x1000}, guest), std::string(kMaxString, 'x') + "...");
}

TEST(Print, AStringThatJustFitsIsWhole) {
  FakeEnvironment guest;
  guest.put(0x1000, std::string(kMaxString, 'x'));

  EXPECT_EQ(printed("%s", {0x1000}, guest), std::string(kMaxString, 'x'));
}

TEST(Print, TextHasABoundThatIsSaid) {
  FakeEnvironment guest;
  guest.memory.assign(guest.memory.size(), 'x');
  const std::string text = printed("%s%s%s", {0x1000, 0x1000, 0x1000}, guest);

  EXPECT_EQ(text.size(), kMaxText);
  EXPECT_THAT(text, EndsWith("xx..."));
  EXPECT_THAT(printed("%1024d%1024d%1024d%1024d%1024d%1024d%1024d%1024d%c", std::vector<std::uint64_t>(9, 1)),
              EndsWith("  ..."));
}

TEST(Print, TextThatJustFitsIsWhole) {
  const std::string text =
      printed("%1024d%1024d%1024d%1024d%1024d%1024d%1024d%1024d", std::vector<std::uint64_t>(8, 1));

  EXPECT_EQ(text.size(), kMaxText);
  EXPECT_THAT(text, EndsWith("   1"));
}

TEST(Print, PlainTextAndPercentPassThrough) { EXPECT_EQ(printed("100%% of \xc3\xa4"), "100% of \xc3\xa4"); }

TEST(Printf, OpcodeHandsTheTextOverOnce) {
  FakeEnvironment guest;
  guest.put(0x1100, "init");

  const Outcome outcome = run(program(printing("%s[%d]: %s\\n", {0x1100, 1, 0})), guest);

  EXPECT_TRUE(outcome.ok());
  EXPECT_THAT(guest.deeds, testing::ElementsAre("print init[1]: (null)\n"));
}

}  // namespace
}  // namespace ringside::agent
