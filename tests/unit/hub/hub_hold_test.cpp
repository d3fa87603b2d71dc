// Attach, stop, resume, detach: who holds what, and who hears of it.
#include "tests/unit/hub/hub_testing.hpp"

namespace ringside::hub {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class HubHold : public HubTest {};

class HubNotHeld : public HubTest {
 protected:
  HubNotHeld() : HubTest(2, false) {}
};

TEST_F(HubNotHeld, RunsFromTheStartWhenNobodyIsWaitedFor) { EXPECT_TRUE(all_running()); }

TEST_F(HubHold, NobodyRunsBeforeTheFirstTracerResumes) {
  EXPECT_TRUE(none_running());
  auto tracer = attach();
  poll();
  EXPECT_TRUE(none_running());
  ASSERT_TRUE(stop_all(*tracer));
  EXPECT_EQ(vcpu(0).runs, 0);
  resume_all(*tracer);
  EXPECT_TRUE(all_running());
}

TEST_F(HubHold, TheFirstStopShowsTheFirstInstruction) {
  auto tracer = attach();
  const auto event = stop_all(*tracer);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->vcpu, VcpuId{0});
  EXPECT_EQ(event->reason, StopReason::kNone);
  EXPECT_EQ(event->context.core.rip, kCode);
}

TEST_F(HubHold, TheFirstTracersDetachLetsTheGuestGo) {
  auto tracer = attach_stopped();
  detach(tracer);
  EXPECT_TRUE(all_running());
}

TEST_F(HubHold, ATracerThatLeavesWithoutStoppingLeavesTheGuestWaiting) {
  auto tracer = attach();
  detach(tracer);
  EXPECT_TRUE(none_running());  // --wait waits for one that says something
}

TEST_F(HubHold, StopIsAnsweredOnceAllAreParked) {
  machine_.prompt = false;
  auto tracer = attach_stopped();
  resume_all(*tracer);
  bool answered = false;
  tracer->port->stop_all([&](Result<StopEvent> event) { answered = event.has_value(); });
  poll();
  EXPECT_TRUE(vcpu(0).pause_asked());
  EXPECT_TRUE(vcpu(1).pause_asked());
  vcpu(1).answer_pause();
  poll();
  EXPECT_FALSE(answered);
  vcpu(0).answer_pause();
  poll();
  EXPECT_TRUE(answered);
  EXPECT_EQ(vcpu(0).pauses, 1);
}

TEST_F(HubHold, InterruptIsAnsweredByAStopWithoutReason) {
  auto tracer = attach_stopped();
  resume_all(*tracer);
  tracer->port->interrupt();
  poll();
  EXPECT_EQ(reason(take_stop(*tracer)), StopReason::kNone);
  EXPECT_TRUE(none_running());
}

TEST_F(HubHold, InterruptWhenStoppedDoesNothing) {
  auto tracer = attach_stopped();
  tracer->port->interrupt();
  poll();
  EXPECT_THAT(tracer->stops, IsEmpty());
}

TEST_F(HubHold, ASecondInterruptWhileStoppingGivesOneStop) {
  machine_.prompt = false;
  auto tracer = attach_stopped();
  resume_all(*tracer);
  tracer->port->interrupt();
  tracer->port->interrupt();
  poll();
  vcpu(0).answer_pause();
  vcpu(1).answer_pause();
  poll();
  EXPECT_THAT(tracer->stops, SizeIs(1));
}

TEST_F(HubHold, ResumeWhenNotStoppedIsBusy) {
  auto tracer = attach_stopped();
  resume_all(*tracer);
  const Result<void> again = resume(*tracer, {{VcpuId{0}, Kind::kContinue, {}}});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Errc::kBusy);
}

TEST_F(HubHold, AVcpuThatIsNotNamedStaysHeld) {
  auto tracer = attach_stopped();
  ASSERT_TRUE(resume(*tracer, {{VcpuId{1}, Kind::kContinue, {}}}));
  EXPECT_FALSE(running(0));
  EXPECT_TRUE(running(1));
}

