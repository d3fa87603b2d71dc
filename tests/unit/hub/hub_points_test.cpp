// Breakpoints, watchpoints and steps: who stops, and who runs on.
#include "tests/unit/hub/hub_testing.hpp"

namespace ringside::hub {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class HubPoints : public HubTest {
 protected:
  HubPoints() { tracer_ = attach_stopped(); }
  // Five breakpoints: the last, at `at`, is an int3.
  void insert_int3(std::uint64_t at) {
    for (std::uint64_t i = 0; i < 4; ++i) ASSERT_TRUE(insert(*tracer_, hardware(0x9000 + i)));
    ASSERT_TRUE(insert(*tracer_, software(at)));
    ASSERT_EQ(machine_.byte(at), kInt3);
  }
  // incb kData: nothing here can emulate it or copy it, so it is stepped alone.
  void insert_int3_on_increment(std::uint64_t at) {
    machine_.put(at, {0xfe, 0x04, 0x25, 0x00, 0xa0, 0x00, 0x00});
    insert_int3(at);
  }
  std::unique_ptr<RecordingTracer> tracer_;
};

TEST_F(HubPoints, ABreakpointInADebugRegisterIsReportedToItsOwner) {
  ASSERT_TRUE(insert(*tracer_, software(kCode + 3)));
  EXPECT_EQ(machine_.byte(kCode + 3), 0x90);
  resume_all(*tracer_);
  execute(5);
  const auto event = take_stop(*tracer_);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->reason, StopReason::kSoftwareBreak);
  EXPECT_EQ(event->vcpu, VcpuId{0});
  EXPECT_EQ(event->context.core.rip, kCode + 3);
  EXPECT_TRUE(none_running());
}

TEST_F(HubPoints, AHardwareBreakpointIsReportedAsOne) {
  ASSERT_TRUE(insert(*tracer_, hardware(kCode + 0x103)));
  resume_all(*tracer_);
  execute(5);
  const auto event = take_stop(*tracer_);
  EXPECT_EQ(reason(event), StopReason::kHardwareBreak);
  EXPECT_EQ(event->vcpu, VcpuId{1});
}

TEST_F(HubPoints, AnInt3IsReportedAndPassedAndHitAgain) {
  insert_int3(kCode + 3);
  for (int round = 0; round < 3; ++round) {
    resume_all(*tracer_);
    execute(0x50);
    const auto event = take_stop(*tracer_);
    ASSERT_EQ(reason(event), StopReason::kSoftwareBreak);
    ASSERT_EQ(event->context.core.rip, kCode + 3);
    ASSERT_THAT(tracer_->stops, IsEmpty());
  }
}

TEST_F(HubPoints, AnInt3OnASimpleInstructionIsPassedWhileTheOthersRun) {
  insert_int3(kCode + 1);
  resume_all(*tracer_);
  execute(2);
  ASSERT_EQ(reason(take_stop(*tracer_)), StopReason::kSoftwareBreak);
  resume_all(*tracer_);
  EXPECT_TRUE(all_running());
  EXPECT_EQ(vcpu(0).rip(), kCode + 2);
  EXPECT_EQ(machine_.byte(kCode + 1), kInt3);
}

TEST_F(HubPoints, WhatTheGuestHasPatchedSinceIsNotExecutedAsItWas) {
  machine_.put(kCode + 1, {0x66, 0x90});  // of two bytes
  insert_int3(kCode + 1);
  resume_all(*tracer_);
  execute(2);
  ASSERT_EQ(reason(take_stop(*tracer_)), StopReason::kSoftwareBreak);
  machine_.put(kCode + 2, {0xeb});  // the guest makes another instruction of it
  resume_all(*tracer_);
  EXPECT_FALSE(running(1));  // stepped alone, with the guest's bytes
  EXPECT_EQ(vcpu(0).rip(), kCode + 1);
}

