// A symbol file for debuggers, made of the kernel's own symbols: an ELF executable at link addresses with
// nothing but sections and symbols.  Its load segments are where a debugger's relocation (RSP "qOffsets")
// takes hold; per-CPU symbols that are linked at 0 lie outside of them, and stay.
#pragma once

#include "arch/bytes.hpp"
#include "stub/guestos/kernel.hpp"

namespace ringside::guestos {

Bytes make_symbol_elf(const Kernel& kernel);

}  // namespace ringside::guestos
