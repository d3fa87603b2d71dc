// struct pt_regs (Linux: arch/x86/include/asm/ptrace.h): the registers of user space, as a system call finds
// them on the kernel's stack.  The order is part of the kernel's interface (PTRACE_GETREGS).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace ringside::strace {

struct PtRegs {
  std::uint64_t r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp,
      ss;

  // Linux: __USER_CS (arch/x86/include/asm/segment.h); x32 code has the same.
  bool is_64_bit() const { return (cs & 0xffff) == 0x33; }
};
static_assert(sizeof(PtRegs) == 21 * 8);

}  // namespace ringside::strace