TEST_F(HubPoints, WhileOneVcpuIsSteppedOverAnInt3NobodyElseRuns) {
  insert_int3_on_increment(kCode + 1);
  resume_all(*tracer_);
  execute(2);
  ASSERT_EQ(reason(take_stop(*tracer_)), StopReason::kSoftwareBreak);
  resume_all(*tracer_);
  EXPECT_TRUE(running(0));
  EXPECT_FALSE(running(1));
  EXPECT_EQ(machine_.byte(kCode + 1), 0xfe);
  vcpu(0).advance();
  poll();
  EXPECT_EQ(machine_.byte(kCode + 1), kInt3);
  EXPECT_EQ(machine_.byte(kData), 1);
  EXPECT_TRUE(all_running());
}

TEST_F(HubPoints, APauseDuringAStepOverIsNotLost) {
  insert_int3_on_increment(kCode + 1);
  resume_all(*tracer_);
  execute(2);
  take_stop(*tracer_);
  resume_all(*tracer_);
  tracer_->port->interrupt();
  poll();
  EXPECT_THAT(tracer_->stops, IsEmpty());  // one instruction away from it
  vcpu(0).advance();
  poll();
  EXPECT_EQ(reason(take_stop(*tracer_)), StopReason::kNone);
  EXPECT_TRUE(none_running());
  EXPECT_EQ(machine_.byte(kCode + 1), kInt3);
}

TEST_F(HubPoints, DetachingDuringAStepOverLeavesNoInt3) {
  insert_int3(kCode + 1);
  resume_all(*tracer_);
  execute(2);
  take_stop(*tracer_);
  resume_all(*tracer_);
  detach(tracer_);
  vcpu(0).advance();
  poll();
  EXPECT_EQ(machine_.byte(kCode + 1), 0x90);
  EXPECT_TRUE(all_running());
  EXPECT_FALSE(vcpu(0).wish().trap_int3);
}

TEST_F(HubPoints, OnlyTheOwnerStopsAndTheOtherHearsNothing) {
  auto other = attach();
  ASSERT_TRUE(insert(*tracer_, software(kCode + 3)));
  resume_all(*tracer_);
  execute(5);
  EXPECT_THAT(tracer_->stops, SizeIs(1));
  EXPECT_THAT(other->stops, IsEmpty());
  EXPECT_THAT(other->messages, IsEmpty());
}

TEST_F(HubPoints, BothOwnersStopAndTheGuestGoesOnWhenBothSaySo) {
  auto other = attach_stopped();
  ASSERT_TRUE(insert(*tracer_, software(kCode + 3)));
  ASSERT_TRUE(insert(*other, hardware(kCode + 3)));
  resume_all(*tracer_);
  resume_all(*other);
  execute(5);
  EXPECT_EQ(reason(take_stop(*tracer_)), StopReason::kSoftwareBreak);
  EXPECT_EQ(reason(take_stop(*other)), StopReason::kHardwareBreak);
  resume_all(*tracer_);
  EXPECT_TRUE(none_running());
  resume_all(*other);
  execute(1);
  EXPECT_TRUE(all_running());
  EXPECT_THAT(tracer_->stops, IsEmpty());  // the same arrival is not reported twice
}

TEST_F(HubPoints, APointStaysUntilItsLastOwnerLeaves) {
  auto other = attach_stopped();
  insert_int3(kCode + 3);
  ASSERT_TRUE(insert(*other, software(kCode + 3)));
  detach(tracer_);
  EXPECT_TRUE(machine_.byte(kCode + 3) == kInt3 ||
              machine_.byte(kCode + 3) == 0x90);  // int3, or a register now
  resume_all(*other);
  execute(5);
  EXPECT_EQ(reason(take_stop(*other)), StopReason::kSoftwareBreak);
}

TEST_F(HubPoints, AWatchpointIsReportedWithItsAddressAfterTheWrite) {
  machine_.put(kCode, {0xfe, 0x04, 0x25, 0x00, 0xa0, 0, 0});  // inc byte [kData]
  ASSERT_TRUE(insert(*tracer_, watch(kData)));
  resume_all(*tracer_);
  execute(1);
  const auto event = take_stop(*tracer_);
  ASSERT_EQ(reason(event), StopReason::kWriteWatch);
  EXPECT_EQ(event->at, Gva{kData});
  EXPECT_EQ(event->context.core.rip, kCode + 7);
  EXPECT_EQ(machine_.byte(kData), 1);
}

