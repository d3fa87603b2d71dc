#include "stub/hub/guest_writes.hpp"

#include <gmock/gmock.h>

#include "tests/unit/hub/guest_writes_testing.hpp"

namespace ringside::hub {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

x86::CoreRegs at(std::uint64_t where, std::uint64_t rcx = 0, std::uint64_t rax = 0) {
  x86::CoreRegs core;
  core.gpr[x86::kRsi] = kKernel + where;
  core.gpr[x86::kRcx] = rcx;
  core.gpr[x86::kRax] = rax;
  return core;
}

TEST_F(GuestWritesTest, GoToMemoryWhereNothingStands) {
  EXPECT_EQ(store(kText, {1, 2, 3, 4}), WriteVerdict::kDone);
  EXPECT_THAT(raw(kText, 5), ElementsAre(1, 2, 3, 4, 0));
  EXPECT_EQ(rewritten_, 0);
}

TEST_F(GuestWritesTest, AreNotOursWhereNoMemoryIs) {
  EXPECT_EQ(store(fakes::kRamBytes - 1, {1, 2}), WriteVerdict::kNotWatched);
  EXPECT_EQ(store(kText, Bytes(9)), WriteVerdict::kNotWatched);
}

TEST_F(GuestWritesTest, GoBelowAnInt3) {
  insert(kText + 1);
  EXPECT_EQ(store(kText + 1, {0x55}), WriteVerdict::kDone);
  EXPECT_EQ(raw(kText + 1, 1), Bytes{kInt3});
  EXPECT_EQ(own(kText + 1, 1), Bytes{0x55});
}

TEST_F(GuestWritesTest, OfAnySizeGoBelowAnyInt3TheyCover) {
  for (const std::uint64_t site : {10, 11, 13, 17}) insert(kText + site);
  Bytes expected(32);
  std::uint8_t next = 0;
  for (std::size_t size = 1; size <= 8; ++size) {
    for (std::size_t from = 2; from <= 18; ++from) {
      Bytes data(size);
      for (std::uint8_t& byte : data) byte = ++next & 0x7f;
      std::ranges::copy(data, expected.begin() + static_cast<std::ptrdiff_t>(from));
      EXPECT_EQ(store(kText + from, data), WriteVerdict::kDone);
      ASSERT_EQ(own(kText, 32), expected) << size << " bytes at " << from;
      for (const std::uint64_t site : {10, 11, 13, 17}) ASSERT_TRUE(view_.stands_at(Gpa{kText + site}));
    }
  }
}

TEST_F(GuestWritesTest, OfAnInt3AreTheGuestsOwn) {
  insert(kText);
  store_all(kText, {kInt3});
  EXPECT_EQ(view_.site_at(Gpa{kText})->original, kInt3);
  store_all(kText, {0x90});
  EXPECT_EQ(own(kText, 1), Bytes{0x90});
}

TEST_F(GuestWritesTest, NearAnInt3MayChangeItsInstruction) {
  insert(kText + 0x10);
  store_all(kText + 0x1e, {1});  // its fifteenth byte
  EXPECT_EQ(rewritten_, 1);
  store_all(kText + 0x08, Bytes(8));
  store_all(kText + 0x1f, {1});
  EXPECT_EQ(rewritten_, 1);
}

TEST_F(GuestWritesTest, ToAPageThatIsNotNeededAnyMoreAskForAReview) {
  store_all(kText + kPageSize - 1, {1});
  EXPECT_EQ(store(kText + kPageSize, {1}), WriteVerdict::kTell);
  EXPECT_TRUE(cpus_[0].state.review);
}

TEST_F(GuestWritesTest, ToAPageWhoseAddressHasGoneAskForAReview) {
  insert(kText + 0x10);
  machine_.memory().put(0x3000 + 510 * 8, std::uint64_t{0});
  machine_.vcpu(0u).set_rip(kKernel + code_of_[0]);
  EXPECT_EQ(store(kText + 0x800, {1}), WriteVerdict::kTell);
  EXPECT_TRUE(cpus_[0].state.review);
}

TEST_F(GuestWritesTest, BelowAnInt3OfAProcessAskForAReview) {
  insert(kText);
  auto site = std::make_shared<Site>(*points_.int3[0].second);
  site->places = {{.at = Gva{kText}, .wishes = {}, .plan = {}}};
  points_.int3[0].second = site;
  EXPECT_EQ(store(kText + 1, {1}), WriteVerdict::kDone);
  EXPECT_EQ(store(kText, {1}), WriteVerdict::kTell);
  EXPECT_TRUE(cpus_[0].state.review);
}

TEST_F(GuestWritesTest, AreToldToWhoWatchesWithWhatWasThere) {
  const auto one = watch(kText + 0x10, 4), other = watch(kText + 0x14, 100);
  put(kText + 0x0e, {1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_EQ(store(kText + 0x0e, {11, 12, 13, 14, 15, 16, 17, 18}), WriteVerdict::kTell);
  const auto& hits = cpus_[0].state.hits;
  ASSERT_THAT(hits, SizeIs(2));
  EXPECT_EQ(hits[0].watch, one);
  EXPECT_EQ(hits[0].at, Gva{kKernel + kText + 0x10});
  EXPECT_EQ(hits[0].bytes, 4);
  EXPECT_EQ(hits[0].before, 0x06050403u);
  EXPECT_EQ(hits[0].after, 0x100f0e0du);
  EXPECT_EQ(hits[1].watch, other);
  EXPECT_EQ(hits[1].at, Gva{kKernel + kText + 0x14});
  EXPECT_EQ(hits[1].bytes, 2);
  EXPECT_EQ(hits[1].before, 0x0807u);
  EXPECT_EQ(hits[1].after, 0x1211u);
}

TEST_F(GuestWritesTest, AreToldFromTheFirstByteThatIsWatched) {
  watch(kText + 0x10, 8);
  store(kText + 0x13, {1, 2});
  ASSERT_THAT(cpus_[0].state.hits, SizeIs(1));
  EXPECT_EQ(cpus_[0].state.hits[0].at, Gva{kKernel + kText + 0x13});
  EXPECT_EQ(cpus_[0].state.hits[0].after, 0x0201u);
}

TEST_F(GuestWritesTest, AreToldOnceForAllPiecesOfAnInstruction) {
  watch(kText, 16);
  store(kText, {1, 2, 3, 4, 5, 6, 7, 8});
  store(kText + 8, {1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_THAT(cpus_[0].state.hits, SizeIs(1));
  writes_.begin_next(cpus_[0].state);
  EXPECT_THAT(cpus_[0].state.hits, IsEmpty());
}

TEST_F(GuestWritesTest, BesideAWatchedRangeAreNotTold) {
  watch(kText + 0x10, 4);
  EXPECT_EQ(store(kText + 0x0c, {1, 2, 3, 4}), WriteVerdict::kDone);
  EXPECT_EQ(store(kText + 0x14, {1, 2, 3, 4}), WriteVerdict::kDone);
}

TEST_F(GuestWritesTest, AreToldWithTheGuestsOwnByteFromUnderAnInt3) {
  watch(kText, 2);
  put(kText, {1, 2});
  insert(kText + 1);
  store(kText, {3, 4});
  ASSERT_THAT(cpus_[0].state.hits, SizeIs(1));
  EXPECT_EQ(cpus_[0].state.hits[0].before, 0x0201u);
  EXPECT_EQ(cpus_[0].state.hits[0].after, 0x0403u);
}

TEST_F(GuestWritesTest, AreSeenForTheDebugRegisters) {
  points_.slots[0] = x86::DebugSlot{.at = Gva{kKernel + kText + 4}};
  points_.slots[2] = x86::DebugSlot{Gva{kKernel + kText + 4}, 4, x86::WatchKind::kWrite};
  EXPECT_EQ(store(kText, {1, 2, 3, 4}), WriteVerdict::kDone);
  EXPECT_EQ(store(kText, {1, 2, 3, 4, 5}), WriteVerdict::kTell);
  EXPECT_EQ(cpus_[0].state.slots, x86::dr6::kB2);
  writes_.begin_next(cpus_[0].state);
  EXPECT_EQ(store(kText + 8, {1}), WriteVerdict::kDone);
}

// Four bytes, the second of them under an int3.
class UnderInt3 : public GuestWritesTest {
 protected:
  UnderInt3() {
    put(kText, {0x44, 0x33, 0x22, 0x11});
    insert(kText + 1);
  }
  std::uint64_t word() {
    EXPECT_TRUE(view_.stands_at(Gpa{kText + 1}));
    Bytes bytes = own(kText, 8);
    return load<std::uint64_t>(bytes.data());
  }
};

TEST_F(UnderInt3, AnAddIsRunAgainBesideIt) {
  read(0, {Op::kAdd, 4}, at(kText, 0x01010101));
  EXPECT_EQ(write(0), End::kAlone);
  EXPECT_EQ(machine_.vcpu(0).core(), cpus_[0].before);
  EXPECT_EQ(word(), 0x11223344u);
  run_alone(0);
  EXPECT_EQ(word(), 0x12233445u);
}

TEST_F(UnderInt3, SoIsAnyOther) {
  EXPECT_EQ(run({Op::kInc, 4, 1, true}, at(kText)), End::kAlone);
  EXPECT_EQ(word(), 0x11223345u);
  EXPECT_EQ(run({Op::kXor, 4, 1, true}, at(kText, 0xff000000)), End::kAlone);
  EXPECT_EQ(word(), 0xee223345u);
  EXPECT_EQ(run({Op::kNot, 1}, at(kText + 1)), End::kAlone);
  EXPECT_EQ(word(), 0xee22cc45u);
  EXPECT_EQ(run({Op::kBts, 2, 1, true}, at(kText - 2, 16 + 12)), End::kAlone);
  EXPECT_EQ(word(), 0xee22dc45u);
}

TEST_F(UnderInt3, AnExchangeHasItsRegisterBack) {
  EXPECT_EQ(run({Op::kXchg, 4}, at(kText, 0x55667788)), End::kAlone);
  EXPECT_EQ(word(), 0x55667788u);
  EXPECT_EQ(gpr(x86::kRcx), 0x11223344u);
  EXPECT_EQ(run({Op::kXchg, 1, 5}, at(kText + 1, 0xabcd)), End::kAlone);  // ch
  EXPECT_EQ(word(), 0x5566ab88u);
  EXPECT_EQ(gpr(x86::kRcx), 0x77cdu);
}

TEST_F(UnderInt3, SoHasAnExchangeAndAdd) {
  EXPECT_EQ(run({Op::kXadd, 4, 1, true}, at(kText, 0x01010101)), End::kAlone);
  EXPECT_EQ(word(), 0x12233445u);
  EXPECT_EQ(gpr(x86::kRcx), 0x11223344u);
}

TEST_F(UnderInt3, SoHasOneWhoseRegisterWasTheAddress) {
  EXPECT_EQ(run({Op::kXchg, 8, x86::kRsi}, at(kText)), End::kAlone);
  EXPECT_EQ(word(), kKernel + kText);
  EXPECT_EQ(gpr(x86::kRsi), 0x11223344u);
  EXPECT_EQ(run({Op::kXadd, 2, x86::kRsi, true}, at(kText)), End::kAlone);
  EXPECT_EQ(word(), 0xffffffff80004000u);
  EXPECT_EQ(gpr(x86::kRsi), kKernel + kText);
}

TEST_F(UnderInt3, ACompareAndExchangeComparesWithTheGuestsOwn) {
  EXPECT_EQ(run({Op::kCmpxchg, 4, 1, true}, at(kText, 7, 0x1122cc44)), End::kAlone);
  EXPECT_EQ(word(), 0x11223344u);
  EXPECT_EQ(gpr(x86::kRax), 0x11223344u);
  EXPECT_EQ(run({Op::kCmpxchg, 4, 1, true}, at(kText, 7, 0x99999999)), End::kThrough);
  EXPECT_EQ(word(), 0x11223344u);
  EXPECT_EQ(gpr(x86::kRax), 0x11223344u);
}

TEST_F(UnderInt3, SoDoesThatOfAPair) {
  x86::CoreRegs core = at(kText, 0, 0x1122cc44);
  EXPECT_EQ(run({Op::kCmpxchg8b, 8, 1, true}, core), End::kAlone);
  EXPECT_EQ(gpr(x86::kRax), 0x11223344u);
  core.gpr[x86::kRdx] = 1;
  EXPECT_EQ(run({Op::kCmpxchg8b, 8, 1, true}, core), End::kThrough);
  EXPECT_EQ(word(), 0x11223344u);
  EXPECT_EQ(gpr(x86::kRax), 0x11223344u);
  EXPECT_EQ(gpr(x86::kRdx), 0u);
}

TEST_F(UnderInt3, OneThatHasFailedDoesNotSucceedAfterAll) {
  store_all(kText + 1, {kInt3});  // the guest's own: there is nothing to see but that
  EXPECT_EQ(run({Op::kCmpxchg, 4, 1, true}, at(kText, 7, 0x99999999)), End::kThrough);
  EXPECT_EQ(word(), 0x1122cc44u);
  EXPECT_EQ(gpr(x86::kRax), 0x1122cc44u);
}

TEST_F(UnderInt3, AnInstructionIsFoundWhereverItIs) {
  for (const std::uint64_t code : {0x0u, 0x8002u, 0x8fffu}) {  // there is nothing before the kernel
    code_of_[0] = code;
    EXPECT_EQ(run({Op::kInc, 4}, at(kText)), End::kAlone);
  }
  EXPECT_EQ(word(), 0x11223347u);
}

TEST_F(UnderInt3, EvenUnderAnotherOfOurs) {
  read(0, {Op::kInc, 4}, at(kText));
  insert(code_of_[0]);
  EXPECT_EQ(write(0), End::kAlone);
}

// adc [rsi],ecx, which has read 0x1122cc44 and left another CF than it found.
TEST_F(UnderInt3, WhatNeedsCfHasItBack) {
  put(code_of_[0], {0x11, 0x0e});
  for (const std::uint64_t was : {std::uint64_t{0}, x86::rflags::kCf}) {
    x86::CoreRegs core = at(kText, 0xffffffff);
    core.rip = kKernel + code_of_[0] + 2;
    core.rflags = 2 | (was == 0 ? x86::rflags::kCf : 0);
    machine_.vcpu(0).set_core(core);
    EXPECT_EQ(store(kText, {static_cast<std::uint8_t>(was == 0 ? 0x43 : 0x44), 0xcc, 0x22, 0x11}),
              WriteVerdict::kTell);
    ASSERT_TRUE(cpus_[0].state.again && cpus_[0].state.beside_int3);
    EXPECT_TRUE(GuestWrites::run_again(machine_.vcpu(0), cpus_[0].state));
    core.rip -= 2;
    core.rflags = 2 | was;
    EXPECT_EQ(machine_.vcpu(0).core(), core);
    EXPECT_EQ(word(), 0x11223344u);
    writes_.begin_next(cpus_[0].state);
  }
}

TEST_F(UnderInt3, WhatCannotHaveMadeThatOfItIsNotTheWriter) {
  put(code_of_[0], {0x11, 0x0e});  // adc [rsi],ecx
  x86::CoreRegs core = at(kText);
  core.rip = kKernel + code_of_[0] + 2;
  machine_.vcpu(0).set_core(core);
  EXPECT_EQ(store(kText, {1, 2, 3, 4}), WriteVerdict::kDone);
  EXPECT_EQ(word(), 0x04030201u);
}

TEST_F(UnderInt3, NothingOfAnInstructionIsWrittenOfWhichAPieceIsNot) {
  read(0, {Op::kAdd, 4}, at(kText, 1));
  cpus_[0].state.again.emplace();
  EXPECT_EQ(store(kText + 8, {1}), WriteVerdict::kTell);
  EXPECT_EQ(own(kText + 8, 1), Bytes{0});
}

class TwoVcpus : public GuestWritesTest {
 protected:
  TwoVcpus() { put(kText, {10}); }
  std::uint64_t word() { return load_at(Gpa{kText}, 8); }
};

TEST_F(TwoVcpus, ALockedWriteThatHasBeenOvertakenIsRunAgain) {
  read(0, {Op::kAdd, 8, 1, true}, at(kText, 1));
  read(1, {Op::kAdd, 8, 1, true}, at(kText, 5));
  EXPECT_EQ(write(1), End::kThrough);
  EXPECT_EQ(write(0), End::kAgain);
  EXPECT_EQ(machine_.vcpu(0).core(), cpus_[0].before);
  EXPECT_EQ(word(), 15u);
  read(0, {Op::kAdd, 8, 1, true}, machine_.vcpu(0).core());
  EXPECT_EQ(write(0), End::kThrough);
  EXPECT_EQ(word(), 16u);
}

TEST_F(TwoVcpus, SoIsAnExchangeWithItsRegisterBack) {
  for (const MemoryInsn& insn : {MemoryInsn{Op::kXchg, 8}, MemoryInsn{Op::kXadd, 8, 1, true}}) {
    read(0, insn, at(kText, 0x123456789));
    read(1, {Op::kInc, 2}, at(kText + 6));
    EXPECT_EQ(write(1), End::kThrough);
    EXPECT_EQ(write(0), End::kAgain);
    EXPECT_EQ(machine_.vcpu(0).core(), cpus_[0].before);
  }
}

TEST_F(TwoVcpus, AnExchangeThatHasComparedIsRunAgainOnlyIfItHasWritten) {
  read(0, {Op::kCmpxchg, 8, 1, true}, at(kText, 20, 10));
  read(1, {Op::kInc, 8}, at(kText));
  EXPECT_EQ(write(1), End::kThrough);
  EXPECT_EQ(write(0), End::kAgain);
  EXPECT_EQ(word(), 11u);
  read(0, {Op::kCmpxchg, 8, 1, true}, at(kText, 20, 10));
  read(1, {Op::kInc, 8}, at(kText));
  EXPECT_EQ(write(1), End::kThrough);
  EXPECT_EQ(write(0), End::kThrough);
  EXPECT_EQ(gpr(x86::kRax), 11u);  // which was there when it read
  EXPECT_EQ(word(), 12u);
}

TEST_F(TwoVcpus, WhatIsNotLockedMayLoseWhatOthersWrite) {
  read(0, {Op::kAdd, 8}, at(kText, 1));
  read(1, {Op::kAdd, 8}, at(kText, 5));
  EXPECT_EQ(write(1), End::kThrough);
  EXPECT_EQ(write(0), End::kThrough);
  EXPECT_EQ(word(), 11u);
}

TEST_F(TwoVcpus, AWriteElsewhereIsNotInTheWay) {
  read(0, {Op::kAdd, 8, 1, true}, at(kText, 1));
  read(1, {Op::kMov, 8}, at(kText + 8, 5));
  EXPECT_EQ(write(1), End::kThrough);
  EXPECT_EQ(write(0), End::kThrough);
  EXPECT_EQ(word(), 11u);
}

TEST_F(TwoVcpus, NorIsOneFromBefore) {
  read(1, {Op::kMov, 8}, at(kText, 5));
  EXPECT_EQ(write(1), End::kThrough);
  writes_.begin_next(cpus_[0].state);
  read(0, {Op::kAdd, 8, 1, true}, at(kText, 1));
  EXPECT_EQ(write(0), End::kThrough);
  EXPECT_EQ(word(), 6u);
}

TEST_F(TwoVcpus, NorIsOneOfItsOwn) {
  read(0, {Op::kMov, 8}, at(kText, 5));
  EXPECT_EQ(write(0), End::kThrough);
  read(0, {Op::kAdd, 8, 1, true}, at(kText, 1));
  EXPECT_EQ(write(0), End::kThrough);
  EXPECT_EQ(word(), 6u);
}

TEST_F(TwoVcpus, OneThatReachesIntoTheNextWordIsOvertakenThereToo) {
  read(0, {Op::kAdd, 8, 1, true}, at(kText + 4, 1));
  read(1, {Op::kMov, 1}, at(kText + 8, 5));
  EXPECT_EQ(write(1), End::kThrough);
  EXPECT_EQ(write(0), End::kAgain);
}

TEST_F(TwoVcpus, TheKernelsPokeOvertakesToo) {
  read(0, {Op::kInc, 8, 1, true}, at(kText));
  EXPECT_TRUE(writes_.write_text(machine_.vcpu(1), points_, Gva{kKernel + kText - 3}, Bytes(5, 7)));
  EXPECT_EQ(write(0), End::kAgain);
  EXPECT_EQ(word(), 0x0707u);
}

// Three instructions, of which the second begins at an int3.
class JumpedOver : public GuestWritesTest {
 protected:
  JumpedOver() {
    put(kText, code_);
    insert(kText + 2);
  }
  void poke(const Bytes& data) {
    EXPECT_TRUE(writes_.write_text(machine_.vcpu(0), points_, Gva{kKernel + kText}, data));
  }
  const Bytes code_{0x50, 0x51, 0x52, 0x53, 0x54, 0x55};
  const Bytes seen_{0x50, 0x51, kInt3, 0x53, 0x54};  // what the guest has kept a copy of
  const Bytes jump_{0xe9, 1, 2, 3, 4};
};

TEST_F(JumpedOver, AnInt3MakesRoomAndComesBackWithTheInstructions) {
  poke(jump_);
  EXPECT_THAT(raw(kText, 6), ElementsAre(0xe9, 1, 2, 3, 4, 0x55));
  poke(seen_);
  EXPECT_EQ(own(kText, 6), code_);
  EXPECT_TRUE(view_.stands_at(Gpa{kText + 2}));
}

TEST_F(JumpedOver, TheFirstByteMayComeLast) {
  store_all(kText, {kInt3});
  store_all(kText + 1, {1, 2, 3, 4});
  EXPECT_TRUE(view_.stands_at(Gpa{kText + 2}));
  store_all(kText, {0xe9});
  EXPECT_EQ(raw(kText, 5), jump_);
  store_all(kText, {kInt3});
  store_all(kText + 1, {0x51, kInt3, 0x53, 0x54});
  store_all(kText, {0x50});
  EXPECT_EQ(own(kText, 6), code_);
  EXPECT_TRUE(view_.stands_at(Gpa{kText + 2}));
}

TEST_F(JumpedOver, OthersMayBeRunAloneMeanwhile) {
  store_all(kText, {kInt3});
  store_all(kText + 1, {1, 2, 3, 4});
  view_.lift_all();
  view_.lower_all();
  store_all(kText, {0xe9});
  view_.lift_all();
  view_.lower_all();
  EXPECT_EQ(raw(kText, 5), jump_);
  poke(seen_);
  EXPECT_EQ(own(kText, 6), code_);
}

TEST_F(JumpedOver, OtherInstructionsComeBackAsTheyAre) {
  poke(jump_);
  poke({0x60, 0x61, 0x62, 0x63, 0x64});
  EXPECT_THAT(own(kText, 6), ElementsAre(0x60, 0x61, 0x62, 0x63, 0x64, 0x55));
  EXPECT_TRUE(view_.stands_at(Gpa{kText + 2}));
}

TEST_F(JumpedOver, OnlyWhatTheJumpCoversMakesRoom) {
  insert(kText);
  insert(kText + 5);
  poke({0xe8, 1, 2, 3, 4});
  EXPECT_THAT(raw(kText, 6), ElementsAre(kInt3, 1, 2, 3, 4, kInt3));
  EXPECT_THAT(own(kText, 6), ElementsAre(0xe8, 1, 2, 3, 4, 0x55));
}

TEST_F(JumpedOver, DataThatLooksLikeAJumpDoesNotMakeRoom) {
  store_all(kText, {0xe9, 1});
  store_all(kText, {0xe9, 1, 2, 3});
  EXPECT_TRUE(view_.stands_at(Gpa{kText + 2}));
  store_all(kText, {0x90});
  EXPECT_TRUE(view_.stands_at(Gpa{kText + 2}));
}

TEST_F(JumpedOver, NothingIsPokedWhereMemoryEnds) {
  put(kText, code_);
  EXPECT_FALSE(writes_.write_text(machine_.vcpu(0), points_, Gva{kKernel + fakes::kRamBytes - 2}, jump_));
  EXPECT_EQ(raw(fakes::kRamBytes - 2, 2), (Bytes{0, 0}));
  EXPECT_EQ(rewritten_, 0);
}

}  // namespace
}  // namespace ringside::hub
