#include "disasm/landing.hpp"

#include <algorithm>
#include <optional>

#include "arch/x86/control.hpp"
#include "arch/x86/data_access.hpp"
#include "arch/x86/paging.hpp"
#include "disasm/accesses.hpp"
#include "disasm/insn_layout.hpp"

namespace ringside::disasm {
namespace {

using x86::CodeSize;
using x86::Reg;

// SDM 3A 6.15
enum Vector : std::uint8_t {
  kDivide = 0,
  kDebug = 1,
  kBreakpoint = 3,
  kOverflow = 4,
  kBound = 5,
  kUndefined = 6,
  kNoDevice = 7,
  kNoSegment = 11,
  kStack = 12,
  kProtection = 13,
  kPage = 14,
  kX87 = 16,
  kSimd = 19,
};

constexpr bool has_error_code(std::uint8_t vector) {
  return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 ||
         vector == 30;
}

// An instruction as far as its opcode, in code of any size.
struct Opcode {
  std::uint8_t map = 0;  // 0: one byte, 1: 0f
  std::uint8_t opcode = 0;
  std::uint8_t operand = 0;  // the byte behind: ModRM or an immediate
  bool wide = false;
  bool prefix66 = false;
  std::uint8_t length = 0;  // without what follows the opcode

  unsigned group() const { return operand >> 3 & 7u; }
  bool is(unsigned in_map, unsigned first, unsigned last) const {
    return map == in_map && opcode >= first && opcode <= last;
  }
  bool is(unsigned in_map, unsigned one) const { return is(in_map, one, one); }
};

bool is_prefix(std::uint8_t byte) {
  constexpr std::uint8_t kPrefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3};
  return std::ranges::find(kPrefixes, byte) != std::end(kPrefixes);
}

// Nothing: the bytes end before the opcode does, or too many prefixes.
std::optional<Opcode> read_opcode(ByteView code, CodeSize size) {
  code = code.first(std::min(code.size(), kLongestInstruction));
  Opcode out;
  std::size_t at = 0;
  for (; at < code.size(); ++at) {
    const bool rex = size == CodeSize::k64 && (code[at] & 0xf0) == 0x40;
    if (!rex && !is_prefix(code[at])) break;
    out.wide = rex && (code[at] & 8) != 0;  // counts only right before the opcode (SDM 2A 2.2.1)
    out.prefix66 = out.prefix66 || code[at] == 0x66;
  }
  if (at < code.size() && code[at] == 0x0f) out.map = 1, ++at;
  if (at >= code.size()) return std::nullopt;
  out.opcode = code[at++];
  out.length = static_cast<std::uint8_t>(at);
  if (at < code.size()) out.operand = code[at];
  return out;
}

class Finder {
 public:
  Finder(const x86::CpuContext& cpu, SystemRegisters& system, const PhysicalMemory& memory)
      : cpu_(cpu), system_(system), memory_(memory) {}

  Landings run(ByteView code) {
    const auto op = read_opcode(code, cpu_.code_size());
    if (!op) {  // a page is missing, or there are too many prefixes
      faults({kPage, kProtection, kUndefined});
      out_.way = out_.count == 0 ? Landings::Way::kUnknown : Landings::Way::kToFirst;
      return out_;
    }
    transfer(*op);
    if (leaves_) out_.way = out_.count == 0 ? Landings::Way::kUnknown : Landings::Way::kToFirst;
    if (const unsigned length = shadow_length(*op, code); length != 0) taken_along(code, length);
    data(code);
    own_faults(*op);
    faults({kPage, kProtection, kUndefined, kStack});
    return out_;
  }

 private:
  bool long_mode() const { return (cpu_.paging.efer & x86::efer::kLma) != 0; }
  bool is64() const { return cpu_.code_size() == CodeSize::k64; }
  bool real_addressing() const {
    return (cpu_.paging.cr0 & x86::cr0::kPe) == 0 || (cpu_.core.rflags & x86::rflags::kVm) != 0;
  }
  std::uint8_t word(const Opcode& op) const {
    if (is64() && op.wide) return 8;
    const bool big = cpu_.code_size() != CodeSize::k16;
    return big != op.prefix66 ? 4 : 2;
  }
  template <typename T>
  std::optional<T> load(Gva at) const {
    T value{};
    const MutableByteView bytes(reinterpret_cast<std::uint8_t*>(&value), sizeof value);
    if (x86::read_virtual(cpu_.paging, at, bytes, memory_) != sizeof value) return std::nullopt;
    return value;
  }

  void add(const Landing& landing);
  void faults(std::initializer_list<std::uint8_t> vectors);
  void exception(std::uint8_t vector) { gate(vector, has_error_code(vector)); }
  void gate(std::uint8_t vector, bool error_code);
  void interrupt(std::uint8_t vector) {
    leaves_ = true;
    gate(vector, false);
  }
  std::optional<std::uint64_t> segment_base(std::uint16_t selector) const;
  void transfer(const Opcode& op);
  void one_byte(const Opcode& op);
  void system_call();
  void to(std::uint64_t at, Landing::Kind kind = Landing::Kind::kReturn);
  void far_return(const Opcode& op);
  static unsigned shadow_length(const Opcode& op, ByteView code);
  void taken_along(ByteView code, unsigned length);
  void data(ByteView code);
  void own_faults(const Opcode& op);

