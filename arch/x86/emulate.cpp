#include "arch/x86/emulate.hpp"

#include <optional>

#include "arch/x86/alu.hpp"
#include "arch/x86/control.hpp"

namespace ringside::x86 {
namespace {

using Kind = Operand::Kind;
using Op = SimpleInsn::Op;
using enum EmulateResult;

// In 5-level paging more addresses are canonical: refusing those is no harm.
bool canonical(std::uint64_t at) { return alu::sign_extend(at, 6) == at; }

bool uses_shadow_stack_or_tracking(const SimpleInsn& insn) {
  const bool indirect = insn.op == Op::kJump && insn.from.kind != Kind::kImmediate;
  return insn.op == Op::kCall || insn.op == Op::kReturn || insn.op == Op::kEndBranch || indirect;
}

// Works on a copy of the registers, which becomes the truth when everything went well.  A write to memory is
// the last thing that can fail.
class Emulation {
 public:
  Emulation(const SimpleInsn& insn, const CoreRegs& regs, DataAccess& data)
      : insn_(insn), before_(regs), after_(regs), data_(data) {
    after_.rip += insn.length;
    after_.rflags &= ~rflags::kRf;  // SDM 3B 17.3.1.1
  }

  EmulateResult run() {
    const EmulateResult result = canonical(after_.rip) ? execute() : kBadTarget;
    return result == kDone && !canonical(after_.rip) ? kBadTarget : result;
  }
  const CoreRegs& after() const { return after_; }

 private:
  EmulateResult execute();
  EmulateResult move();
  EmulateResult arithmetic();
  EmulateResult count();
  EmulateResult negate();
  EmulateResult push();
  EmulateResult pop();
  EmulateResult leave();
  EmulateResult call();
  EmulateResult jump();
  EmulateResult jump_if();
  EmulateResult ret();

  bool carry() const { return (before_.rflags & rflags::kCf) != 0; }
  Gva address() const { return effective_address(insn_.memory, before_, Gva{after_.rip}); }
  alu::Outcome compute(std::uint64_t a, std::uint64_t b) const;

  std::optional<std::uint64_t> load(Gva from, unsigned size) const {
    std::uint64_t value = 0;
    if (!data_.read(from, {reinterpret_cast<std::uint8_t*>(&value), size})) return std::nullopt;
    return value;
  }
  bool store_qword(Gva to, std::uint64_t value) { return data_.write(to, bytes_of(value)); }

  // Zero-extended.
  std::optional<std::uint64_t> value(const Operand& operand, unsigned size) const;
  // Whole registers for 8 bytes, zero-extended to them for 4, the rest kept for 2 and 1 (SDM 1 3.4.1.1).
  void assign(const Operand& to, std::uint64_t value, unsigned size);
  void set_status(std::uint64_t flags, std::uint64_t which = alu::kStatus) {
    after_.rflags = (after_.rflags & ~which) | (flags & which);
  }
  EmulateResult push_qword(std::uint64_t value);
  // Where a jump or a call goes.
  std::optional<std::uint64_t> target() const;

