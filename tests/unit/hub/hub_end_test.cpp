// Dead vCPUs, the guest's end, reset: nobody is left hanging, and no evidence goes.
#include "tests/unit/hub/hub_testing.hpp"

namespace ringside::hub {
namespace {

using api::GuestEnd;
using api::StopCause;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class HubEnd : public HubTest {};
class HubUntraced : public HubTest {
 protected:
  HubUntraced() : HubTest(2, false) {}
};

TEST_F(HubUntraced, ATripleFaultThatNobodyWatchesEndsTheGuestWithItsRegisters) {
  vcpu(0).stop(StopCause::kTripleFault, "triple fault");
  poll();
  ASSERT_THAT(ends_, SizeIs(1));
  EXPECT_EQ(ends_[0].first, GuestEnd::kTripleFault);
  EXPECT_THAT(ends_[0].second, HasSubstr("CPU 0: triple fault"));
  EXPECT_THAT(ends_[0].second, HasSubstr("rip 0000000000008000"));
}

TEST_F(HubUntraced, AFailureOfKvmEndsTheGuestAsOne) {
  vcpu(1).stop(StopCause::kFailure, "KVM could not emulate an instruction");
  poll();
  ASSERT_THAT(ends_, SizeIs(1));
  EXPECT_EQ(ends_[0].first, GuestEnd::kFailure);
  EXPECT_THAT(ends_[0].second, HasSubstr("KVM could not emulate"));
}

TEST_F(HubUntraced, ThePowerOffOfAGuestThatNobodyWatchesIsToldOnce) {
  machine_.end(GuestEnd::kPowerOff);
  machine_.end(GuestEnd::kReboot);
  poll();
  ASSERT_THAT(ends_, SizeIs(1));
  EXPECT_EQ(ends_[0].first, GuestEnd::kPowerOff);
}

TEST_F(HubEnd, EveryTracerHearsOfATripleFaultAndTheGuestStaysForThem) {
  auto first = attach_stopped();
  auto second = attach();
  resume_all(*first);
  vcpu(1).stop(StopCause::kTripleFault, "triple fault");
  poll();
  for (RecordingTracer* tracer : {first.get(), second.get()}) {
    const auto event = take_stop(*tracer);
    ASSERT_EQ(reason(event), StopReason::kTripleFault);
    EXPECT_EQ(event->vcpu, VcpuId{1});
    EXPECT_THAT(event->detail, HasSubstr("triple fault"));
  }
  EXPECT_THAT(ends_, IsEmpty());
  EXPECT_TRUE(none_running());
}

TEST_F(HubEnd, ResumingADeadVcpuTellsOfItsDeathAgain) {
  auto tracer = attach_stopped();
  resume_all(*tracer);
  vcpu(1).stop(StopCause::kTripleFault, "triple fault");
  poll();
  take_stop(*tracer);
  const int runs = vcpu(1).runs;
  resume_all(*tracer);
  EXPECT_EQ(reason(take_stop(*tracer)), StopReason::kTripleFault);
  EXPECT_EQ(vcpu(1).runs, runs);
}

// Nothing may be let go for it, or the answer waits for that to stop again.
TEST_F(HubEnd, ResumingADeadVcpuTogetherWithOthersLetsNothingGo) {
  auto tracer = attach_stopped();
  resume_all(*tracer);
  vcpu(0).stop(StopCause::kTripleFault, "triple fault");
  poll();
  take_stop(*tracer);
  for (int round = 0; round < 2; ++round) {
    resume_all(*tracer);
    const auto stop = take_stop(*tracer);
    ASSERT_EQ(reason(stop), StopReason::kTripleFault);
    EXPECT_EQ(stop->vcpu, VcpuId{0});
    EXPECT_TRUE(none_running());
  }
}

TEST_F(HubEnd, TheOthersMayRunOnWithoutTheDeadOne) {
  auto tracer = attach_stopped();
  resume_all(*tracer);
  vcpu(1).stop(StopCause::kTripleFault, "triple fault");
  poll();
  take_stop(*tracer);
  ASSERT_TRUE(resume(*tracer, {{VcpuId{0}, Kind::kContinue, {}}}));
  EXPECT_TRUE(running(0));
}

TEST_F(HubEnd, ADeadVcpuCanStillBeRead) {
  auto tracer = attach_stopped();
  resume_all(*tracer);
  vcpu(1).stop(StopCause::kTripleFault, "triple fault");
  poll();
  EXPECT_EQ(read(*tracer, kCode, 1, 1).size(), 1u);
  bool answered = false;
  tracer->port->read_registers(VcpuId{1}, x86::RegGroup::kCore,
                               [&](Result<const x86::RegisterFile*> file) { answered = file.has_value(); });
  poll();
  EXPECT_TRUE(answered);
  EXPECT_EQ(tracer->port->vcpu_note(VcpuId{1}), "triple fault");
}

TEST_F(HubEnd, WhenTheLastTracerLeavesADeadGuestItEnds) {
  auto first = attach_stopped();
  auto second = attach();
  resume_all(*first);
  vcpu(1).stop(StopCause::kTripleFault, "triple fault");
  poll();
  detach(first);
  EXPECT_THAT(ends_, IsEmpty());
  detach(second);
  ASSERT_THAT(ends_, SizeIs(1));
  EXPECT_EQ(ends_[0].first, GuestEnd::kTripleFault);
}

TEST_F(HubEnd, WhoAttachesAfterADeathSeesTheGuestAndHearsOfItWhenItGoesOn) {
  auto first = attach_stopped();
  resume_all(*first);
  vcpu(1).stop(StopCause::kTripleFault, "triple fault");
  poll();
  auto late = attach_stopped();
  resume_all(*late);
  EXPECT_EQ(reason(take_stop(*late)), StopReason::kTripleFault);
}

TEST_F(HubEnd, AVcpuThatDiesWhileSteppedOverAnInt3LeavesTheInt3InPlace) {
  auto tracer = attach_stopped();
  for (std::uint64_t i = 0; i < 4; ++i) ASSERT_TRUE(insert(*tracer, hardware(0x9000 + i)));
  ASSERT_TRUE(insert(*tracer, software(kCode + 1)));
  resume_all(*tracer);
  execute(2);
  take_stop(*tracer);
  resume_all(*tracer);
  vcpu(0).stop(StopCause::kTripleFault, "triple fault");
  poll();
  EXPECT_EQ(machine_.byte(kCode + 1), kInt3);
  EXPECT_EQ(reason(take_stop(*tracer)), StopReason::kTripleFault);
}

TEST_F(HubEnd, TheGuestsEndIsToldToAllAndStopsNobodysQuestions) {
  auto first = attach_stopped();
  auto second = attach();
  resume_all(*first);
  machine_.end(GuestEnd::kPowerOff, "it switched itself off");
  poll();
  EXPECT_EQ(first->ended, "it switched itself off");
  EXPECT_EQ(second->ended, "it switched itself off");
  EXPECT_THAT(ends_, SizeIs(1));
  EXPECT_THAT(first->stops, IsEmpty());
}

TEST_F(HubEnd, AStopThatWasOnItsWayIsNotToldAfterTheEnd) {
  machine_.prompt = false;
  auto tracer = attach_stopped();
  resume_all(*tracer);
  tracer->port->interrupt();
  machine_.end(GuestEnd::kPowerOff);
  poll();
  vcpu(0).answer_pause();
  vcpu(1).answer_pause();
  poll();
  EXPECT_TRUE(tracer->ended.has_value());
  EXPECT_THAT(tracer->stops, IsEmpty());
}

TEST_F(HubEnd, AfterTheEndStopsAndResumesAreGone) {
  auto tracer = attach_stopped();
  resume_all(*tracer);
  machine_.end(GuestEnd::kPowerOff);
  poll();
  std::optional<Errc> stop_error;
  tracer->port->stop_all([&](Result<StopEvent> event) {
    if (!event) stop_error = event.error().code;
  });
  poll();
  EXPECT_EQ(stop_error, Errc::kGone);
  const Result<void> resumed = resume(*tracer, {{VcpuId{0}, Kind::kContinue, {}}});
  ASSERT_FALSE(resumed);
  EXPECT_EQ(resumed.error().code, Errc::kGone);
  tracer->port->interrupt();
  poll();
  EXPECT_THAT(tracer->stops, IsEmpty());
}

TEST_F(HubEnd, AnEndWhileAStopIsAwaitedAnswersIt) {
  machine_.prompt = false;
  auto tracer = attach_stopped();
  resume_all(*tracer);
  std::optional<Errc> answer;
  tracer->port->stop_all([&](Result<StopEvent> event) {
    if (!event) answer = event.error().code;
  });
  poll();
  machine_.end(GuestEnd::kPowerOff);
  poll();
  EXPECT_EQ(answer, Errc::kGone);
}

// Leaves at the first thing that it is told.
class Leaver final : public tracer::Events {
 public:
  void on_stop(const StopEvent&) override { port.reset(); }
  void on_guest_end(std::string) override { port.reset(); }
  void on_message(const std::string&) override { port.reset(); }
  void on_print(const std::string&) override {}

