// An instruction on memory at [rsi] as KVM emulates one where writes are watched: it has read, then some time passes,
// then it is through, with its registers changed, and what it writes is handed out.
#pragma once

#include <cstdint>

#include "arch/bytes.hpp"
#include "arch/x86/alu.hpp"
#include "arch/x86/control.hpp"
#include "arch/x86/cpu.hpp"

namespace ringside::fakes {

struct MemoryInsn {
  enum class Op : std::uint8_t { kMov, kAdd, kXor, kInc, kNot, kBts, kXchg, kXadd, kCmpxchg, kCmpxchg8b };

  Op op = Op::kMov;
  std::uint8_t size = 8;  // kBts: not 1; kCmpxchg8b: 8
  std::uint8_t gpr = 1;   // the other operand; of one byte 4 to 7 are ah to bh
  bool lock = false;

  bool is_atomic() const { return lock || op == Op::kXchg; }
  bool reads() const { return op != Op::kMov; }
  bool compares() const { return op == Op::kCmpxchg || op == Op::kCmpxchg8b; }
  Bytes code() const {
    const bool wide = size == 8 && op != Op::kCmpxchg8b;
    const auto rex = static_cast<std::uint8_t>((wide ? 0x48 : 0) | (gpr >= 8 ? 0x44 : 0));
    const Form form = this->form();
    Bytes bytes;
    if (lock) bytes.push_back(0xf0);
    if (size == 2) bytes.push_back(0x66);
    if (rex != 0) bytes.push_back(rex);
    if (form.two_byte) bytes.push_back(0x0f);
    bytes.push_back(static_cast<std::uint8_t>(form.opcode | (size == 1 ? 0 : 1)));
    const unsigned reg = form.group < 8 ? form.group : gpr & 7u;
    bytes.push_back(static_cast<std::uint8_t>(reg << 3 | x86::kRsi));
    return bytes;
  }
  Gva where(const x86::CoreRegs& core) const {
    const Gva base{core.gpr[x86::kRsi]};
    return op == Op::kBts ? base + operand(core) / (8u * size) * size : base;
  }
  // What it writes when it has read `old`.  ZF is the only flag.
  std::uint64_t execute(std::uint64_t old, x86::CoreRegs& core) const {
    const std::uint64_t value = operand(core);
    core.rip += code().size();
    switch (op) {
      case Op::kMov:
        return value;
      case Op::kAdd:
        return cut(old + value);
      case Op::kXor:
        return old ^ value;
      case Op::kInc:
        return cut(old + 1);
      case Op::kNot:
        return cut(~old);
      case Op::kBts:
        return old | x86::bit(static_cast<unsigned>(value % (8u * size)));
      case Op::kXchg:
        put(core, old);
        return value;
      case Op::kXadd:
        put(core, old);
        return cut(old + value);
      case Op::kCmpxchg:
      case Op::kCmpxchg8b:
        return compare(old, core);
    }
    return 0;
  }
  // What kCmpxchg and kCmpxchg8b compare with.
  std::uint64_t accumulator(const x86::CoreRegs& core) const {
    if (op == Op::kCmpxchg8b) return pair(core.gpr[x86::kRdx], core.gpr[x86::kRax]);
    return cut(core.gpr[x86::kRax]);
  }
  void set_accumulator(x86::CoreRegs& core, std::uint64_t value) const {
    if (op != Op::kCmpxchg8b) return write(core.gpr[x86::kRax], value);
    core.gpr[x86::kRax] = value & 0xffff'ffff;
    core.gpr[x86::kRdx] = value >> 32;
  }

 private:
  struct Form {
    bool two_byte;
    std::uint8_t opcode;  // of one byte; that of more has its lowest bit set
    std::uint8_t group;   // 8: the register operand stands there
  };
  Form form() const {
    constexpr Form kForms[] = {{false, 0x88, 8}, {false, 0x00, 8}, {false, 0x30, 8}, {false, 0xfe, 0},
                               {false, 0xf6, 2}, {true, 0xab, 8},  {false, 0x86, 8}, {true, 0xc0, 8},
                               {true, 0xb0, 8},  {true, 0xc7, 1}};
    return kForms[static_cast<std::size_t>(op)];
  }
  bool high_byte() const { return size == 1 && gpr >= 4 && gpr < 8; }
  std::uint64_t cut(std::uint64_t value) const { return value & x86::alu::mask_of(size); }
  static std::uint64_t pair(std::uint64_t high, std::uint64_t low) {
    return high << 32 | (low & 0xffff'ffff);
  }
  std::uint64_t operand(const x86::CoreRegs& core) const {
    return cut(high_byte() ? core.gpr[gpr - 4u] >> 8 : core.gpr[gpr]);
  }
  void put(x86::CoreRegs& core, std::uint64_t value) const {
    if (!high_byte()) return write(core.gpr[gpr], value);
    std::uint64_t& held = core.gpr[gpr - 4u];
    held = (held & ~std::uint64_t{0xff00}) | value << 8;
  }
  // A result of 32 bits clears the other half (SDM 1 3.4.1.1).
  void write(std::uint64_t& held, std::uint64_t value) const {
    held = size == 4 ? value : (held & ~x86::alu::mask_of(size)) | value;
  }
  std::uint64_t compare(std::uint64_t old, x86::CoreRegs& core) const {
    const bool equal = accumulator(core) == old;
    core.rflags = (core.rflags & ~x86::rflags::kZf) | (equal ? x86::rflags::kZf : 0);
    if (!equal) {
      set_accumulator(core, old);
      return old;
    }
    return op == Op::kCmpxchg8b ? pair(core.gpr[x86::kRcx], core.gpr[x86::kRbx]) : operand(core);
  }
};

}  // namespace ringside::fakes