  const SimpleInsn& insn_;
  const CoreRegs& before_;
  CoreRegs after_;
  DataAccess& data_;
};

EmulateResult Emulation::execute() {
  switch (insn_.op) {
    case Op::kNop:
    case Op::kEndBranch:
      return kDone;
    case Op::kMov:
    case Op::kMovSigned:
      return move();
    case Op::kLea:
      assign(insn_.to, address().value, insn_.size);
      return kDone;
    case Op::kAdd:
    case Op::kOr:
    case Op::kAdc:
    case Op::kSbb:
    case Op::kAnd:
    case Op::kSub:
    case Op::kXor:
    case Op::kCmp:
    case Op::kTest:
      return arithmetic();
    case Op::kInc:
    case Op::kDec:
      return count();
    case Op::kNot:
    case Op::kNeg:
      return negate();
    case Op::kPush:
      return push();
    case Op::kPushFlags:
      return push_qword(before_.rflags & ~(rflags::kVm | rflags::kRf));  // SDM 2B PUSHF
    case Op::kPop:
      return pop();
    case Op::kLeave:
      return leave();
    case Op::kJump:
      return jump();
    case Op::kJumpIf:
      return jump_if();
    case Op::kCall:
      return call();
    case Op::kReturn:
      return ret();
  }
  return kNoData;
}

std::optional<std::uint64_t> Emulation::value(const Operand& operand, unsigned size) const {
  switch (operand.kind) {
    case Kind::kGpr:
      return before_.gpr[operand.gpr] & alu::mask_of(size);
    case Kind::kHighByte:
      return (before_.gpr[operand.gpr] >> 8) & 0xff;
    case Kind::kImmediate:
      return static_cast<std::uint64_t>(insn_.immediate) & alu::mask_of(size);
    case Kind::kMemory:
      return load(address(), size);
    case Kind::kNone:
      break;
  }
  return std::nullopt;
}

void Emulation::assign(const Operand& to, std::uint64_t value, unsigned size) {
  std::uint64_t& whole = after_.gpr[to.gpr];
  if (to.kind == Kind::kHighByte) {
    whole = (whole & ~std::uint64_t{0xff00}) | ((value & 0xff) << 8);
    return;
  }
  const std::uint64_t kept = size < 4 ? whole & ~alu::mask_of(size) : 0;
  whole = kept | (value & alu::mask_of(size));
}

EmulateResult Emulation::move() {
  const auto from = value(insn_.from, insn_.from_size);
  if (!from) return kNoData;
  const bool is_signed = insn_.op == Op::kMovSigned;
  assign(insn_.to, is_signed ? alu::sign_extend(*from, insn_.from_size) : *from, insn_.size);
  return kDone;
}

alu::Outcome Emulation::compute(std::uint64_t a, std::uint64_t b) const {
  switch (insn_.op) {
    case Op::kAdd:
      return alu::add(a, b, false, insn_.size);
    case Op::kAdc:
      return alu::add(a, b, carry(), insn_.size);
    case Op::kSub:
    case Op::kCmp:
      return alu::sub(a, b, false, insn_.size);
    case Op::kSbb:
      return alu::sub(a, b, carry(), insn_.size);
    case Op::kOr:
      return alu::logic(a | b, insn_.size);
    case Op::kXor:
      return alu::logic(a ^ b, insn_.size);
    default:  // and, test
      return alu::logic(a & b, insn_.size);
  }
}

EmulateResult Emulation::arithmetic() {
  const auto a = value(insn_.to, insn_.size);
  const auto b = value(insn_.from, insn_.size);
  if (!a || !b) return kNoData;
  const alu::Outcome outcome = compute(*a, *b);
  set_status(outcome.flags);
  if (insn_.op != Op::kCmp && insn_.op != Op::kTest) assign(insn_.to, outcome.value, insn_.size);
  return kDone;
}

EmulateResult Emulation::count() {
  const auto a = value(insn_.to, insn_.size);
  if (!a) return kNoData;
  const bool up = insn_.op == Op::kInc;
  const alu::Outcome outcome = up ? alu::add(*a, 1, false, insn_.size) : alu::sub(*a, 1, false, insn_.size);
  set_status(outcome.flags, alu::kStatus & ~rflags::kCf);  // CF stays (SDM 2A INC)
  assign(insn_.to, outcome.value, insn_.size);
  return kDone;
}

EmulateResult Emulation::negate() {
  const auto a = value(insn_.to, insn_.size);
  if (!a) return kNoData;
  if (insn_.op == Op::kNot) {
    assign(insn_.to, ~*a, insn_.size);
    return kDone;
  }
  const alu::Outcome outcome = alu::sub(0, *a, false, insn_.size);
  set_status(outcome.flags);
  assign(insn_.to, outcome.value, insn_.size);
  return kDone;
}

EmulateResult Emulation::push_qword(std::uint64_t value) {
  after_.gpr[kRsp] -= sizeof value;
  return store_qword(Gva{after_.gpr[kRsp]}, value) ? kDone : kNoData;
}

EmulateResult Emulation::push() {
  const auto pushed = value(insn_.from, sizeof(std::uint64_t));  // push rsp: as it was before (SDM 2B PUSH)
  return pushed ? push_qword(*pushed) : kNoData;
}

EmulateResult Emulation::pop() {
  const auto popped = load(Gva{before_.gpr[kRsp]}, sizeof(std::uint64_t));
  if (!popped) return kNoData;
  after_.gpr[kRsp] += sizeof *popped;
  after_.gpr[insn_.to.gpr] = *popped;  // pop rsp: what was popped counts (SDM 2B POP)
  return kDone;
}

EmulateResult Emulation::leave() {
  const auto popped = load(Gva{before_.gpr[kRbp]}, sizeof(std::uint64_t));
  if (!popped) return kNoData;
  after_.gpr[kRsp] = before_.gpr[kRbp] + sizeof *popped;
  after_.gpr[kRbp] = *popped;
  return kDone;
}

std::optional<std::uint64_t> Emulation::target() const {
  if (insn_.from.kind == Kind::kImmediate) return after_.rip + static_cast<std::uint64_t>(insn_.immediate);
  return value(insn_.from, sizeof(std::uint64_t));
}

EmulateResult Emulation::jump() {
  const auto to = target();
  if (!to) return kNoData;
  after_.rip = *to;
  return kDone;
}

EmulateResult Emulation::jump_if() { return alu::holds(insn_.condition, before_.rflags) ? jump() : kDone; }

EmulateResult Emulation::call() {
  const std::uint64_t back = after_.rip;
  const EmulateResult jumped = jump();
  if (jumped != kDone) return jumped;
  return canonical(after_.rip) ? push_qword(back) : kBadTarget;  // before the write, which cannot be undone
}

EmulateResult Emulation::ret() {
  const auto back = load(Gva{before_.gpr[kRsp]}, sizeof(std::uint64_t));
  if (!back) return kNoData;
  after_.gpr[kRsp] += sizeof *back + static_cast<std::uint64_t>(insn_.immediate);
  after_.rip = *back;
  return kDone;
}

}  // namespace

Gva effective_address(const MemoryOperand& operand, const CoreRegs& regs, Gva next_rip) noexcept {
  std::uint64_t sum = static_cast<std::uint64_t>(std::int64_t{operand.displacement});
  if (operand.base == kRipBase) sum += next_rip.value;
  if (operand.base < kGprCount) sum += regs.gpr[operand.base];
  if (operand.index < kGprCount) sum += regs.gpr[operand.index] * operand.scale;
  return Gva{sum};
}

bool SimpleInsn::touches_memory() const noexcept {
  const bool stack = op == Op::kPush || op == Op::kPushFlags || op == Op::kPop || op == Op::kLeave ||
                     op == Op::kCall || op == Op::kReturn;
  const bool operand = to.kind == Kind::kMemory || from.kind == Kind::kMemory;
  return stack || operand;
}

bool may_emulate(const SimpleInsn& insn, const CpuContext& cpu) noexcept {
  if (cpu.code_size() != CodeSize::k64) return false;
  if ((cpu.core.rflags & rflags::kTf) != 0) return false;
  return (cpu.paging.cr4 & cr4::kCet) == 0 || !uses_shadow_stack_or_tracking(insn);
}

EmulateResult emulate(const SimpleInsn& insn, CoreRegs& regs, DataAccess& data) noexcept {
  Emulation emulation(insn, regs, data);
  const EmulateResult result = emulation.run();
  if (result == kDone) regs = emulation.after();
  return result;
}

}  // namespace ringside::x86
