#include "tests/unit/hub/hub_testing.hpp"

namespace ringside::hub {
namespace {

class HubNonStop : public HubTest {
 protected:
  HubNonStop() : HubTest(2, false) {}
  std::unique_ptr<RecordingTracer> attach_non_stop(const char* label = "non-stop") {
    auto tracer = attach(label);
    tracer->port->set_non_stop(true);
    return tracer;
  }
};

TEST_F(HubNonStop, ABreakpointStopsItsOwnVcpuOnly) {
  auto tracer = attach_non_stop();
  ASSERT_TRUE(insert(*tracer, software(kCode + 3)));
  execute(6);
  const auto stop = take_stop(*tracer);
  EXPECT_EQ(reason(stop), StopReason::kSoftwareBreak);
  EXPECT_EQ(stop->vcpu, VcpuId{0});
  EXPECT_FALSE(running(0));
  EXPECT_TRUE(running(1));
  EXPECT_TRUE(tracer->stops.empty());
}

TEST_F(HubNonStop, AVcpuIsStoppedWhenAskedAndTheOtherRunsOn) {
  auto tracer = attach_non_stop();
  tracer->port->stop({VcpuId{1}});
  poll();
  const auto stop = take_stop(*tracer);
  EXPECT_EQ(reason(stop), StopReason::kNone);
  EXPECT_EQ(stop->vcpu, VcpuId{1});
  EXPECT_TRUE(running(0));
  EXPECT_FALSE(running(1));
}

TEST_F(HubNonStop, StoppingWhatStandsAlreadyTellsNothing) {
  auto tracer = attach_non_stop();
  tracer->port->stop({VcpuId{1}});
  poll();
  take_stop(*tracer);
  tracer->port->stop({VcpuId{1}});
  poll();
  EXPECT_TRUE(tracer->stops.empty());
}

TEST_F(HubNonStop, StopAllAnswersWithOneAndTellsOfTheRest) {
  auto tracer = attach_non_stop();
  const auto first = stop_all(*tracer);
  ASSERT_TRUE(first);
  const auto second = take_stop(*tracer);
  ASSERT_TRUE(second);
  EXPECT_NE(first->vcpu, second->vcpu);
  EXPECT_TRUE(tracer->stops.empty());
  EXPECT_TRUE(none_running());
}

TEST_F(HubNonStop, EachVcpuIsResumedByItself) {
  auto tracer = attach_non_stop();
  stop_all(*tracer);
  EXPECT_TRUE(resume(*tracer, {{VcpuId{1}, Kind::kContinue, {}}}));
  EXPECT_FALSE(running(0));
  EXPECT_TRUE(running(1));
}

TEST_F(HubNonStop, AStepEndsWhileTheOtherVcpuRuns) {
  auto tracer = attach_non_stop();
  tracer->port->stop({VcpuId{0}});
  poll();
  take_stop(*tracer);
  const auto before = vcpu(0).rip();
  step(*tracer, 0);
  execute(1);
  const auto stop = take_stop(*tracer);
  EXPECT_EQ(reason(stop), StopReason::kStep);
  EXPECT_EQ(vcpu(0).rip(), before + 1);
  EXPECT_TRUE(running(1));
}

TEST_F(HubNonStop, BothVcpusHitAndBothAreTold) {
  auto tracer = attach_non_stop();
  ASSERT_TRUE(insert(*tracer, software(kCode + 3)));
  ASSERT_TRUE(insert(*tracer, software(kCode + 0x103)));
  execute(6);
  ASSERT_EQ(tracer->stops.size(), 2u);
  EXPECT_NE(tracer->stops[0].vcpu, tracer->stops[1].vcpu);
}

TEST_F(HubNonStop, ResumingWhatRunsIsPassedOver) {
  auto tracer = attach_non_stop();
  EXPECT_TRUE(resume(*tracer, {{VcpuId{0}, Kind::kStep, {}}}));
  execute(3);
  EXPECT_TRUE(tracer->stops.empty());
  EXPECT_TRUE(all_running());
}

TEST_F(HubNonStop, BesideAnAllStopTracerEachHasItsOwnWay) {
  auto single = attach_non_stop();
  auto whole = attach("all-stop");
  ASSERT_TRUE(insert(*single, software(kCode + 3)));
  ASSERT_TRUE(insert(*whole, software(kCode + 0x105)));
  execute(4);
  ASSERT_EQ(single->stops.size(), 1u);
  EXPECT_TRUE(whole->stops.empty());
  EXPECT_TRUE(running(1));
  execute(4);
  ASSERT_EQ(whole->stops.size(), 1u);
  EXPECT_EQ(whole->stops[0].vcpu, VcpuId{1});
  EXPECT_EQ(single->stops.size(), 1u);
  EXPECT_TRUE(none_running());
}

TEST_F(HubNonStop, ItsEndReleasesTheOneVcpu) {
  auto tracer = attach_non_stop();
  tracer->port->stop({VcpuId{0}});
  poll();
  ASSERT_FALSE(running(0));
  detach(tracer);
  EXPECT_TRUE(all_running());
}

TEST_F(HubNonStop, ATripleFaultIsToldOfEveryVcpu) {
  auto tracer = attach_non_stop();
  vcpu(0).stop(api::StopCause::kTripleFault, "triple fault");
  poll();
  ASSERT_EQ(tracer->stops.size(), 2u);
  EXPECT_TRUE(none_running());
}

TEST_F(HubNonStop, AStuckTracersHoldsCanBeTakenAway) {
  auto stuck = attach_stopped("stuck");
  auto other = attach("other");
  EXPECT_TRUE(none_running());
  EXPECT_TRUE(other->port->release(stuck->port->id()));
  poll();
  EXPECT_TRUE(all_running());
  EXPECT_EQ(stuck->messages.size(), 1u);
  EXPECT_TRUE(resume(*stuck, {{VcpuId{0}, Kind::kContinue, {}}}));  // its session is as good as before
}

TEST_F(HubNonStop, ReleasingNobodyIsAnError) {
  auto tracer = attach();
  EXPECT_FALSE(tracer->port->release(TracerId{99}));
  EXPECT_FALSE(tracer->port->release(tracer->port->id()));
}

}  // namespace
}  // namespace ringside::hub
