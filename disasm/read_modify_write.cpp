#include "disasm/read_modify_write.hpp"

#include <algorithm>

#include "arch/x86/alu.hpp"
#include "disasm/insn_layout.hpp"

namespace ringside::disasm {
namespace {

using Undo = ReadModifyWrite::Undo;
using Carry = ReadModifyWrite::Carry;

// Of one-byte opcodes; what `group` says where the opcode leaves it to ModRM.
bool modifies_map0(std::uint8_t opcode, std::uint8_t group) {
  if (opcode < 0x40) return (opcode & 7) < 2 && opcode < 0x38;  // add … xor, not cmp
  if (opcode == 0x80 || opcode == 0x81 || opcode == 0x83) return group != 7;
  if (opcode == 0x86 || opcode == 0x87) return true;
  if (opcode == 0xc0 || opcode == 0xc1 || (opcode >= 0xd0 && opcode <= 0xd3)) return true;
  if (opcode == 0xf6 || opcode == 0xf7) return group == 2 || group == 3;
  return (opcode == 0xfe || opcode == 0xff) && group < 2;
}

bool modifies_map1(std::uint8_t opcode, std::uint8_t group) {
  switch (opcode) {
    case 0xa4:
    case 0xa5:
    case 0xac:
    case 0xad:  // shld, shrd
    case 0xab:
    case 0xb3:
    case 0xbb:  // bts, btr, btc
    case 0xb0:
    case 0xb1:
    case 0xc0:
    case 0xc1:  // cmpxchg, xadd
      return true;
    case 0xba:
      return group >= 5;
    case 0xc7:
      return group == 1;
    default:
      return false;
  }
}

std::uint8_t size_of(const InsnLayout& insn) {
  if (insn.map == 1 && insn.opcode == 0xc7) return insn.wide() ? 16 : 8;
  const bool of_bytes = insn.map == 0 ? (insn.opcode & 1) == 0 : insn.opcode == 0xb0 || insn.opcode == 0xc0;
  return of_bytes ? 1 : insn.operand_size();
}

bool rotates(const InsnLayout& insn) {
  return insn.opcode == 0xc0 || insn.opcode == 0xc1 || (insn.opcode >= 0xd0 && insn.opcode <= 0xd3);
}

Carry carry_of(const InsnLayout& insn) {
  if (insn.map != 0) return Carry::kNone;
  const bool of_constant = insn.opcode == 0x80 || insn.opcode == 0x81 || insn.opcode == 0x83;
  const unsigned operation = insn.opcode < 0x40 ? insn.opcode >> 3 : insn.group();
  if (rotates(insn)) return operation == 2 ? Carry::kRcl : operation == 3 ? Carry::kRcr : Carry::kNone;
  if (insn.opcode >= 0x40 && !of_constant) return Carry::kNone;
  return operation == 2 ? Carry::kAdc : operation == 3 ? Carry::kSbb : Carry::kNone;
}

std::optional<std::uint64_t> constant_of(const InsnLayout& insn) {
  if (insn.map != 0 || insn.opcode < 0x40 || insn.opcode == 0xd2 || insn.opcode == 0xd3) return std::nullopt;
  if (insn.opcode == 0xd0 || insn.opcode == 0xd1) return 1;
  return static_cast<std::uint64_t>(insn.immediate);
}

// Through CF, which is the bit above (SDM 2B, RCL/RCR/ROL/ROR).
std::uint64_t rotate_left(std::uint64_t value, bool carry, unsigned count, unsigned size) {
  for (; count > 0; --count) {
    const bool out = (value & x86::alu::sign_of(size)) != 0;
    value = (value << 1 | (carry ? 1 : 0)) & x86::alu::mask_of(size);
    carry = out;
  }
  return value;
}

ReadModifyWrite describe(const InsnLayout& insn) {
  ReadModifyWrite rmw;
  rmw.length = insn.length;
  rmw.size = size_of(insn);
  const bool exchange = insn.map == 0 && (insn.opcode == 0x86 || insn.opcode == 0x87);
  const bool adds = insn.map == 1 && (insn.opcode == 0xc0 || insn.opcode == 0xc1);
  rmw.locked = insn.lock || exchange;
  rmw.compares = insn.map == 1 && (insn.opcode == 0xb0 || insn.opcode == 0xb1 || insn.opcode == 0xc7);
  rmw.pair = insn.map == 1 && insn.opcode == 0xc7;
  rmw.carry = carry_of(insn);
  rmw.constant = constant_of(insn);
  rmw.undo = exchange ? Undo::kExchange : adds ? Undo::kAdd : Undo::kNothing;
  rmw.gpr = insn.reg();
  rmw.high_byte = rmw.size == 1 && insn.rex == 0 && rmw.gpr >= 4 && rmw.gpr < 8;
  if (rmw.high_byte) rmw.gpr = static_cast<std::uint8_t>(rmw.gpr - 4);
  return rmw;
}

}  // namespace

x86::CoreRegs ReadModifyWrite::before(const x86::CoreRegs& after, std::uint64_t written) const {
  x86::CoreRegs core = after;
  core.rip -= length;
  if (undo == Undo::kNothing) return core;
  const unsigned shift = high_byte ? 8 : 0;
  const std::uint64_t mask = x86::alu::mask_of(size);
  std::uint64_t& held = core.gpr[gpr];
  const std::uint64_t now = held >> shift & mask;
  const std::uint64_t was = (undo == Undo::kExchange ? written : written - now) & mask;
  held = (held & ~(mask << shift)) | was << shift;
  return core;
}

std::optional<x86::CoreRegs> ReadModifyWrite::before(const x86::CoreRegs& after, std::uint64_t written,
                                                     std::uint64_t read) const {
  x86::CoreRegs core = before(after, written);
  if (carry == Carry::kNone) return core;
  const std::uint64_t mask = x86::alu::mask_of(size);
  const bool counts = carry == Carry::kRcl || carry == Carry::kRcr;
  const std::uint64_t other = constant ? *constant
                              : counts ? after.gpr[x86::kRcx]
                                       : after.gpr[gpr] >> (high_byte ? 8 : 0);
  const unsigned ring = 8u * size + 1;
  const unsigned count = static_cast<unsigned>(other & (size == 8 ? 63 : 31)) % ring;
  const auto result = [&](bool was) -> std::uint64_t {
    switch (carry) {
      case Carry::kAdc:
        return x86::alu::add(read, other, was, size).value;
      case Carry::kSbb:
        return x86::alu::sub(read, other, was, size).value;
      case Carry::kRcl:
        return rotate_left(read & mask, was, count, size);
      case Carry::kRcr:
        return rotate_left(read & mask, was, count == 0 ? 0 : ring - count, size);
      case Carry::kNone:
        break;
    }
    return 0;
  };
  const bool clear = result(false) == (written & mask), set = result(true) == (written & mask);
  if (!clear && !set) return std::nullopt;
  if (clear && set) return core;  // all the way round: CF is as it was
  core.rflags = (core.rflags & ~x86::rflags::kCf) | (set ? x86::rflags::kCf : 0);
  return core;
}

x86::CoreRegs ReadModifyWrite::having_read(const x86::CoreRegs& after, std::uint64_t value) const {
  x86::CoreRegs core = after;
  const std::uint64_t mask = x86::alu::mask_of(pair ? 4 : size);
  core.gpr[x86::kRax] = (core.gpr[x86::kRax] & ~mask) | (value & mask);
  if (pair) core.gpr[x86::kRdx] = value >> 32;
  return core;
}

std::optional<ReadModifyWrite> find_read_modify_write(
    ByteView code, const x86::CoreRegs& regs, const SegmentBases& bases, std::uint64_t written,
    const std::function<bool(Gva, std::uint8_t)>& is_operand) {
  for (std::size_t length = std::min(code.size(), kLongestInstruction); length >= 2; --length) {
    const auto insn = read_layout(code.last(length));
    if (!insn || insn->length != length || !insn->has_memory()) continue;
    if (insn->coding != InsnLayout::Coding::kLegacy) continue;
    const bool modifies = (insn->map == 0 && modifies_map0(insn->opcode, insn->group())) ||
                          (insn->map == 1 && modifies_map1(insn->opcode, insn->group()));
    if (!modifies) continue;
    const ReadModifyWrite rmw = describe(*insn);
    const Accesses accesses = accesses_of(*insn, rmw.size);
    const x86::CoreRegs before = rmw.before(regs, written);  // what it has changed may be in its address
    for (const MemoryAccess& access : accesses.list()) {
      if (is_operand(access.address(before, bases, Gva{regs.rip}), rmw.size)) return rmw;
    }
  }
  return std::nullopt;
}

}  // namespace ringside::disasm
