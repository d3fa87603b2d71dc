#include "vmm/mem/guest_ram.hpp"

#include <thread>

#include <gtest/gtest.h>

#include "vmm/mem/e820.hpp"

namespace ringside::mem {
namespace {

GuestRam make(std::uint64_t bytes) { return std::move(GuestRam::create(bytes)).value(); }

TEST(GuestRam, SmallRamIsOneRegionFromZero) {
  const GuestRam ram = make(256 * kMiB);
  ASSERT_EQ(ram.regions().size(), 1u);
  EXPECT_EQ(ram.regions()[0].begin, Gpa{0});
  EXPECT_EQ(ram.regions()[0].bytes, 256 * kMiB);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(ram.regions()[0].host) % kHugePage, 0u);
}

TEST(GuestRam, LargeRamContinuesAboveTheHole) {
  const GuestRam ram = make(5 * kGiB);
  ASSERT_EQ(ram.regions().size(), 2u);
  EXPECT_EQ(ram.low_end(), kHoleBegin);
  EXPECT_EQ(ram.regions()[1].begin, kHoleEnd);
  EXPECT_EQ(ram.regions()[1].bytes, 2 * kGiB);
}

TEST(GuestRam, SizesThatCannotBeAreRefused) {
  EXPECT_FALSE(GuestRam::create(0));
  EXPECT_FALSE(GuestRam::create(32 * kMiB));
  EXPECT_FALSE(GuestRam::create(64 * kMiB + 4096));
  EXPECT_FALSE(GuestRam::create(~std::uint64_t{0}));
}

TEST(GuestRam, ReadsBackWhatWasWrittenAtAnyAlignmentAndSize) {
  GuestRam ram = make(64 * kMiB);
  for (const std::size_t size : {1u, 2u, 3u, 4u, 7u, 8u, 16u, 5000u}) {
    for (const std::uint64_t at : {0x1000u, 0x1001u, 0x1004u, 0x1fffu}) {
      Bytes written(size, static_cast<std::uint8_t>(size + at));
      Bytes read(size);
      ASSERT_TRUE(ram.write(Gpa{at}, written));
      ASSERT_TRUE(ram.read(Gpa{at}, read));
      EXPECT_EQ(read, written);
    }
  }
}

TEST(GuestRam, AccessesThatLeaveRamAreRefusedWhole) {
  GuestRam ram = make(64 * kMiB);
  Bytes bytes(16, 0xee);
  EXPECT_FALSE(ram.write(Gpa{64 * kMiB - 8}, bytes));
  EXPECT_FALSE(ram.read(Gpa{64 * kMiB}, bytes));
  EXPECT_FALSE(ram.read(Gpa{~std::uint64_t{0}}, bytes));
  EXPECT_FALSE(ram.read(Gpa{~std::uint64_t{0} - 7}, bytes));
  EXPECT_EQ(ram.load_at<std::uint64_t>(Gpa{64 * kMiB - 8}), 0u);
}

TEST(GuestRam, TheHoleIsNotRam) {
  GuestRam ram = make(4 * kGiB);
  EXPECT_FALSE(ram.load_at<std::uint32_t>(kHoleBegin));
  EXPECT_FALSE(ram.load_at<std::uint64_t>(kHoleBegin - 4));
  EXPECT_FALSE(ram.load_at<std::uint32_t>(kHoleEnd - 4));
  EXPECT_TRUE(ram.load_at<std::uint32_t>(kHoleEnd));
  EXPECT_FALSE(ram.window(kHoleBegin - 4096, 8192));
}

TEST(GuestRam, ClearMakesEverythingZeroAgain) {
  GuestRam ram = make(4 * kGiB);
  ASSERT_TRUE(ram.fill(Gpa{0x5000}, 0x3000, 0xcc));
  ASSERT_TRUE(ram.fill(kHoleEnd, 8, 0xcc));
  ASSERT_EQ(ram.load_at<std::uint8_t>(Gpa{0x7fff}), 0xcc);
  ASSERT_TRUE(ram.clear());
  EXPECT_EQ(ram.load_at<std::uint8_t>(Gpa{0x7fff}), 0);
  EXPECT_EQ(ram.load_at<std::uint64_t>(kHoleEnd), 0u);
}

TEST(GuestRam, MovedFromHasNoRam) {
  GuestRam first = make(64 * kMiB);
  ASSERT_TRUE(first.fill(Gpa{0}, 1, 7));
  GuestRam second = std::move(first);
  EXPECT_EQ(second.load_at<std::uint8_t>(Gpa{0}), 7);
  EXPECT_TRUE(first.regions().empty());  // NOLINT(bugprone-use-after-move): that is the question
}

TEST(GuestRam, AlignedWordsAreNeverTorn) {
  GuestRam ram = make(64 * kMiB);
  constexpr std::uint64_t kOnes = ~std::uint64_t{0};
  std::jthread writer([&ram](const std::stop_token& stop) {
    for (std::uint64_t value = 0; !stop.stop_requested(); value = ~value)
      (void)ram.write(Gpa{0x1000}, bytes_of(value));
  });
  for (int i = 0; i < 20000; ++i) {
    const std::uint64_t seen = ram.load_at<std::uint64_t>(Gpa{0x1000}).value();
    ASSERT_TRUE(seen == 0 || seen == kOnes);
  }
}

TEST(E820, CoversRamOnceAndKeepsTheHoleOut) {
  for (const std::uint64_t bytes : {64 * kMiB, 3 * kGiB, 3 * kGiB + kHugePage, 16 * kGiB}) {
    std::uint64_t ram = 0;
    Gpa end{0};
    for (const E820Entry& entry : e820_map(bytes)) {
      EXPECT_GE(entry.begin, end);
      EXPECT_GT(entry.bytes, 0u);
      end = entry.begin + entry.bytes;
      if (entry.type != E820Type::kRam) continue;
      ram += entry.bytes;
      EXPECT_TRUE(end <= kHoleBegin || entry.begin >= kHoleEnd);
    }
    EXPECT_EQ(ram, bytes - (kOneMiB - kEbda));
  }
}

}  // namespace
}  // namespace ringside::mem
