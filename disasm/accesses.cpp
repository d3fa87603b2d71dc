#include "disasm/accesses.hpp"

#include <algorithm>

#include "arch/x86/alu.hpp"

namespace ringside::disasm {
namespace {

using x86::Access;
using x86::MemoryOperand;
using Segment = InsnLayout::Segment;

class Collector {
 public:
  Collector(const InsnLayout& insn, std::uint8_t operand_bytes) : in_(insn), operand_bytes_(operand_bytes) {}

  Accesses run() {
    out_.unpredictable = may_fault_by_itself();
    if (in_.has_memory()) operand();
    implicit();
    return out_;
  }

 private:
  bool may_fault_by_itself() const;
  bool one_byte_may_fault() const;
  bool two_byte_may_fault() const;
  bool only_reads() const;
  void operand();
  void implicit();
  void string();
  void stack(Access how);
  void add(const MemoryAccess& access) { out_.storage[out_.count++] = access; }
  std::uint8_t string_size() const { return (in_.opcode & 1) == 0 ? 1 : in_.operand_size(); }

  const InsnLayout& in_;
  std::uint8_t operand_bytes_;
  Accesses out_;
};

bool between(std::uint8_t value, std::uint8_t first, std::uint8_t last) {
  return first <= value && value <= last;
}

bool Collector::one_byte_may_fault() const {
  switch (in_.opcode) {
    case 0x8e:  // mov to a segment register
    case 0x8f:  // pop to memory: RSP has moved by then
    case 0xc8:  // enter
    case 0xd7:  // xlat
      return true;
    case 0xf6:
    case 0xf7:
      return in_.group() >= 6;  // division
    case 0xff:
      return in_.has_memory() &&
             in_.group() >= 2;  // call, jmp, push: two accesses, of which one depends on the other
    default:
      return false;
  }
}

bool Collector::two_byte_may_fault() const {
  const std::uint8_t op = in_.opcode;
  switch (op) {
    case 0x00:
    case 0x01:
      // Of the descriptor tables only invlpg, swapgs, clac, stac and rdtscp cannot.
      if (op == 0x01 && in_.has_memory()) return in_.group() != 7;
      return op == 0x00 || between(in_.modrm, 0xd0, 0xd1) || between(in_.modrm, 0xee, 0xef);
    case 0x02:
    case 0x03:  // lar, lsl
    case 0x30:
    case 0x32:
    case 0x33:  // wrmsr, rdmsr, rdpmc
    case 0xa1:
    case 0xa9:  // pop fs, gs
    case 0xb4:
    case 0xb5:  // lfs, lgs
      return true;
    case 0xae:  // only the fences and clflush cannot
      return in_.repeat != 0 || in_.group() < 5 || (in_.has_memory() && in_.group() != 7);
    case 0xc7:  // cmpxchg8b, cmpxchg16b, rdrand, rdseed
      return in_.has_memory() ? in_.group() != 1 : in_.repeat != 0;
    case 0xb8:  // popcnt
    case 0xc3:  // movnti
      return false;
    default:  // MMX, SSE: CR0.TS, alignment, numeric errors
      return between(op, 0x10, 0x17) || between(op, 0x28, 0x2f) || between(op, 0x50, 0x7f) ||
             between(op, 0xc2, 0xc6) || op >= 0xd0;
  }
}

bool Collector::may_fault_by_itself() const {
  if (in_.coding != InsnLayout::Coding::kLegacy || in_.map == 3) return true;
  if (in_.map == 0) return one_byte_may_fault();
  if (in_.map == 1) return two_byte_may_fault();
  return in_.opcode != 0xf0 && in_.opcode != 0xf1 && in_.opcode != 0xf6;  // movbe, crc32, adcx
}

// Of ModRM's memory operand; everything else may write it.
bool Collector::only_reads() const {
  const std::uint8_t op = in_.opcode;
  if (in_.map == 0) {
    if (op < 0x40) return op >= 0x38 || (op & 7) > 1;  // cmp; or the register is the destination
    if (op == 0x80 || op == 0x81 || op == 0x83) return in_.group() == 7;
    if (op == 0xf6 || op == 0xf7) return in_.group() < 2 || in_.group() > 3;  // test, mul, div
    if (op == 0xff) return in_.group() > 1;
    return op == 0x63 || op == 0x69 || op == 0x6b || between(op, 0x84, 0x85) || between(op, 0x8a, 0x8b);
  }
  if (in_.map != 1) return false;
  if (op == 0x01 || op == 0xae) return in_.group() == 7;  // invlpg, clflush
  if (op == 0xba) return in_.group() == 4;                // bt
  return op == 0x0d || op == 0x18 || between(op, 0x40, 0x4f) || op == 0xa3 || op == 0xaf ||
         between(op, 0xb6, 0xb8) || between(op, 0xbc, 0xbf);
}

void Collector::operand() {
  if (operand_bytes_ == 0) {
    out_.unpredictable = true;
    return;
  }
  MemoryAccess access{.where = in_.memory(),
                      .segment = in_.segment,
                      .address32 = in_.address32,
                      .size = operand_bytes_,
                      .how = only_reads() ? Access::kRead : Access::kWrite};
  const std::uint8_t op = in_.opcode;
  const bool bit_string = in_.map == 1 && (op == 0xa3 || op == 0xab || op == 0xb3 || op == 0xbb);
  if (bit_string) access.bit_gpr = in_.reg();
  if (bit_string) access.size = in_.operand_size();
  add(access);
}

void Collector::stack(Access how) {
  const std::int32_t below = how == Access::kWrite ? -8 : 0;
  add({.where = {.base = x86::kRsp, .displacement = below}, .size = 8, .how = how});
}

// One element: RSI can be in another segment, RDI cannot (SDM 1 7.3.9.1).
void Collector::string() {
  const MemoryAccess from{.where = {.base = x86::kRsi},
                          .segment = in_.segment,
                          .address32 = in_.address32,
                          .size = string_size(),
                          .how = Access::kRead};
  MemoryAccess to{
      .where = {.base = x86::kRdi}, .address32 = in_.address32, .size = string_size(), .how = Access::kWrite};
  const std::uint8_t kind = in_.opcode & 0x0e;
  const bool compares = kind == 0x06 || kind == 0x0e;
  if (compares) to.how = Access::kRead;
  if (kind == 0x04 || kind == 0x06 || kind == 0x0c) add(from);
  if (kind != 0x0c) add(to);
}

void Collector::implicit() {
  const std::uint8_t op = in_.opcode;
  if (in_.map == 0) {
    if (between(op, 0xa0, 0xa3)) out_.unpredictable = true;  // an address of 64 bits
    if (between(op, 0xa4, 0xa7) || between(op, 0xaa, 0xaf)) string();
    if (between(op, 0x50, 0x57) || op == 0x68 || op == 0x6a || op == 0x9c) stack(Access::kWrite);
    if (between(op, 0x58, 0x5f) || op == 0x9d || op == 0xc2 || op == 0xc3) stack(Access::kRead);
    if (op == 0xff && !in_.has_memory() && (in_.group() == 2 || in_.group() == 6)) stack(Access::kWrite);
    if (op == 0xc9) out_.unpredictable = true;  // leave
  }
  if (in_.map == 1 && (op == 0xa0 || op == 0xa8)) stack(Access::kWrite);  // push fs, gs
}

}  // namespace

Gva MemoryAccess::address(const x86::CoreRegs& regs, const SegmentBases& bases, Gva next_rip) const {
  Gva at = x86::effective_address(where, regs, next_rip);
  if (bit_gpr < x86::kGprCount) {
    const unsigned bits = size * 8u;
    const auto number = static_cast<std::int64_t>(x86::alu::sign_extend(regs.gpr[bit_gpr], size));
    at = at + static_cast<std::uint64_t>(number >> std::countr_zero(bits)) * size;
  }
  if (address32) at.value &= 0xffff'ffff;
  if (segment == InsnLayout::Segment::kFs) at = at + bases.fs;
  if (segment == InsnLayout::Segment::kGs) at = at + bases.gs;
  return at;
}

Accesses accesses_of(const InsnLayout& layout, std::uint8_t operand_bytes) {
  return Collector(layout, operand_bytes).run();
}

bool will_not_fault(const Accesses& accesses, const x86::CpuContext& cpu, const SegmentBases& bases,
                    Gva next_rip, const PhysicalMemory& memory) {
  if (accesses.unpredictable) return false;
  return std::ranges::all_of(accesses.list(), [&](const MemoryAccess& access) {
    const Gva at = access.address(cpu.core, bases, next_rip);
    const bool aligned = access.size < 16 || at.value % access.size == 0;  // cmpxchg16b
    return aligned && x86::reachable(cpu, at, access.size, access.how, memory);
  });
}

}  // namespace ringside::disasm
