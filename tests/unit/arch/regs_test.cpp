#include "arch/x86/regs.hpp"

#include <algorithm>
#include <set>
#include <vector>

#include <gtest/gtest.h>

namespace ringside::x86 {
namespace {

TEST(Registers, NumbersOfTheBaselineAreThoseOfGdbsLinuxLayout) {
  EXPECT_EQ(static_cast<int>(Reg::kRax), 0);
  EXPECT_EQ(static_cast<int>(Reg::kRip), 16);
  EXPECT_EQ(static_cast<int>(Reg::kSt0), 24);
  EXPECT_EQ(static_cast<int>(Reg::kXmm0), 40);
  EXPECT_EQ(static_cast<int>(Reg::kOrigRax), 57);
  EXPECT_EQ(static_cast<int>(Reg::kGsBase), 59);
}

TEST(Registers, GPacketEndsBeforeTheRegistersThatDependOnTheCpu) {
  const std::vector<RegInfo> all(registers().begin(), registers().end());

  EXPECT_EQ(all[g_packet_end() - 1].name, "idtr_limit");
  EXPECT_EQ(all[g_packet_end()].name, "pkru");
}

TEST(Registers, EveryNameIsFoundUnderItsOwnNumber) {
  std::set<unsigned> numbers;
  for (const RegInfo& row : registers()) numbers.insert(static_cast<unsigned>(*find(row.name)));

  EXPECT_EQ(numbers.size(), kRegCount);
  EXPECT_EQ(*numbers.rbegin(), kRegCount - 1);
}

TEST(Registers, NamesAndNumbersOutsideTheTableAreNotFound) {
  EXPECT_EQ(find("eax"), std::nullopt);
  EXPECT_EQ(find(""), std::nullopt);
  EXPECT_EQ(by_number(kRegCount), std::nullopt);
  EXPECT_EQ(by_number(~0u), std::nullopt);
}

TEST(Registers, Avx512WithoutAvxIsNotDescribed) {
  EXPECT_FALSE(has_feature({.avx = false, .avx512 = true, .pkru = false}, RegFeature::kAvx512));
  EXPECT_TRUE(has_feature({.avx = true, .avx512 = true, .pkru = false}, RegFeature::kAvx512));
  EXPECT_TRUE(has_feature({}, RegFeature::kSystem));
}

TEST(RegGroups, IteratesItsMembersInOrder) {
  const RegGroups groups = RegGroup::kDebug | RegGroup::kCore | RegGroup::kMsr;

  std::vector<RegGroup> seen;
  for (const RegGroup group : groups) seen.push_back(group);

  EXPECT_EQ(seen, (std::vector{RegGroup::kCore, RegGroup::kMsr, RegGroup::kDebug}));
}

TEST(RegGroups, ContainsOnlyWhatWasPutIn) {
  const RegGroups groups = RegGroup::kCore | RegGroup::kFpu;

  EXPECT_TRUE(groups.contains(RegGroup::kFpu));
  EXPECT_FALSE(groups.contains(RegGroup::kFpu | RegGroup::kAvx));
  EXPECT_TRUE(groups.without(groups).empty());
  EXPECT_TRUE(RegGroups::all().contains(RegGroup::kSynthetic));
}

TEST(RegisterFile, KeepsEachRegisterApartFromItsNeighbours) {
  RegisterFile file;

  file.set_u64(Reg::kEflags, 0x1122'3344'5566'7788);

  EXPECT_EQ(file.u64(Reg::kEflags), 0x5566'7788u);
  EXPECT_EQ(file.u64(Reg::kRip), 0u);
  EXPECT_EQ(file.u64(Reg::kCs), 0u);
}

TEST(RegisterFile, WidensIntoLongRegistersWithZeros) {
  RegisterFile file;
  std::ranges::fill(file.raw(Reg::kXmm0), std::uint8_t{0xee});

  file.set_u64(Reg::kXmm0, 5);

  EXPECT_EQ(file.u64(Reg::kXmm0), 5u);
  EXPECT_EQ(file.raw(Reg::kXmm0)[15], 0u);
}

TEST(RegisterFile, OrigRaxReadsAsMinusOneWhateverIsWritten) {
  RegisterFile file;
  const Bytes zeros(8);

  file.set_u64(Reg::kOrigRax, 1);
  const bool taken = file.set_raw(Reg::kOrigRax, zeros);

  EXPECT_TRUE(taken);
  EXPECT_TRUE(file.available(Reg::kOrigRax));
  EXPECT_EQ(file.u64(Reg::kOrigRax), ~std::uint64_t{0});
}

TEST(RegisterFile, RawValueOfAnotherSizeIsRefused) {
  RegisterFile file;

  EXPECT_FALSE(file.set_raw(Reg::kRax, Bytes(4)));
  EXPECT_TRUE(file.set_raw(Reg::kSt0, Bytes(10)));
}

TEST(RegisterFile, AvailabilityGoesByGroup) {
  RegisterFile file;

  file.set_available(RegGroup::kSystem, true);

  EXPECT_TRUE(file.available(Reg::kCr3));
  EXPECT_TRUE(file.available(Reg::kMsrApicBase));
  EXPECT_FALSE(file.available(Reg::kRax));
  EXPECT_FALSE(file.available(Reg::kKGsBase));
}

TEST(RegisterFile, CoreRegistersChangeFromEncodingOrderToGdbsAndBack) {
  CoreRegs core;
  for (unsigned i = 0; i < kGprCount; ++i) core.gpr[i] = 0x100 + i;
  core.rip = 0xffff'ffff'8100'0000;
  core.rflags = 0x246;
  RegisterFile file;

  pack_core(core, file);

  EXPECT_EQ(file.u64(Reg::kRbx), 0x100u + kRbx);
  EXPECT_EQ(file.u64(Reg::kRsp), 0x100u + kRsp);
  EXPECT_EQ(file.u64(Reg::kRdi), 0x100u + kRdi);
  EXPECT_EQ(file.u64(Reg::kR15), 0x100u + kR15);
  EXPECT_EQ(unpack_core(file), core);
}

}  // namespace
}  // namespace ringside::x86
