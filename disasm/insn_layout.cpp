#include "disasm/insn_layout.hpp"

#include <string_view>

#include "arch/x86/alu.hpp"

namespace ringside::disasm {
namespace {

using Coding = InsnLayout::Coding;
using Segment = InsnLayout::Segment;
using enum LayoutFault;

// What follows each opcode (SDM 2D appendix A): `.` nothing, `m` ModRM, `b` 8 bits, `w` 16, `z` 16 or 32 by
// operand size, `v` 16, 32 or 64, `r` 32 bits relative, `B` ModRM and b, `Z` ModRM and z, `g` `G` ModRM and
// for test also b or z, `c` ModRM that names registers whatever its mod, `e` w and b, `o` an address, `x` no
// instruction. Prefixes and escapes stand as x: they have been read before.
constexpr std::string_view kOneByte[16] = {
    "mmmmbzxxmmmmbzxx",  // 00 add or
    "mmmmbzxxmmmmbzxx",  // 10 adc sbb
    "mmmmbzxxmmmmbzxx",  // 20 and sub
    "mmmmbzxxmmmmbzxx",  // 30 xor cmp
    "xxxxxxxxxxxxxxxx",  // 40 REX
    "................",  // 50 push pop
    "xxxmxxxxzZbB....",  // 60 movsxd push imul ins outs
    "bbbbbbbbbbbbbbbb",  // 70 jcc
    "BZxBmmmmmmmmmmmm",  // 80 group 1, test xchg mov lea pop
    "..........x.....",  // 90 xchg cwd pushf
    "oooo....bz......",  // a0 mov, strings
    "bbbbbbbbvvvvvvvv",  // b0 mov
    "BBw.xxBZe.w..bx.",  // c0 shifts ret mov enter leave int
    "mmmmxxx.mmmmmmmm",  // d0 shifts x87
    "bbbbbbbbrrxb....",  // e0 loop in out call jmp
    "x.xx..gG......mm",  // f0 hlt, groups 3 to 5
};
constexpr std::string_view kTwoByte[16] = {
    "mmmmx.....x.xm.x",  // 00 groups 6 and 7, syscall, prefetchw
    "mmmmmmmmmmmmmmmm",  // 10 movups, hints
    "ccccxxxxmmmmmmmm",  // 20 mov cr
    "......x.xxxxxxxx",  // 30 msr
    "mmmmmmmmmmmmmmmm",  // 40 cmovcc
    "mmmmmmmmmmmmmmmm",  // 50
    "mmmmmmmmmmmmmmmm",  // 60
    "BBBBmmm.mmxxmmmm",  // 70
    "rrrrrrrrrrrrrrrr",  // 80 jcc
    "mmmmmmmmmmmmmmmm",  // 90 setcc
    "...mBmxx...mBmmm",  // a0 cpuid bt shld
    "mmmmmmmmmmBmmmmm",  // b0 cmpxchg btr movzx
    "mmBmBBBm........",  // c0 xadd, bswap
    "mmmmmmmmmmmmmmmm",  // d0
    "mmmmmmmmmmmmmmmm",  // e0
    "mmmmmmmmmmmmmmmm",  // f0
};

char format_of(const InsnLayout& insn) {
  switch (insn.map) {
    case 0:
      return kOneByte[insn.opcode >> 4][insn.opcode & 15];
    case 1:
      return kTwoByte[insn.opcode >> 4][insn.opcode & 15];
    case 2:
      return 'm';
    case 3:
      return 'B';
    default:
      return 'x';
  }
}

class Reader {
 public:
  explicit Reader(ByteView code) : code_(code) {}

  Expected<InsnLayout, LayoutFault> run() {
    if (!prefixes() || !opcode() || !operands(format_of(insn_))) return unexpected(fault_);
    if (insn_.prefix66 && is_near_branch()) return unexpected(kVendor);  // SDM 2A JMP, AMD APM 3 1.2.4
    insn_.length = static_cast<std::uint8_t>(at_);
    return insn_;
  }

