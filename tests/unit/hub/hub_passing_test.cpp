// A vCPU that is to pass a breakpoint, and what may come between.
#include "tests/unit/hub/hub_testing.hpp"

namespace ringside::hub {
namespace {

using testing::IsEmpty;

class HubPassing : public HubTest {
 protected:
  HubPassing() : HubTest(1) { tracer_ = attach_stopped(); }
  void insert_int3(std::uint64_t at) {
    for (std::uint64_t i = 0; i < 4; ++i) ASSERT_TRUE(insert(*tracer_, watch(kData + i)));
    ASSERT_TRUE(insert(*tracer_, software(at)));
    ASSERT_EQ(machine_.byte(at), kInt3);
  }
  void run_to(std::uint64_t at) {
    resume_all(*tracer_);
    execute(0x50);
    ASSERT_EQ(take_stop(*tracer_)->context.core.rip, at);
  }
  void move_to(std::uint64_t at) {
    const ByteView rip = bytes_of(at);
    tracer_->port->write_registers(VcpuId{0}, {{x86::Reg::kRip, Bytes(rip.begin(), rip.end())}},
                                   [](Result<void> done) { EXPECT_TRUE(done); });
    poll();
  }
  std::unique_ptr<RecordingTracer> tracer_;
};

TEST_F(HubPassing, TheGuestsOwnInt3BelowOursGoesToTheGuestOnce) {
  machine_.put(kCode + 2, {kInt3});
  insert_int3(kCode + 2);
  run_to(kCode + 2);
  resume_all(*tracer_);
  execute(3);
  EXPECT_EQ(vcpu(0).own_int3, 1);
  EXPECT_GT(vcpu(0).rip(), kCode + 2);
  EXPECT_THAT(tracer_->stops, IsEmpty());
}

TEST_F(HubPassing, AWriteWhereAVcpuIsSteppedOverAnInt3IsSeenByTheGuest) {
  machine_.put(kCode + 1, {0xfe, 0x04, 0x25, 0x00, 0xa0, 0x00, 0x00});  // incb kData: stepped alone
  insert_int3(kCode + 1);
  run_to(kCode + 1);
  resume_all(*tracer_);
  ASSERT_EQ(machine_.byte(kCode + 1), 0xfe);
  auto other = attach();
  bool written = false;
  other->port->write_memory(VcpuId{0}, tracer::AddressSpace::kPhysical, Gva{kCode + 1}, {0xf4},
                            [&](Result<void> done) { written = done.has_value(); });
  EXPECT_TRUE(written);
  EXPECT_EQ(machine_.byte(kCode + 1), 0xf4);
  EXPECT_EQ(read(*other, kCode + 1, 1), Bytes{0xf4});
  execute(1);
  EXPECT_EQ(machine_.byte(kCode + 1), kInt3);
  EXPECT_EQ(read(*other, kCode + 1, 1), Bytes{0xf4});
  EXPECT_THAT(tracer_->stops, IsEmpty());
}

// The instruction has led somewhere else, to a handler that could not be waited for.
TEST_F(HubPassing, AnotherBreakpointIsMetWhileOneIsLifted) {
  machine_.put(kCode + 1, {0xfe, 0x04, 0x25, 0x00, 0xa0, 0x00, 0x00});  // incb kData: stepped alone
  insert_int3(kCode + 1);
  ASSERT_TRUE(insert(*tracer_, software(kCode + 0x20)));
  run_to(kCode + 1);
  resume_all(*tracer_);
  ASSERT_EQ(machine_.byte(kCode + 1), 0xfe);
  vcpu(0).set_rip(kCode + 0x20);
  execute(1);
  EXPECT_EQ(vcpu(0).own_int3, 0);
  EXPECT_EQ(machine_.byte(kCode + 1), kInt3);
  ASSERT_EQ(tracer_->stops.size(), 1u);
  EXPECT_EQ(take_stop(*tracer_)->context.core.rip, kCode + 0x20);
}

TEST_F(HubPassing, AnotherOneThatNobodyWantsIsPassedAndTheFirstIsMetAgain) {
  machine_.put(kCode + 1, {0xfe, 0x04, 0x25, 0x00, 0xa0, 0x00, 0x00});
  insert_int3(kCode + 1);
  auto never = std::make_shared<PointActions>();
  never->conditions.push_back(agent::Program::verify(Bytes{0x22, 0x00, 0x27}).value());
  ASSERT_TRUE(insert(*tracer_, software(kCode + 0x20), never));
  run_to(kCode + 1);
  resume_all(*tracer_);
  vcpu(0).set_rip(kCode + 0x20);
  execute(1);
  EXPECT_EQ(vcpu(0).own_int3, 0);
  EXPECT_THAT(tracer_->stops, IsEmpty());
  EXPECT_EQ(vcpu(0).rip(), kCode + 0x21);
  EXPECT_EQ(machine_.byte(kCode + 1), kInt3);
  vcpu(0).set_rip(kCode + 1);  // the handler's way back
  execute(1);
  EXPECT_EQ(take_stop(*tracer_)->context.core.rip, kCode + 1);
}

// Continued, and stopped before the first instruction: RF is set for the place where it stood.
TEST_F(HubPassing, MovedByHandBeforeItHasPassedItMeetsTheBreakpointThere) {
  ASSERT_TRUE(insert(*tracer_, hardware(kCode + 1)));
  ASSERT_TRUE(insert(*tracer_, hardware(kCode + 5)));
  run_to(kCode + 1);
  resume_all(*tracer_);
  stop_all(*tracer_);
  move_to(kCode + 5);
  resume_all(*tracer_);
  execute(1);
  ASSERT_EQ(tracer_->stops.size(), 1u);
  EXPECT_EQ(take_stop(*tracer_)->context.core.rip, kCode + 5);
}

TEST_F(HubPassing, OneArrivalIsToldOnceThoughItsBreakpointHasBecomeAnInt3) {
  ASSERT_TRUE(insert(*tracer_, software(kCode + 1)));
  run_to(kCode + 1);
  resume_all(*tracer_);
  auto other = attach();
  for (std::uint64_t i = 0; i < 4; ++i) ASSERT_TRUE(insert(*other, watch(kData + i)));
  execute(2);
  EXPECT_EQ(machine_.byte(kCode + 1), kInt3);
  EXPECT_THAT(tracer_->stops, IsEmpty());
  EXPECT_GT(vcpu(0).rip(), kCode + 1);
}

}  // namespace
}  // namespace ringside::hub
