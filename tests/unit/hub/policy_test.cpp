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
  Policy policy_{2,
                 machine_.memory(),
                 [this](TracerId who, std::string_view text) {
                   printed_.push_back(std::to_string(who.number) + ": " + std::string(text));
                 },
                 {.busy = [] {}, .rewritten = [] {}}};
  NobodyListens listener_;
};

Place::Wish wish(std::uint32_t owner = 1, std::shared_ptr<const PointActions> actions = nullptr) {
  return {TracerId{owner}, PointKind::kSoftware, {std::move(actions), std::make_shared<PointCounters>()}};
}

PointSnapshot int3_at(std::uint64_t where, std::vector<Place::Wish> wishes = {wish()},
                      std::uint8_t original = 0x90) {
  auto site = std::make_shared<Site>();
  site->original = original;
  site->places = {{Gva{where}, wishes, {}, false}, {Gva{fakes::kKernel + where}, wishes, {}, false}};
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
  machine_.put(kCode, {0xcc});
  EXPECT_EQ(int3(), Verdict::kResume);
  EXPECT_EQ(vcpu().own_int3, 1);  // injected: there is no gate at which the vCPU could be caught
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

// An IDT at kIdt: #BP, #GP, #PF lead to kHandler and so on.  Steps of one vCPU, exits made up.
class PolicySteps : public PolicyTest {
 protected:
  static constexpr std::uint64_t kIdt = 0xc000, kHandler = 0xd000, kStack = 0xe000;

  PolicySteps() {
    vcpu().registers.set_u64(x86::Reg::kIdtrBase, kIdt);
    vcpu().registers.set_u64(x86::Reg::kIdtrLimit, 0xfff);
    for (const unsigned vector : {3u, 13u, 14u}) {
      machine_.memory().put(kIdt + vector * 16, (handler(vector) & 0xffff) | 0x8e00'0010'0000);
    }
    run().step = true;
    set_flags(x86::rflags::kAlways1);
  }
  static std::uint64_t handler(unsigned vector) { return kHandler + vector * 16; }
  void set_flags(std::uint64_t rflags) {
    x86::CoreRegs core = vcpu().core();
    core.rflags = rflags;
    core.gpr[x86::kRsp] = kStack;
    vcpu().set_core(core);
  }
  // The vCPU has gone to a handler: rip, cs, rflags, rsp, ss on the stack.
  void take_gate(unsigned vector, std::uint64_t saved_rip, bool error_code) {
    const std::uint64_t frame[] = {saved_rip, 0x10, 0x102, kStack, 0x18};
    x86::CoreRegs core = vcpu().core();
    core.gpr[x86::kRsp] = kStack - sizeof frame;
    for (std::size_t i = 0; i < std::size(frame); ++i) {
      machine_.memory().put(core.gpr[x86::kRsp] + 8 * i, frame[i]);
    }
    if (error_code) core.gpr[x86::kRsp] -= 8;
    core.rip = handler(vector);
    vcpu().set_core(core);
  }
  std::uint64_t saved_flags() { return *machine_.memory().load_at<std::uint64_t>(Gpa{kStack - 24}); }
  std::uint64_t slot_of(unsigned vector) {
    for (unsigned i = 0; i < 4; ++i) {
      const auto& slot = vcpu().wish().slots[i];
      if (slot && slot->at == Gva{handler(vector)}) return x86::bit(i);
    }
    return 0;
  }
};

TEST_F(PolicySteps, WaitAtTheLikelyHandlers) {
  start();
  EXPECT_TRUE(vcpu().wish().step);
  EXPECT_NE(slot_of(14), 0u);
  EXPECT_NE(slot_of(13), 0u);
}

TEST_F(PolicySteps, EndAtAHandlerWithTfTakenOutOfTheFrame) {
  start();
  const std::uint64_t bit = slot_of(14);
  take_gate(14, kCode, true);
  api::DebugExit how{.int3 = false, .dr6 = bit};
  EXPECT_EQ(policy_.on_debug_exit(vcpu(), how), Verdict::kStop);
  EXPECT_EQ(how.dr6, x86::dr6::kBs);  // a step's end, and no hit of a slot that somebody else may have
  EXPECT_EQ(saved_flags(), 2u);
}

TEST_F(PolicySteps, LeaveAFrameAloneThatIsNotTheInstructions) {
  start();
  const std::uint64_t bit = slot_of(14);
  take_gate(14, kCode + 0x1000, true);
  EXPECT_EQ(trap(bit), Verdict::kStop);
  EXPECT_EQ(saved_flags(), 0x102u);
}

TEST_F(PolicySteps, LeaveTheGuestsOwnTfAlone) {
  set_flags(x86::rflags::kAlways1 | x86::rflags::kTf);
  start();
  const std::uint64_t bit = slot_of(14);
  take_gate(14, kCode, true);
  EXPECT_EQ(trap(bit), Verdict::kStop);
  EXPECT_EQ(saved_flags(), 0x102u);
}

TEST_F(PolicySteps, TakeRegistersFromBreakpointsButNotFromWatchpoints) {
  PointSnapshot points;
  points.slots[0] = x86::DebugSlot{Gva{fakes::kData}, 8, x86::WatchKind::kWrite};
  for (std::size_t i = 1; i < 4; ++i) {
    points.slots[i] = x86::DebugSlot{.at = Gva{kCode + 0x10 * i}};
    points.slot_places[i] = std::make_shared<Place>(Place{Gva{kCode + 0x10 * i}, {wish()}, {}});
  }
  const auto first = points.slots[0];
  set_points(points);
  start();
  EXPECT_EQ(vcpu().wish().slots[0], first);
  EXPECT_NE(slot_of(14), 0u);
  EXPECT_NE(slot_of(13), 0u);
  run().step = false;
  start();
  EXPECT_EQ(vcpu().wish().slots, points.slots);
}

TEST_F(PolicySteps, KeepTheRegisterOfABreakpointHereThatHasNotBeenMet) {
  PointSnapshot points;
  for (std::size_t i = 0; i < 4; ++i) {
    points.slots[i] = x86::DebugSlot{.at = Gva{kCode}};
    points.slot_places[i] = std::make_shared<Place>(Place{Gva{kCode}, {wish()}, {}});
  }
  set_points(points);
  start();
  EXPECT_EQ(vcpu().wish().slots, points.slots);
  run().pass_breakpoint = true;
  start();
  EXPECT_NE(slot_of(14), 0u);
}

TEST_F(PolicySteps, DoNotWaitWhereTheyBegin) {
  vcpu().set_rip(handler(14));
  start();
  EXPECT_EQ(slot_of(14), 0u);
  EXPECT_NE(slot_of(13), 0u);
}

TEST_F(PolicySteps, AreAsGoodAsOverWhereADebugRegisterWaits) {
  start();
  EXPECT_FALSE(policy_.unfinished(vcpu()));  // not begun: a pause may come first
  take_gate(14, kCode, true);
  EXPECT_TRUE(policy_.unfinished(vcpu()));
  vcpu().set_rip(kHandler + 0x800);
  EXPECT_FALSE(policy_.unfinished(vcpu()));  // who knows where: a pause must not wait for it
}

TEST_F(PolicySteps, OfTheGuestsOwnInt3AreSeenByNobody) {
  run().step = false;
  set_points(int3_at(kCode + 1));
  machine_.put(kCode, {0xcc});
  start();
  EXPECT_EQ(int3(), Verdict::kResume);
  EXPECT_EQ(vcpu().own_int3, 0);
  EXPECT_FALSE(vcpu().wish().trap_int3);
  EXPECT_TRUE(vcpu().wish().step);
  EXPECT_TRUE(vcpu().wish().hold_interrupts);
  const std::uint64_t bit = slot_of(3);
  take_gate(3, kCode + 1, false);
  EXPECT_EQ(trap(bit), Verdict::kResume);
  EXPECT_EQ(saved_flags(), 2u);
  EXPECT_TRUE(vcpu().wish().trap_int3);
  EXPECT_FALSE(vcpu().wish().step);
}

TEST_F(PolicySteps, OfAnInt3ThatHasBeenPatchedAwayEndBehindWhatIsThereNow) {
  run().step = false;
  set_points(int3_at(kCode + 1));
  start();
  EXPECT_EQ(int3(), Verdict::kResume);  // the guest's code is a nop again
  vcpu().set_rip(kCode + 1);
  EXPECT_EQ(trap(x86::dr6::kBs), Verdict::kResume);
  EXPECT_EQ(vcpu().own_int3, 0);
  EXPECT_THAT(vcpu().own_traps, testing::IsEmpty());
  EXPECT_TRUE(vcpu().wish().trap_int3);
}

}  // namespace
}  // namespace ringside::hub
