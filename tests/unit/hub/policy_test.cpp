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
  Verdict exit(api::DebugExit how) { return policy_.on_debug_exit(vcpu(), how); }
  Verdict trap(std::uint64_t dr6) { return exit({.int3 = false, .dr6 = dr6}); }
  Verdict int3() { return exit({.int3 = true, .dr6 = 0}); }
  Verdict start(std::uint32_t number = 0) {
    api::DebugExit how;
    return policy_.before_run(machine_.vcpu(number), how);
  }

  fakes::FakeMachine machine_{2};
  std::vector<std::string> printed_;
  Policy policy_{2, machine_.memory(), [this](TracerId who, std::string_view text) {
                   printed_.push_back(std::to_string(who.number) + ": " + std::string(text));
                 }};
  NobodyListens listener_;
};

Place::Wish wish(std::uint32_t owner = 1, std::shared_ptr<const PointActions> actions = nullptr) {
  return {TracerId{owner}, PointKind::kSoftware, {std::move(actions), std::make_shared<PointCounters>()}};
}

PointSnapshot int3_at(std::uint64_t where, std::vector<Place::Wish> wishes = {wish()},
                      std::uint8_t original = 0x90) {
  auto site = std::make_shared<Site>();
  site->original = original;
  site->places = {{Gva{where}, wishes, {}}, {Gva{fakes::kKernel + where}, wishes, {}}};
  PointSnapshot points;
  points.int3.emplace_back(Gpa{where}, site);
  return points;
}

PointSnapshot slot(std::size_t number, x86::DebugSlot what) {
  PointSnapshot points;
  points.slots[number] = what;
  return points;
}

TEST_F(PolicyTest, WithoutPointsTheDebugHardwareIsOff) {
  start();
  EXPECT_EQ(vcpu().wish(), api::DebugWish{});
  EXPECT_EQ(vcpu().core().rflags & x86::rflags::kRf, 0u);
}

TEST_F(PolicyTest, WishesForWhatIsInserted) {
  PointSnapshot points = slot(2, {.at = Gva{kCode}});
  points.int3 = int3_at(kCode + 5).int3;
  set_points(points);
  start();
  EXPECT_TRUE(vcpu().wish().trap_int3);
  EXPECT_EQ(vcpu().wish().slots, points.slots);
  EXPECT_FALSE(vcpu().wish().step);
}

TEST_F(PolicyTest, StepsWithInterruptsAsTold) {
  run().step = true;
  run().hold_interrupts = false;
  start();
  EXPECT_TRUE(vcpu().wish().step);
  EXPECT_FALSE(vcpu().wish().hold_interrupts);
}

TEST_F(PolicyTest, RfIsSetToPassABreakpointThatHasBeenReported) {
  run().pass_breakpoint = true;
  start();
  EXPECT_NE(vcpu().core().rflags & x86::rflags::kRf, 0u);
}

TEST_F(PolicyTest, EachVcpuHasAContextOfItsOwn) {
  run().step = true;
  start(1);
  EXPECT_FALSE(machine_.vcpu(1u).wish().step);
}

TEST_F(PolicyTest, OurInt3Stops) {
  set_points(int3_at(kCode));
  EXPECT_EQ(int3(), Verdict::kStop);
  EXPECT_EQ(vcpu().own_int3, 0);
}

TEST_F(PolicyTest, OurInt3StopsThroughAnAliasToo) {
  set_points(int3_at(kCode));
  vcpu().set_rip(fakes::kKernel + kCode);
  EXPECT_EQ(int3(), Verdict::kStop);
}

TEST_F(PolicyTest, TheGuestsInt3GoesToTheGuest) {
  set_points(int3_at(kCode + 1));
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
