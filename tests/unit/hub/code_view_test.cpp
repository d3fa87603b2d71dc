#include "stub/hub/code_view.hpp"

#include <gtest/gtest.h>

namespace ringside::hub {
namespace {

using x86::CodeSize;

x86::CpuContext real_mode() {
  x86::CpuContext cpu;
  cpu.core.rip = 0x6c;
  cpu.cs = {.base = 0x10200, .selector = 0x1020};
  return cpu;
}

x86::CpuContext long_mode() {
  x86::CpuContext cpu;
  cpu.paging.efer = 0x500;
  cpu.core.rip = 0xffffffff81000000;
  cpu.cs = {.base = 0, .selector = 0x10, .long_mode = true};
  return cpu;
}

TEST(CodeView, InRealModeTheNextInstructionIsInItsSegment) {
  const CodeView view = view_of({}, real_mode());
  EXPECT_EQ(view.at, Gva{0x1026c});
  EXPECT_EQ(view.size, CodeSize::k16);
  EXPECT_EQ(view.offset(), Gva{0x6c});
  EXPECT_EQ(view.label(Gva{0x6e}), "0x1026e 1020:006e");
}

TEST(CodeView, ALinearAddressOutsideOfTheSegmentStandsAlone) {
  EXPECT_EQ(view_of({.at = 0x10300}, real_mode()).label(Gva{0x100}), "0x10300 1020:0100");
  const CodeView view = view_of({.at = 0xfe054}, real_mode());
  EXPECT_EQ(view.label(view.offset()), "0xfe054");
}

TEST(CodeView, CsIpIs16BitCodeInAnyMode) {
  const CodeView view = view_of({.segment = 0xf000, .at = 0xe054}, long_mode());
  EXPECT_EQ(view.at, Gva{0xfe054});
  EXPECT_EQ(view.size, CodeSize::k16);
  EXPECT_EQ(view.label(view.offset()), "0xfe054 f000:e054");
}

TEST(CodeView, LongModeHasNoBase) {
  x86::CpuContext cpu = long_mode();
  cpu.cs.base = 0x10200;  // left over, and without effect
  const CodeView view = view_of({}, cpu);
  EXPECT_EQ(view.at, Gva{0xffffffff81000000});
  EXPECT_EQ(view.base, 0u);
  EXPECT_EQ(view.size, CodeSize::k64);
}

TEST(CodeView, AnotherModesCodeIsNotInThisModesSegment) {
  const CodeView view = view_of({.at = 0x10300, .size = CodeSize::k32}, real_mode());
  EXPECT_EQ(view.size, CodeSize::k32);
  EXPECT_EQ(view.base, 0u);
}

}  // namespace
}  // namespace ringside::hub
