#include "stub/hub/memory_view.hpp"

#include <gmock/gmock.h>

#include "arch/x86/control.hpp"
#include "tests/fakes/array_memory.hpp"

namespace ringside::hub {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::uint64_t kRam = 0x8000;

// 4-level tables at 0x1000..0x3fff; page tables map 0x10000 -> 0x4000, 0x11000 -> 0x6000 (not contiguous),
// 0x12000 -> 0x4000 again, 0x13000 -> beyond RAM, and 0x14000 not at all.
class MemoryViewTest : public testing::Test {
 protected:
  MemoryViewTest() {
    constexpr std::uint64_t kPresentWritable = 3;
    memory_.put(0x1000, std::uint64_t{0x2000 | kPresentWritable});
    memory_.put(0x2000, std::uint64_t{0x3000 | kPresentWritable});
    memory_.put(0x3000, std::uint64_t{0x0000 | kPresentWritable});  // the page table is at 0
    memory_.put(0x10 * 8, std::uint64_t{0x4000 | kPresentWritable});
    memory_.put(0x11 * 8, std::uint64_t{0x6000 | kPresentWritable});
    memory_.put(0x12 * 8, std::uint64_t{0x4000 | kPresentWritable});
    memory_.put(0x13 * 8, std::uint64_t{0x100000 | kPresentWritable});
  }
  Bytes read(std::uint64_t at, std::size_t size) { return view_.read_virtual(paging_, Gva{at}, size); }
  Result<void> write(std::uint64_t at, const Bytes& data) {
    return view_.write_virtual(paging_, Gva{at}, data);
  }
  void insert(std::uint64_t at) { ASSERT_TRUE(view_.insert(Gva{at}, *view_.translate(paging_, Gva{at}))); }
  std::uint8_t raw(std::uint64_t at) { return memory_.load_at<std::uint8_t>(Gpa{at}).value(); }
  void guest_writes(std::uint64_t at, std::uint8_t value) { memory_.put(at, value); }