TEST_F(HubHold, TwoTracersMustBothLetGo) {
  auto first = attach_stopped("first");
  auto second = attach_stopped("second");
  resume_all(*first);
  EXPECT_TRUE(none_running());
  resume_all(*second);
  EXPECT_TRUE(all_running());
}

TEST_F(HubHold, WhoHasToWaitIsToldForWhomAndOnlyOnce) {
  auto first = attach_stopped("first");
  auto second = attach_stopped("the second");
  resume_all(*first);
  ASSERT_THAT(first->messages, SizeIs(1));
  EXPECT_THAT(first->messages[0], HasSubstr("held"));
  EXPECT_THAT(first->messages[0], HasSubstr("tracer 2 (the second)"));
  resume_all(*second);
  EXPECT_THAT(second->messages, IsEmpty());
}

TEST_F(HubHold, OneTracersStopIsNotTheOthers) {
  auto first = attach_stopped();
  auto second = attach();
  resume_all(*first);
  first->port->interrupt();
  poll();
  EXPECT_THAT(first->stops, SizeIs(1));
  EXPECT_THAT(second->stops, IsEmpty());
}

TEST_F(HubHold, DetachingReleasesItsOwnHoldsOnly) {
  auto first = attach_stopped();
  auto second = attach_stopped();
  detach(first);
  EXPECT_TRUE(none_running());
  detach(second);
  EXPECT_TRUE(all_running());
}

TEST_F(HubHold, DetachingWhileStoppingLetsTheGuestRunOn) {
  machine_.prompt = false;
  auto tracer = attach_stopped();
  resume_all(*tracer);
  bool called = false;
  tracer->port->stop_all([&](Result<StopEvent>) { called = true; });
  poll();
  vcpu(0).answer_pause();
  detach(tracer);
  vcpu(1).answer_pause();
  poll();
  EXPECT_TRUE(all_running());
  EXPECT_FALSE(called);
}

TEST_F(HubHold, AttachTwiceGivesDifferentNumbersAlways) {
  auto first = attach();
  EXPECT_EQ(first->port->id(), TracerId{1});
  detach(first);
  auto second = attach();
  EXPECT_EQ(second->port->id(), TracerId{2});
}

TEST_F(HubHold, ThereIsALimitOfTracers) {
  std::vector<std::unique_ptr<RecordingTracer>> many;
  for (int i = 0; i < 64; ++i) many.push_back(attach());
  RecordingTracer one_more;
  const auto refused = hub_.attach("one more", one_more);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kExhausted);
}

TEST_F(HubHold, ExitsAreCountedForEachCpu) {
  auto tracer = attach();
  vcpu(1).left_guest = 12345;
  EXPECT_EQ(tracer->port->describe_exits(), "CPU 0 exits 0\nCPU 1 exits 12345\n");
}

TEST_F(HubHold, NotesAndListingsSayWhoHoldsWhat) {
  auto first = attach_stopped("first");
  auto second = attach("second");
  EXPECT_EQ(second->port->vcpu_note(VcpuId{1}), "held by tracer 1");
  EXPECT_THAT(second->port->describe_tracers(), HasSubstr("1 first points 0 holds CPU 0,1"));
  EXPECT_THAT(second->port->describe_tracers(), HasSubstr("2 second points 0 holds nothing"));
  resume_all(*first);
  EXPECT_EQ(second->port->vcpu_note(VcpuId{1}), "running");
}

TEST_F(HubHold, ACallbackMayCallBack) {
  auto tracer = attach_stopped();
  int stops = 0;
  std::function<void(Result<StopEvent>)> again = [&](Result<StopEvent> event) {
    ASSERT_TRUE(event);
    if (++stops == 5) return;
    ASSERT_TRUE(tracer->port->resume({{VcpuId{0}, Kind::kContinue, {}}}));
    tracer->port->stop_all([&](Result<StopEvent> next) { again(std::move(next)); });
  };
  tracer->port->stop_all([&](Result<StopEvent> event) { again(std::move(event)); });
  poll();
  EXPECT_EQ(stops, 5);
}

}  // namespace
}  // namespace ringside::hub
