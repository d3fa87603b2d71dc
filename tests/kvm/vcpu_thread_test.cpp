// VcpuThread: every run() is answered by exactly one on_stop(), wherever the guest is.
#include "vmm/run/vcpu_thread.hpp"

#include <future>
#include <thread>

#include <gtest/gtest.h>

#include "tests/kvm/tiny_machine.hpp"

namespace ringside::test {
namespace {

using namespace std::chrono_literals;
using api::StopCause;
using api::StopReport;

// Wishes for what the test says, and reports every debug exit.
class FixedPolicy final : public api::DebugPolicy {
 public:
  api::Verdict before_run(api::VcpuAccess& vcpu, api::DebugExit&) noexcept override {
    ++runs;
    vcpu.set_debug(wish);
    return api::Verdict::kResume;
  }
  api::Verdict on_debug_exit(api::VcpuAccess& vcpu, api::DebugExit& exit) noexcept override {
    if (hand_back && exit.int3 && vcpu.reinject_int3()) return api::Verdict::kResume;
    return api::Verdict::kStop;
  }
  api::DebugWish wish;  // changed only while the vCPU is parked
  bool hand_back = false;
  std::atomic<int> runs{0};
};

class VcpuThread : public testing::Test {
 protected:
  static constexpr TinyGuest::Shape kPlain{};
  static constexpr TinyGuest::Shape kWithChips{.mode = TinyGuest::Mode::kLong,
                                               .chips = TinyGuest::Chips::kIrqchip};

  void boot(const Code& code, const TinyGuest::Shape& shape = kPlain) {
    machine_.emplace(system_, code, shape);
    ASSERT_TRUE(machine_->start(policy_, reports_));
  }
  run::VcpuThread& vcpu() { return machine_->vcpu(VcpuId{0}); }

  StopReport run_to_stop() {
    vcpu().run();
    return stop();
  }
  StopReport stop() {
    std::optional<StopReport> report = reports_.next();
    EXPECT_TRUE(report.has_value()) << "no stop came";
    return report.value_or(StopReport{});
  }
  // On the vCPU's thread, and its answer.
  template <typename F>
  auto ask(F question) {
    std::promise<std::invoke_result_t<F, api::VcpuAccess&>> answer;
    auto future = answer.get_future();
    vcpu().post([&](api::VcpuAccess& access) { answer.set_value(question(access)); });
    return future.get();
  }
  std::uint64_t rip() {
    return ask([](api::VcpuAccess& access) { return access.core().rip; });
  }
  static std::uint64_t offset(const StopReport& report) { return report.context.core.rip - kCode; }