  fakes::ArrayMemory memory_{kRam};
  MemoryView view_{memory_};
  x86::PagingState paging_{.cr0 = x86::cr0::kPg | x86::cr0::kPe,
                           .cr3 = 0x1000,
                           .cr4 = x86::cr4::kPae,
                           .efer = x86::efer::kLme | x86::efer::kLma};
};

TEST_F(MemoryViewTest, AnInt3IsInMemoryAndNotToBeSeen) {
  memory_.put(0x4010, std::uint32_t{0x44332211});
  insert(0x10011);
  EXPECT_EQ(raw(0x4011), kInt3);
  EXPECT_THAT(read(0x10010, 4), ElementsAre(0x11, 0x22, 0x33, 0x44));
  EXPECT_THAT(read(0x10011, 1), ElementsAre(0x22));
  EXPECT_THAT(view_.read_physical(Gpa{0x4010}, 4), ElementsAre(0x11, 0x22, 0x33, 0x44));
}

TEST_F(MemoryViewTest, RemovingPutsTheGuestsByteBack) {
  guest_writes(0x4010, 0x55);
  insert(0x10010);
  view_.remove(Gva{0x10010});
  EXPECT_EQ(raw(0x4010), 0x55);
  EXPECT_THAT(view_.sites(), IsEmpty());
  view_.remove(Gva{0x10010});  // nothing there: nothing happens
  EXPECT_EQ(raw(0x4010), 0x55);
}

TEST_F(MemoryViewTest, AWriteGoesBelowTheInt3) {
  insert(0x10011);
  ASSERT_TRUE(write(0x10010, {1, 2, 3}));
  EXPECT_EQ(raw(0x4010), 1);
  EXPECT_EQ(raw(0x4011), kInt3);
  EXPECT_EQ(raw(0x4012), 3);
  EXPECT_THAT(read(0x10010, 3), ElementsAre(1, 2, 3));
  view_.remove(Gva{0x10011});
  EXPECT_EQ(raw(0x4011), 2);
}

TEST_F(MemoryViewTest, WhatTheGuestWroteOverAnInt3IsShownAndKept) {
  guest_writes(0x4010, 0x55);
  insert(0x10010);
  guest_writes(0x4010, 0x66);
  EXPECT_THAT(read(0x10010, 1), ElementsAre(0x66));
  view_.remove(Gva{0x10010});
  EXPECT_EQ(raw(0x4010), 0x66);
}

TEST_F(MemoryViewTest, AnInt3OfTheGuestsOwnUnderOursIsShown) {
  guest_writes(0x4010, kInt3);
  insert(0x10010);
  EXPECT_THAT(read(0x10010, 1), ElementsAre(kInt3));
  view_.remove(Gva{0x10010});
  EXPECT_EQ(raw(0x4010), kInt3);
}

TEST_F(MemoryViewTest, TwoAddressesOfOneByteAreOneSite) {
  guest_writes(0x4010, 0x55);
  insert(0x10010);
  insert(0x12010);
  EXPECT_EQ(view_.sites().size(), 1u);
  view_.remove(Gva{0x10010});
  EXPECT_EQ(raw(0x4010), kInt3);
  EXPECT_THAT(read(0x10010, 1), ElementsAre(0x55));
  view_.remove(Gva{0x12010});
  EXPECT_EQ(raw(0x4010), 0x55);
}

TEST_F(MemoryViewTest, TheOverlayIsThereThroughEveryAlias) {
  guest_writes(0x4010, 0x55);
  insert(0x10010);
  EXPECT_THAT(read(0x12010, 1), ElementsAre(0x55));
  ASSERT_TRUE(write(0x12010, {0x77}));
  EXPECT_EQ(raw(0x4010), kInt3);
  EXPECT_THAT(read(0x10010, 1), ElementsAre(0x77));
}

TEST_F(MemoryViewTest, ReadsCrossPagesThatAreApart) {
  guest_writes(0x4fff, 0xaa);
  guest_writes(0x6000, 0xbb);
  insert(0x10fff);
  insert(0x11000);
  EXPECT_THAT(read(0x10fff, 2), ElementsAre(0xaa, 0xbb));
}

TEST_F(MemoryViewTest, WritesCrossPagesThatAreApart) {
  insert(0x11000);
  ASSERT_TRUE(write(0x10fff, {1, 2, 3}));
  EXPECT_EQ(raw(0x4fff), 1);
  EXPECT_EQ(raw(0x6000), kInt3);
  EXPECT_EQ(raw(0x6001), 3);
  EXPECT_THAT(read(0x10fff, 3), ElementsAre(1, 2, 3));
}

TEST_F(MemoryViewTest, AReadEndsWhereMemoryEnds) {
  EXPECT_EQ(read(0x12ffe, 10).size(), 2u);  // the next page leads out of RAM
  EXPECT_THAT(read(0x13000, 4), IsEmpty());
  EXPECT_THAT(read(0x14000, 4), IsEmpty());
  EXPECT_EQ(view_.read_physical(Gpa{kRam - 3}, 10).size(), 3u);
  EXPECT_THAT(view_.read_physical(Gpa{kRam}, 10), IsEmpty());
  EXPECT_THAT(view_.read_physical(Gpa{~0ull - 3}, 10), IsEmpty());
}

TEST_F(MemoryViewTest, AWriteIsAllOrNothing) {
  guest_writes(0x4fff, 0x11);
  const Result<void> unmapped = write(0x13fff, {1, 2});
  ASSERT_FALSE(unmapped);
  EXPECT_EQ(unmapped.error().code, Errc::kNotMapped);
  EXPECT_FALSE(write(0x12fff, {1, 2}));  // the second byte is beyond RAM
  EXPECT_EQ(raw(0x4fff), 0x11);
}

TEST_F(MemoryViewTest, ARefusedWriteLeavesWhatIsBelowAnInt3) {
  guest_writes(0x4fff, 0x11);
  insert(0x10fff);
  EXPECT_FALSE(write(0x12fff, {1, 2}));
  EXPECT_FALSE(view_.write_physical(Gpa{kRam - 1}, Bytes{1, 2}));
  EXPECT_THAT(read(0x10fff, 1), ElementsAre(0x11));
}

TEST_F(MemoryViewTest, ARefusedPhysicalWriteLeavesWhatIsBelowAnInt3) {
  guest_writes(kRam - 1, 0x11);
  ASSERT_TRUE(view_.insert(Gva{0x77}, Gpa{kRam - 1}));
  EXPECT_FALSE(view_.write_physical(Gpa{kRam - 1}, Bytes{1, 2}));
  EXPECT_THAT(view_.read_physical(Gpa{kRam - 1}, 1), ElementsAre(0x11));
}

TEST_F(MemoryViewTest, LiftAndLowerFrameAStep) {
  guest_writes(0x4010, 0x55);
  insert(0x10010);
  view_.lift(Gpa{0x4010});
  EXPECT_EQ(raw(0x4010), 0x55);
  EXPECT_THAT(read(0x10010, 1), ElementsAre(0x55));
  view_.lower(Gpa{0x4010});
  EXPECT_EQ(raw(0x4010), kInt3);
  EXPECT_THAT(read(0x10010, 1), ElementsAre(0x55));
}

TEST_F(MemoryViewTest, AnInstructionThatRewritesItselfWhileSteppedOverIsKept) {
  guest_writes(0x4010, 0x55);
  insert(0x10010);
  view_.lift(Gpa{0x4010});
  guest_writes(0x4010, 0x99);
  view_.lower(Gpa{0x4010});
  EXPECT_THAT(read(0x10010, 1), ElementsAre(0x99));
  view_.remove(Gva{0x10010});
  EXPECT_EQ(raw(0x4010), 0x99);
}

TEST_F(MemoryViewTest, InsertingWhereNoMemoryIsFails) {
  const Result<void> done = view_.insert(Gva{0x13000}, Gpa{0x100000});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::kNotMapped);
  EXPECT_THAT(view_.sites(), IsEmpty());
}

TEST_F(MemoryViewTest, ForgetAllTouchesNoMemory) {
  insert(0x10010);
  view_.forget_all();
  EXPECT_EQ(raw(0x4010), kInt3);
  EXPECT_THAT(view_.sites(), IsEmpty());
}

}  // namespace
}  // namespace ringside::hub
