#include "disasm/simple.hpp"

namespace ringside::disasm {
namespace {

using x86::Operand;
using x86::SimpleInsn;
using Kind = Operand::Kind;
using Op = SimpleInsn::Op;
using Simple = std::optional<SimpleInsn>;

constexpr Operand kImmediate{Kind::kImmediate, 0};
constexpr std::uint8_t kWordOfStack = 8;

// The eight of group 1, by number: ModRM's reg field, or bits 5:3 of the opcode.
constexpr Op group1(unsigned number) { return static_cast<Op>(static_cast<unsigned>(Op::kAdd) + number); }

class Builder {
 public:
  explicit Builder(const InsnLayout& layout) : in_(layout) {
    out_.length = layout.length;
    out_.size = out_.from_size = layout.operand_size();
    out_.immediate = layout.immediate;
    if (layout.has_memory()) out_.memory = layout.memory();
  }

  Simple one_byte();
  Simple two_byte();

 private:
  Simple regular_arithmetic();  // 00 to 3f
  Simple stack_and_branches();
  Simple group3();
  Simple groups4and5();

  // Opcodes in pairs: the even one has 8-bit operands.
  void size_by_opcode() {
    if ((in_.opcode & 1) == 0) out_.size = out_.from_size = 1;
  }
  // Without REX, 8-bit registers 4 to 7 are AH, CH, DH and BH (SDM 2A 2.2.1.2).
  Operand gpr(std::uint8_t number, unsigned size) const {
    if (size == 1 && in_.rex == 0 && number >= 4)
      return {Kind::kHighByte, static_cast<std::uint8_t>(number - 4)};
    return {Kind::kGpr, number};
  }
  Operand reg() const { return gpr(in_.reg(), out_.size); }
  Operand rm(unsigned size) const {
    return in_.has_memory() ? Operand{Kind::kMemory, 0} : gpr(in_.rm(), size);
  }
  Operand rm() const { return rm(out_.size); }

  // `to` must be a register, but for the two that only read it.
  Simple make(Op op, Operand to, Operand from) {
    const bool reads_only = op == Op::kCmp || op == Op::kTest;
    if (to.kind == Kind::kMemory && !reads_only) return std::nullopt;
    const bool memory = to.kind == Kind::kMemory || from.kind == Kind::kMemory;
    if (memory && in_.segment != InsnLayout::Segment::kFlat) return std::nullopt;
    out_.op = op;
    out_.to = to;
    out_.from = from;
    return out_;
  }
  Simple make(Op op) { return make(op, {}, {}); }
  // With an operand that is always a word of the stack, or an address.
  Simple make_stack(Op op, Operand to, Operand from) {
    if (in_.prefix66) return std::nullopt;
    out_.size = out_.from_size = kWordOfStack;
    return make(op, to, from);
  }
  Simple make_stack(Op op) { return make_stack(op, {}, {}); }

