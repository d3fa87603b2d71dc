// The kernel's own description of its system calls (include/linux/syscalls.h, SYSCALL_METADATA): what there
// is for a call that has no decoder.  By number through sys_call_table and the names of what it leads to, so
// that it is there before the kernel has numbered the descriptions itself.
#pragma once

#include <optional>
#include <vector>

#include "stub/guestos/btf.hpp"
#include "stub/guestos/kernel.hpp"
#include "stub/guestos/symbols.hpp"

namespace ringside::guestos {

// By number; empty when the kernel has none.
std::vector<std::optional<Kernel::SyscallDescription>> read_syscalls(const SymbolTable& symbols,
                                                                     const Btf& btf,
                                                                     const VirtualMemory& memory);

}  // namespace ringside::guestos