  const x86::CpuContext& cpu_;
  SystemRegisters& system_;
  const PhysicalMemory& memory_;
  Landings out_;
  bool leaves_ = false;
};

void Finder::add(const Landing& landing) {
  const auto known = [&](const Landing& one) { return one.at == landing.at; };
  if (out_.count == out_.storage.size() || std::ranges::any_of(out_.list(), known)) return;
  out_.storage[out_.count++] = landing;
}

void Finder::faults(std::initializer_list<std::uint8_t> vectors) {
  for (const std::uint8_t vector : vectors) exception(vector);
}

// The base of a code segment, from its descriptor (SDM 3A 3.4.5).
std::optional<std::uint64_t> Finder::segment_base(std::uint16_t selector) const {
  if (real_addressing()) return std::uint64_t{selector} << 4;
  const bool local = (selector & 4) != 0;
  const Gva table{system_.value(local ? Reg::kLdtrBase : Reg::kGdtrBase)};
  const auto entry = load<std::uint64_t>(table + (selector & 0xfff8u));
  if (!entry) return std::nullopt;
  const bool flat = long_mode() && (*entry >> 53 & 1) != 0;
  if (flat) return 0;
  return (*entry >> 16 & 0xff'ffff) | (*entry >> 32 & 0xff00'0000);
}

// SDM 3A 6.11, 6.14.1; the table of real mode 20.1.4.
void Finder::gate(std::uint8_t vector, bool error_code) {
  const bool real = (cpu_.paging.cr0 & x86::cr0::kPe) == 0;
  const unsigned bytes = real ? 4 : long_mode() ? 16 : 8;
  if (vector * bytes + bytes - 1 > system_.value(Reg::kIdtrLimit)) return;
  const Gva at = Gva{system_.value(Reg::kIdtrBase)} + vector * bytes;
  if (real) {
    const auto far = load<std::uint32_t>(at);
    if (far) add({{(*far >> 16 << 4) + (*far & 0xffff)}, Landing::Kind::kGate, 2, false});
    return;
  }
  const auto low = load<std::uint64_t>(at);
  const std::uint64_t type = low ? *low >> 40 & 0x1f : 0;
  const bool big = type == 0xe || type == 0xf;
  const bool small = !long_mode() && (type == 6 || type == 7);
  if (!low || (*low >> 47 & 1) == 0 || (!big && !small)) return;  // a task gate, too
  std::uint64_t offset = *low & 0xffff;
  if (big) offset |= *low >> 32 & 0xffff'0000;
  if (long_mode()) {
    const auto high = load<std::uint32_t>(at + 8);
    if (!high) return;
    add({{offset | std::uint64_t{*high} << 32}, Landing::Kind::kGate, 8, error_code});
  } else if (const auto base = segment_base(static_cast<std::uint16_t>(*low >> 16))) {
    const std::uint8_t word = big ? 4 : 2;
    add({{(*base + offset) & 0xffff'ffff}, Landing::Kind::kGate, word, error_code});
  }
}

void Finder::to(std::uint64_t at, Landing::Kind kind) {
  leaves_ = true;
  add({.at = Gva{at}, .kind = kind});
}

void Finder::system_call() {
  if (!long_mode()) return to(system_.value(Reg::kMsrStar) & 0xffff'ffff);
  to(system_.value(is64() ? Reg::kMsrLstar : Reg::kMsrCstar), Landing::Kind::kEntry);
}

// iret and far ret begin alike: the offset, then the selector.
void Finder::far_return(const Opcode& op) {
  leaves_ = op.opcode == 0xcf;  // a far return leaves TF alone
  const unsigned size = word(op);
  const Gva top = stack_top(cpu_, system_);
  const auto offset = load<std::uint64_t>(top);
  const auto selector = load<std::uint16_t>(top + size);
  if (!offset || !selector) return;
  const auto base = segment_base(*selector);
  if (!base) return;
  const std::uint64_t mask = size == 8 ? ~std::uint64_t{0} : (std::uint64_t{1} << (8 * size)) - 1;
  add({.at = Gva{*base + (*offset & mask)}, .kind = Landing::Kind::kReturn});
}

void Finder::one_byte(const Opcode& op) {
  switch (op.opcode) {
    case 0x9c:
      out_.pushf_end = op.length;
      // In 64-bit mode the operand is 64 bits without REX.W (SDM 2B PUSHF).
      out_.pushf_word = is64() ? (op.prefix66 ? 2 : 8) : word(op);
      break;
    case 0x9d:  // popf: some CPUs look at the new TF
      add({.at = cpu_.linear_rip() + op.length, .kind = Landing::Kind::kReturn});
      break;
    case 0xca:
    case 0xcb:
    case 0xcf:
      far_return(op);
      break;
    case 0xcc:
      interrupt(kBreakpoint);
      break;
    case 0xcd:
      interrupt(op.operand);
      break;
    case 0xce:
      if (!is64() && (cpu_.core.rflags & x86::rflags::kOf) != 0) interrupt(kOverflow);
      break;
    case 0xf1:
      interrupt(kDebug);
      break;
    default:
      break;
  }
}

void Finder::transfer(const Opcode& op) {
  if (op.map == 0) return one_byte(op);
  const auto narrow = [&](x86::Gpr gpr) {
    const std::uint64_t value = cpu_.core.gpr[gpr];
    return op.wide ? value : value & 0xffff'ffff;
  };
  switch (op.opcode) {
    case 0x05:
      return system_call();
    case 0x07:
      return to(narrow(x86::kRcx));
    case 0x34:
      return to(system_.value(Reg::kMsrSysenterEip));
    case 0x35:
      return to(narrow(x86::kRdx));
    case 0x0b:  // ud2, ud1, ud0
    case 0xb9:
    case 0xff:
      return interrupt(kUndefined);
    default:
      return;
  }
}

// mov ss, pop ss and sti hold a step's trap back until the next instruction is done, too (SDM 3A 6.8.3; sti
// on some CPUs only).
unsigned Finder::shadow_length(const Opcode& op, ByteView code) {
  if (op.is(0, 0xfb) || op.is(0, 0x17)) return op.length;
  if (!op.is(0, 0x8e) || op.group() != 2) return 0;
  const auto layout = read_layout(code);
  return layout ? layout->length : 0;
}

void Finder::taken_along(ByteView code, unsigned length) {
  const ByteView rest = code.subspan(std::min<std::size_t>(length, code.size()));
  const auto next = read_opcode(rest, cpu_.code_size());
  if (!next || next->is(0, 0x9d)) return;
  transfer(*next);
  if (out_.pushf_end != 0) out_.pushf_end = static_cast<std::uint8_t>(out_.pushf_end + length);
}

// Memory operands of 64-bit code whose page walk foretells a fault.
void Finder::data(ByteView code) {
  if (!is64()) return;
  const auto layout = read_layout(code);
  if (!layout) return;
  const Accesses accesses = accesses_of(*layout, layout->operand_size());
  if (accesses.count == 0) return;
  const SegmentBases bases{.fs = system_.value(Reg::kFsBase), .gs = system_.value(Reg::kGsBase)};
  for (const MemoryAccess& access : accesses.list()) {
    const Gva at = access.address(cpu_.core, bases, cpu_.linear_rip() + layout->length);
    if (x86::reachable(cpu_, at, access.size, access.how, memory_)) continue;
    const x86::WalkResult leaf = x86::walk(cpu_.paging, at, memory_);
    const bool hole = !leaf && leaf.error().why == x86::WalkFault::Why::kNonCanonical;
    const bool stack = access.where.base == x86::kRsp || access.where.base == x86::kRbp;
    if (hole) faults({stack ? kStack : kProtection});
    exception(kPage);
  }
}

// What this instruction is known to fault with.
void Finder::own_faults(const Opcode& op) {
  const bool privileged = op.is(0, 0xe4, 0xe7) || op.is(0, 0xec, 0xef) || op.is(0, 0x6c, 0x6f) ||
                          op.is(0, 0xfa, 0xfb) || op.is(0, 0xf4) || op.is(1, 0x00, 0x01) ||
                          op.is(1, 0x06, 0x09) || op.is(1, 0x20, 0x23) || op.is(1, 0x30, 0x33);
  if (privileged) faults({kProtection});
  if (op.is(0, 0xf6, 0xf7) && op.group() >= 6) faults({kDivide});
  if (!is64() && op.is(0, 0xd4)) faults({kDivide});  // aam
  if (!is64() && op.is(0, 0x62)) faults({kBound});
  if (op.is(0, 0xd8, 0xdf) || op.is(0, 0x9b)) faults({kX87, kPage, kNoDevice});
  const bool loads_segment = op.is(0, 0x8e) || op.is(0, 0xca, 0xcf) || op.is(1, 0xb2, 0xb5);
  if (loads_segment) faults({kProtection, kPage, kNoSegment});
  const bool vector = op.is(1, 0x10, 0x17) || op.is(1, 0x28, 0x2f) || op.is(1, 0x50, 0x7f) ||
                      op.is(1, 0xc2, 0xc6) || op.is(1, 0xd0, 0xff) || op.is(0, 0xc4, 0xc5);
  if (vector) faults({kPage, kSimd});
}

}  // namespace

Gva stack_top(const x86::CpuContext& cpu, SystemRegisters& system) {
  const std::uint64_t rsp = cpu.core.gpr[x86::kRsp];
  if (cpu.code_size() == CodeSize::k64) return {rsp};
  const std::uint64_t mask = cpu.code_size() == CodeSize::k16 ? 0xffff : 0xffff'ffff;
  return {(system.value(Reg::kSsBase) + (rsp & mask)) & 0xffff'ffff};
}

Landings find_landings(ByteView code, const x86::CpuContext& cpu, SystemRegisters& system,
                       const PhysicalMemory& memory) {
  return Finder(cpu, system, memory).run(code);
}

}  // namespace ringside::disasm