TEST_F(HubPoints, AWatchpointInsideARangeIsReportedWithTheRangesBegin) {
  machine_.put(kCode, {0xfe, 0x04, 0x25, 0x03, 0xa0, 0, 0});
  ASSERT_TRUE(insert(*tracer_, watch(kData, 8)));
  resume_all(*tracer_);
  execute(1);
  EXPECT_EQ(take_stop(*tracer_)->at, Gva{kData});
}

TEST_F(HubPoints, AStepEndsAfterOneInstruction) {
  step(*tracer_, 0);
  EXPECT_FALSE(running(1));
  execute(1);
  const auto event = take_stop(*tracer_);
  ASSERT_EQ(reason(event), StopReason::kStep);
  EXPECT_EQ(event->context.core.rip, kCode + 1);
}

TEST_F(HubPoints, AStepFromAnInt3ExecutesTheInstructionBelowIt) {
  insert_int3(kCode + 1);
  resume_all(*tracer_);
  execute(2);
  take_stop(*tracer_);
  step(*tracer_, 0);
  execute(1);
  const auto event = take_stop(*tracer_);
  ASSERT_EQ(reason(event), StopReason::kStep);
  EXPECT_EQ(event->context.core.rip, kCode + 2);
  EXPECT_THAT(tracer_->stops, IsEmpty());
}

TEST_F(HubPoints, AStepFromADebugRegistersBreakpointPassesIt) {
  ASSERT_TRUE(insert(*tracer_, hardware(kCode + 1)));
  resume_all(*tracer_);
  execute(2);
  take_stop(*tracer_);
  step(*tracer_, 0);
  execute(1);
  const auto event = take_stop(*tracer_);
  EXPECT_EQ(reason(event), StopReason::kStep);
  EXPECT_EQ(event->context.core.rip, kCode + 2);
}

// Some CPUs report both at once, some the breakpoint at the next entry: here it is always at once.
TEST_F(HubPoints, AStepOntoABreakpointMeetsIt) {
  ASSERT_TRUE(insert(*tracer_, hardware(kCode + 1)));
  step(*tracer_, 0);
  execute(1);
  const auto event = take_stop(*tracer_);
  ASSERT_EQ(reason(event), StopReason::kHardwareBreak);
  EXPECT_EQ(event->context.core.rip, kCode + 1);
  step(*tracer_, 0);
  execute(1);
  EXPECT_EQ(reason(take_stop(*tracer_)), StopReason::kStep);  // and is passed: no second hit
}

TEST_F(HubPoints, AStepOntoSomebodyElsesBreakpointIsAStepForOneAndAHitForTheOther) {
  auto other = attach_stopped();
  ASSERT_TRUE(insert(*other, hardware(kCode + 1)));
  resume_all(*other);
  step(*tracer_, 0);
  execute(1);
  EXPECT_EQ(reason(take_stop(*tracer_)), StopReason::kStep);
  EXPECT_EQ(reason(take_stop(*other)), StopReason::kHardwareBreak);
}

TEST_F(HubPoints, ARangeStepEndsOutsideItsRangeWithoutStopsBetween) {
  ASSERT_TRUE(resume(*tracer_, {{VcpuId{0}, Kind::kStepRange, {Gva{kCode}, Gva{kCode + 5}}}}));
  execute(4);
  EXPECT_THAT(tracer_->stops, IsEmpty());
  execute(1);
  EXPECT_EQ(take_stop(*tracer_)->context.core.rip, kCode + 5);
}

TEST_F(HubPoints, ARangeStepStopsAtABreakpointInside) {
  ASSERT_TRUE(insert(*tracer_, software(kCode + 2)));
  ASSERT_TRUE(resume(*tracer_, {{VcpuId{0}, Kind::kStepRange, {Gva{kCode}, Gva{kCode + 5}}}}));
  execute(5);
  const auto event = take_stop(*tracer_);
  EXPECT_EQ(reason(event), StopReason::kSoftwareBreak);
  EXPECT_EQ(event->context.core.rip, kCode + 2);
}

