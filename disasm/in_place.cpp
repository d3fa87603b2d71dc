#include "disasm/in_place.hpp"

#include <algorithm>
#include <iterator>

namespace ringside::disasm {
namespace {

using enum InPlace;

enum class Form : std::uint8_t { kAny, kRegister, kMemory };

struct Rule {
  std::uint8_t map, first, last;  // opcodes
  InPlace why;
  std::uint8_t groups = 0xff;  // one bit for each value of ModRM's reg field
  Form form = Form::kAny;
};

constexpr std::uint8_t groups(std::initializer_list<unsigned> which) {
  unsigned bits = 0;
  for (const unsigned one : which) bits |= 1u << one;
  return static_cast<std::uint8_t>(bits);
}

// By map and first opcode.
constexpr Rule kRules[] = {
    {0, 0x6c, 0x6f, kPort},                                    // ins, outs
    {0, 0x70, 0x7f, kRelative},                                // jcc
    {0, 0x8e, 0x8e, kShadow, groups({2})},                     // mov ss
    {0, 0x8e, 0x8e, kUndecodable, groups({1, 6, 7})},          // mov cs, and no segment registers
    {0, 0x9b, 0x9b, kFpu},                                     // fwait
    {0, 0xc0, 0xc1, kVendor, groups({6})},                     // a shift that no manual has
    {0, 0xc6, 0xc7, kTransfer, groups({7}), Form::kRegister},  // xabort, xbegin
    {0, 0xca, 0xcf, kTransfer},                                // lret, int3, int n, iret
    {0, 0xd0, 0xd3, kVendor, groups({6})},                     // the same
    {0, 0xd8, 0xdf, kFpu},                                     // x87
    {0, 0xe0, 0xe3, kRelative},                                // loop, jrcxz
    {0, 0xe4, 0xe7, kPort},                                    // in, out
    {0, 0xe8, 0xe9, kRelative},                                // call, jmp
    {0, 0xeb, 0xeb, kRelative},                                // jmp
    {0, 0xec, 0xef, kPort},                                    // in, out
    {0, 0xf1, 0xf1, kTransfer},                                // int1
    {0, 0xf4, 0xf4, kState},                                   // hlt
    {0, 0xf6, 0xf7, kVendor, groups({1})},                     // a test that no manual has
    {0, 0xfb, 0xfb, kShadow},                                  // sti
    {0, 0xff, 0xff, kTransfer, groups({3, 5})},                // far call, far jmp
    {1, 0x01, 0x01, kState, groups({5, 6}), Form::kMemory},    // rstorssp, lmsw
    {1, 0x05, 0x05, kTransfer},                                // syscall
    {1, 0x07, 0x07, kTransfer},                                // sysret
    {1, 0x0b, 0x0b, kTransfer},                                // ud2: the kernel finds its bug table by RIP
    {1, 0x21, 0x23, kState},                                   // mov from dr, to cr, to dr
    {1, 0x34, 0x35, kTransfer},                                // sysenter, sysexit
    {1, 0x37, 0x37, kState},                                   // getsec
    {1, 0x78, 0x79, kState},                                   // vmread, vmwrite
    {1, 0x80, 0x8f, kRelative},                                // jcc
    {1, 0xaa, 0xaa, kState},                                   // rsm
    {1, 0xb2, 0xb2, kShadow},                                  // lss
    {1, 0xb9, 0xb9, kTransfer},                                // ud1
    {1, 0xc7, 0xc7, kState, groups({6, 7}), Form::kMemory},    // vmptrld, vmclear, vmxon, vmptrst
    {1, 0xff, 0xff, kTransfer},                                // ud0
    {2, 0x80, 0x81, kState},                                   // invept, invvpid
};

bool fits(const Rule& rule, const InsnLayout& insn) {
  if (rule.map != insn.map || insn.opcode < rule.first || insn.opcode > rule.last) return false;
  if (!insn.has_modrm) return true;
  if ((rule.groups >> insn.group() & 1) == 0) return false;
  return rule.form == Form::kAny || (rule.form == Form::kMemory) == insn.has_memory();
}

// 0f 01 with registers is a list of single instructions; only these do nothing but their work.
constexpr std::uint8_t kHarmless0f01[] = {
    0xca, 0xcb,  // clac, stac
    0xd0,        // xgetbv
    0xee, 0xef,  // rdpkru, wrpkru
    0xf8, 0xf9,  // swapgs, rdtscp
};

bool is_system_instruction(const InsnLayout& insn) {
  if (insn.map == 1 && insn.opcode == 0x1e) return insn.repeat != 0;  // rdssp, odd endbr
  if (insn.map != 1 || insn.opcode != 0x01 || insn.has_memory() || insn.group() == 4)
    return false;  // 4: smsw
  return std::ranges::find(kHarmless0f01, insn.modrm) == std::end(kHarmless0f01);
}

// What lock may stand before (SDM 2A LOCK); elsewhere it is #UD.
bool may_be_locked(const InsnLayout& insn) {
  if (!insn.has_memory() || insn.repeat != 0) return false;
  const std::uint8_t op = insn.opcode;
  const unsigned group = insn.group();
  if (insn.map == 0) {
    if (op < 0x38) return (op & 7) < 2;
    if (op == 0x80 || op == 0x81 || op == 0x83) return group != 7;
    if (op == 0xf6 || op == 0xf7) return group == 2 || group == 3;
    if (op == 0xfe || op == 0xff) return group < 2;
    return op == 0x86 || op == 0x87;
  }
  if (insn.map != 1) return false;
  if (op == 0xba) return group > 4;
  if (op == 0xc7) return group == 1;
  return op == 0xab || op == 0xb3 || op == 0xbb || op == 0xb0 || op == 0xb1 || op == 0xc0 || op == 0xc1;
}

}  // namespace

std::optional<InPlace> in_place_reason(const InsnLayout& insn) {
  if (insn.address32 && insn.rip_relative()) return kAddress32;
  if (insn.coding != InsnLayout::Coding::kLegacy) return std::nullopt;
  if (insn.lock && !may_be_locked(insn)) return kUndecodable;
  if (is_system_instruction(insn)) return kState;
  const auto* rule = std::ranges::find_if(kRules, [&](const Rule& one) { return fits(one, insn); });
  if (rule == std::end(kRules)) return std::nullopt;
  return rule->why;
}

const char* to_text(InPlace why) {
  switch (why) {
    case kCutOff:
      return "cut off";
    case kUndecodable:
      return "undecodable";
    case kVendor:
      return "differs between vendors";
    case kTransfer:
      return "saves or takes its address";
    case kRelative:
      return "short relative branch";
    case kFpu:
      return "x87";
    case kShadow:
      return "holds interrupts back";
    case kPort:
      return "port I/O";
    case kState:
      return "system state";
    case kAddress32:
      return "relative to 32 bits of RIP";
  }
  return "?";
}

}  // namespace ringside::disasm
