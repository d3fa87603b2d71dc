// Simple instructions of 64-bit mode, executed in the CPU's stead: registers, flags and stack come out
// exactly as the CPU would leave them, or nothing changes at all.
//
// What a SimpleInsn can say is what can be done exactly here.  Stores other than to the stack cannot: guest
// memory is copied, and a copy is not one store to the other vCPUs.  Made by disasm/simple.hpp; whoever makes
// one up must keep to what the operations below say.  Pure.  Thread: any.
#pragma once

#include <cstdint>

#include "arch/addr.hpp"
#include "arch/x86/cpu.hpp"
#include "arch/x86/data_access.hpp"

namespace ringside::x86 {

inline constexpr std::uint8_t kNoGpr = kGprCount;
inline constexpr std::uint8_t kRipBase = kGprCount + 1;  // MemoryOperand::base only

// base + index * scale + displacement in 64-bit arithmetic, in a segment whose base is 0.
struct MemoryOperand {
  std::uint8_t base = kNoGpr;  // kRipBase: the address of the next instruction
  std::uint8_t index = kNoGpr;
  std::uint8_t scale = 1;
  std::int32_t displacement = 0;
  bool operator==(const MemoryOperand&) const = default;
};

Gva effective_address(const MemoryOperand& operand, const CoreRegs& regs, Gva next_rip) noexcept;

struct Operand {
  enum class Kind : std::uint8_t { kNone, kGpr, kHighByte, kImmediate, kMemory };
  Kind kind = Kind::kNone;
  std::uint8_t gpr = 0;  // kHighByte: kRax to kRbx, of which bits 15:8 are meant
  bool operator==(const Operand&) const = default;
};

struct SimpleInsn {
  enum class Op : std::uint8_t {
    kNop,
    kEndBranch,  // a nop, unless CET tracks indirect branches
    kMov,        // to <- from, zero-extended where `from` is the smaller one
    kMovSigned,
    kLea,
    // The eight of SDM 2A's opcode group 1, in its order.
    kAdd,
    kOr,
    kAdc,
    kSbb,
    kAnd,
    kSub,
    kXor,
    kCmp,
    kTest,
    kInc,
    kDec,
    kNot,
    kNeg,
    kPush,
    kPushFlags,
    kPop,
    kLeave,
    kJump,    // kImmediate: relative to the next instruction, otherwise absolute
    kJumpIf,  // relative
    kCall,    // as kJump
    kReturn,  // immediate: what goes off the stack besides the address
  };
  Op op = Op::kNop;
  std::uint8_t length = 1;     // of the instruction, 1..15
  std::uint8_t size = 8;       // bytes of the operands: 1, 2, 4, 8
  std::uint8_t from_size = 8;  // kMov, kMovSigned: bytes of `from`
  std::uint8_t condition = 0;  // kJumpIf: the low four bits of the opcode (SDM 1 B.1)
  Operand to{};                // a register (also for kCmp and kTest: there memory, too)
  Operand from{};
  MemoryOperand memory{};      // what an operand of kind kMemory means
  std::int64_t immediate = 0;  // sign-extended
  bool operator==(const SimpleInsn&) const = default;

  // For a caller who watches memory by debug registers: these do not see what is done here.
  bool touches_memory() const noexcept;
};

// Whether the CPU is in a state in which emulate() is exact: 64-bit code that does not step itself (TF), and
// no shadow stack or branch tracking beside a branch.
bool may_emulate(const SimpleInsn& insn, const CpuContext& cpu) noexcept;

enum class EmulateResult : std::uint8_t {
  kDone,
  kNoData,    // memory was refused: let the CPU do it, and take the fault that may come
  kBadTarget  // RIP would not be canonical
};

// Requires may_emulate().  Unless the result is kDone, neither `regs` nor memory has changed.
EmulateResult emulate(const SimpleInsn& insn, CoreRegs& regs, DataAccess& data) noexcept;

}  // namespace ringside::x86