TEST_F(HubPoints, ARangeStepOverAnInt3InsideStopsThere) {
  insert_int3(kCode + 2);
  ASSERT_TRUE(resume(*tracer_, {{VcpuId{0}, Kind::kStepRange, {Gva{kCode}, Gva{kCode + 5}}}}));
  execute(5);
  EXPECT_EQ(reason(take_stop(*tracer_)), StopReason::kSoftwareBreak);
}

TEST_F(HubPoints, ARangeStepThatBeginsOnAnInt3LeavesItsRange) {
  insert_int3(kCode + 1);
  resume_all(*tracer_);
  execute(2);
  take_stop(*tracer_);
  ASSERT_TRUE(resume(*tracer_, {{VcpuId{0}, Kind::kStepRange, {Gva{kCode + 1}, Gva{kCode + 4}}}}));
  execute(6);
  const auto event = take_stop(*tracer_);
  ASSERT_EQ(reason(event), StopReason::kStep);
  EXPECT_EQ(event->context.core.rip, kCode + 4);
}

TEST_F(HubPoints, OneVcpuStepsWhileTheOtherContinues) {
  ASSERT_TRUE(resume(*tracer_, {{VcpuId{0}, Kind::kStep, {}}, {VcpuId{1}, Kind::kContinue, {}}}));
  EXPECT_TRUE(all_running());
  vcpu(1).advance();
  poll();
  EXPECT_THAT(tracer_->stops, IsEmpty());
  vcpu(0).advance();
  poll();
  EXPECT_EQ(reason(take_stop(*tracer_)), StopReason::kStep);
  EXPECT_TRUE(none_running());
}

TEST_F(HubPoints, AStepWhileAnotherHoldsWaitsAndIsDoneThen) {
  auto other = attach_stopped("other");
  step(*tracer_, 0);
  EXPECT_FALSE(running(0));
  EXPECT_THAT(tracer_->messages, SizeIs(1));
  resume_all(*other);
  EXPECT_TRUE(running(0));
  execute(1);
  EXPECT_EQ(reason(take_stop(*tracer_)), StopReason::kStep);
}

TEST_F(HubPoints, AnothersBreakpointDuringMyStepStopsTheOther) {
  auto other = attach_stopped();
  ASSERT_TRUE(insert(*other, hardware(kCode)));
  resume_all(*other);
  step(*tracer_, 0);
  execute(1);
  EXPECT_EQ(reason(take_stop(*other)), StopReason::kHardwareBreak);
  EXPECT_THAT(tracer_->stops, IsEmpty());  // its step has not been done
  resume_all(*other);
  execute(1);
  EXPECT_EQ(reason(take_stop(*tracer_)), StopReason::kStep);
}

TEST_F(HubPoints, StepsHoldInterruptsUnlessTheirTracerSaysOtherwise) {
  step(*tracer_, 0);
  EXPECT_TRUE(vcpu(0).wish().hold_interrupts);
  execute(1);
  take_stop(*tracer_);
  tracer_->port->set_step_holds_interrupts(false);
  step(*tracer_, 0);
  EXPECT_FALSE(vcpu(0).wish().hold_interrupts);
}

TEST_F(HubPoints, ReadsShowTheGuestsBytesWhoeverInserted) {
  insert_int3(kCode + 3);
  auto other = attach();
  EXPECT_THAT(read(*tracer_, kCode + 2, 3), ElementsAre(0x90, 0x90, 0x90));
  EXPECT_THAT(read(*other, kCode + 2, 3), ElementsAre(0x90, 0x90, 0x90));
  EXPECT_THAT(read(*other, fakes::kKernel + kCode + 3, 1), ElementsAre(0x90));
}

