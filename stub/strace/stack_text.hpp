// A task's stack as text, a frame a line, innermost first: the kernel's part by name, from where the vCPU
// stands up to user mode, then the program's frame pointers, which may be none.
//
//   do_syscall_64+0x5              symbol and offset; behind it " [module]" for a module's
//   0xffffffffc0201000             an address of the kernel's that has no symbol
//   ?                              nothing tells how the kernel's stack goes on
//   ...                            the kernel's stack goes on
//   0x401000                       the program's
// Thread: vCPU; neither allocates nor makes a system call, bounded in frames.
#pragma once

#include "stub/guestos/kernel.hpp"
#include "stub/strace/pt_regs.hpp"
#include "stub/strace/text.hpp"
#include "stub/tracer/port.hpp"

namespace ringside::strace {

// `user`: the registers that user mode has left, where they are known; else they are where the walk ends.
void add_stack(const guestos::Kernel& kernel, const tracer::Hit& hit, const PtRegs* user,
               Text& into) noexcept;

}  // namespace ringside::strace
