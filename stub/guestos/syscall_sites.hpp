// Where breakpoints see every system call of this kernel; chosen by the symbols that exist and the calls
// between them, read from the kernel's text.
//
//   kEntry64    do_syscall_64 behind its endbr64: before seccomp and ptrace, one push that can be emulated
//   kEntryInt80   do_int80_emulation, and its twin of CPUs with FRED: int 0x80
//   kEntryFast32  __do_fast_syscall_32: sysenter, and syscall of 32-bit code.  Like do_syscall_64 these two are
//                 the begin of the C code, before seccomp and ptrace
//   kEntry32    do_int80_syscall_32, of older kernels.  Where one of these functions is inlined, in place of
//               all: ia32_sys_call, where all ways meet, but not calls that seccomp refuses, or with numbers
//               beyond the table
//   kResult     syscall_exit_to_user_mode, which every call passes, 64-bit and 32-bit, refused or not.  A new
//               task passes it too, on its way from ret_from_fork: no call of its own
//   kResultRax  where that function is inlined: behind each call of x64_sys_call and ia32_sys_call
//   kLeave      behind the calls of these functions in the entry code, such as `call do_syscall_64` in
//               entry_SYSCALL_64_after_hwframe (a CPU with FRED does not come there); where there is a kResult,
//               those of 32-bit calls only, for one whose 6th argument cannot be read
//   kNewTask    wake_up_new_task: each task once, with its pid; kernel threads and io workers too
//   kExit       do_exit: each task once, whatever killed it
//   kSignal…    get_signal, and behind its calls from arch_do_signal_or_restart; other callers are kernel
//               workers
//
// A site at a traced function's begin lies behind its 5 bytes for ftrace, which the kernel compares before it
// patches them; the registers are the same there.
#pragma once

#include <vector>

#include "stub/guestos/kernel.hpp"
#include "stub/guestos/symbols.hpp"

namespace ringside::guestos {

std::vector<SyscallSite> find_syscall_sites(const SymbolTable& symbols, const VirtualMemory& memory);

}  // namespace ringside::guestos