  const InsnLayout& in_;
  SimpleInsn out_;
};

Simple Builder::regular_arithmetic() {
  const Op op = group1(in_.opcode >> 3);
  size_by_opcode();
  switch (in_.opcode & 7) {
    case 0:
    case 1:
      return make(op, rm(), reg());
    case 2:
    case 3:
      return make(op, reg(), rm());
    default:
      return make(op, {Kind::kGpr, x86::kRax}, kImmediate);
  }
}

Simple Builder::stack_and_branches() {
  const Operand in_opcode{Kind::kGpr, in_.opcode_gpr()};
  if ((in_.opcode & 0xf8) == 0x50) return make_stack(Op::kPush, {}, in_opcode);
  if ((in_.opcode & 0xf8) == 0x58) return make_stack(Op::kPop, in_opcode, {});
  if ((in_.opcode & 0xf0) == 0x70) {
    out_.condition = in_.opcode & 15;
    return make_stack(Op::kJumpIf, {}, kImmediate);
  }
  switch (in_.opcode) {
    case 0x68:
    case 0x6a:
      return make_stack(Op::kPush, {}, kImmediate);
    case 0x8f:
      return make_stack(Op::kPop, rm(kWordOfStack), {});
    case 0x9c:
      return make_stack(Op::kPushFlags);
    case 0xc2:
      out_.immediate &= 0xffff;
      return make_stack(Op::kReturn);
    case 0xc3:
      return make_stack(Op::kReturn);
    case 0xc9:
      return make_stack(Op::kLeave);
    case 0xe8:
      return make_stack(Op::kCall, {}, kImmediate);
    case 0xe9:
    case 0xeb:
      return make_stack(Op::kJump, {}, kImmediate);
    default:
      return std::nullopt;
  }
}

Simple Builder::group3() {
  size_by_opcode();
  switch (in_.group()) {
    case 0:
      return make(Op::kTest, rm(), kImmediate);
    case 2:
      return make(Op::kNot, rm(), {});
    case 3:
      return make(Op::kNeg, rm(), {});
    default:
      return std::nullopt;
  }
}

Simple Builder::groups4and5() {
  size_by_opcode();
  const bool group5 = in_.opcode == 0xff;
  switch (in_.group()) {
    case 0:
      return make(Op::kInc, rm(), {});
    case 1:
      return make(Op::kDec, rm(), {});
    case 2:
      return group5 ? make_stack(Op::kCall, {}, rm(kWordOfStack)) : std::nullopt;
    case 4:
      return group5 ? make_stack(Op::kJump, {}, rm(kWordOfStack)) : std::nullopt;
    case 6:
      return group5 ? make_stack(Op::kPush, {}, rm(kWordOfStack)) : std::nullopt;
    default:
      return std::nullopt;
  }
}

Simple Builder::one_byte() {
  if (in_.opcode < 0x40) return regular_arithmetic();
  if ((in_.opcode & 0xf0) == 0xb0) {
    if (in_.opcode < 0xb8) out_.size = out_.from_size = 1;
    return make(Op::kMov, gpr(in_.opcode_gpr(), out_.size), kImmediate);
  }
  switch (in_.opcode) {
    case 0x63:  // movsxd: without REX.W a mov; with 66 the CPUs differ
      if (in_.prefix66) return std::nullopt;
      out_.from_size = 4;
      return make(in_.wide() ? Op::kMovSigned : Op::kMov, reg(), rm(4));
    case 0x80:
    case 0x81:
    case 0x83:
      size_by_opcode();
      return make(group1(in_.group()), rm(), kImmediate);
    case 0x84:
    case 0x85:
      size_by_opcode();
      return make(Op::kTest, rm(), reg());
    case 0x88:
    case 0x89:
      size_by_opcode();
      return make(Op::kMov, rm(), reg());
    case 0x8a:
    case 0x8b:
      size_by_opcode();
      return make(Op::kMov, reg(), rm());
    case 0x8d:
      return in_.has_memory() ? make(Op::kLea, reg(), {}) : std::nullopt;
    case 0x90:  // with REX.B it exchanges r8
      return in_.opcode_gpr() == x86::kRax ? make(Op::kNop) : std::nullopt;
    case 0xa8:
    case 0xa9:
      size_by_opcode();
      return make(Op::kTest, {Kind::kGpr, x86::kRax}, kImmediate);
    case 0xc6:
    case 0xc7:
      size_by_opcode();
      return in_.group() == 0 ? make(Op::kMov, rm(), kImmediate) : std::nullopt;
    case 0xf6:
    case 0xf7:
      return group3();
    case 0xfe:
    case 0xff:
      return groups4and5();
    default:
      return stack_and_branches();
  }
}

Simple Builder::two_byte() {
  if ((in_.opcode & 0xf0) == 0x80) {
    out_.condition = in_.opcode & 15;
    return make_stack(Op::kJumpIf, {}, kImmediate);
  }
  switch (in_.opcode) {
    case 0x18:  // prefetch hints, and what is reserved for more hints (SDM 2D table A-3)
    case 0x19:
    case 0x1c:
    case 0x1d:
    case 0x1e:
    case 0x1f:
      return make(Op::kNop);
    case 0xb6:
    case 0xbe:
      out_.from_size = 1;
      return make(in_.opcode == 0xb6 ? Op::kMov : Op::kMovSigned, reg(), rm(1));
    case 0xb7:
    case 0xbf:
      out_.from_size = 2;
      return make(in_.opcode == 0xb7 ? Op::kMov : Op::kMovSigned, reg(), rm(2));
    default:
      return std::nullopt;
  }
}

// f3 0f 1e fa, and fb for its 32-bit sister; f3 in front of other hints is something else (rdssp).
bool is_endbr(const InsnLayout& layout) {
  const bool form = layout.modrm == 0xfa || layout.modrm == 0xfb;
  return layout.map == 1 && layout.opcode == 0x1e && layout.repeat == 0xf3 && form && layout.length == 4;
}

// A nop that gives way to the other hyper-thread.  KVM may intercept it, and then a step can take the next
// instruction along.
bool is_pause(const InsnLayout& layout) {
  return layout.map == 0 && layout.opcode == 0x90 && layout.repeat == 0xf3 && layout.rex == 0;
}

}  // namespace

Simple simple_insn(const InsnLayout& layout) {
  if (layout.coding != InsnLayout::Coding::kLegacy || layout.lock || layout.address32) return std::nullopt;
  if (is_endbr(layout)) return SimpleInsn{.op = Op::kEndBranch, .length = layout.length};
  if (is_pause(layout)) return SimpleInsn{.op = Op::kNop, .length = layout.length};
  if (layout.repeat != 0 || layout.map > 1) return std::nullopt;
  Builder builder(layout);
  return layout.map == 0 ? builder.one_byte() : builder.two_byte();
}

}  // namespace ringside::disasm
