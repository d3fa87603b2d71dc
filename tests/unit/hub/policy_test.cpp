#include "stub/hub/policy.hpp"

#include <gmock/gmock.h>

#include "arch/x86/control.hpp"
#include "tests/fakes/fake_machine.hpp"

namespace ringside::hub {
namespace {

using api::Verdict;
using fakes::kCode;
using testing::ElementsAre;

class NobodyListens final : public api::MachineListener {
 public:
  void on_stop(api::StopReport) noexcept override {}
  void on_end(api::GuestEnd, std::string) noexcept override {}
};

class PolicyTest : public testing::Test {
 protected:
  PolicyTest() { EXPECT_TRUE(machine_.start(policy_, listener_)); }
  RunContext& run() { return policy_.context(VcpuId{0}); }
  fakes::FakeVcpu& vcpu() { return machine_.vcpu(0u); }
  void set_points(PointSnapshot points) { run().points = std::make_shared<PointSnapshot>(std::move(points)); }
  Verdict trap(std::uint64_t dr6) { return policy_.on_debug_exit(vcpu(), {.int3 = false, .dr6 = dr6}); }
  Verdict int3() { return policy_.on_debug_exit(vcpu(), {.int3 = true, .dr6 = 0}); }

  fakes::FakeMachine machine_{2};
  Policy policy_{2, machine_.memory()};
  NobodyListens listener_;
};

PointSnapshot slot(std::size_t number, x86::DebugSlot what) {
  PointSnapshot points;
  points.slots[number] = what;
  return points;
}

TEST_F(PolicyTest, WithoutPointsTheDebugHardwareIsOff) {
  policy_.before_run(vcpu());
  EXPECT_EQ(vcpu().wish(), api::DebugWish{});
  EXPECT_EQ(vcpu().core().rflags & x86::rflags::kRf, 0u);
}

TEST_F(PolicyTest, WishesForWhatIsInserted) {
  PointSnapshot points = slot(2, {.at = Gva{kCode}});
  points.int3.insert(Gpa{kCode + 5});
  set_points(points);
  policy_.before_run(vcpu());
  EXPECT_TRUE(vcpu().wish().trap_int3);
  EXPECT_EQ(vcpu().wish().slots, points.slots);
  EXPECT_FALSE(vcpu().wish().step);
}

TEST_F(PolicyTest, StepsWithInterruptsAsTold) {
  run().step = true;
  run().hold_interrupts = false;
  policy_.before_run(vcpu());
  EXPECT_TRUE(vcpu().wish().step);
  EXPECT_FALSE(vcpu().wish().hold_interrupts);
}

TEST_F(PolicyTest, RfIsSetToPassABreakpointThatHasBeenReported) {
  run().pass_breakpoint = true;
  policy_.before_run(vcpu());
  EXPECT_NE(vcpu().core().rflags & x86::rflags::kRf, 0u);
}

TEST_F(PolicyTest, EachVcpuHasAContextOfItsOwn) {
  run().step = true;
  policy_.before_run(machine_.vcpu(1u));
  EXPECT_FALSE(machine_.vcpu(1u).wish().step);
}

TEST_F(PolicyTest, OurInt3Stops) {
  PointSnapshot points;
  points.int3.insert(Gpa{kCode});
  set_points(points);
  EXPECT_EQ(int3(), Verdict::kStop);
  EXPECT_EQ(vcpu().own_int3, 0);
}

TEST_F(PolicyTest, OurInt3StopsThroughAnAliasToo) {
  PointSnapshot points;
  points.int3.insert(Gpa{kCode});
  set_points(points);
  vcpu().set_rip(fakes::kKernel + kCode);
  EXPECT_EQ(int3(), Verdict::kStop);
}

TEST_F(PolicyTest, TheGuestsInt3GoesToTheGuest) {
  PointSnapshot points;
  points.int3.insert(Gpa{kCode + 1});
  set_points(points);
  EXPECT_EQ(int3(), Verdict::kResume);
  EXPECT_EQ(vcpu().own_int3, 1);
}

TEST_F(PolicyTest, AnInt3WhereNoPageIsGoesToTheGuest) {
  vcpu().set_rip(0x7000000);
  EXPECT_EQ(int3(), Verdict::kResume);
  EXPECT_EQ(vcpu().own_int3, 1);
}

TEST_F(PolicyTest, ASlotThatIsOursStops) {
  set_points(slot(1, {Gva{fakes::kData}, 8, x86::WatchKind::kWrite}));
  EXPECT_EQ(trap(x86::dr6::kB1), Verdict::kStop);
}

TEST_F(PolicyTest, ASlotBitThatIsNotOursIsIgnored) {
  set_points(slot(1, {Gva{fakes::kData}, 8, x86::WatchKind::kWrite}));
  EXPECT_EQ(trap(x86::dr6::kB0), Verdict::kResume);  // SDM 3B 17.2.3: may be set without being enabled
  EXPECT_THAT(vcpu().own_traps, ElementsAre(x86::dr6::kB0));
}

TEST_F(PolicyTest, TheGuestsOwnStepGoesToTheGuest) {
  EXPECT_EQ(trap(x86::dr6::kBs), Verdict::kResume);
  EXPECT_THAT(vcpu().own_traps, ElementsAre(x86::dr6::kBs));
}

TEST_F(PolicyTest, OurStepStops) {
  run().step = true;
  EXPECT_EQ(trap(x86::dr6::kBs), Verdict::kStop);
  EXPECT_TRUE(vcpu().own_traps.empty());
}

TEST_F(PolicyTest, AStepInsideItsRangeGoesOnWithoutAsking) {
  run().step = true;
  run().range = GvaRange{Gva{kCode}, Gva{kCode + 4}};
  vcpu().set_rip(kCode + 3);
  EXPECT_EQ(trap(x86::dr6::kBs), Verdict::kResume);
  vcpu().set_rip(kCode + 4);
  EXPECT_EQ(trap(x86::dr6::kBs), Verdict::kStop);
}

TEST_F(PolicyTest, AWatchInsideAStepRangeStops) {
  set_points(slot(0, {Gva{fakes::kData}, 8, x86::WatchKind::kWrite}));
  run().step = true;
  run().range = GvaRange{Gva{kCode}, Gva{kCode + 4}};
  vcpu().set_rip(kCode + 3);
  EXPECT_EQ(trap(x86::dr6::kBs | x86::dr6::kB0), Verdict::kStop);
}

}  // namespace
}  // namespace ringside::hub