  kvm::System system_ = must(kvm::System::open());
  FixedPolicy policy_;
  Reports reports_;
  std::optional<TinyMachine> machine_;
};

TEST_F(VcpuThread, StartsParkedAndRunsNothing) {
  boot({0xfe, 0x03, 0xeb, 0xfe});  // inc byte [rbx]; jmp $
  EXPECT_EQ(rip(), kCode);
  EXPECT_EQ(machine_->qword(kData), 0u);
  EXPECT_EQ(policy_.runs, 0);
  EXPECT_EQ(reports_.waiting(), 0u);
}

TEST_F(VcpuThread, PauseOfASpinningGuestGivesOneStop) {
  boot({0x48, 0xff, 0xc0, 0xeb, 0xfb});
  std::uint64_t last = 0;
  for (int round = 1; round <= 50; ++round) {
    vcpu().run();
    if (round % 2 == 0) std::this_thread::sleep_for(2ms);
    vcpu().pause();
    const StopReport report = stop();
    EXPECT_EQ(report.cause, StopCause::kPaused);
    EXPECT_LE(offset(report), 3u);
    EXPECT_GE(report.context.core.gpr[x86::kRax], last);
    last = report.context.core.gpr[x86::kRax];
    EXPECT_EQ(policy_.runs, round);
  }
  EXPECT_GT(last, 0u);
  EXPECT_EQ(reports_.waiting(), 0u);
}

TEST_F(VcpuThread, SeveralPausesGiveOneStop) {
  boot({0xeb, 0xfe});
  for (int round = 0; round < 20; ++round) {
    vcpu().run();
    std::thread other([this] { vcpu().pause(); });
    vcpu().pause();
    vcpu().pause();
    other.join();
    EXPECT_EQ(stop().cause, StopCause::kPaused);
  }
  vcpu().pause();  // parked: no effect
  EXPECT_EQ(reports_.next(50ms), std::nullopt);
}

TEST_F(VcpuThread, PauseOfAHaltedGuestGivesOneStop) {
  boot({kNop, kHlt, kNop}, kWithChips);
  int halted = 0;
  for (int round = 0; round < 1000 && halted < 10; ++round) {
    vcpu().run();
    std::this_thread::sleep_for(5ms);
    vcpu().pause();
    const StopReport report = stop();
    EXPECT_EQ(report.cause, StopCause::kPaused);
    if (offset(report) == 0) continue;  // a busy machine: it had not come that far
    EXPECT_EQ(offset(report), 2u);
    ++halted;
  }
  EXPECT_EQ(halted, 10);
  EXPECT_EQ(reports_.waiting(), 0u);
}

TEST_F(VcpuThread, PauseInAnIoLoopNeverStopsInsideAnIoInstruction) {
  boot({0xe4, 0x10, 0x48, 0xff, 0xc3, 0xeb, 0xf9});  // l: in al,0x10; inc rbx; jmp l
  for (int round = 1; round <= 100; ++round) {
    vcpu().run();
    if (round % 4 == 0) std::this_thread::sleep_for(1ms);
    vcpu().pause();
    const StopReport report = stop();
    ASSERT_EQ(report.cause, StopCause::kPaused);
    const std::uint64_t loops = report.context.core.gpr[x86::kRbx] - kData;
    const std::uint64_t ahead = offset(report) == 2 ? 1 : 0;  // between `in` and `inc`
    ASSERT_EQ(machine_->port().reads, loops + ahead) << "at " << offset(report);
    ASSERT_EQ(rip(), report.context.core.rip);
  }
}

TEST_F(VcpuThread, StepOverInShowsWhatTheDeviceSaid) {
  boot({0x31, 0xc0, 0xe4, 0x10, kNop, 0xeb, 0xfe});  // xor eax,eax; in al,0x10
  policy_.wish = step_wish();
  EXPECT_EQ(offset(run_to_stop()), 2u);
  const StopReport report = run_to_stop();
  EXPECT_EQ(report.cause, StopCause::kDebug);
  EXPECT_EQ(offset(report), 4u);
  EXPECT_EQ(report.context.core.gpr[x86::kRax], 0x5au);
  EXPECT_EQ(machine_->port().reads, 1u);
  EXPECT_EQ(offset(run_to_stop()), 5u);
}

TEST_F(VcpuThread, StepOverOutAndRepOuts) {
  // mov ecx,3; mov rsi,rbx; mov edx,0x10; rep outsb; out 0x11,al; nop
  boot({0xb9, 3, 0, 0, 0, 0x48, 0x89, 0xde, 0xba, 0x10, 0, 0, 0, 0xf3, 0x6e, 0xe6, 0x11, kNop, 0xeb, 0xfe});
  policy_.wish = step_wish();
  for (int i = 0; i < 3; ++i) run_to_stop();
  StopReport report;
  int steps = 0;
  do {
    report = run_to_stop();
    ASSERT_EQ(report.cause, StopCause::kDebug);
  } while (offset(report) == 13 && ++steps < 10);
  EXPECT_EQ(offset(report), 15u);
  EXPECT_EQ(machine_->port().writes, 3u);
  EXPECT_EQ(report.context.core.gpr[x86::kRcx], 0u);
  EXPECT_EQ(offset(run_to_stop()), 17u);
  EXPECT_EQ(machine_->port().writes, 4u);
}

TEST_F(VcpuThread, PauseRacingWithAStepGivesOneStopAndLosesNothing) {
  boot({0x48, 0xff, 0xc0, 0xeb, 0xfb});
  policy_.wish = step_wish();
  std::uint64_t stands = 0;
  for (int round = 0; round < 200; ++round) {
    vcpu().run();
    vcpu().pause();
    const StopReport report = stop();
    // Either the step was done, or the pause came first and nothing was.
    if (report.cause == StopCause::kDebug) stands = stands == 0 ? 3 : 0;
    ASSERT_EQ(offset(report), stands);
  }
  EXPECT_EQ(reports_.waiting(), 0u);
}

TEST_F(VcpuThread, WorkRunsOnAParkedVcpu) {
  boot({0xeb, 0xfe});
  EXPECT_EQ(rip(), kCode);
  EXPECT_EQ(rip(), kCode);
  EXPECT_EQ(reports_.waiting(), 0u);
}

TEST_F(VcpuThread, WorkRunsOnARunningVcpuWhichRunsOn) {
  boot({0x48, 0xff, 0xc0, 0xeb, 0xfb});
  vcpu().run();
  std::uint64_t last = 0;
  for (int i = 0; i < 50; ++i) {
    const auto now = ask([](api::VcpuAccess& access) { return access.core().gpr[x86::kRax]; });
    EXPECT_GE(now, last);
    last = now;
  }
  EXPECT_EQ(reports_.waiting(), 0u);
  vcpu().pause();
  EXPECT_EQ(stop().cause, StopCause::kPaused);
  EXPECT_EQ(policy_.runs, 1);
}

TEST_F(VcpuThread, WorkRunsOnAHaltedVcpu) {
  boot({kHlt, 0xeb, 0xfd}, kWithChips);
  vcpu().run();
  for (int i = 0; i < 1000 && rip() != kCode + 1; ++i)
    std::this_thread::sleep_for(5ms);  // until it has halted
  EXPECT_EQ(rip(), kCode + 1);
  vcpu().pause();
  EXPECT_EQ(stop().cause, StopCause::kPaused);
}

TEST_F(VcpuThread, WhatWorkWritesTheGuestHas) {
  boot({0x48, 0x89, 0x03, 0xe6, 0x10, 0xeb, 0xf9});  // l: mov [rbx],rax; out 0x10,al; jmp l
  vcpu().run();
  ask([](api::VcpuAccess& access) {
    x86::CoreRegs core = access.core();
    core.gpr[x86::kRax] = 0x4711;
    access.set_core(core);
    return 0;
  });
  const std::uint64_t before = machine_->port().writes;
  while (machine_->port().writes < before + 3) std::this_thread::yield();
  EXPECT_EQ(machine_->qword(kData), 0x4711u);
  vcpu().pause();
  EXPECT_EQ(stop().context.core.gpr[x86::kRax], 0x4711u);
}

TEST_F(VcpuThread, WorkIsDoneInOrder) {
  boot({0xeb, 0xfe});
  vcpu().run();
  std::vector<int> order;
  for (int i = 0; i < 20; ++i) vcpu().post([&order, i](api::VcpuAccess&) { order.push_back(i); });
  ask([](api::VcpuAccess&) { return 0; });
  ASSERT_EQ(order.size(), 20u);
  EXPECT_TRUE(std::ranges::is_sorted(order));
  vcpu().pause();
  stop();
}

TEST_F(VcpuThread, BreakpointStopsAndTheNextRunIsANewOne) {
  boot({kNop, kInt3, kNop, kInt3, 0xeb, 0xfe});
  policy_.wish = int3_wish();
  StopReport report = run_to_stop();
  EXPECT_EQ(report.cause, StopCause::kDebug);
  EXPECT_TRUE(report.debug.int3);
  EXPECT_EQ(offset(report), 1u);
  ask([](api::VcpuAccess& access) {
    x86::CoreRegs core = access.core();
    ++core.rip;
    access.set_core(core);
    return 0;
  });
  report = run_to_stop();
  EXPECT_EQ(offset(report), 3u);
}

TEST_F(VcpuThread, PolicyThatHandsInt3BackKeepsTheGuestGoing) {
  boot({kInt3, 0xfe, 0xc9, 0x75, 0xfb, 0xeb, 0xfe});                // l: int3; dec cl; jnz l
  machine_->guest().handle(3, Code{0x48, 0xff, 0x03, 0x48, 0xcf});  // inc qword [rbx]; iretq
  policy_.wish = int3_wish();
  policy_.hand_back = true;
  vcpu().run();
  while (machine_->qword(kData) < 256) std::this_thread::yield();  // cl began with 0
  vcpu().pause();
  EXPECT_EQ(stop().cause, StopCause::kPaused);
  EXPECT_EQ(machine_->qword(kData), 256u);
}

TEST_F(VcpuThread, TripleFaultIsReported) {
  boot({0x0f, 0x01, 0x1b, 0x0f, 0x0b});  // lidt [rbx]: limit 0; ud2
  const StopReport report = run_to_stop();
  EXPECT_EQ(report.cause, StopCause::kTripleFault);
  EXPECT_FALSE(report.detail.empty());
  EXPECT_EQ(reports_.waiting(), 0u);
}

// Either KVM has kept the CPU's state, or what is shown is of its last exit: never that of a reset.
TEST_F(VcpuThread, AfterATripleFaultTheCpuIsShownWhereItWas) {
  boot({0xe6, 0x10, 0x0f, 0x01, 0x1b, 0xcc});  // out 0x10, al; lidt [rbx], which is zero; int3
  const StopReport report = run_to_stop();
  EXPECT_EQ(report.cause, StopCause::kTripleFault);
  EXPECT_LT(offset(report), 6u) << report.detail;
  EXPECT_NE(report.context.paging.cr3, 0u);
  EXPECT_EQ(rip(), report.context.core.rip);
  if (report.detail != "triple fault") {
    EXPECT_NE(report.detail.find("when it last left the guest, "), std::string::npos) << report.detail;
  }
}

TEST_F(VcpuThread, HltWithoutInterruptControllersIsAFailureInWords) {
  boot({kHlt});
  const StopReport report = run_to_stop();
  EXPECT_EQ(report.cause, StopCause::kFailure);
  EXPECT_THAT(report.detail, testing::HasSubstr("hlt"));
}

TEST_F(VcpuThread, RetireParksARunningVcpuWithoutAReport) {
  boot({0x48, 0xff, 0xc0, 0xeb, 0xfb});
  vcpu().run();
  std::this_thread::sleep_for(2ms);
  vcpu().retire();
  const auto value = [this] {
    return ask([](api::VcpuAccess& access) { return access.core().gpr[x86::kRax]; });
  };
  // The order to leave is on its way; then it stands still for good.
  std::uint64_t last = value();
  bool stands = false;
  for (int i = 0; i < 500 && !stands; ++i) {
    std::this_thread::sleep_for(20ms);
    const std::uint64_t now = value();
    stands = now == last;
    last = now;
  }
  EXPECT_TRUE(stands);
  vcpu().run();  // no effect
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(value(), last);
  EXPECT_EQ(reports_.waiting(), 0u);
}

TEST_F(VcpuThread, EndsWhereverItIs) {
  for (const Code& code : {Code{0xeb, 0xfe}, Code{0xe4, 0x10, 0xeb, 0xfc}, Code{kHlt, 0xeb, 0xfd}}) {
    boot(code, kWithChips);
    vcpu().run();
    std::this_thread::sleep_for(2ms);
    machine_.reset();  // joins
    EXPECT_EQ(reports_.waiting(), 0u);
  }
}

TEST_F(VcpuThread, CpuTimeStandsStillInHlt) {
  boot({kHlt, 0xeb, 0xfd}, kWithChips);
  vcpu().run();
  // A busy machine takes its time to come to the hlt. A guest that spins would use all of the 50 ms, each time.
  std::uint64_t used = ~std::uint64_t{0};
  for (int i = 0; i < 200 && used > 1'000'000; ++i) {
    const std::uint64_t before = vcpu().cpu_time();
    std::this_thread::sleep_for(50ms);
    used = vcpu().cpu_time() - before;
  }
  EXPECT_LE(used, 1'000'000u);
}

}  // namespace
}  // namespace ringside::test