 private:
  bool stop(LayoutFault why) {
    fault_ = why;
    return false;
  }
  bool byte(std::uint8_t& into) {
    if (at_ == kLongestInstruction) return stop(kUnknown);
    if (at_ == code_.size()) return stop(kCutOff);
    into = code_[at_++];
    return true;
  }
  // A little-endian number of `size` bytes, sign-extended.
  bool number(unsigned size, std::int64_t& into) {
    if (size == 0) return true;
    std::uint64_t value = 0;
    for (unsigned i = 0; i < size; ++i) {
      std::uint8_t next = 0;
      if (!byte(next)) return false;
      value |= std::uint64_t{next} << (8 * i);
    }
    into = static_cast<std::int64_t>(x86::alu::sign_extend(value, size));
    return true;
  }

  bool prefixes();
  bool take_prefix(std::uint8_t value);
  bool opcode();
  bool escape();
  bool vex();
  bool evex();
  bool operands(char format);
  bool modrm();
  bool immediate(unsigned size) { return number(size, insn_.immediate); }
  unsigned small_size() const { return insn_.operand_size() == 2 ? 2 : 4; }
  bool is_near_branch() const;

  ByteView code_;
  std::size_t at_ = 0;
  InsnLayout insn_;
  bool flat_prefix_ = false;
  bool contradiction_ = false;  // two prefixes of one kind: which one counts is not for us to say
  LayoutFault fault_ = kUnknown;
};

// Leaves the first byte behind the prefixes in insn_.opcode.
bool Reader::prefixes() {
  while (byte(insn_.opcode)) {
    if ((insn_.opcode & 0xf0) == 0x40) {
      insn_.rex = insn_.opcode;
    } else if (take_prefix(insn_.opcode)) {
      insn_.rex = 0;  // REX counts only right before the opcode (SDM 2A 2.2.1)
    } else {
      return contradiction_ ? stop(kUnknown) : true;
    }
  }
  return false;
}

// False: not a prefix.
bool Reader::take_prefix(std::uint8_t value) {
  switch (value) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
      flat_prefix_ = true;
      break;
    case 0x64:
    case 0x65: {
      const Segment named = value == 0x64 ? Segment::kFs : Segment::kGs;
      contradiction_ |= insn_.segment != Segment::kFlat && insn_.segment != named;
      insn_.segment = named;
      break;
    }
    case 0x66:
      insn_.prefix66 = true;
      break;
    case 0x67:
      insn_.address32 = true;
      break;
    case 0xf0:
      insn_.lock = true;
      break;
    case 0xf2:
    case 0xf3:
      contradiction_ |= insn_.repeat != 0 && insn_.repeat != value;
      insn_.repeat = value;
      break;
    default:
      return false;
  }
  contradiction_ |= flat_prefix_ && insn_.segment != Segment::kFlat;
  return true;
}

bool Reader::opcode() {
  switch (insn_.opcode) {
    case 0x0f:
      return escape();
    case 0xc4:
    case 0xc5:
      return vex();
    case 0x62:
      return evex();
    default:
      return true;
  }
}

bool Reader::escape() {
  insn_.map = 1;
  if (!byte(insn_.opcode)) return false;
  if (insn_.opcode != 0x38 && insn_.opcode != 0x3a) return true;
  insn_.map = insn_.opcode == 0x38 ? 2 : 3;
  return byte(insn_.opcode);
}

// R, X and B are stored inverted, W is not (SDM 2A 2.3.5).
constexpr std::uint8_t rex_of(std::uint8_t inverted_rxb, bool wide) {
  return static_cast<std::uint8_t>(0x40 | (wide ? 8 : 0) | (~inverted_rxb >> 5 & 7));
}

bool Reader::vex() {
  const bool short_form = insn_.opcode == 0xc5;
  if (insn_.lock || insn_.prefix66 || insn_.repeat != 0 || insn_.rex != 0) return stop(kUnknown);
  insn_.coding = Coding::kVex;
  std::uint8_t first = 0, second = 0;
  if (!byte(first)) return false;
  if (short_form) {
    insn_.map = 1;
    insn_.rex = rex_of(first | 0x60, false);
  } else {
    if (!byte(second)) return false;
    insn_.map = first & 0x1f;
    insn_.rex = rex_of(first, (second & 0x80) != 0);
  }
  return byte(insn_.opcode);
}

bool Reader::evex() {
  if (insn_.lock || insn_.prefix66 || insn_.repeat != 0 || insn_.rex != 0) return stop(kUnknown);
  insn_.coding = Coding::kEvex;
  std::uint8_t first = 0, second = 0, third = 0;
  if (!byte(first) || !byte(second) || !byte(third)) return false;
  if ((first & 0x08) != 0 || (second & 0x04) == 0) return stop(kUnknown);  // fixed bits (SDM 2A 2.7.1)
  insn_.map = first & 0x07;
  insn_.rex = rex_of(first, (second & 0x80) != 0);
  return byte(insn_.opcode);
}

bool Reader::operands(char format) {
  // Only the two escapes reach map 0, and nothing but ModRM (and one exception) follows a vector opcode.
  if (insn_.coding != Coding::kLegacy && (insn_.map == 0 || (format == '.' && insn_.opcode != 0x77)))
    return stop(kUnknown);
  switch (format) {
    case '.':
      return true;
    case 'm':
    case 'c':
      return modrm();
    case 'b':
      return immediate(1);
    case 'w':
      return immediate(2);
    case 'z':
      return immediate(small_size());
    case 'v':
      return immediate(insn_.operand_size());
    case 'r':
      return insn_.coding == Coding::kLegacy ? immediate(4) : stop(kUnknown);
    case 'B':
      return modrm() && immediate(1);
    case 'Z':
      return modrm() && immediate(small_size());
    case 'g':
      return modrm() && immediate(insn_.group() < 2 ? 1 : 0);
    case 'G':
      return modrm() && immediate(insn_.group() < 2 ? small_size() : 0);
    case 'e':
      return immediate(3);
    case 'o':
      return immediate(insn_.address32 ? 4 : 8);
    default:
      return stop(kUnknown);
  }
}

bool Reader::modrm() {
  if (!byte(insn_.modrm)) return false;
  insn_.has_modrm = true;
  if (format_of(insn_) == 'c') insn_.modrm |= 0xc0;  // MOD is ignored (SDM 2B MOV-Control Registers)
  if (insn_.map == 0 && insn_.opcode == 0x8f && insn_.group() != 0) return stop(kUnknown);  // XOP
  if (!insn_.has_memory()) return true;
  const std::uint8_t base = insn_.modrm & 7;
  if (base == 4 && !byte(insn_.sib)) return false;
  const bool no_base = insn_.mod() == 0 && (base == 5 || (base == 4 && (insn_.sib & 7) == 5));
  const unsigned size = no_base || insn_.mod() == 2 ? 4 : insn_.mod();
  if (size != 0) insn_.displacement_at = static_cast<std::uint8_t>(at_);
  std::int64_t displacement = 0;
  if (!number(size, displacement)) return false;
  insn_.displacement = static_cast<std::int32_t>(displacement);
  return true;
}

bool Reader::is_near_branch() const {
  const std::uint8_t op = insn_.opcode;
  if (insn_.map == 1) return insn_.coding == Coding::kLegacy && (op & 0xf0) == 0x80;
  if (insn_.map != 0) return false;
  if (op == 0xff) return insn_.group() == 2 || insn_.group() == 4;
  return (op & 0xf0) == 0x70 || (op & 0xfc) == 0xe0 || op == 0xe8 || op == 0xe9 || op == 0xeb || op == 0xc2 ||
         op == 0xc3;
}

}  // namespace

x86::MemoryOperand InsnLayout::memory() const {
  x86::MemoryOperand operand{.displacement = displacement};
  const std::uint8_t low = modrm & 7;
  if (low != 4) {
    operand.base = rip_relative() ? x86::kRipBase : rm();
    return operand;
  }
  const auto index = static_cast<std::uint8_t>((sib >> 3 & 7) | ((rex & 2) << 2));
  if (index != 4) operand.index = index;  // with REX.X it is r12, which can be one (SDM 2A table 2-3)
  operand.scale = static_cast<std::uint8_t>(1 << (sib >> 6));
  if (mod() != 0 || (sib & 7) != 5) operand.base = static_cast<std::uint8_t>((sib & 7) | ((rex & 1) << 3));
  return operand;
}

Expected<InsnLayout, LayoutFault> read_layout(ByteView code) { return Reader(code).run(); }

}  // namespace ringside::disasm
