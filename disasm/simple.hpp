// Which instructions can be executed without the CPU, and what they mean (arch/x86/emulate.hpp).
//
// Opcode by opcode as in SDM 2D appendix A; a form that is not listed is not simple.  Pure.
#pragma once

#include <optional>

#include "arch/x86/emulate.hpp"
#include "disasm/insn_layout.hpp"

namespace ringside::disasm {

std::optional<x86::SimpleInsn> simple_insn(const InsnLayout& layout);

}  // namespace ringside::disasm
