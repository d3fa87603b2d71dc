#include "arch/x86/data_access.hpp"

#include <gtest/gtest.h>

#include "arch/x86/control.hpp"
#include "tests/fakes/array_memory.hpp"

namespace ringside::x86 {
namespace {

constexpr std::uint64_t kP = 1, kW = 2, kU = 4, kA = 0x20, kD = 0x40, kXd = bit(63);
constexpr std::uint64_t kAll = kP | kW | kU | kA | kD;

// Two neighbouring pages at 0x10000, kept at 0x5000 and 0x6000, below the tables of entries 0 at 0x1000,
// 0x2000 and 0x3000; each upper entry gives every right.
constexpr Gva kFirst{0x10000}, kSecond{0x11000};
constexpr std::uint64_t kLeafEntry = 0x4000 + 0x10 * 8;

class GuestDataTest : public testing::Test {
 protected:
  GuestDataTest() {
    memory_.put(0x1000, std::uint64_t{0x2000 | kAll});
    memory_.put(0x2000, std::uint64_t{0x3000 | kAll});
    memory_.put(0x3000, std::uint64_t{0x4000 | kAll});
    leaf(kAll & ~kU);
    memory_.put(kLeafEntry + 8, std::uint64_t{0x6000 | (kAll & ~kU)});
    memory_.put(0x5010, std::uint64_t{0x1122334455667788});
  }
  void leaf(std::uint64_t rights) { memory_.put(kLeafEntry, std::uint64_t{0x5000 | rights}); }

  bool reads(Gva at = kFirst + 0x10, std::size_t size = 8) {
    std::array<std::uint8_t, 8> data{};
    return data_.read(at, MutableByteView(data).first(size));
  }
  bool writes(Gva at = kFirst + 0x10) { return data_.write(at, bytes_of(std::uint64_t{0xabcd})); }
  bool fetches(Gva at = kFirst, std::size_t size = 4) {
    return reachable(cpu_, at, size, Access::kFetch, memory_);
  }

