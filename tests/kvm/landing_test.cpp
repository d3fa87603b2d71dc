// Single steps that go where the CPU goes, by a tracer's orders: into handlers, out of them, over what holds
// debug traps back.  And nothing of them is seen: what the guest has saved shows no TF.
#include <gtest/gtest.h>

#include "tests/kvm/hub_testing.hpp"

namespace ringside::test {
namespace {

constexpr std::uint64_t kHandler = TinyGuest::handler(0x50), kStack = TinyGuest::kStackTop;
constexpr std::uint64_t kNowhere = 0x4000'0000;  // no page

class Landing : public HubOnKvm {
 protected:
  void boot_stopped(const Code& code, TinyGuest::Chips chips = TinyGuest::Chips::kNone) {
    boot(code, 1, chips);
    tracer_ = attach();
    stop_all(*tracer_);
  }
  void handle(std::uint8_t vector, const Code& code) { machine_->guest().handle(vector, code); }
  void set(x86::Reg reg, std::uint64_t value) {
    bool written = false;
    const ByteView bytes = ByteView(bytes_of(value)).first(x86::info(reg).bytes);
    tracer_->port->write_registers(VcpuId{0}, {{reg, Bytes(bytes.begin(), bytes.end())}},
                                   [&](Result<void> done) { written = done.has_value(); });
    ASSERT_TRUE(pump([&] { return written; })) << x86::info(reg).name;
  }
  // syscall leads to kHandler; sysret leads to ring 3.
  void set_up_syscall(std::uint64_t flag_mask) {
    set(x86::Reg::kMsrStar, std::uint64_t{0x10} << 32 | std::uint64_t{0x18} << 48);
    set(x86::Reg::kMsrLstar, kHandler);
    set(x86::Reg::kMsrSfmask, flag_mask);
    set(x86::Reg::kEfer, x86::efer::kLme | x86::efer::kLma | x86::efer::kSce);
  }
  // One step, which has to end as one; where.
  std::uint64_t step() {
    resume(*tracer_, ResumeAction::Kind::kStep);
    last_ = wait_stop(*tracer_);
    EXPECT_EQ(last_.reason, StopReason::kStep) << last_.detail;
    return last_.context.core.rip;
  }
  std::uint64_t gpr(x86::Gpr which) const { return last_.context.core.gpr[which]; }
  std::uint64_t on_stack(unsigned word) const { return machine_->qword(gpr(x86::kRsp) + 8 * word); }
  // The frame that the CPU has pushed last, `skip` words above RSP.
  void expect_clean_frame(std::uint64_t rip, unsigned skip = 0) {
    EXPECT_EQ(on_stack(skip), rip);
    EXPECT_EQ(on_stack(skip + 1) & 0xfffc, TinyGuest::kCodeSelector);
    EXPECT_EQ(on_stack(skip + 2) & x86::rflags::kTf, 0u);
    EXPECT_NE(on_stack(skip + 2) & x86::rflags::kAlways1, 0u);
  }

