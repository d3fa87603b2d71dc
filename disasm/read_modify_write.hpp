// The instruction before a place, when it is one that reads memory, changes it and writes it back: what it takes
// to run such a one again that has been executed with a value no longer there.
//
// x86 code cannot be read backwards for certain; what is looked for is an instruction that ends at the place
// and whose memory operand is exactly what has been written, which leaves no doubt worth the name.  Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "arch/x86/cpu.hpp"
#include "disasm/accesses.hpp"

namespace ringside::disasm {

struct ReadModifyWrite {
  enum class Undo : std::uint8_t { kNothing, kExchange, kAdd };
  enum class Carry : std::uint8_t { kNone, kAdc, kSbb, kRcl, kRcr };

  std::uint8_t length = 0;
  std::uint8_t size = 0;       // bytes of the operand
  bool locked = false;         // other CPUs see it done at once or not at all (SDM 3A 8.1.2)
  bool compares = false;       // cmpxchg: without ZF afterwards it has written back what it has read
  bool pair = false;           // cmpxchg8b, cmpxchg16b: rdx and rax compare
  Carry carry = Carry::kNone;  // it needs CF as it was, and has changed it
  Undo undo = Undo::kNothing;
  std::uint8_t gpr = 0;    // what kExchange and kAdd have changed; what kAdc and kSbb have added
  bool high_byte = false;  // of it: ah, ch, dh or bh
  std::optional<std::uint64_t> constant;  // in place of it, and what kRcl and kRcr have rotated by if not cl

  // `after` the instruction, that has written `written`: as it was before it.
  x86::CoreRegs before(const x86::CoreRegs& after, std::uint64_t written) const;
  // The same of one that needs CF, which `read` that: with CF as it was.  Nothing when it cannot have done so.
  std::optional<x86::CoreRegs> before(const x86::CoreRegs& after, std::uint64_t written,
                                      std::uint64_t read) const;
  // `after` a cmpxchg that has failed: as if it had read `value`, of up to 8 bytes.
  x86::CoreRegs having_read(const x86::CoreRegs& after, std::uint64_t value) const;
};

// `code`: the guest's own bytes up to `regs.rip`, 15 of them, or fewer.  `is_operand` says whether an access of
// that many bytes at a linear address is the one that is meant, by which it has `written` that.
std::optional<ReadModifyWrite> find_read_modify_write(
    ByteView code, const x86::CoreRegs& regs, const SegmentBases& bases, std::uint64_t written,
    const std::function<bool(Gva, std::uint8_t)>& is_operand);

}  // namespace ringside::disasm
