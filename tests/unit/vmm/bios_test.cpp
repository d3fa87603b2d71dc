#include "vmm/dev/bios.hpp"

#include <gmock/gmock.h>

#include "tests/fakes/array_memory.hpp"
#include "vmm/dev/port92.hpp"
#include "vmm/mem/e820.hpp"
#include "vmm/mem/layout.hpp"

namespace ringside::dev {
namespace {

using mem::kMiB;

class BiosServices : public testing::Test {
 protected:
  BiosRegs call(std::uint8_t vector, BiosRegs regs) {
    bios_.call(vector, regs, memory_);
    return regs;
  }
  BiosRegs call(std::uint8_t vector, std::uint32_t eax) { return call(vector, BiosRegs{.eax = eax}); }
  BiosRegs ask_map(std::uint32_t index, std::uint32_t room = 20) {
    return call(0x15, {.eax = 0xe820, .ebx = index, .ecx = room, .edx = 0x534d4150, .edi = 0x10, .es = 0x20});
  }

  static constexpr std::uint64_t kRam = 256 * kMiB;
  static constexpr Gpa kBuffer{0x210};  // 0020:0010
  std::string printed_;
  int lines_begun_ = 0;
  Bios bios_{{.ram_bytes = kRam,
              .console = [this](std::string_view text) { printed_ += text; },
              .console_waits = [this] { ++lines_begun_; },
              .seconds_of_day = [] { return 43200u; }}};
  fakes::ArrayMemory memory_{0x1000};
};

TEST_F(BiosServices, TheMemoryMapComesEntryByEntry) {
  const auto map = mem::e820_map(kRam);
  std::uint32_t index = 0;
  for (const mem::E820Entry& entry : map) {
    const BiosRegs regs = ask_map(index);
    ASSERT_FALSE(regs.carry);
    EXPECT_EQ(regs.eax, 0x534d4150u);
    EXPECT_EQ(regs.ecx, 20u);
    EXPECT_EQ(memory_.load_at<std::uint64_t>(kBuffer), entry.begin.value);
    EXPECT_EQ(memory_.load_at<std::uint64_t>(kBuffer + 8), entry.bytes);
    EXPECT_EQ(memory_.load_at<std::uint32_t>(kBuffer + 16), static_cast<std::uint32_t>(entry.type));
    index = regs.ebx;
    EXPECT_EQ(index == 0, &entry == &map.back());
  }
  EXPECT_EQ(index, 0u);
}

TEST_F(BiosServices, ACallerWithRoomGetsTheAttributesToo) {
  EXPECT_EQ(ask_map(0, 24).ecx, 24u);
  EXPECT_EQ(memory_.load_at<std::uint32_t>(kBuffer + 20), 1u);
  ASSERT_TRUE(memory_.write(kBuffer + 20, bytes_of(std::uint32_t{7})));
  ask_map(0, 20);
  EXPECT_EQ(memory_.load_at<std::uint32_t>(kBuffer + 20), 7u);
}

TEST_F(BiosServices, AMemoryMapCallThatMakesNoSenseIsRefused) {
  EXPECT_TRUE(ask_map(1000).carry);
  EXPECT_TRUE(ask_map(0xffffffff).carry);
  EXPECT_TRUE(ask_map(0, 19).carry);
  EXPECT_TRUE(call(0x15, {.eax = 0xe820, .ecx = 20}).carry);
  const BiosRegs outside{.eax = 0xe820, .ecx = 20, .edx = 0x534d4150, .edi = 0xffff, .es = 0xffff};
  EXPECT_TRUE(call(0x15, outside).carry);
}

TEST_F(BiosServices, MemorySizesInTheOldWays) {
  const BiosRegs e801 = call(0x15, 0xe801);
  EXPECT_FALSE(e801.carry);
  EXPECT_EQ(e801.eax, 0x3c00u);
  EXPECT_EQ(e801.edx, (256u - 16) * 16);
  EXPECT_EQ(call(0x15, 0x8800).eax, 0xffffu);
  EXPECT_EQ(call(0x12, 0).eax, 639u);
}

TEST_F(BiosServices, A20IsOpenAndStaysSo) {
  EXPECT_FALSE(call(0x15, 0x2401).carry);
  EXPECT_EQ(call(0x15, 0x2402).eax, 1u);
  EXPECT_EQ(call(0x15, 0x2403).ebx, 2u);
  EXPECT_TRUE(call(0x15, 0x2400).carry);
}

TEST_F(BiosServices, WhatIsNotThereIsRefusedInItsOwnWords) {
  for (const std::uint32_t eax : {0x0800u, 0x4100u, 0x4800u, 0x0201u})
    EXPECT_TRUE(call(0x13, eax).carry) << eax;
  EXPECT_TRUE(call(0x15, 0x5300).carry);
  EXPECT_TRUE(call(0x15, 0xe980).carry);
  EXPECT_NE(call(0x10, 0x4f00).eax, 0x4fu);
  EXPECT_EQ(call(0x10, {.eax = 0x1200, .ebx = 0x10}).ebx, 0x10u);
  EXPECT_EQ(call(0x10, 0x1a00).eax & 0xff, 0u);
  EXPECT_EQ(call(0x16, 0x0100).zero, true);
}

TEST_F(BiosServices, TheConfigurationTableIsInTheBiosSegment) {
  const BiosRegs regs = call(0x15, 0xc000);
  EXPECT_FALSE(regs.carry);
  EXPECT_EQ(regs.es, 0xf000);
  EXPECT_EQ(regs.ebx, 0xe400u);
}

TEST_F(BiosServices, NoonIsHalfOfTheDaysTicks) {
  const BiosRegs regs = call(0x1a, 0);
  EXPECT_EQ(regs.ecx << 16 | regs.edx, 0x1800b0u / 2);
}

TEST_F(BiosServices, TextGoesToTheConsoleLineByLine) {
  for (const char c : std::string_view("Probing EDD\r")) call(0x10, 0x0e00u | static_cast<std::uint8_t>(c));
  EXPECT_EQ(printed_, "");
  call(0x10, 0x0e0a);
  EXPECT_EQ(printed_, "Probing EDD\r\n");
}

TEST_F(BiosServices, APromptIsSeenWhenSomebodyFlushes) {
  for (const char c : std::string_view("ok? ")) call(0x10, 0x0e00u | static_cast<std::uint8_t>(c));
  EXPECT_EQ(lines_begun_, 1);
  bios_.flush();
  EXPECT_EQ(printed_, "ok? ");
}

TEST_F(BiosServices, TextWithoutAnEndIsBounded) {
  for (int i = 0; i < 5000; ++i) call(0x10, 0x0e41);
  EXPECT_GT(printed_.size(), 3000u);
}

TEST_F(BiosServices, WhatIsNotKnownIsRefusedWithTheRegistersAsTheyWere) {
  const BiosRegs regs = call(0x17, {.eax = 0x1234, .ebx = 5});
  EXPECT_TRUE(regs.carry);
  EXPECT_EQ(regs.eax, 0x1234u);
  EXPECT_EQ(regs.ebx, 5u);
}

TEST(Port92, OpensA20AndResetsTheMachine) {
  int resets = 0;
  Port92 port([&resets] { ++resets; });
  PortDevice& device = port;
  Bytes value(1);
  device.read(0, value);
  EXPECT_EQ(value[0], 2);
  device.write(0, Bytes{2});
  EXPECT_EQ(resets, 0);
  device.write(0, Bytes{3});
  EXPECT_EQ(resets, 1);
}

}  // namespace
}  // namespace ringside::dev