  std::unique_ptr<tracer::Port> port;
};

TEST_F(HubEnd, TracersThatLeaveWhenTheyHearOfTheEndLeaveTheOthersTheirNews) {
  machine_.prompt = false;
  Leaver asks, listens;
  asks.port = std::move(*hub_.attach("asks", asks));
  listens.port = std::move(*hub_.attach("listens", listens));
  auto last = attach();
  bool answered = false;
  asks.port->stop_all([&](Result<StopEvent>) {
    answered = true;
    asks.port.reset();
  });
  machine_.end(GuestEnd::kPowerOff, "off");
  poll();
  EXPECT_TRUE(answered);
  EXPECT_EQ(listens.port, nullptr);
  EXPECT_EQ(last->ended, "off");
}

TEST_F(HubEnd, ATracerThatLeavesOnWhatItsResumeTellsItIsGone) {
  Leaver leaver;
  leaver.port = std::move(*hub_.attach("leaver", leaver));
  auto other = attach_stopped();
  leaver.port->stop_all([](Result<StopEvent>) {});
  resume_all(*other);
  EXPECT_TRUE(leaver.port->resume({{VcpuId{0}, Kind::kContinue, {}}, {VcpuId{1}, Kind::kContinue, {}}}));
  vcpu(1).stop(StopCause::kTripleFault, "triple fault");
  poll();
  EXPECT_EQ(leaver.port, nullptr);

  Leaver again;
  again.port = std::move(*hub_.attach("again", again));
  again.port->stop_all([](Result<StopEvent>) {});
  static_cast<void>(again.port->resume({{VcpuId{1}, Kind::kContinue, {}}}));
  EXPECT_EQ(again.port, nullptr) << "told of the death while it resumed";
  EXPECT_THAT(other->port->describe_tracers(), testing::StartsWith("2 test"));
}

TEST_F(HubEnd, QuitEndsTheGuestForEverybody) {
  auto first = attach_stopped();
  auto second = attach();
  EXPECT_TRUE(first->port->quit_machine());
  poll();
  ASSERT_THAT(ends_, SizeIs(1));
  EXPECT_EQ(ends_[0].first, GuestEnd::kQuit);
  EXPECT_TRUE(second->ended.has_value());
}

TEST_F(HubEnd, ResetBringsTheFirstInstructionBackAndKeepsPointsAndTracers) {
  auto tracer = attach_stopped();
  ASSERT_TRUE(insert(*tracer, software(kCode + 3)));
  resume_all(*tracer);
  execute(5);
  take_stop(*tracer);
  bool done = false;
  tracer->port->reset_machine([&](Result<void> reset) { done = reset.has_value(); });
  poll();
  ASSERT_TRUE(done);
  EXPECT_EQ(machine_.resets, 1);
  EXPECT_EQ(vcpu(0).rip(), kCode);
  EXPECT_TRUE(none_running());
  resume_all(*tracer);
  execute(5);
  const auto event = take_stop(*tracer);
  EXPECT_EQ(reason(event), StopReason::kSoftwareBreak);
  EXPECT_EQ(event->context.core.rip, kCode + 3);
}

TEST_F(HubEnd, ResetPutsInt3IntoTheNewRam) {
  auto tracer = attach_stopped();
  for (std::uint64_t i = 0; i < 4; ++i) ASSERT_TRUE(insert(*tracer, hardware(0x9000 + i)));
  resume_all(*tracer);  // RAM is remembered as it is at the first run
  ASSERT_TRUE(stop_all(*tracer));
  ASSERT_TRUE(insert(*tracer, software(kCode + 3)));
  machine_.put(kData, {0x55});
  tracer->port->reset_machine([](Result<void>) {});
  poll();
  EXPECT_EQ(machine_.byte(kData), 0);
  EXPECT_EQ(machine_.byte(kCode + 3), kInt3);
  EXPECT_EQ(read(*tracer, kCode + 3, 1), Bytes{0x90});
}

TEST_F(HubEnd, ResetRevivesADeadVcpu) {
  auto tracer = attach_stopped();
  resume_all(*tracer);
  vcpu(1).stop(StopCause::kTripleFault, "triple fault");
  poll();
  take_stop(*tracer);
  tracer->port->reset_machine([](Result<void>) {});
  poll();
  resume_all(*tracer);
  EXPECT_TRUE(all_running());
  EXPECT_THAT(tracer->stops, IsEmpty());
}

TEST_F(HubEnd, ResetWhileAnotherTracersGuestRunsLetsItRunAgain) {
  auto first = attach_stopped();
  resume_all(*first);
  auto second = attach();
  bool done = false;
  second->port->reset_machine([&](Result<void> reset) { done = reset.has_value(); });
  poll();
  EXPECT_TRUE(done);
  EXPECT_TRUE(all_running());
  EXPECT_EQ(vcpu(0).rip(), kCode);
}

TEST_F(HubEnd, EventsThatWaitedDoNotOutliveAReset) {
  auto tracer = attach_stopped();
  vcpu(1).set_rip(kCode);
  ASSERT_TRUE(insert(*tracer, hardware(kCode + 1)));
  resume_all(*tracer);
  for (int i = 0; i < 2; ++i) vcpu(0).advance(), vcpu(1).advance();
  poll();
  take_stop(*tracer);
  tracer->port->reset_machine([](Result<void>) {});
  poll();
  resume_all(*tracer);
  EXPECT_THAT(tracer->stops, IsEmpty());
  EXPECT_TRUE(all_running());
}

TEST_F(HubEnd, AStepThatWaitedDoesNotOutliveAReset) {
  auto tracer = attach_stopped();
  ASSERT_TRUE(resume(*tracer, {{VcpuId{0}, Kind::kStep, {}}, {VcpuId{1}, Kind::kStep, {}}}));
  vcpu(0).advance();
  vcpu(1).advance();
  poll();
  ASSERT_EQ(reason(take_stop(*tracer)), StopReason::kStep);
  tracer->port->reset_machine([](Result<void>) {});
  poll();
  resume_all(*tracer);
  EXPECT_THAT(tracer->stops, IsEmpty());
}

TEST_F(HubEnd, AResetThatFailsIsAnswered) {
  auto tracer = attach_stopped();
  machine_.reset_fails = Error{Errc::kSystem, "no memory"};
  std::optional<std::string> text;
  tracer->port->reset_machine([&](Result<void> reset) {
    if (!reset) text = reset.error().text;
  });
  poll();
  EXPECT_EQ(text, "no memory");
}

}  // namespace
}  // namespace ringside::hub
