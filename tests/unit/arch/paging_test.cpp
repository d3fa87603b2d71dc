#include "arch/x86/paging.hpp"

#include <gtest/gtest.h>

#include "arch/x86/control.hpp"
#include "tests/fakes/array_memory.hpp"

namespace ringside::x86 {
namespace {

using fakes::ArrayMemory;
using Why = WalkFault::Why;

constexpr std::uint64_t kP = 1, kW = 2, kU = 4, kA = 0x20, kD = 0x40, kPs = 0x80, kXd = bit(63);
constexpr std::size_t kRam = 0x10000;

constexpr PagingState kReal{.cr0 = cr0::kPe};
constexpr PagingState k32{.cr0 = cr0::kPe | cr0::kPg, .cr3 = 0x1000, .cr4 = cr4::kPse};
constexpr PagingState kPaeState{
    .cr0 = cr0::kPe | cr0::kPg, .cr3 = 0x1020, .cr4 = cr4::kPae, .efer = efer::kNxe};
constexpr PagingState kLong{.cr0 = cr0::kPe | cr0::kPg,
                            .cr3 = 0x1000,
                            .cr4 = cr4::kPae,
                            .efer = efer::kLme | efer::kLma | efer::kNxe};
constexpr PagingState kLong5{
    .cr0 = kLong.cr0, .cr3 = kLong.cr3, .cr4 = cr4::kPae | cr4::kLa57, .efer = kLong.efer};

// A 4-level tree whose tables lie at 0x1000 (PML4), 0x2000, 0x3000 and 0x4000; index 1 of each is in use.
constexpr Gva kMapped{0x0000'0080'4020'1123};

ArrayMemory four_levels(std::uint64_t pml4e, std::uint64_t pdpte, std::uint64_t pde, std::uint64_t pte) {
  ArrayMemory memory(kRam);
  memory.put(0x1008, pml4e);
  memory.put(0x2008, pdpte);
  memory.put(0x3008, pde);
  memory.put(0x4008, pte);
  return memory;
}

TEST(PagingMode, FollowsTheControlRegisters) {
  EXPECT_EQ(paging_mode(kReal), PagingMode::kNone);
  EXPECT_EQ(paging_mode(k32), PagingMode::k32Bit);
  EXPECT_EQ(paging_mode(kPaeState), PagingMode::kPae);
  EXPECT_EQ(paging_mode(kLong), PagingMode::k4Level);
  EXPECT_EQ(paging_mode(kLong5), PagingMode::k5Level);
}

TEST(Walk, WithoutPagingAddressesArePhysical) {
  const WalkResult leaf = walk(kReal, Gva{0xfffffff0}, ArrayMemory(kRam));

  ASSERT_TRUE(leaf.has_value());
  EXPECT_EQ(leaf->gpa, Gpa{0xfffffff0});
  EXPECT_TRUE(leaf->writable && leaf->user && leaf->executable);
  EXPECT_TRUE(leaf->accessed && leaf->dirty);
}

TEST(Walk, WithoutLongModeAddressesAbove4GiBAreNone) {
  const WalkResult leaf = walk(kReal, Gva{0xffff'ffff'8100'0000}, ArrayMemory(kRam));

  EXPECT_EQ(leaf.error(), (WalkFault{Why::kNonCanonical, 0}));
}

TEST(Walk, FindsA4KiBPageThroughFourLevels) {
  const ArrayMemory memory = four_levels(0x2000 | kP | kW | kU, 0x3000 | kP | kW | kU, 0x4000 | kP | kW | kU,
                                         0xabcd'e000 | kP | kW | kU);

  const WalkResult leaf = walk(kLong, kMapped, memory);

  ASSERT_TRUE(leaf.has_value());
  EXPECT_EQ(*leaf, (Leaf{Gpa{0xabcd'e123}, 4096, true, true, true}));
}

TEST(Walk, RightsAreThoseThatEveryLevelGives) {
  const ArrayMemory memory =
      four_levels(0x2000 | kP | kW | kU, 0x3000 | kP | kW | kXd, 0x4000 | kP | kU, 0xa000 | kP | kW | kU);

  const WalkResult leaf = walk(kLong, kMapped, memory);

  ASSERT_TRUE(leaf.has_value());
  EXPECT_FALSE(leaf->writable);
  EXPECT_FALSE(leaf->user);
  EXPECT_FALSE(leaf->executable);
}

TEST(Walk, AccessedIsWhatEveryLevelSays) {
  const std::uint64_t full = 0xa000 | kP | kA;
  const ArrayMemory all = four_levels(0x2000 | kP | kA, 0x3000 | kP | kA, 0x4000 | kP | kA, full);
  const ArrayMemory top = four_levels(0x2000 | kP, 0x3000 | kP | kA, 0x4000 | kP | kA, full);
  const ArrayMemory leaf = four_levels(0x2000 | kP | kA, 0x3000 | kP | kA, 0x4000 | kP | kA, 0xa000 | kP);

  EXPECT_TRUE(walk(kLong, kMapped, all)->accessed);
  EXPECT_FALSE(walk(kLong, kMapped, top)->accessed);
  EXPECT_FALSE(walk(kLong, kMapped, leaf)->accessed);
}

TEST(Walk, DirtyIsWhatTheLeafSays) {
  const ArrayMemory small = four_levels(0x2000 | kP, 0x3000 | kP, 0x4000 | kP, 0xa000 | kP | kD);
  const ArrayMemory large = four_levels(0x2000 | kP, 0x3000 | kP, 0x4020'0000 | kPs | kP | kD, 0);
  const ArrayMemory table = four_levels(0x2000 | kP, 0x3000 | kP, 0x4000 | kP | kD, 0xa000 | kP);

  EXPECT_TRUE(walk(kLong, kMapped, small)->dirty);
  EXPECT_TRUE(walk(kLong, kMapped, large)->dirty);
  EXPECT_FALSE(walk(kLong, kMapped, table)->dirty);
}

TEST(Walk, PatBitOfALargePageIsNotPartOfItsAddress) {
  const std::uint64_t pat = bit(12);
  const ArrayMemory two = four_levels(0x2000 | kP, 0x3000 | kP, 0x4020'0000 | pat | kPs | kP, 0);
  const ArrayMemory one = four_levels(0x2000 | kP, 0x1'4000'0000 | pat | kPs | kP, 0, 0);

  EXPECT_EQ(walk(kLong, kMapped, two)->gpa, Gpa{0x4020'0000 + 0x1123});
  EXPECT_EQ(walk(kLong, kMapped, two)->page_size, 2u << 20);
  EXPECT_EQ(walk(kLong, kMapped, one)->gpa, Gpa{0x1'4000'0000 + 0x20'1123});
  EXPECT_EQ(walk(kLong, kMapped, one)->page_size, 1u << 30);
}

TEST(Walk, PatBitOfA4KiBPageIsBit7AndChangesNothing) {
  const ArrayMemory memory = four_levels(0x2000 | kP, 0x3000 | kP, 0x4000 | kP, 0xa000 | kPs | kP);

  EXPECT_EQ(walk(kLong, kMapped, memory)->gpa, Gpa{0xa123});
}

TEST(Walk, IgnoresPcidAndHighBitsOfCr3AndSoftwareBitsOfEntries) {
  const std::uint64_t software = 0x07f0'0000'0000'0e00;
  const ArrayMemory memory = four_levels(0x2000 | software | kP, 0x3000 | software | kP,
                                         0x4000 | software | kP, 0xa000 | software | kP);
  PagingState state = kLong;
  state.cr3 = bit(63) | bit(61) | 0x1000 | 0xabc;

  EXPECT_EQ(walk(state, kMapped, memory)->gpa, Gpa{0xa123});
}

TEST(Walk, NamesTheLevelThatIsNotPresent) {
  EXPECT_EQ(walk(kLong, kMapped, four_levels(0, 0, 0, 0)).error(), (WalkFault{Why::kNotPresent, 4}));
  EXPECT_EQ(walk(kLong, kMapped, four_levels(0x2000 | kP, 0, 0, 0)).error(),
            (WalkFault{Why::kNotPresent, 3}));
  EXPECT_EQ(walk(kLong, kMapped, four_levels(0x2000 | kP, 0x3000 | kP, 0x4000 | kP, 0x5000)).error(),
            (WalkFault{Why::kNotPresent, 1}));
}

TEST(Walk, TableOutsideMemoryIsMissingAndNotZero) {
  const ArrayMemory memory = four_levels(0x000f'ffff'ffff'f000 | kP, 0, 0, 0);

  EXPECT_EQ(walk(kLong, kMapped, memory).error(), (WalkFault{Why::kMemoryMissing, 3}));
}

TEST(Walk, ReservedBitsFaultAsInTheCpu) {
  PagingState no_nx = kLong;
  no_nx.efer &= ~efer::kNxe;

  EXPECT_EQ(walk(kLong, kMapped, four_levels(0x2000 | kPs | kP, 0, 0, 0)).error(),
            (WalkFault{Why::kReserved, 4}));
  EXPECT_EQ(walk(no_nx, kMapped, four_levels(0x2000 | kXd | kP, 0, 0, 0)).error(),
            (WalkFault{Why::kReserved, 4}));
  EXPECT_EQ(walk(kLong, kMapped, four_levels(0x2000 | kP, 0x3000 | kP, 0x4000'2000 | kPs | kP, 0)).error(),
            (WalkFault{Why::kReserved, 2}));
}

TEST(Walk, CanonicalHoleBelongsToNobody) {
  const ArrayMemory memory(kRam);

  EXPECT_EQ(walk(kLong, Gva{0x0000'8000'0000'0000}, memory).error().why, Why::kNonCanonical);
  EXPECT_EQ(walk(kLong, Gva{0xffff'7fff'ffff'ffff}, memory).error().why, Why::kNonCanonical);
  EXPECT_EQ(walk(kLong, Gva{0xffff'8000'0000'0000}, memory).error().why, Why::kNotPresent);
  EXPECT_EQ(walk(kLong5, Gva{0x0000'8000'0000'0000}, memory).error().why, Why::kNotPresent);
  EXPECT_EQ(walk(kLong5, Gva{0x0100'0000'0000'0000}, memory).error().why, Why::kNonCanonical);
}

TEST(Walk, FiveLevelsStartOneTableHigher) {
  ArrayMemory memory = four_levels(0x2000 | kP, 0x3000 | kP, 0x4000 | kP, 0x5000 | kP);
  memory.put(0x5008, std::uint64_t{0xc000 | kP});

  const WalkResult leaf = walk(kLong5, Gva{0x0001'0080'4020'1456}, memory);

  ASSERT_TRUE(leaf.has_value());
  EXPECT_EQ(leaf->gpa, Gpa{0xc456});
}

TEST(Walk, PaeTakesCr3To32BytesAndItsPdptesHaveNoRights) {
  ArrayMemory memory(kRam);
  memory.put(0x1020 + 8 * 3, std::uint64_t{0x2000 | kP});
  memory.put(0x2000 + 8 * 511, std::uint64_t{0x3000 | kP | kW | kU});
  memory.put(0x3000 + 8 * 511, std::uint64_t{0x9'8765'4000 | kP | kW | kU});

  const WalkResult leaf = walk(kPaeState, Gva{0xffff'ffff}, memory);

  ASSERT_TRUE(leaf.has_value());
  EXPECT_EQ(*leaf, (Leaf{Gpa{0x9'8765'4fff}, 4096, true, true, true}));
}

TEST(Walk, PaeLargePageHas2MiB) {
  ArrayMemory memory(kRam);
  memory.put(0x1020, std::uint64_t{0x2000 | kP});
  memory.put(0x2008, std::uint64_t{0x8060'0000 | kPs | kP});

  EXPECT_EQ(walk(kPaeState, Gva{0x0021'2345}, memory)->gpa, Gpa{0x8061'2345});
}

TEST(Walk, PaeHasNoAccessedBitInItsPdptes) {
  ArrayMemory memory(kRam);
  memory.put(0x1020, std::uint64_t{0x2000 | kP});
  memory.put(0x2008, std::uint64_t{0x8060'0000 | kPs | kP | kA | kD});

  EXPECT_TRUE(walk(kPaeState, Gva{0x0021'2345}, memory)->accessed);
  EXPECT_TRUE(walk(kPaeState, Gva{0x0021'2345}, memory)->dirty);
}

TEST(Walk, PaePdpteWithRightsIsReserved) {
  ArrayMemory memory(kRam);
  memory.put(0x1020, std::uint64_t{0x2000 | kP | kW});

  EXPECT_EQ(walk(kPaeState, Gva{0}, memory).error(), (WalkFault{Why::kReserved, 3}));
}

TEST(Walk, ThirtyTwoBitPagesAreFoundThroughTwoLevels) {
  ArrayMemory memory(kRam);
  memory.put(0x1000 + 4 * 0x301, std::uint32_t{0x2000 | kP | kW});
  memory.put(0x2000 + 4 * 5, std::uint32_t{0xfeed'0000u | kP | kW});

  const WalkResult leaf = walk(k32, Gva{0xc040'5678}, memory);

  ASSERT_TRUE(leaf.has_value());
  EXPECT_EQ(*leaf, (Leaf{Gpa{0xfeed'0678}, 4096, true, false, true}));
}

TEST(Walk, ThirtyTwoBitLargePageReachesAbove4GiBWithPse36) {
  ArrayMemory memory(kRam);
  memory.put(0x1000 + 4 * 0x301, std::uint32_t{0xc040'0000u | 0x12u << 13 | bit(12) | kPs | kP});

  const WalkResult leaf = walk(k32, Gva{0xc06b'cdef}, memory);

  ASSERT_TRUE(leaf.has_value());
  EXPECT_EQ(leaf->gpa, Gpa{0x12'c06b'cdef});
  EXPECT_EQ(leaf->page_size, 4u << 20);
}

TEST(Walk, WithoutPseBit7OfADirectoryEntryMeansNothing) {
  ArrayMemory memory(kRam);
  memory.put(0x1000, std::uint32_t{0x2000 | kPs | kP});
  memory.put(0x2000, std::uint32_t{0x7000 | kP});
  PagingState state = k32;
  state.cr4 = 0;

  EXPECT_EQ(walk(state, Gva{0x12}, memory)->gpa, Gpa{0x7012});
}

TEST(WalkLevels, ListsEachEntryFromTheTop) {
  const ArrayMemory memory = four_levels(0x2000 | kP, 0x3000 | kP, 0x4000 | kP, 0xa000);

  const WalkLevels levels = walk_levels(kLong, kMapped, memory);

  ASSERT_EQ(levels.levels().size(), 4u);
  EXPECT_EQ(levels.levels()[0].level, 4u);
  EXPECT_EQ(levels.levels()[0].entry_at, Gpa{0x1008});
  EXPECT_EQ(levels.levels()[3].entry, 0xa000u);
  EXPECT_EQ(levels.result.error(), (WalkFault{Why::kNotPresent, 1}));
}

// Two neighbouring pages that lie apart and in the wrong order in physical memory; the third is not present.
ArrayMemory two_pages() {
  ArrayMemory memory = four_levels(0x2000 | kP, 0x3000 | kP, 0x4000 | kP, 0x9000 | kP);
  memory.put(0x4010, std::uint64_t{0x7000 | kP});
  memory.put(0x9ffe, std::uint16_t{0x2211});
  memory.put(0x7000, std::uint16_t{0x4433});
  return memory;
}
constexpr Gva kFirstPage{0x0000'0080'4020'1000};

TEST(ReadVirtual, CrossesPagesThatLieApart) {
  const ArrayMemory memory = two_pages();
  Bytes bytes(4);

  const std::size_t done = read_virtual(kLong, kFirstPage + 0xffe, bytes, memory);

  EXPECT_EQ(done, 4u);
  EXPECT_EQ(bytes, (Bytes{0x11, 0x22, 0x33, 0x44}));
}

TEST(ReadVirtual, GivesThePrefixBeforeAnUnmappedPage) {
  const ArrayMemory memory = two_pages();
  Bytes bytes(0x3000);

  EXPECT_EQ(read_virtual(kLong, kFirstPage, bytes, memory), 0x2000u);
  EXPECT_EQ(read_virtual(kLong, kFirstPage + 0x2000, bytes, memory), 0u);
}

TEST(ReadVirtual, StopsAtThePageWhoseMemoryIsMissing) {
  ArrayMemory memory = two_pages();
  memory.put(0x4010, std::uint64_t{0xffff'f000 | kP});
  Bytes bytes(0x2000);

  EXPECT_EQ(read_virtual(kLong, kFirstPage, bytes, memory), 0x1000u);
}

TEST(ReadVirtual, StopsAtTheEndOfMemory) {
  const ArrayMemory memory(kRam);
  Bytes bytes(4);

  EXPECT_EQ(read_virtual(kReal, Gva{kRam - 2}, bytes, memory), 2u);
  EXPECT_EQ(read_virtual(kReal, Gva{kRam}, bytes, memory), 0u);
  EXPECT_EQ(read_virtual(kReal, Gva{0xffff'ffff}, bytes, memory), 0u);
}

TEST(WriteVirtual, CrossesPagesAndIgnoresWriteProtection) {
  ArrayMemory memory = two_pages();
  const Bytes bytes{1, 2, 3, 4};

  const std::size_t done = write_virtual(kLong, kFirstPage + 0xffe, bytes, memory);

  EXPECT_EQ(done, 4u);
  EXPECT_EQ(memory.load_at<std::uint16_t>(Gpa{0x9ffe}), 0x0201);
  EXPECT_EQ(memory.load_at<std::uint16_t>(Gpa{0x7000}), 0x0403);
}

}  // namespace
}  // namespace ringside::x86
