#include "disasm/read_modify_write.hpp"

#include <algorithm>

#include "arch/x86/alu.hpp"
#include "disasm/insn_layout.hpp"

namespace ringside::disasm {
namespace {

using Undo = ReadModifyWrite::Undo;

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

bool needs_carry(const InsnLayout& insn) {
  if (insn.map != 0) return false;
  const std::uint8_t opcode = insn.opcode;
  if (opcode < 0x40) return (opcode & 0x38) == 0x10 || (opcode & 0x38) == 0x18;  // adc, sbb
  const bool arithmetic = opcode == 0x80 || opcode == 0x81 || opcode == 0x83;
  const bool rotates = opcode == 0xc0 || opcode == 0xc1 || (opcode >= 0xd0 && opcode <= 0xd3);
  return (arithmetic || rotates) && (insn.group() == 2 || insn.group() == 3);  // …, rcl, rcr
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
  rmw.needs_carry = needs_carry(insn);
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
