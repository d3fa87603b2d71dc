// What two tracers do to each other, as docs/attach-model.md has it; rows that other files test are not here.
#include "tests/unit/hub/hub_testing.hpp"

namespace ringside::hub {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class HubConflicts : public HubTest {
 protected:
  HubConflicts() : HubTest(2, false) {
    first_ = attach("first");
    second_ = attach("second");
  }
  std::uint64_t rax(RecordingTracer& tracer) {
    std::uint64_t value = 0;
    tracer.port->read_registers(VcpuId{0}, x86::RegGroup::kCore, [&](Result<const x86::RegisterFile*> file) {
      if (file) value = (*file)->u64(x86::Reg::kRax);
    });
    poll();
    return value;
  }
  std::unique_ptr<RecordingTracer> first_;
  std::unique_ptr<RecordingTracer> second_;
};

TEST_F(HubConflicts, WhatOneWritesTheOtherReadsWhenItNextLooks) {
  stop_all(*first_);
  stop_all(*second_);
  ASSERT_EQ(rax(*second_), 0u);
  const std::uint64_t value = 0x1122334455667788;
  const ByteView bytes = bytes_of(value);
  first_->port->write_registers(VcpuId{0}, {{x86::Reg::kRax, Bytes(bytes.begin(), bytes.end())}},
                                [](Result<void> done) { EXPECT_TRUE(done); });
  first_->port->write_memory(VcpuId{0}, tracer::AddressSpace::kVirtual, Gva{kData}, {1, 2, 3},
                             [](Result<void> done) { EXPECT_TRUE(done); });
  poll();
  EXPECT_EQ(rax(*second_), value);
  EXPECT_EQ(read(*second_, kData, 3), (Bytes{1, 2, 3}));
  EXPECT_THAT(second_->stops, IsEmpty());
}

TEST_F(HubConflicts, RegistersOfAVcpuThatIsNotHeldAreNotWritten) {
  std::optional<std::string> refusal;
  second_->port->write_registers(VcpuId{0}, {{x86::Reg::kRax, Bytes(8)}}, [&](Result<void> done) {
    if (!done) refusal = done.error().text;
  });
  poll();
  EXPECT_EQ(refusal, "CPU 0 is running; stop it to change its registers");
}

TEST_F(HubConflicts, AWriteOverTheOthersBreakpointGoesBelowIt) {
  stop_all(*first_);
  for (std::uint64_t i = 0; i < 4; ++i) ASSERT_TRUE(insert(*first_, watch(kData + i)));
  ASSERT_TRUE(insert(*first_, software(kCode + 3)));
  second_->port->write_memory(VcpuId{0}, tracer::AddressSpace::kVirtual, Gva{kCode + 3}, {0xf4},
                              [](Result<void> done) { EXPECT_TRUE(done); });
  poll();
  EXPECT_EQ(machine_.byte(kCode + 3), kInt3);
  EXPECT_EQ(read(*first_, kCode + 3, 1), Bytes{0xf4});
  detach(first_);
  EXPECT_EQ(machine_.byte(kCode + 3), 0xf4);
}

TEST_F(HubConflicts, InterruptFromBothIsOneStopForEach) {
  machine_.prompt = false;
  first_->port->interrupt();
  second_->port->interrupt();
  first_->port->interrupt();
  poll();
  vcpu(0).answer_pause();
  vcpu(1).answer_pause();
  poll();
  EXPECT_THAT(first_->stops, SizeIs(1));
  EXPECT_THAT(second_->stops, SizeIs(1));
  resume_all(*first_);
  EXPECT_TRUE(none_running());
  resume_all(*second_);
  EXPECT_TRUE(all_running());
}

TEST_F(HubConflicts, ATracerThatLeavesInTheMiddleOfItsStepTakesTheStepAlong) {
  ASSERT_TRUE(insert(*second_, software(kCode + 5)));
  stop_all(*first_);
  step(*first_, 0);
  ASSERT_TRUE(vcpu(0).wish().step);
  detach(first_);
  execute(6);
  EXPECT_EQ(reason(take_stop(*second_)), StopReason::kSoftwareBreak);
  EXPECT_THAT(second_->stops, IsEmpty());
  EXPECT_FALSE(vcpu(1).wish().step);
}

TEST_F(HubConflicts, ATracerThatLeavesWhileItsStepWaitsForTheOtherLeavesNothing) {
  stop_all(*first_);
  stop_all(*second_);
  step(*first_, 0);
  detach(first_);
  resume_all(*second_);
  EXPECT_TRUE(all_running());
  EXPECT_FALSE(vcpu(0).wish().step);
}

// The vCPU is out of the guest already, and the hub has not heard of it.
TEST_F(HubConflicts, ABreakpointRemovedWhileItIsBeingHitIsVoid) {
  for (const bool in_memory : {false, true}) {
    for (std::uint64_t i = 0; in_memory && i < 4; ++i) ASSERT_TRUE(insert(*second_, watch(kData + i)));
    ASSERT_TRUE(insert(*first_, software(kCode + 3)));
    vcpu(0).set_rip(kCode + 3);
    ASSERT_FALSE(vcpu(0).advance());
    ASSERT_TRUE(remove(*first_, software(kCode + 3)));
    EXPECT_THAT(first_->stops, IsEmpty());
    EXPECT_TRUE(all_running());
    execute(1);
    EXPECT_EQ(vcpu(0).rip(), kCode + 4);
    EXPECT_EQ(machine_.byte(kCode + 3), 0x90);
  }
}

TEST_F(HubConflicts, ABreakpointThatOneRemovesWhileItIsBeingHitIsStillTheOthers) {
  ASSERT_TRUE(insert(*first_, software(kCode + 3)));
  ASSERT_TRUE(insert(*second_, software(kCode + 3)));
  vcpu(0).set_rip(kCode + 3);
  ASSERT_FALSE(vcpu(0).advance());
  ASSERT_TRUE(remove(*first_, software(kCode + 3)));
  EXPECT_THAT(first_->stops, IsEmpty());
  EXPECT_EQ(reason(take_stop(*second_)), StopReason::kSoftwareBreak);
}

TEST_F(HubConflicts, AHitThatIsVoidForOneIsNotToldToTheOtherAgain) {
  vcpu(1).set_rip(kCode);
  ASSERT_TRUE(insert(*first_, software(kCode + 1)));
  ASSERT_TRUE(insert(*second_, software(kCode + 1)));
  for (int i = 0; i < 2; ++i) vcpu(0).advance(), vcpu(1).advance();
  poll();
  ASSERT_THAT(first_->stops, SizeIs(1));
  ASSERT_THAT(second_->stops, SizeIs(1));
  resume_all(*second_);  // hears of the second vCPU
  ASSERT_THAT(second_->stops, SizeIs(2));
  ASSERT_TRUE(remove(*first_, software(kCode + 1)));
  resume_all(*first_);
  resume_all(*second_);
  execute(3);
  EXPECT_THAT(first_->stops, SizeIs(1));
  EXPECT_THAT(second_->stops, SizeIs(2));
}

TEST_F(HubConflicts, AtOneBreakpointNonStopHoldsItsVcpuAndAllStopHoldsAll) {
  first_->port->set_non_stop(true);
  ASSERT_TRUE(insert(*first_, software(kCode + 3)));
  ASSERT_TRUE(insert(*second_, software(kCode + 3)));
  execute(5);
  EXPECT_EQ(reason(take_stop(*first_)), StopReason::kSoftwareBreak);
  EXPECT_EQ(reason(take_stop(*second_)), StopReason::kSoftwareBreak);
  EXPECT_TRUE(none_running());
  EXPECT_EQ(second_->port->vcpu_note(VcpuId{0}), "held by tracer 1, 2");
  EXPECT_EQ(second_->port->vcpu_note(VcpuId{1}), "held by tracer 2");
  resume_all(*second_);
  EXPECT_FALSE(running(0));
  EXPECT_TRUE(running(1));
  EXPECT_THAT(second_->messages, testing::ElementsAre(HasSubstr("held CPU 0 by tracer 1")));
  resume_all(*first_);
  EXPECT_TRUE(all_running());
}

TEST_F(HubConflicts, ContinueInNonStopWaitsForAnAllStopTracerAndIsToldSo) {
  first_->port->set_non_stop(true);
  first_->port->stop({VcpuId{0}});
  poll();
  take_stop(*first_);
  stop_all(*second_);
  resume_all(*first_);
  EXPECT_TRUE(none_running());
  EXPECT_THAT(first_->messages, testing::ElementsAre(HasSubstr("held CPU 0 by tracer 2")));
  resume_all(*second_);
  EXPECT_TRUE(all_running());
}

TEST_F(HubConflicts, OneThatHangsHoldsOnlyWhatItHoldsAndTheOtherMayStopAndLookAsBefore) {
  first_->port->set_non_stop(true);
  first_->port->stop({VcpuId{0}});
  poll();  // and is not heard of again
  EXPECT_TRUE(running(1));
  EXPECT_TRUE(stop_all(*second_));
  EXPECT_EQ(read(*second_, kCode, 1), Bytes{0x90});
  step(*second_, 1);
  execute(1);
  EXPECT_EQ(reason(take_stop(*second_)), StopReason::kStep);
  EXPECT_TRUE(second_->port->release(first_->port->id()));
  resume_all(*second_);
  EXPECT_TRUE(all_running());
}

TEST_F(HubConflicts, TheGuestsEndIsToldToOneWhoWaitsAndToOneWhoStands) {
  stop_all(*second_);
  machine_.end(api::GuestEnd::kPowerOff, "off");
  poll();
  EXPECT_EQ(first_->ended, "off");
  EXPECT_EQ(second_->ended, "off");
  EXPECT_FALSE(resume(*second_, {{VcpuId{0}, Kind::kContinue, {}}}));
}

}  // namespace
}  // namespace ringside::hub
