// The part of an x86-64 CPU's state that control flow and addressing depend on, as small plain values:
// what a debug exit has at hand without any further system call (KVM api 5, "sync regs").
#pragma once

#include <array>
#include <cstdint>

#include "arch/addr.hpp"

namespace ringside::x86 {

// General registers in the order of their encoding in an instruction (SDM 2A table 2-2).
enum Gpr : std::uint8_t {
  kRax,
  kRcx,
  kRdx,
  kRbx,
  kRsp,
  kRbp,
  kRsi,
  kRdi,
  kR8,
  kR9,
  kR10,
  kR11,
  kR12,
  kR13,
  kR14,
  kR15,
  kGprCount
};

struct CoreRegs {
  std::array<std::uint64_t, kGprCount> gpr{};
  std::uint64_t rip = 0;
  std::uint64_t rflags = 2;
  bool operator==(const CoreRegs&) const = default;
};

// Everything a page walk needs (SDM 3A 4.1.1).
struct PagingState {
  std::uint64_t cr0 = 0;
  std::uint64_t cr3 = 0;
  std::uint64_t cr4 = 0;
  std::uint64_t efer = 0;
  bool operator==(const PagingState&) const = default;
};

// How the bytes at CS:RIP are decoded (SDM 3A 5.2.1, 9.8): 16, 32 or 64.
enum class CodeSize : std::uint8_t { k16 = 16, k32 = 32, k64 = 64 };

struct CodeSegment {
  std::uint64_t base = 0;
  std::uint16_t selector = 0;
  bool long_mode = false;    // L, meaningful while EFER.LMA
  bool default_big = false;  // D
  std::uint8_t cpl = 0;
  bool operator==(const CodeSegment&) const = default;
};

// State of one vCPU as sent along with each stop.
struct CpuContext {
  CoreRegs core;
  PagingState paging;
  CodeSegment cs;
  std::uint64_t gs_base = 0;  // the hidden base, as segmentation uses it now

  CodeSize code_size() const {
    constexpr std::uint64_t kEferLma = 1u << 10;
    if ((paging.efer & kEferLma) != 0 && cs.long_mode) return CodeSize::k64;
    return cs.default_big ? CodeSize::k32 : CodeSize::k16;
  }
  // Linear address of the next instruction: CS.base counts outside 64-bit mode only (SDM 3A 3.4.4).
  Gva linear_rip() const {
    if (code_size() == CodeSize::k64) return {core.rip};
    return {(cs.base + core.rip) & 0xffffffffu};
  }
};

}  // namespace ringside::x86
