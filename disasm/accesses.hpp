// The memory that an instruction is about to touch, as far as it can be told before it runs, and whether it
// can fault for any other reason.
//
// Meant for the question "will this surely not fault?", so every doubt counts as unpredictable.  Pure.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "arch/guest_view.hpp"
#include "arch/x86/cpu.hpp"
#include "arch/x86/data_access.hpp"
#include "disasm/insn_layout.hpp"

namespace ringside::disasm {

struct SegmentBases {
  std::uint64_t fs = 0;
  std::uint64_t gs = 0;
};

struct MemoryAccess {
  x86::MemoryOperand where{};
  InsnLayout::Segment segment = InsnLayout::Segment::kFlat;
  bool address32 = false;
  std::uint8_t bit_gpr = x86::kNoGpr;  // bts and its like: a bit number relative to `where`, of size * 8 bits
  std::uint8_t size = 0;
  x86::Access how = x86::Access::kRead;

  Gva address(const x86::CoreRegs& regs, const SegmentBases& bases, Gva next_rip) const;
};

struct Accesses {
  std::array<MemoryAccess, 2> storage{};
  std::uint8_t count = 0;
  bool unpredictable =
      false;  // something else may fault: vectors, division, privileged registers, far memory

  std::span<const MemoryAccess> list() const { return std::span(storage).first(count); }
};

// `operand_bytes`: of ModRM's memory operand, 0 where that is not known.
Accesses accesses_of(const InsnLayout& layout, std::uint8_t operand_bytes);

// Kernel code only: at ring 0 nothing is privileged.
bool will_not_fault(const Accesses& accesses, const x86::CpuContext& cpu, const SegmentBases& bases,
                    Gva next_rip, const PhysicalMemory& memory);

}  // namespace ringside::disasm