  std::unique_ptr<Tracer> tracer_;
  StopEvent last_;
};

TEST_F(Landing, SyscallLandsAtTheEntryAndR11ShowsNoTf) {
  boot_stopped({0x0f, 0x05, kNop});
  handle(0x50, {kNop});
  set_up_syscall(x86::rflags::kTf | x86::rflags::kIf);
  EXPECT_EQ(step(), kHandler);
  EXPECT_EQ(gpr(x86::kRcx), kCode + 2);
  EXPECT_EQ(gpr(x86::kR11) & x86::rflags::kTf, 0u);
  EXPECT_EQ(step(), kHandler + 1);
}

TEST_F(Landing, SyscallThatLeavesTfAloneLandsThereToo) {
  boot_stopped({0x0f, 0x05, kNop});
  handle(0x50, {kNop});
  set_up_syscall(0);
  EXPECT_EQ(step(), kHandler);
  EXPECT_EQ(gpr(x86::kR11) & x86::rflags::kTf, 0u);
}

TEST_F(Landing, SysretLandsInUserModeAndTheNextSyscallIsAStepAgain) {
  boot_stopped({0x0f, 0x05, kNop, 0x0f, 0x05});
  handle(0x50, {0x48, 0x0f, 0x07});  // sysretq
  set_up_syscall(x86::rflags::kTf);
  EXPECT_EQ(step(), kHandler);
  EXPECT_EQ(step(), kCode + 2);
  EXPECT_EQ(last_.context.cs.cpl, 3);
  EXPECT_EQ(step(), kCode + 3);
  EXPECT_EQ(step(), kHandler);
  EXPECT_EQ(gpr(x86::kR11) & x86::rflags::kTf, 0u);
}

TEST_F(Landing, AnInterruptGateIsEnteredAndIretqLeadsBack) {
  boot_stopped({0xcd, 0x50, kNop});
  handle(0x50, {0x48, 0xcf});
  EXPECT_EQ(step(), kHandler);
  expect_clean_frame(kCode + 2);
  EXPECT_EQ(step(), kCode + 2);
  EXPECT_EQ(step(), kCode + 3);
}

TEST_F(Landing, AnUndefinedInstructionLandsInItsHandler) {
  boot_stopped({0x0f, 0x0b});
  handle(6, {kNop});
  EXPECT_EQ(step(), TinyGuest::handler(6));
  expect_clean_frame(kCode);
}

TEST_F(Landing, APageFaultLandsInItsHandlerAboveTheErrorCode) {
  boot_stopped({0x8b, 0x04, 0x25, 0, 0, 0, 0x40});  // mov eax,[kNowhere]
  handle(14, {kNop});
  EXPECT_EQ(step(), TinyGuest::handler(14));
  EXPECT_EQ(on_stack(0), 0u);  // a read, by ring 0, of a page that is not there
  expect_clean_frame(kCode, 1);
  EXPECT_EQ(step(), TinyGuest::handler(14) + 1);  // where the next page fault would lead, too
}

TEST_F(Landing, AFetchThatFaultsLandsInThePageFaultHandler) {
  boot_stopped({0xbe, 0, 0, 0, 0x40, 0xff, 0xe6});  // mov esi,kNowhere; jmp rsi
  handle(14, {kNop});
  step();
  EXPECT_EQ(step(), kNowhere);
  EXPECT_EQ(step(), TinyGuest::handler(14));
  expect_clean_frame(kNowhere, 1);
}

TEST_F(Landing, ADivisionByZeroLandsInItsHandler) {
  boot_stopped({0x31, 0xc9, 0xf7, 0xf1});  // xor ecx,ecx; div ecx
  handle(0, {kNop});
  step();
  EXPECT_EQ(step(), TinyGuest::handler(0));
  expect_clean_frame(kCode + 2);
}

TEST_F(Landing, AnAddressThatIsNoneLandsInGeneralProtection) {
  // mov rsi,0x8000000000000000; mov eax,[rsi]
  boot_stopped({0x48, 0xbe, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x8b, 0x06});
  handle(13, {kNop});
  step();
  EXPECT_EQ(step(), TinyGuest::handler(13));
  expect_clean_frame(kCode + 10, 1);
}

TEST_F(Landing, AnInstructionThatOnlyMayFaultEndsBehindItself) {
  boot_stopped({0x8b, 0x03, 0xf7, 0xf3, kNop});  // mov eax,[rbx]; div ebx
  handle(0, {kNop});
  handle(14, {kNop});
  EXPECT_EQ(step(), kCode + 2);
  EXPECT_EQ(step(), kCode + 4);
}

TEST_F(Landing, PushfStoresNoTf) {
  boot_stopped({0x9c, 0x66, 0x9c, kNop});
  EXPECT_EQ(step(), kCode + 1);
  EXPECT_EQ(on_stack(0) & 0xffff, x86::rflags::kAlways1);
  EXPECT_EQ(step(), kCode + 3);
  EXPECT_EQ(on_stack(0) & 0xffff, x86::rflags::kAlways1);
}

TEST_F(Landing, PushfInTheShadowOfMovSsStoresNoTf) {
  boot_stopped({0x8c, 0xd0, 0x8e, 0xd0, 0x9c, kNop, kNop});  // mov eax,ss; mov ss,eax; pushf
  step();
  EXPECT_EQ(step(), kCode + 5);
  EXPECT_EQ(on_stack(0) & 0xffff, x86::rflags::kAlways1);
}

TEST_F(Landing, AnInterruptGateInTheShadowOfMovSsIsEntered) {
  boot_stopped({0x8c, 0xd0, 0x8e, 0xd0, 0xcd, 0x50, kNop});
  handle(0x50, {kNop});
  step();
  EXPECT_EQ(step(), kHandler);
  expect_clean_frame(kCode + 6);
}

TEST_F(Landing, PopfIsOneStep) {
  boot_stopped({0x6a, 0x02, 0x9d, kNop, kNop});  // push 2; popf
  for (const std::uint64_t expected : {2, 3, 4, 5}) EXPECT_EQ(step(), kCode + expected);
}

TEST_F(Landing, PortsAndRepeatsAreSteps) {
  // in al,0x10; out 0x10,al; mov ecx,2; mov rsi,rbx; lea rdi,[rbx+16]; rep movsb; nop
  boot_stopped(
      {0xe4, 0x10, 0xe6, 0x10, 0xb9, 2, 0, 0, 0, 0x48, 0x89, 0xde, 0x48, 0x8d, 0x7b, 0x10, 0xf3, 0xa4, kNop});
  for (const std::uint64_t expected : {2, 4, 9, 12, 16, 16, 18, 19}) EXPECT_EQ(step(), kCode + expected);
  EXPECT_EQ(machine_->port().reads, 1u);
  EXPECT_EQ(machine_->port().writes, 1u);
}

TEST_F(Landing, WhatFollowsAHltIsSteppedWithoutWaitingForAnInterrupt) {
  boot_stopped({0xfb, kHlt, kNop, kNop}, TinyGuest::Chips::kIrqchip);  // sti; hlt
  std::uint64_t at = step();
  if (at == kCode + 1) at = step();  // sti may have taken hlt along
  EXPECT_EQ(at, kCode + 2);
  EXPECT_EQ(step(), kCode + 3);
  EXPECT_EQ(step(), kCode + 4);
}

TEST_F(Landing, ABreakpointWhereTheStepLandsIsMet) {
  boot_stopped({0xcd, 0x50, kNop});
  handle(0x50, {kNop, 0x48, 0xcf});
  ASSERT_TRUE(insert(*tracer_, {PointKind::kHardware, Gva{kHandler}, 1}));
  resume(*tracer_, ResumeAction::Kind::kStep);
  last_ = wait_stop(*tracer_);
  EXPECT_EQ(last_.reason, StopReason::kHardwareBreak);
  EXPECT_EQ(last_.context.core.rip, kHandler);
  expect_clean_frame(kCode + 2);
  EXPECT_EQ(step(), kHandler + 1);
}

TEST_F(Landing, BreakpointsGiveTheirRegistersUpForAStepAndHaveThemBackAfterIt) {
  boot_stopped({0xcd, 0x50, kNop, kNop, kNop, kNop, kNop, 0xeb, 0xf7});  // l: int 0x50; five nops; jmp l
  handle(0x50, {0x48, 0xcf});
  for (std::uint64_t i = 3; i < 7; ++i) ASSERT_TRUE(insert(*tracer_, hardware(i)));
  EXPECT_EQ(step(), kHandler);
  for (std::uint64_t hit = 0; hit < 12; ++hit) {
    resume(*tracer_);
    const StopEvent event = wait_stop(*tracer_);
    ASSERT_EQ(event.reason, StopReason::kHardwareBreak);
    ASSERT_EQ(offset(event), 3 + hit % 4);
  }
}

TEST_F(Landing, WatchpointsKeepTheirRegistersAndTheHandlerRunsUnseen) {
  boot_stopped({0xcd, 0x50, kNop, kNop});
  handle(0x50, {0x48, 0xcf});
  for (std::uint64_t i = 0; i < 4; ++i) {
    ASSERT_TRUE(insert(*tracer_, {PointKind::kWrite, Gva{kData + 8 * i}, 8}));
  }
  const std::uint64_t at = step();
  EXPECT_TRUE(at == kCode + 2 || at == kCode + 3) << at;
}

TEST_F(Landing, AStepThatNeverEndsCanBeInterrupted) {
  boot_stopped({0xcd, 0x50, kNop});
  handle(0x50, {0xeb, 0xfe});
  for (std::uint64_t i = 0; i < 4; ++i) {
    ASSERT_TRUE(insert(*tracer_, {PointKind::kWrite, Gva{kData + 8 * i}, 8}));
  }
  resume(*tracer_, ResumeAction::Kind::kStep);
  pump_for(50ms);
  EXPECT_TRUE(tracer_->stops.empty());
  tracer_->port->interrupt();
  last_ = wait_stop(*tracer_);
  EXPECT_EQ(last_.reason, StopReason::kNone);
  EXPECT_EQ(last_.context.core.rip, kHandler);
}

// l: int3; six nops; jmp l.  Six breakpoints: two of them are int3, too.
const Code kOwnInt3{kInt3, kNop, kNop, kNop, kNop, kNop, kNop, 0xeb, 0xf7};

TEST_F(Landing, TheGuestsOwnInt3IsRunAsIfNobodyWereThere) {
  // A nop behind it: under Bochs a page fault of the host's during delivery leaves RF set in the frame.
  boot_stopped({kInt3, kNop, kNop, kNop, kNop, kNop, kNop, kNop, 0xeb, 0xf6});
  // push rax; mov rax,[rsp+24]; or [rbx],rax; inc byte [rbx+8]; pop rax; iretq
  handle(3, {0x50, 0x48, 0x8b, 0x44, 0x24, 0x18, 0x48, 0x09, 0x03, 0xfe, 0x43, 0x08, 0x58, 0x48, 0xcf});
  for (std::uint64_t i = 2; i < 8; ++i) ASSERT_TRUE(insert(*tracer_, software(i)));
  for (std::uint64_t hit = 0; hit < 60; ++hit) {
    resume(*tracer_);
    const StopEvent event = wait_stop(*tracer_);
    ASSERT_EQ(event.reason, StopReason::kSoftwareBreak);
    ASSERT_EQ(offset(event), 2 + hit % 6);
    ASSERT_EQ(machine_->qword(kData + 8), hit / 6 + 1);
  }
  EXPECT_EQ(machine_->qword(kData) & x86::rflags::kTf, 0u);  // of all the frames together
}

TEST_F(Landing, TheGuestsOwnInt3IsSteppedIntoItsHandler) {
  boot_stopped(kOwnInt3);
  handle(3, {kNop, 0x48, 0xcf});
  for (std::uint64_t i = 1; i < 7; ++i) ASSERT_TRUE(insert(*tracer_, software(i)));
  EXPECT_EQ(step(), TinyGuest::handler(3));
  expect_clean_frame(kCode + 1);
}

TEST_F(Landing, TheGuestsOwnInt3IsStillTheGuestsWhereNoRegisterIsFree) {
  boot_stopped(kOwnInt3);
  handle(3, {0xfe, 0x43, 0x20, 0x48, 0xcf});  // inc byte [rbx+32]; iretq
  for (std::uint64_t i = 0; i < 4; ++i) {
    ASSERT_TRUE(insert(*tracer_, {PointKind::kWrite, Gva{kData + 0x100 + 8 * i}, 8}));
  }
  ASSERT_TRUE(insert(*tracer_, software(1)));
  for (std::uint64_t hit = 1; hit <= 10; ++hit) {
    resume(*tracer_);
    ASSERT_EQ(offset(wait_stop(*tracer_)), 1u);
    ASSERT_EQ(machine_->qword(kData + 32), hit);
  }
}

}  // namespace
}  // namespace ringside::test