  fakes::ArrayMemory memory_{0x8000};
  CpuContext cpu_{.core = {},
                  .paging = {.cr0 = cr0::kPe | cr0::kPg | cr0::kWp,
                             .cr3 = 0x1000,
                             .cr4 = cr4::kPae,
                             .efer = efer::kLme | efer::kLma | efer::kNxe},
                  .cs = {.base = 0, .selector = 0x10, .long_mode = true, .default_big = false, .cpl = 0}};
  GuestData data_{cpu_, memory_};
};

TEST_F(GuestDataTest, ReadsAndWritesWhatTheGuestMay) {
  std::uint64_t word = 0;
  ASSERT_TRUE(data_.read(kFirst + 0x10, {reinterpret_cast<std::uint8_t*>(&word), sizeof word}));
  EXPECT_EQ(word, 0x1122334455667788u);
  ASSERT_TRUE(writes());
  EXPECT_EQ(memory_.load_at<std::uint64_t>(Gpa{0x5010}), 0xabcdu);
}

TEST_F(GuestDataTest, RefusesWhatIsNotMapped) {
  leaf(kAll & ~kP);
  EXPECT_FALSE(reads());
  EXPECT_FALSE(writes());
}

TEST_F(GuestDataTest, RefusesWhatWouldSetTheAccessedBit) {
  leaf(kP | kW | kD);
  EXPECT_FALSE(reads());
  EXPECT_FALSE(writes());
}

TEST_F(GuestDataTest, RefusesWhatWouldSetTheAccessedBitOfATable) {
  memory_.put(0x2000, std::uint64_t{0x3000 | (kAll & ~kA)});
  EXPECT_FALSE(reads());
}

TEST_F(GuestDataTest, RefusesTheFirstWriteThatWouldSetTheDirtyBit) {
  leaf(kP | kW | kA);
  EXPECT_TRUE(reads());
  EXPECT_FALSE(writes());
}

TEST_F(GuestDataTest, ARefusedWriteWritesNothing) {
  leaf(kP | kW | kA);
  EXPECT_FALSE(writes());
  EXPECT_EQ(memory_.load_at<std::uint64_t>(Gpa{0x5010}), 0x1122334455667788u);
}

TEST_F(GuestDataTest, WriteProtectionBindsTheKernelWithWpOnly) {
  leaf(kP | kA | kD);
  EXPECT_TRUE(reads());
  EXPECT_FALSE(writes());
  cpu_.paging.cr0 &= ~cr0::kWp;
  EXPECT_TRUE(writes());
}

TEST_F(GuestDataTest, WriteProtectionBindsUserCodeAlways) {
  leaf(kP | kU | kA | kD);
  cpu_.cs.cpl = 3;
  cpu_.paging.cr0 &= ~cr0::kWp;
  EXPECT_TRUE(reads());
  EXPECT_FALSE(writes());
}

TEST_F(GuestDataTest, UserCodeNeedsAUserPage) {
  cpu_.cs.cpl = 3;
  EXPECT_FALSE(reads());
  leaf(kAll);
  EXPECT_TRUE(reads());
  EXPECT_TRUE(writes());
}

TEST_F(GuestDataTest, TheKernelUsesUserPagesOnlyWithoutSmap) {
  leaf(kAll);
  EXPECT_TRUE(reads());
  cpu_.paging.cr4 |= cr4::kSmap;
  EXPECT_FALSE(reads());
  cpu_.core.rflags |= rflags::kAc;
  EXPECT_FALSE(reads());
}

TEST_F(GuestDataTest, SmapConcernsNeitherKernelPagesNorUserCode) {
  cpu_.paging.cr4 |= cr4::kSmap;
  EXPECT_TRUE(reads());
  leaf(kAll);
  cpu_.cs.cpl = 3;
  EXPECT_TRUE(reads());
}

TEST_F(GuestDataTest, ProtectionKeysConcernUserPages) {
  cpu_.paging.cr4 |= cr4::kPke;
  EXPECT_TRUE(reads());
  leaf(kAll);
  EXPECT_FALSE(reads());
}

TEST_F(GuestDataTest, SupervisorKeysConcernKernelPages) {
  cpu_.paging.cr4 |= cr4::kPks;
  EXPECT_FALSE(reads());
  leaf(kAll);
  EXPECT_TRUE(reads());
}

TEST_F(GuestDataTest, LassKeepsTheKernelOutOfTheLowerHalf) {
  cpu_.paging.cr4 |= cr4::kLass;
  EXPECT_FALSE(reads());
  leaf(kAll);
  cpu_.cs.cpl = 3;
  EXPECT_TRUE(reads());
}

TEST_F(GuestDataTest, ABitOfCr4ThatNobodyKnowsRefusesEverything) {
  cpu_.paging.cr4 |= bit(40);
  EXPECT_FALSE(reads());
}

TEST_F(GuestDataTest, RefusesWhatCrossesAPage) {
  EXPECT_TRUE(reads(kFirst + 0xff8));
  EXPECT_FALSE(reads(kFirst + 0xff9));
  EXPECT_FALSE(writes(kFirst + 0xffc));
  EXPECT_EQ(memory_.load_at<std::uint32_t>(Gpa{0x5ffc}), 0u);
}

TEST_F(GuestDataTest, MisalignedDataIsForTheCpuWhereRing3MayCheckIt) {
  leaf(kAll);
  cpu_.paging.cr0 |= cr0::kAm;
  EXPECT_TRUE(reads(kFirst + 0x11));
  cpu_.cs.cpl = 3;
  EXPECT_FALSE(reads(kFirst + 0x11));
  EXPECT_TRUE(reads(kFirst + 0x10));
  EXPECT_TRUE(reads(kFirst + 0x11, 1));
}

TEST_F(GuestDataTest, RefusesADevice) {
  memory_.put(kLeafEntry, std::uint64_t{0xfee0'0000 | kAll});
  EXPECT_FALSE(reads());
  EXPECT_FALSE(writes());
  EXPECT_TRUE(reachable(cpu_, kFirst, 8, Access::kWrite, memory_));
}

TEST_F(GuestDataTest, RefusesAnAddressThatIsNone) {
  EXPECT_FALSE(reads(Gva{0x0000'8000'0000'0000}));
  EXPECT_FALSE(reads(Gva{0xffff'ffff'ffff'fffc}));
}

TEST_F(GuestDataTest, FetchingNeedsExecutablePagesOnBothSidesOfABorder) {
  EXPECT_TRUE(fetches(kFirst + 0xffe));
  memory_.put(kLeafEntry + 8, std::uint64_t{0x6000 | kAll | kXd});
  EXPECT_FALSE(fetches(kFirst + 0xffe));
  EXPECT_TRUE(fetches(kFirst + 0xffc));
  EXPECT_FALSE(fetches(kSecond));
}

TEST_F(GuestDataTest, SmepKeepsTheKernelFromFetchingUserPages) {
  leaf(kAll);
  EXPECT_TRUE(fetches());
  cpu_.paging.cr4 |= cr4::kSmep | cr4::kSmap;
  EXPECT_FALSE(fetches());
  cpu_.cs.cpl = 3;
  EXPECT_TRUE(fetches());
}

TEST_F(GuestDataTest, NothingIsReachableAcrossTheTopOfMemoryOrFurtherThanAPage) {
  EXPECT_FALSE(reachable(cpu_, Gva{~std::uint64_t{0}}, 2, Access::kRead, memory_));
  EXPECT_FALSE(reachable(cpu_, kFirst, 4097, Access::kRead, memory_));
  EXPECT_TRUE(reachable(cpu_, kFirst + 1, 4096, Access::kRead, memory_));
  EXPECT_TRUE(reachable(cpu_, Gva{0xdead'0000'0000}, 0, Access::kRead, memory_));
}

}  // namespace
}  // namespace ringside::x86
