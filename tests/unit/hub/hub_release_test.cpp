// monitor release: another tracer's holds are taken away, and its session goes on.
#include "tests/unit/hub/hub_testing.hpp"

namespace ringside::hub {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

class HubRelease : public HubTest {
 protected:
  HubRelease() : HubTest(2, false) {
    stuck_ = attach("stuck");
    helper_ = attach("helper");
  }
  void release() {
    EXPECT_TRUE(helper_->port->release(stuck_->port->id()));
    poll();
  }
  std::unique_ptr<RecordingTracer> stuck_;
  std::unique_ptr<RecordingTracer> helper_;
};

TEST_F(HubRelease, LetsTheGuestRunAndTellsTheTracerByWhom) {
  stop_all(*stuck_);
  release();
  EXPECT_TRUE(all_running());
  EXPECT_THAT(stuck_->messages, testing::ElementsAre("tracer 2 has taken your holds away: the guest runs"));
}

TEST_F(HubRelease, AStopThatIsOnItsWayIsNotTakenAway) {
  machine_.prompt = false;
  stuck_->port->interrupt();
  poll();
  EXPECT_FALSE(helper_->port->release(stuck_->port->id()));
  vcpu(0).answer_pause();
  vcpu(1).answer_pause();
  poll();
  EXPECT_EQ(reason(take_stop(*stuck_)), StopReason::kNone);
}

TEST_F(HubRelease, WhatHitsMeanwhileIsToldWhenTheTracerGoesOn) {
  ASSERT_TRUE(insert(*stuck_, software(kCode + 3)));
  stop_all(*stuck_);
  release();
  execute(5);
  EXPECT_TRUE(none_running());
  EXPECT_THAT(stuck_->stops, IsEmpty());  // it has not gone on yet
  resume_all(*stuck_);
  const auto stop = take_stop(*stuck_);
  ASSERT_EQ(reason(stop), StopReason::kSoftwareBreak);
  EXPECT_EQ(stop->context.core.rip, kCode + 3);
}

TEST_F(HubRelease, WhatHitsMeanwhileIsToldInNonStopToo) {
  stuck_->port->set_non_stop(true);
  ASSERT_TRUE(insert(*stuck_, software(kCode + 3)));
  stuck_->port->stop({VcpuId{0}});
  poll();
  take_stop(*stuck_);
  release();
  execute(5);
  resume_all(*stuck_);
  EXPECT_EQ(reason(take_stop(*stuck_)), StopReason::kSoftwareBreak);
  EXPECT_FALSE(running(0));
}

TEST_F(HubRelease, WhatWasNotToldBeforeIsNotToldAfter) {
  vcpu(1).set_rip(kCode);
  ASSERT_TRUE(insert(*stuck_, hardware(kCode + 1)));
  for (int i = 0; i < 2; ++i) vcpu(0).advance(), vcpu(1).advance();
  poll();
  ASSERT_THAT(stuck_->stops, SizeIs(1));
  release();
  execute(3);
  resume_all(*stuck_);
  EXPECT_THAT(stuck_->stops, SizeIs(1)) << "where a vCPU stood before the guest ran on";
}

TEST_F(HubRelease, AnEventOfAVcpuThatTheTracerHasNotResumedIsAStopOfItsOwn) {
  ASSERT_TRUE(insert(*stuck_, software(kCode + 0x103)));
  stop_all(*stuck_);
  ASSERT_TRUE(resume(*stuck_, {{VcpuId{0}, Kind::kContinue, {}}}));
  release();
  execute(5);
  const auto stop = take_stop(*stuck_);
  ASSERT_EQ(reason(stop), StopReason::kSoftwareBreak);
  EXPECT_EQ(stop->vcpu, VcpuId{1});
}

TEST_F(HubRelease, AStepFromWhereTheGuestNoLongerIsShowsWhereItIs) {
  stop_all(*stuck_);
  release();
  execute(3);
  step(*stuck_, 0);
  const auto stop = take_stop(*stuck_);
  ASSERT_EQ(reason(stop), StopReason::kNone);
  EXPECT_EQ(stop->context.core.rip, kCode + 3);
  step(*stuck_, 0);
  execute(1);
  EXPECT_EQ(take_stop(*stuck_)->context.core.rip, kCode + 4);
}

TEST_F(HubRelease, AStepOfOneVcpuIsNoDifferentInNonStop) {
  stuck_->port->set_non_stop(true);
  stuck_->port->stop({VcpuId{0}});
  poll();
  take_stop(*stuck_);
  release();
  execute(3);
  step(*stuck_, 0);
  EXPECT_EQ(take_stop(*stuck_)->context.core.rip, kCode + 3);
}

}  // namespace
}  // namespace ringside::hub
