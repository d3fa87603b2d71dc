// int3, execute and data breakpoints, and the guest's own traps handed back to it.
#include <gtest/gtest.h>

#include "tests/kvm/guest_testing.hpp"

namespace ringside::test {
namespace {

using x86::WatchKind;

class Breakpoints : public GuestTest {};

TEST_F(Breakpoints, Int3LeavesRipAtTheInt3) {
  boot({kNop, kInt3, kNop, kHlt});
  vcpu().set_debug(int3_wish());
  expect_int3();
  EXPECT_EQ(offset(), 1u);
  expect_int3();  // nothing was executed: it comes again
  EXPECT_EQ(offset(), 1u);
}

TEST_F(Breakpoints, Int3ExitDoesNotSetRf) {
  boot({kNop, kInt3, kNop, kHlt});
  vcpu().set_debug(int3_wish());
  expect_int3();
  EXPECT_EQ(vcpu().core().rflags & x86::rflags::kRf, 0u);
}

TEST_F(Breakpoints, TheGuestRunsOnOnceTheInt3IsGone) {
  boot({kNop, kInt3, kNop, kHlt});
  vcpu().set_debug(int3_wish());
  expect_int3();
  put(kCode + 1, {kNop});
  expect_hlt();
  EXPECT_EQ(offset(), 4u);
}

TEST_F(Breakpoints, ExecuteBreakpointNamesItsSlotAndRfPassesIt) {
  for (std::size_t slot = 0; slot < 4; ++slot) {
    boot({kNop, kNop, kNop, kHlt});
    vcpu().set_debug(slot_wish(slot, kCode + 1, WatchKind::kExecute));
    EXPECT_EQ(expect_trap() & 0xf, 1u << slot);
    EXPECT_EQ(offset(), 1u);
    x86::CoreRegs core = vcpu().core();
    core.rflags |= x86::rflags::kRf;
    vcpu().set_core(core);
    expect_hlt();
  }
}

TEST_F(Breakpoints, RfLastsForOneInstructionOnly) {
  boot({kNop, 0xeb, 0xfd, kHlt});  // again: nop; jmp again
  vcpu().set_debug(slot_wish(0, kCode, WatchKind::kExecute));
  for (int round = 0; round < 5; ++round) {
    EXPECT_EQ(expect_trap() & 0xf, 1u);
    EXPECT_EQ(offset(), 0u);
    x86::CoreRegs core = vcpu().core();
    core.rflags |= x86::rflags::kRf;
    vcpu().set_core(core);
  }
}

// They come along with an exit only while somebody asks: whenever that is, they are those of this exit.
TEST_F(Breakpoints, SystemRegistersAreThoseOfTheExitWheneverOneAsks) {
  // again: inc rax; mov cr2,rax; nop; jmp again
  boot({0x48, 0xff, 0xc0, 0x0f, 0x22, 0xd0, kNop, 0xeb, 0xf7}, {.mode = TinyGuest::Mode::kLong});
  vcpu().set_debug(slot_wish(0, kCode + 6, WatchKind::kExecute));
  x86::CoreRegs core = vcpu().core();
  core.gpr[x86::kRax] = 0;
  vcpu().set_core(core);
  for (std::uint64_t round = 1; round <= 12; ++round) {
    EXPECT_EQ(expect_trap() & 0xf, 1u);
    EXPECT_EQ(gpr(x86::kRax), round);
    if (round <= 2 || round == 5 || round >= 11) {
      EXPECT_EQ(vcpu().sregs().cr2, round);
      EXPECT_TRUE(vcpu().context().cs.long_mode);
      EXPECT_EQ(vcpu().context().core.gpr[x86::kRax], round);
    }
    core = vcpu().core();
    core.rflags |= x86::rflags::kRf;
    vcpu().set_core(core);
  }
}

TEST_F(Breakpoints, WriteBreakpointReportsAfterTheWrite) {
  for (std::size_t slot = 0; slot < 4; ++slot) {
    boot({0x8b, 0x03, 0xc7, 0x03, 7, 0, 0, 0, kNop, kHlt});  // mov eax,[rbx]; mov dword [rbx],7; nop; hlt
    vcpu().set_debug(slot_wish(slot, kData, WatchKind::kWrite, 4));
    EXPECT_EQ(expect_trap() & 0xf, 1u << slot);
    EXPECT_EQ(offset(), 8u);
    EXPECT_EQ(qword(kData), 7u);
    expect_hlt();
    put(kData, Code(8));
  }
}

TEST_F(Breakpoints, ReadWriteBreakpointReportsBoth) {
  boot({0x8b, 0x03, kNop, 0x89, 0x03, kNop, kHlt});  // mov eax,[rbx]; nop; mov [rbx],eax; nop; hlt
  vcpu().set_debug(slot_wish(3, kData, WatchKind::kReadWrite, 8));
  EXPECT_EQ(expect_trap() & 0xf, 8u);
  EXPECT_EQ(offset(), 2u);
  EXPECT_EQ(expect_trap() & 0xf, 8u);
  EXPECT_EQ(offset(), 5u);
  expect_hlt();
}

TEST_F(Breakpoints, AnAccessBesideTheWatchedBytesIsNotReported) {
  boot({0xc6, 0x43, 0x04, 1, 0xc6, 0x43, 0xff, 1, kHlt});  // mov byte [rbx+4],1; mov byte [rbx-1],1; hlt
  vcpu().set_debug(slot_wish(0, kData, WatchKind::kWrite, 4));
  expect_hlt();
}

TEST_F(Breakpoints, FourSlotsAtOnce) {
  boot({kNop, 0x88, 0x03, 0x88, 0x43, 0x08, 0x8a, 0x43, 0x10, kNop, kHlt});
  api::DebugWish wish;  // nop; mov [rbx],al; mov [rbx+8],al; mov al,[rbx+16]; nop; hlt
  wish.slots = {x86::DebugSlot{.at = Gva{kCode + 9}}, x86::DebugSlot{Gva{kData}, 1, WatchKind::kWrite},
                x86::DebugSlot{Gva{kData + 8}, 8, WatchKind::kWrite},
                x86::DebugSlot{Gva{kData + 16}, 2, WatchKind::kReadWrite}};
  vcpu().set_debug(wish);
  EXPECT_EQ(expect_trap() & 0xf, 2u);
  EXPECT_EQ(expect_trap() & 0xf, 4u);
  // The CPU may tell of the access and of the execute breakpoint behind it in one exit (SDM 3B 17.2.3).
  const std::uint64_t last = expect_trap() & 0xf;
  EXPECT_TRUE((last & 8u) != 0) << last;
}

TEST_F(Breakpoints, WatchFiresInsideARepeatedInstruction) {
  // mov ecx,16; mov rdi,rbx; rep stosb; hlt
  boot({0xb9, 16, 0, 0, 0, 0x48, 0x89, 0xdf, 0xf3, 0xaa, kHlt});
  vcpu().set_debug(slot_wish(1, kData + 5, WatchKind::kWrite, 1));
  EXPECT_EQ(expect_trap() & 0xf, 2u);
  EXPECT_LE(gpr(x86::kRcx), 10u);
  expect_hlt();
}

TEST_F(Breakpoints, TheGuestsOwnDebugRegistersAreNotOurs) {
  // mov rax,dr0; mov [rbx],rax; hlt
  boot({0x0f, 0x21, 0xc0, 0x48, 0x89, 0x03, kHlt});
  ASSERT_TRUE(vcpu().write(x86::Reg::kDr0, Bytes{0x78, 0x56, 0x34, 0x12, 0, 0, 0, 0}));
  vcpu().set_debug(slot_wish(0, kCode + 0x100, WatchKind::kExecute));
  // While ours are armed, a guest that touches debug registers comes out or does not, as KVM likes.
  static_cast<void>(vcpu().run());
  vcpu().set_debug({});
  x86::RegisterFile file;
  ASSERT_TRUE(vcpu().read(x86::RegGroup::kDebug, file));
  EXPECT_EQ(file.u64(x86::Reg::kDr0), 0x12345678u);
}

// Handing back what is the guest's own.

class Reinject : public GuestTest {
 protected:
  static constexpr std::uint8_t kDebugVector = 1, kBreakpointVector = 3;
  // mov rax,[rsp]; mov [rbx],rax; inc qword [rbx+8]; iretq: where it was, and how often
  static inline const Code kNote{0x48, 0x8b, 0x04, 0x24, 0x48, 0x89, 0x03,
                                 0x48, 0xff, 0x43, 0x08, 0x48, 0xcf};
};

TEST_F(Reinject, Int3GoesToTheGuestsHandlerWithRipAfterIt) {
  boot({kNop, kInt3, kNop, kHlt});
  guest().handle(kBreakpointVector, kNote);
  vcpu().set_debug(int3_wish());
  expect_int3();
  ASSERT_TRUE(vcpu().reinject_int3());
  expect_hlt();
  EXPECT_EQ(qword(kData), kCode + 2);
  EXPECT_EQ(qword(kData + 8), 1u);
}

TEST_F(Reinject, Int3ManyTimesInARow) {
  constexpr std::uint32_t kRounds = 2000;
  boot({0xb9, 0xd0, 0x07, 0, 0, kInt3, 0xff, 0xc9, 0x75, 0xfb,
        kHlt});  // mov ecx,2000; l: int3; dec ecx; jnz l
  guest().handle(kBreakpointVector, kNote);
  vcpu().set_debug(int3_wish());
  for (std::uint32_t round = 0; round < kRounds; ++round) {
    expect_int3();
    ASSERT_EQ(offset(), 5u);
    ASSERT_EQ(qword(kData + 8), round);
    ASSERT_TRUE(vcpu().reinject_int3());
  }
  expect_hlt();
  EXPECT_EQ(qword(kData), kCode + 6);
  EXPECT_EQ(qword(kData + 8), kRounds);
}

TEST_F(Reinject, Int3WithAHardwareBreakpointArmedElsewhere) {
  boot({kInt3, kNop, kNop, kHlt});
  guest().handle(kBreakpointVector, kNote);
  api::DebugWish wish = slot_wish(0, kCode + 2, WatchKind::kExecute);
  wish.trap_int3 = true;
  vcpu().set_debug(wish);
  expect_int3();
  ASSERT_TRUE(vcpu().reinject_int3());
  EXPECT_EQ(expect_trap() & 0xf, 1u);
  EXPECT_EQ(offset(), 2u);
  EXPECT_EQ(qword(kData), kCode + 1);
}

TEST_F(Reinject, Int3WithAHardwareBreakpointRightBehindIt) {
  // The first int3 brings the handler's pages in: under Bochs a page fault of the host's during delivery
  // leaves RF set in the frame, and iret would then pass the breakpoint.
  boot({kInt3, kInt3, kNop, kNop, kHlt});
  // mov rax,[rsp+16]; mov [rbx],rax; iretq: the flags in the frame
  guest().handle(kBreakpointVector, Code{0x48, 0x8b, 0x44, 0x24, 0x10, 0x48, 0x89, 0x03, 0x48, 0xcf});
  api::DebugWish wish = slot_wish(0, kCode + 2, WatchKind::kExecute);
  wish.trap_int3 = true;
  vcpu().set_debug(wish);
  for (int i = 0; i < 2; ++i) {
    expect_int3();
    ASSERT_TRUE(vcpu().reinject_int3());
  }
  EXPECT_EQ(expect_trap() & 0xf, 1u);
  EXPECT_EQ(offset(), 2u);
  EXPECT_EQ(qword(kData) & x86::rflags::kRf, 0u);
}

TEST_F(Reinject, Int3FromUserModeSwitchesTheStack) {
  // The handler's frame has SS:RSP of ring 3, and RIP after the int3 (SDM 3A 6.14.2).
  // push 0x2b; push 0xe000; push 2; push 0x33; push user; iretq      user: int3
  boot({0x6a, 0x2b, 0x68, 0, 0xe0, 0, 0, 0x6a, 0x02, 0x6a, 0x33, 0x68, 0, 0x81, 0, 0, 0x48, 0xcf});
  put(kCode + 0x100, {kInt3, 0xeb, 0xfe});
  constexpr std::uint64_t kUserCode = 0x00affb000000ffff, kUserData = 0x00cff3000000ffff;
  put(0x4000 + 0x28, Code(bytes_of(kUserData).begin(), bytes_of(kUserData).end()));
  put(0x4000 + 0x30, Code(bytes_of(kUserCode).begin(), bytes_of(kUserCode).end()));
  kvm_sregs sregs = vcpu().sregs();
  sregs.gdt.limit = 0x37;
  sregs.tr.base = 0xb000;  // RSP0 at 4 (SDM 3A 7.7)
  vcpu().set_sregs(sregs);
  put(0xb004, {0, 0xf0, 0, 0, 0, 0, 0, 0});
  // mov rax,[rsp]; mov [rbx],rax; mov rax,[rsp+24]; hlt
  guest().handle(kBreakpointVector,
                 Code{0x48, 0x8b, 0x04, 0x24, 0x48, 0x89, 0x03, 0x48, 0x8b, 0x44, 0x24, 0x18, kHlt});
  vcpu().set_debug(int3_wish());
  expect_int3();
  EXPECT_EQ(offset(), 0x100u);
  ASSERT_TRUE(vcpu().reinject_int3());
  expect_hlt();
  EXPECT_EQ(qword(kData), kCode + 0x101);
  EXPECT_EQ(gpr(x86::kRax), 0xe000u);
}

// The guest single-steps three instructions of its own, while a breakpoint of ours is armed elsewhere: KVM
// then brings every #DB to us.
TEST_F(Reinject, DebugTrapsOfAGuestThatStepsItself) {
  // pushf; or dword [rsp],0x100; popf; nop; nop; nop; hlt
  boot({0x9c, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d, kNop, kNop, kNop, kHlt});
  // mov rax,dr6; mov [rbx],rax; inc byte [rbx+8]; iretq
  guest().handle(kDebugVector, Code{0x0f, 0x21, 0xf0, 0x48, 0x89, 0x03, 0xfe, 0x43, 0x08, 0x48, 0xcf});
  vcpu().set_debug(slot_wish(0, kCode + 0x100, WatchKind::kExecute));
  for (std::uint64_t i = 0; i < 3; ++i) {
    const std::uint64_t dr6 = expect_trap();
    EXPECT_NE(dr6 & x86::dr6::kBs, 0u);
    EXPECT_EQ(dr6 & 0xf, 0u);
    EXPECT_EQ(offset(), 10 + i);
    ASSERT_TRUE(vcpu().reinject_debug_trap(0xffff4ff0));
  }
  expect_hlt();
  EXPECT_EQ(qword(kData + 8), 3u);
  EXPECT_NE(qword(kData) & x86::dr6::kBs, 0u);
}

}  // namespace
}  // namespace ringside::test
