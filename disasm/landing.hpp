// Where one instruction can lead besides to the next one or its branch target: the kernel's entry, a gate's
// handler, a return address.
//
// For whoever steps it: TF does not survive these ways, so a debug register has to wait there; and RFLAGS, TF
// in it, has been saved where the guest will look.  Pure; instruction, tables and stack are hostile data:
// what cannot be read or makes no sense is no candidate.  Thread: any.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "arch/addr.hpp"
#include "arch/bytes.hpp"
#include "arch/guest_view.hpp"
#include "arch/x86/cpu.hpp"
#include "arch/x86/regs.hpp"

namespace ringside::disasm {

struct Landing {
  enum class Kind : std::uint8_t {
    kEntry,   // of system calls; RFLAGS is in r11
    kGate,    // of an interrupt or exception; RFLAGS is in the frame that RSP leads to
    kReturn,  // RFLAGS has been replaced or left as it was, not saved
  };
  Gva at;  // linear
  Kind kind = Kind::kReturn;
  std::uint8_t word = 8;    // kGate: bytes of each of the frame's fields, 2, 4 or 8
  bool error_code = false;  // kGate: lies below the frame
  bool operator==(const Landing&) const = default;
};

struct Landings {
  std::array<Landing, 4> storage{};  // as many as there are debug registers
  std::uint8_t count = 0;
  // Whether a step's trap follows it to where it goes, unless it faults: if not, that is the first of the
  // list, or not known.
  enum class Way : std::uint8_t { kTrapFollows, kToFirst, kUnknown };
  Way way = Way::kTrapFollows;
  // pushf: once RIP has moved by this much, RFLAGS is on top of the stack, `pushf_word` bytes of it.  0: no.
  std::uint8_t pushf_end = 0;
  std::uint8_t pushf_word = 0;

  std::span<const Landing> list() const { return std::span(storage).first(count); }
};

// Registers beyond CpuContext: segment bases, descriptor tables, MSRs.  Only what is needed is asked for.
class SystemRegisters {
 public:
  virtual ~SystemRegisters() = default;
  virtual std::uint64_t value(x86::Reg reg) noexcept = 0;
};

// In order of likelihood.  `code`: the guest's own bytes from RIP on, as many as can be read, up to 30: mov
// ss and sti take the next instruction along.
Landings find_landings(ByteView code, const x86::CpuContext& cpu, SystemRegisters& system,
                       const PhysicalMemory& memory);

// The linear address that the stack pointer stands for.
Gva stack_top(const x86::CpuContext& cpu, SystemRegisters& system);

}  // namespace ringside::disasm