TEST_F(HubPoints, InsertingWhileTheGuestRunsParksItForTheMoment) {
  auto other = attach();
  resume_all(*tracer_);
  const int runs = vcpu(1).runs;
  ASSERT_TRUE(insert(*other, hardware(kCode + 0x120)));
  EXPECT_TRUE(all_running());
  EXPECT_EQ(vcpu(1).runs, runs + 1);
  EXPECT_THAT(tracer_->stops, IsEmpty());
  EXPECT_THAT(other->stops, IsEmpty());
  EXPECT_TRUE(vcpu(1).wish().slots[0].has_value());
}

TEST_F(HubPoints, WhatIsThereAlreadyIsInsertedWithoutDisturbance) {
  ASSERT_TRUE(insert(*tracer_, hardware(kCode + 0x120)));
  resume_all(*tracer_);
  const int runs = vcpu(1).runs;
  ASSERT_TRUE(insert(*tracer_, hardware(kCode + 0x120)));
  EXPECT_EQ(vcpu(1).runs, runs);
}

TEST_F(HubPoints, RemovingWhatIsNotThereSucceeds) { EXPECT_TRUE(remove(*tracer_, software(0x1234))); }

TEST_F(HubPoints, AFifthWatchIsTrapped) {
  for (std::uint64_t i = 0; i < 4; ++i) ASSERT_TRUE(insert(*tracer_, watch(kData + i)));
  ASSERT_TRUE(insert(*tracer_, watch(kData + 16)));
  EXPECT_THAT(tracer_->port->describe_points(), HasSubstr("watch 0xa010+1, tracer 1, by trapped writes"));
  machine_.put(kCode, {0xfe, 0x04, 0x25, 0x10, 0xa0, 0, 0});  // inc byte [kData + 16]
  resume_all(*tracer_);
  EXPECT_THAT(machine_.watched, ElementsAre(GpaRange{Gpa{kData}, Gpa{kData + kPageSize}}));
  execute(1);
  ASSERT_EQ(tracer_->stops.size(), 1u);
  EXPECT_EQ(tracer_->stops.front().reason, StopReason::kWriteWatch);
  EXPECT_EQ(tracer_->stops.front().at, Gva{kData + 16});
  EXPECT_EQ(machine_.byte(kData + 16), 1u);
}

TEST_F(HubPoints, AFifthReadWatchIsRefusedAndTheRestStays) {
  const auto reads = [](std::uint64_t at) { return PointSpec{PointKind::kRead, Gva{at}, 1}; };
  for (std::uint64_t i = 0; i < 4; ++i) ASSERT_TRUE(insert(*tracer_, reads(kData + i)));
  const Result<void> refused = insert(*tracer_, reads(kData + 4));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kExhausted);
  EXPECT_THAT(refused.error().text, HasSubstr("tracer 1"));
  EXPECT_THAT(tracer_->port->describe_points(), testing::Not(HasSubstr("0xa004")));
  ASSERT_TRUE(remove(*tracer_, reads(kData)));
  EXPECT_TRUE(insert(*tracer_, reads(kData + 4)));
}

TEST_F(HubPoints, AnAddressThatIsNotMappedIsPendingUntilItIs) {
  for (std::uint64_t i = 0; i < 4; ++i) ASSERT_TRUE(insert(*tracer_, hardware(kCode + 0x800 + i)));
  const Gva there{fakes::kKernel + 0x200000 + kCode + 3};  // the second 2 MiB of the kernel's half
  ASSERT_TRUE(insert(*tracer_, {PointKind::kSoftware, there, 1}));
  EXPECT_THAT(tracer_->port->describe_points(), HasSubstr("nothing is mapped there"));
  EXPECT_TRUE(insert(*tracer_, software(kCode + 9)));
  resume_all(*tracer_);
  EXPECT_EQ(machine_.byte(kCode + 3), 0x90u);
  machine_.memory().put(0x4008, std::uint64_t{0x83});  // the guest maps it, onto the same memory
  tracer_->port->interrupt();
  poll();
  resume_all(*tracer_);
  EXPECT_EQ(machine_.byte(kCode + 3), 0xccu);
  EXPECT_THAT(tracer_->port->describe_points(), testing::Not(HasSubstr("nothing is mapped there")));
}

