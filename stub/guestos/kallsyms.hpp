// The kernel's own symbol table (kernel/kallsyms.c, written by scripts/kallsyms.c), found in memory by its
// shape: names are compressed with 256 tokens, of which '0' to '9' stand for themselves in every kernel.
//
//   until 6.3    offsets | relative_base | num_syms | names | markers | [seqs] | token_table | token_index
//   since 6.4    num_syms | names | markers | token_table | token_index | offsets | relative_base | seqs
//   7.2          the same without relative_base, and 4 bytes are the alignment, no more 8
//
// An offset is: absolute when not negative, else relative_base - 1 - offset (kernels that link per-CPU data
// at 0); or from relative_base, unsigned (where per-CPU data has ordinary addresses); or from its own place,
// signed. Which one holds is told by linux_banner, whose text is known.
#pragma once

#include "arch/guest_view.hpp"
#include "arch/result.hpp"
#include "stub/guestos/symbols.hpp"

namespace ringside::guestos {

// Looks around `hint`, an address inside the kernel's image.
Result<SymbolTable> read_kallsyms(const VirtualMemory& memory, Gva hint);

}  // namespace ringside::guestos
