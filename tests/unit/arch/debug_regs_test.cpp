#include "arch/x86/debug_regs.hpp"

#include <vector>

#include <gtest/gtest.h>

#include "arch/x86/control.hpp"

namespace ringside::x86 {
namespace {

TEST(DebugSlot, TakesTheFourLengthsAtTheirAlignment) {
  EXPECT_TRUE(make_slot(Gva{0x1001}, 1, WatchKind::kWrite).has_value());
  EXPECT_TRUE(make_slot(Gva{0x1002}, 2, WatchKind::kWrite).has_value());
  EXPECT_TRUE(make_slot(Gva{0x1004}, 4, WatchKind::kReadWrite).has_value());
  EXPECT_TRUE(make_slot(Gva{0x1008}, 8, WatchKind::kReadWrite).has_value());
}

TEST(DebugSlot, RefusesLengthsTheHardwareHasNot) {
  EXPECT_FALSE(make_slot(Gva{0x1000}, 0, WatchKind::kWrite).has_value());
  EXPECT_FALSE(make_slot(Gva{0x1000}, 3, WatchKind::kWrite).has_value());
  EXPECT_FALSE(make_slot(Gva{0x1000}, 16, WatchKind::kWrite).has_value());
  EXPECT_FALSE(make_slot(Gva{0x1000}, std::uint64_t{1} << 40, WatchKind::kWrite).has_value());
}

TEST(DebugSlot, RefusesUnalignedRangesAndLongExecution) {
  EXPECT_FALSE(make_slot(Gva{0x1001}, 2, WatchKind::kWrite).has_value());
  EXPECT_FALSE(make_slot(Gva{0x1004}, 8, WatchKind::kWrite).has_value());
  EXPECT_FALSE(make_slot(Gva{0x1000}, 4, WatchKind::kExecute).has_value());
}

TEST(Dr7, WithoutSlotsIsTheResetValue) { EXPECT_EQ(encode_dr7(DebugSlots{}), dr7::kReset); }

TEST(Dr7, PlacesConditionAndLengthOfEachSlot) {
  DebugSlots slots;
  slots[0] = DebugSlot{Gva{0x1000}, 1, WatchKind::kExecute};
  slots[1] = DebugSlot{Gva{0x2000}, 2, WatchKind::kWrite};
  slots[2] = DebugSlot{Gva{0x3000}, 4, WatchKind::kReadWrite};
  slots[3] = DebugSlot{Gva{0x4000}, 8, WatchKind::kWrite};

  EXPECT_EQ(encode_dr7(slots), 0b1001'1111'0101'0000'0000'0111'1010'1010u);
}

TEST(Dr6, NamesTheSlotsThatHit) {
  EXPECT_EQ(hits(dr6::kReset), 0u);
  EXPECT_EQ(hits(dr6::kReset | dr6::kB1 | dr6::kB3 | dr6::kBs), 0b1010u);
}

TEST(Dr6, HitOfASlotThatIsNotEnabledDoesNotCount) {
  EXPECT_EQ(hits(dr6::kB0 | dr6::kB2, dr7::global(2)), 0b0100u);
  EXPECT_EQ(hits(dr6::kB0 | dr6::kB2, dr7::local(0)), 0b0001u);
}

TEST(SplitWatch, AlignedRangeTakesOneSlot) {
  const Result<WatchSlots> slots = split_watch(Gva{0x1000}, 8, WatchKind::kWrite);

  ASSERT_TRUE(slots.has_value());
  ASSERT_EQ(slots->size(), 1u);
  EXPECT_EQ(*slots->begin(), (DebugSlot{Gva{0x1000}, 8, WatchKind::kWrite}));
}

TEST(SplitWatch, UnalignedRangeIsCoveredExactlyByAlignedPieces) {
  const Result<WatchSlots> slots = split_watch(Gva{0x1003}, 8, WatchKind::kReadWrite);

  ASSERT_TRUE(slots.has_value());
  EXPECT_EQ(std::vector<DebugSlot>(slots->begin(), slots->end()),
            (std::vector<DebugSlot>{{Gva{0x1003}, 1, WatchKind::kReadWrite},
                                    {Gva{0x1004}, 4, WatchKind::kReadWrite},
                                    {Gva{0x1008}, 2, WatchKind::kReadWrite},
                                    {Gva{0x100a}, 1, WatchKind::kReadWrite}}));
}

TEST(SplitWatch, RangeBeyondFourSlotsIsExhaustion) {
  EXPECT_EQ(split_watch(Gva{0x1000}, 33, WatchKind::kWrite).error().code, Errc::kExhausted);
  EXPECT_EQ(split_watch(Gva{0}, ~std::uint64_t{0}, WatchKind::kWrite).error().code, Errc::kExhausted);
}

TEST(SplitWatch, EmptyAndWrappingRangesAreMalformed) {
  EXPECT_EQ(split_watch(Gva{0x1000}, 0, WatchKind::kWrite).error().code, Errc::kMalformed);
  EXPECT_EQ(split_watch(Gva{~std::uint64_t{0}}, 2, WatchKind::kWrite).error().code, Errc::kMalformed);
  EXPECT_EQ(split_watch(Gva{0x1000}, 2, WatchKind::kExecute).error().code, Errc::kMalformed);
}

TEST(SplitWatch, LastByteOfTheAddressSpaceCanBeWatched) {
  EXPECT_TRUE(split_watch(Gva{~std::uint64_t{0}}, 1, WatchKind::kWrite).has_value());
}

}  // namespace
}  // namespace ringside::x86