TEST_F(HubPoints, AnAddressThatIsNotMappedTakesARegister) {
  EXPECT_TRUE(insert(*tracer_, software(0x7000000)));
  EXPECT_THAT(tracer_->port->describe_points(), HasSubstr("break 0x7000000, tracer 1, by debug register"));
}

TEST_F(HubPoints, TheListingNamesOwnersAndMechanisms) {
  auto other = attach();
  insert_int3(kCode + 3);
  ASSERT_TRUE(insert(*other, software(kCode + 3)));
  EXPECT_THAT(other->port->describe_points(),
              HasSubstr("break 0x8003, tracer 1, by int3: 0 hits, 0 stops\nbreak 0x8003, tracer 2, by int3"));
  EXPECT_THAT(other->port->describe_points(), HasSubstr("hbreak 0x9000, tracer 1, by debug register"));
}

TEST_F(HubPoints, TheGuestsOwnInt3IsTheGuests) {
  insert_int3(kCode + 0x20);
  machine_.put(kCode + 1, {kInt3});
  resume_all(*tracer_);
  execute(3);
  EXPECT_THAT(tracer_->stops, IsEmpty());
  EXPECT_EQ(vcpu(0).own_int3, 1);
}

TEST_F(HubPoints, TwoVcpusAtOneInt3AreBothReportedOneAfterTheOther) {
  vcpu(1).set_rip(kCode);
  insert_int3(kCode + 1);
  resume_all(*tracer_);
  vcpu(0).advance();
  vcpu(1).advance();
  vcpu(0).advance();
  vcpu(1).advance();  // both have hit before the hub hears of either
  poll();
  const auto first = take_stop(*tracer_);
  ASSERT_EQ(reason(first), StopReason::kSoftwareBreak);
  EXPECT_THAT(tracer_->stops, IsEmpty());
  resume_all(*tracer_);
  const auto second = take_stop(*tracer_);
  ASSERT_EQ(reason(second), StopReason::kSoftwareBreak);
  EXPECT_NE(first->vcpu, second->vcpu);
  resume_all(*tracer_);
  execute(3);
  EXPECT_THAT(tracer_->stops, IsEmpty());
  EXPECT_GT(vcpu(0).rip(), kCode + 1);
  EXPECT_GT(vcpu(1).rip(), kCode + 1);
}

TEST_F(HubPoints, AnEventThatWaitedIsDroppedWhenItsBreakpointHasGone) {
  vcpu(1).set_rip(kCode);
  insert_int3(kCode + 1);
  resume_all(*tracer_);
  for (int i = 0; i < 2; ++i) vcpu(0).advance(), vcpu(1).advance();
  poll();
  ASSERT_EQ(reason(take_stop(*tracer_)), StopReason::kSoftwareBreak);
  ASSERT_TRUE(remove(*tracer_, software(kCode + 1)));
  resume_all(*tracer_);
  execute(3);
  EXPECT_THAT(tracer_->stops, IsEmpty());
  EXPECT_GT(vcpu(1).rip(), kCode + 1);
}

TEST_F(HubPoints, AnEventThatWaitedIsDroppedWhenItsVcpuHasBeenMoved) {
  vcpu(1).set_rip(kCode);
  insert_int3(kCode + 1);
  resume_all(*tracer_);
  for (int i = 0; i < 2; ++i) vcpu(0).advance(), vcpu(1).advance();
  poll();
  const VcpuId waiting = take_stop(*tracer_)->vcpu == VcpuId{0} ? VcpuId{1} : VcpuId{0};
  const std::uint64_t elsewhere = kCode + 0x20;
  const ByteView rip = bytes_of(elsewhere);
  tracer_->port->write_registers(waiting, {{x86::Reg::kRip, Bytes(rip.begin(), rip.end())}},
                                 [](Result<void>) {});
  poll();
  resume_all(*tracer_);
  EXPECT_THAT(tracer_->stops, IsEmpty());
  execute(3);
  EXPECT_GT(vcpu(waiting.number).rip(), elsewhere);
}

