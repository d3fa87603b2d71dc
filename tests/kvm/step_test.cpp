// Single steps over what is not plain: I/O, rep, interrupt shadows, hlt, the guest's flags.
#include <gtest/gtest.h>

#include "tests/kvm/guest_testing.hpp"

namespace ringside::test {
namespace {

class Step : public GuestTest {
 protected:
  // One step; the exit is the step's.
  void step(bool hold_interrupts = true) {
    vcpu().set_debug(step_wish(hold_interrupts));
    EXPECT_NE(expect_trap() & x86::dr6::kBs, 0u);
  }
  kvm::PortIo expect_io() {
    kvm::Exit exit = vcpu().run();
    const auto* io = std::get_if<kvm::PortIo>(&exit);
    EXPECT_TRUE(io != nullptr) << to_text(exit);
    return io != nullptr ? *io : kvm::PortIo{};
  }
  // The local APIC in x2APIC mode, and an interrupt pending that IF=0 keeps away; stands at kCode again.
  void with_pending_interrupt(const Code& code) {
    boot(
        {0xb9, 0x1b, 0,    0, 0, 0x0f, 0x32,    0x0d, 0, 0x0c, 0,    0,    0x0f, 0x30,  // APIC_BASE |= x2APIC
         0xb9, 0x0f, 0x08, 0, 0, 0xb8, 0xff,    1,    0, 0,    0x31, 0xd2, 0x0f, 0x30,  // SVR = 0x1ff
         0xb9, 0x3f, 0x08, 0, 0, 0xb8, kVector, 0,    0, 0,    0x0f, 0x30,              // SELF IPI
         0xe6, 0x10},
        {.mode = TinyGuest::Mode::kLong, .chips = TinyGuest::Chips::kIrqchip});
    guest().handle(kVector, Code{0xfe, 0x03, 0x48, 0xcf});  // inc byte [rbx]; iretq
    expect_io();
    pass_through_kvm();
    guest().load(code);
  }
  bool interrupt_taken() {
    return qword(kData) != 0 ||
           (rip() >= TinyGuest::handler(kVector) && rip() < TinyGuest::handler(kVector) + 16);
  }
  static constexpr std::uint8_t kVector = 0x40;
};

TEST_F(Step, PlainCode) {
  boot({kNop, 0xb8, 1, 0, 0, 0, 0x48, 0xff, 0xc0, 0xeb, 0x02, kNop, kNop, kNop, kHlt});
  for (const std::uint64_t expected : {1, 6, 9, 13, 14}) {  // nop; mov; inc; jmp +2; nop
    step();
    EXPECT_EQ(offset(), expected);
  }
  EXPECT_EQ(gpr(x86::kRax), 2u);
}

TEST_F(Step, AThousandTimesInALoop) {
  boot({0x48, 0xff, 0xc0, 0xeb, 0xfb});  // l: inc rax; jmp l
  for (int i = 0; i < 500; ++i) {
    step();
    ASSERT_EQ(offset(), 3u);
    step();
    ASSERT_EQ(offset(), 0u);
  }
  EXPECT_EQ(gpr(x86::kRax), 500u);
}

TEST_F(Step, OutGivesTheIoExitAndThenTheStep) {
  boot({0xb0, 0x55, 0xe6, 0x10, kNop, kHlt});  // mov al,0x55; out 0x10,al
  step();
  vcpu().set_debug(step_wish());
  const kvm::PortIo io = expect_io();
  EXPECT_EQ(io.port, 0x10u);
  EXPECT_EQ(io.data.front(), 0x55u);
  EXPECT_TRUE(vcpu().io_pending());
  EXPECT_NE(expect_trap() & x86::dr6::kBs, 0u);
  EXPECT_EQ(offset(), 4u);
  EXPECT_FALSE(vcpu().io_pending());
}

TEST_F(Step, InHasItsValueOnceTheStepIsDone) {
  boot({0x31, 0xc0, 0xe5, 0x10, kNop, kHlt});  // xor eax,eax; in eax,0x10
  step();
  vcpu().set_debug(step_wish());
  const kvm::PortIo io = expect_io();
  store(io.data.data(), std::uint32_t{0xdeadbeef});
  EXPECT_NE(expect_trap() & x86::dr6::kBs, 0u);
  EXPECT_EQ(offset(), 4u);
  EXPECT_EQ(gpr(x86::kRax), 0xdeadbeefu);
}

TEST_F(Step, MmioReadHasItsValueOnceTheStepIsDone) {
  boot({0x8b, 0x04, 0x25, 0, 0, 0x10, 0, kNop, kHlt});  // mov eax,[0x100000]
  vcpu().set_debug(step_wish());
  kvm::Exit exit = vcpu().run();
  const auto* access = std::get_if<kvm::Mmio>(&exit);
  ASSERT_NE(access, nullptr) << to_text(exit);
  store(access->data.data(), std::uint32_t{0xcafe});
  EXPECT_NE(expect_trap() & x86::dr6::kBs, 0u);
  EXPECT_EQ(offset(), 7u);
  EXPECT_EQ(gpr(x86::kRax), 0xcafeu);
}

TEST_F(Step, RepIsOneIterationAStep) {
  // mov ecx,3; mov rsi,rbx; lea rdi,[rbx+16]; rep movsb; nop
  boot({0xb9, 3, 0, 0, 0, 0x48, 0x89, 0xde, 0x48, 0x8d, 0x7b, 0x10, 0xf3, 0xa4, kNop, kHlt});
  put(kData, {7, 8, 9});
  for (int i = 0; i < 3; ++i) step();
  EXPECT_EQ(offset(), 12u);
  step();
  EXPECT_EQ(offset(), 12u);
  EXPECT_EQ(gpr(x86::kRcx), 2u);
  step();
  EXPECT_EQ(gpr(x86::kRcx), 1u);
  step();
  EXPECT_EQ(offset(), 14u);
  EXPECT_EQ(qword(kData + 16), 0x090807u);
}

TEST_F(Step, MovSsTakesTheNextInstructionAlong) {
  boot({0x8c, 0xd0, 0x8e, 0xd0, kNop, kNop, kHlt});  // mov eax,ss; mov ss,eax; nop; nop
  step();
  EXPECT_EQ(offset(), 2u);
  step();
  EXPECT_EQ(offset(), 5u);  // SDM 3A 6.8.3: no debug trap between mov ss and its successor
}

TEST_F(Step, PushfInTheGuestAfterStepsAndWithout) {
  boot({kNop, kNop, 0xb8, 1, 0, 0, 0, kHlt});
  step();
  EXPECT_EQ(vcpu().core().rflags & x86::rflags::kTf, 0u);  // TF is KVM's, not to be seen by us
  vcpu().set_debug({});
  expect_hlt();
  EXPECT_EQ(vcpu().core().rflags & x86::rflags::kTf, 0u);
}

// Where KVM intercepts pause, it skips it and then runs on to the next trap: so pause is emulated
// (disasm/simple).
TEST_F(Step, PauseMayTakeTheNextInstructionAlong) {
  boot({0xf3, 0x90, kNop, kNop, kHlt});
  step();
  EXPECT_THAT(offset(), testing::AnyOf(2u, 3u));
}

// The copy of such an instruction must not run on into what lies behind it.
TEST_F(Step, WhatKvmExecutesItselfIsOneStepToo) {
  const Code intercepted[] = {{0x0f, 0xa2}, {0x0f, 0x09}, {0x0f, 0x20, 0xc0}, {0x0f, 0x06}};
  for (const Code& code : intercepted) {  // cpuid, wbinvd, mov rax,cr0, clts
    Code followed = code;
    followed.insert(followed.end(), 4, kNop);
    boot(followed);
    step();
    EXPECT_EQ(offset(), code.size()) << testing::PrintToString(code);
  }
}

TEST_F(Step, PopfThatClearsTfDoesNotLoseTheNextStep) {
  boot({0x6a, 0x02, 0x9d, kNop, kNop, kHlt});  // push 2; popf; nop; nop
  for (const std::uint64_t expected : {2, 3, 4, 5}) {
    step();
    EXPECT_EQ(offset(), expected);
  }
}

TEST_F(Step, HltWithoutInterruptControllersComesOutAsHlt) {
  boot({kHlt, kNop, kHlt});
  vcpu().set_debug(step_wish());
  const kvm::Exit exit = vcpu().run();
  const bool known =
      std::holds_alternative<kvm::Halted>(exit) || std::holds_alternative<api::DebugExit>(exit);
  EXPECT_TRUE(known) << to_text(exit);
  EXPECT_EQ(offset(), 1u);
}

TEST_F(Step, HltWithInterruptControllersIsAStepToTheNextInstruction) {
  boot({kHlt, kNop}, {.mode = TinyGuest::Mode::kLong, .chips = TinyGuest::Chips::kIrqchip});
  step();
  EXPECT_EQ(offset(), 1u);
}

TEST_F(Step, APendingInterruptIsHeldBack) {
  with_pending_interrupt({kNop, kNop, kNop, kNop, kHlt});
  x86::CoreRegs core = vcpu().core();
  core.rflags |= x86::rflags::kIf;
  vcpu().set_core(core);
  for (std::uint64_t i = 1; i <= 4; ++i) {
    step();
    EXPECT_EQ(offset(), i);
  }
  EXPECT_FALSE(interrupt_taken());
}

TEST_F(Step, APendingInterruptIsTakenWhenStepsDoNotHoldIt) {
  with_pending_interrupt({kNop, kNop, kNop, kNop, kHlt});
  x86::CoreRegs core = vcpu().core();
  core.rflags |= x86::rflags::kIf;
  vcpu().set_core(core);
  step(false);
  EXPECT_TRUE(interrupt_taken());
}

TEST_F(Step, StiHoldsThePendingInterruptToo) {
  with_pending_interrupt({0xfb, kNop, kNop, kNop, kHlt});  // sti
  step();
  EXPECT_THAT(offset(), testing::AnyOf(1u, 2u));  // QEMU's CPU takes the instruction in sti's shadow along
  const std::uint64_t first = offset();
  step();
  EXPECT_EQ(offset(), first + 1);
  step();
  EXPECT_EQ(offset(), first + 2);
  EXPECT_FALSE(interrupt_taken());
}

TEST_F(Step, WhatWasHeldBackComesOnceTheStepsAreOver) {
  with_pending_interrupt({0xfb, kNop, kNop, 0xe6, 0x10});
  step();
  step();
  EXPECT_FALSE(interrupt_taken());
  vcpu().set_debug({});
  expect_io();
  EXPECT_TRUE(interrupt_taken());
}

TEST_F(Step, IntoAHandlerTheHandlerRunsFree) {
  boot({0xcd, 0x50, kNop, kHlt});  // int 0x50
  guest().handle(0x50, Code{0xfe, 0x03, 0x48, 0xcf});
  step();
  // Delivery clears TF, so the step ends in the handler, or one instruction after its return.
  const bool in_handler = rip() >= TinyGuest::handler(0x50) && rip() < TinyGuest::handler(0x50) + 16;
  EXPECT_TRUE(in_handler || offset() == 2 || offset() == 3) << std::hex << rip();
}

TEST_F(Step, OntoAnInt3ReportsTheStepAndThenTheInt3) {
  boot({kNop, kInt3, kHlt});
  api::DebugWish wish = step_wish();
  wish.trap_int3 = true;
  vcpu().set_debug(wish);
  EXPECT_NE(expect_trap() & x86::dr6::kBs, 0u);
  EXPECT_EQ(offset(), 1u);
  expect_int3();
  EXPECT_EQ(offset(), 1u);
}

TEST_F(Step, OntoAnExecuteBreakpointTellsWhichOfThem) {
  boot({kNop, kNop, kNop, kHlt});
  api::DebugWish wish = slot_wish(2, kCode + 1, x86::WatchKind::kExecute);
  wish.step = true;
  vcpu().set_debug(wish);
  expect_trap();
  EXPECT_EQ(offset(), 1u);
}

}  // namespace
}  // namespace ringside::test
