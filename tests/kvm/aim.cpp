#include "tests/kvm/aim.hpp"

#include "arch/x86/alu.hpp"
#include "disasm/insn_layout.hpp"
#include "tests/kvm/two_ways.hpp"

namespace ringside::test {
namespace {

using disasm::InsnLayout;

class Aim {
 public:
  Aim(ByteView code, std::mt19937_64& random)
      : random_(random), out_{Bytes(code.begin(), code.end()), any_registers()} {}

  Aimed run() {
    const auto layout = disasm::read_layout(out_.code);
    if (!layout) return out_;
    if (is_string(*layout)) aim_string();
    // ret with 0x8000 or more: QEMU's CPU takes the number for a signed one (SDM 2B RET, AMD APM 3 RET: it is
    // not).
    if (layout->map == 0 && layout->opcode == 0xc2) out_.code[layout->length - 1u] &= 0x7f;
    if (is_bit_string(*layout)) out_.regs.gpr[layout->reg()] = below(2048) - 1024;
    if (layout->has_memory()) aim_operand(*layout);
    return out_;
  }

 private:
  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
  // Well inside, so that neighbouring fields are mapped too.
  std::uint64_t target() { return TwoWays::kArea + 0x400 + below(0x3000); }
  std::uint64_t any_value() {
    switch (below(4)) {
      case 0:
        return target();
      case 1:
        return below(256);
      case 2:
        return (std::uint64_t{1} << below(64)) - below(2);
      default:
        return random_();
    }
  }
  x86::CoreRegs any_registers() {
    x86::CoreRegs regs;
    for (std::uint64_t& gpr : regs.gpr) gpr = any_value();
    regs.gpr[x86::kRsp] = TwoWays::kStack + below(128);
    regs.rip = TwoWays::kAt;
    regs.rflags = x86::rflags::kAlways1 | (random_() & (x86::alu::kStatus | x86::rflags::kDf));
    return regs;
  }

  static bool is_string(const InsnLayout& layout) {
    return layout.map == 0 && (layout.opcode & 0xf4) == 0xa4 && layout.opcode != 0xa8 &&
           layout.opcode != 0xa9;
  }
  static bool is_bit_string(const InsnLayout& layout) {
    return layout.map == 1 && (layout.opcode & 0xe7) == 0xa3;  // bt, bts, btr, btc
  }
  void aim_string() {
    out_.regs.gpr[x86::kRsi] = target();
    out_.regs.gpr[x86::kRdi] = target();
    out_.regs.gpr[x86::kRcx] = below(4);
  }

  static std::uint64_t base_of(InsnLayout::Segment segment) {
    if (segment == InsnLayout::Segment::kFs) return TwoWays::kFsBase;
    return segment == InsnLayout::Segment::kGs ? TwoWays::kGsBase : 0;
  }
  // Moves what is free to move: the displacement of a lone one, else base or index.
  void aim_operand(const InsnLayout& layout) {
    const x86::MemoryOperand operand = layout.memory();
    auto& gpr = out_.regs.gpr;
    const bool has_base = operand.base < x86::kGprCount, has_index = operand.index < x86::kGprCount;
    if (has_index && operand.index != x86::kRsp) gpr[operand.index] = below(16);
    const Gva next{TwoWays::kAt + layout.length};
    const std::uint64_t wanted = target() - base_of(layout.segment);
    const std::uint64_t missing = wanted - x86::effective_address(operand, out_.regs, next).value;
    if (!has_base && !has_index) {
      const auto field = out_.code.data() + layout.displacement_at;
      store(field, static_cast<std::uint32_t>(load<std::uint32_t>(field) + missing));
    } else if (!has_base) {
      gpr[operand.index] += missing / operand.scale;
    } else if (operand.base != x86::kRsp && operand.base != operand.index) {
      gpr[operand.base] += missing;
    }
  }

  std::mt19937_64& random_;
  Aimed out_;
};

}  // namespace

Aimed aim(ByteView code, std::mt19937_64& random) { return Aim(code, random).run(); }

}  // namespace ringside::test