// Tracer 2 lets go of a vCPU on an int3 while the other runs; before that one is parked, tracer 3 takes hold.
TEST_F(HubPoints, AHoldThatComesBeforeAStepOverKeepsTheVcpuWhereItIs) {
  auto owner = attach_stopped();
  insert_int3(kCode + 1);
  ASSERT_TRUE(insert(*owner, software(kCode + 1)));
  resume_all(*owner);
  resume_all(*tracer_);
  execute(2);
  take_stop(*tracer_), take_stop(*owner);
  resume_all(*tracer_);
  ASSERT_TRUE(resume(*owner, {{VcpuId{1}, Kind::kContinue, {}}}));
  ASSERT_TRUE(running(1));
  machine_.prompt = false;
  detach(owner);
  EXPECT_FALSE(running(0));
  auto third = attach();
  bool stopped = false;
  third->port->stop_all([&](Result<StopEvent> event) { stopped = event.has_value(); });
  poll();
  ASSERT_TRUE(vcpu(1).answer_pause());
  poll();
  machine_.prompt = true;
  EXPECT_TRUE(stopped);
  EXPECT_TRUE(none_running());
  EXPECT_EQ(vcpu(0).rip(), kCode + 1);
  resume_all(*third);
  execute(2);
  EXPECT_GT(vcpu(0).rip(), kCode + 1);
  EXPECT_THAT(tracer_->stops, IsEmpty());
}

TEST_F(HubPoints, TwoTracersStepOneVcpuEachByItsOwnMeasure) {
  auto other = attach_stopped();
  ASSERT_TRUE(resume(*tracer_, {{VcpuId{0}, Kind::kStepRange, {Gva{kCode}, Gva{kCode + 3}}}}));
  step(*other, 0);
  execute(1);
  EXPECT_EQ(reason(take_stop(*other)), StopReason::kStep);
  EXPECT_THAT(tracer_->stops, IsEmpty());
  resume_all(*other);
  execute(2);
  const auto event = take_stop(*tracer_);
  ASSERT_EQ(reason(event), StopReason::kStep);
  EXPECT_EQ(event->context.core.rip, kCode + 3);
}

// gdb takes all its breakpoints out at a stop and puts them back before it goes on.
TEST_F(HubPoints, AnEventThatWaitedWhileItsBreakpointWasOutComesAgain) {
  vcpu(1).set_rip(kCode);
  insert_int3(kCode + 1);
  resume_all(*tracer_);
  for (int i = 0; i < 2; ++i) vcpu(0).advance(), vcpu(1).advance();
  poll();
  const auto first = take_stop(*tracer_);
  ASSERT_TRUE(first);
  ASSERT_TRUE(remove(*tracer_, software(kCode + 1)));
  step(*tracer_, first->vcpu.number);
  execute(1);
  ASSERT_EQ(reason(take_stop(*tracer_)), StopReason::kStep);
  ASSERT_TRUE(insert(*tracer_, software(kCode + 1)));
  resume_all(*tracer_);
  execute(1);
  const auto second = take_stop(*tracer_);
  ASSERT_EQ(reason(second), StopReason::kSoftwareBreak);
  EXPECT_NE(second->vcpu, first->vcpu);
}

TEST_F(HubPoints, ABreakpointWhereTheVcpuWasPutByHandIsHit) {
  ASSERT_TRUE(insert(*tracer_, hardware(kCode + 1)));
  resume_all(*tracer_);
  execute(2);
  take_stop(*tracer_);
  const std::uint64_t elsewhere = kCode + 0x20;
  ASSERT_TRUE(insert(*tracer_, hardware(elsewhere)));
  bool written = false;
  const ByteView rip = bytes_of(elsewhere);
  tracer_->port->write_registers(VcpuId{0}, {{x86::Reg::kRip, Bytes(rip.begin(), rip.end())}},
                                 [&](Result<void> done) { written = done.has_value(); });
  poll();
  ASSERT_TRUE(written);
  resume_all(*tracer_);
  execute(1);
  EXPECT_EQ(take_stop(*tracer_)->context.core.rip, elsewhere);
}

}  // namespace
}  // namespace ringside::hub
