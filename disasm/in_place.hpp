// Which instructions must run where they stand, because at another address they would do something else, or
// somebody would see that address.  The table's rows cite what they do (SDM 2).  Pure.
#pragma once

#include <cstdint>
#include <optional>

#include "disasm/insn_layout.hpp"

namespace ringside::disasm {

enum class InPlace : std::uint8_t {
  kCutOff,       // the bytes end before the instruction does
  kUndecodable,  // no instruction, or two decoders do not agree about it
  kVendor,       // CPUs do different things: Intel's and AMD's, or emulated ones
  kTransfer,     // saves or takes RIP: system calls, interrupts, far branches, transactions
  kRelative,     // a short relative branch that is not emulated
  kFpu,          // x87 remembers the address of its last instruction
  kShadow,       // holds interrupts and debug traps back for one instruction: mov ss, sti
  kPort,         // I/O: leaves the guest, and ends only at the next entry
  kState,        // changes what stepping itself rests on: control and debug registers, hlt, VMX, SVM, SMM
  kAddress32,    // relative to the lower half of RIP
};

const char* to_text(InPlace why);

// Nothing: a copy elsewhere does the same, once its displacement is adjusted.
std::optional<InPlace> in_place_reason(const InsnLayout& layout);

}  // namespace ringside::disasm
