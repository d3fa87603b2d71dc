#include "stub/agent/machine.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <span>

#include "stub/agent/arithmetic.hpp"
#include "stub/agent/print.hpp"

namespace ringside::agent {
namespace {

// Values without a check: Program::verify has followed every path.
class Stack {
 public:
  explicit Stack(std::uint64_t* bottom) : bottom_(bottom), end_(bottom) {}

  bool empty() const { return end_ == bottom_; }
  std::uint64_t& top() { return end_[-1]; }
  std::uint64_t peek(std::uint64_t depth) const { return *(end_ - 1 - depth); }  // 0: the top
  void push(std::uint64_t value) { *end_++ = value; }
  std::uint64_t pop() { return *--end_; }
  void swap() { std::swap(end_[-1], end_[-2]); }
  void rotate() { std::rotate(end_ - 3, end_ - 1, end_); }  // a b c -> c a b
  // a b -> of(a, b)
  template <typename Of>
  void binary(Of of) {
    const std::uint64_t b = pop();
    top() = of(top(), b);
  }
  // Takes `count` values off; what was pushed last comes first.
  std::span<const std::uint64_t> take(std::size_t count) {
    end_ -= count;
    std::reverse(end_, end_ + count);
    return {end_, count};
  }

 private:
  std::uint64_t* bottom_;
  std::uint64_t* end_;  // one above the top
};

std::uint64_t divide(Opcode op, std::uint64_t a, std::uint64_t b) {
  switch (op) {
    case Opcode::kDivSigned:
      return divide_signed(a, b);
    case Opcode::kDivUnsigned:
      return a / b;
    case Opcode::kRemSigned:
      return remainder_signed(a, b);
    default:
      return a % b;
  }
}

// ref8, ref16, ref32 and ref64 follow each other.
std::size_t ref_size(Opcode op) {
  return std::size_t{1} << (static_cast<unsigned>(op) - static_cast<unsigned>(Opcode::kRef8));
}

// One read, little-endian, zero-extended: guest and host are x86 both.
std::optional<std::uint64_t> fetch(Environment& guest, std::uint64_t at, std::size_t size) {
  std::uint64_t value = 0;
  if (!guest.read_memory({at}, {reinterpret_cast<std::uint8_t*>(&value), size})) return std::nullopt;
  return value;
}

// A function of its own: the text is large, and conditions do not print.  Function and channel, the first two
// values, mean something to gdb's own `call` style only; as an agent's they are 0.
[[gnu::noinline]] void print_to(Environment& guest, const Format& format,
                                std::span<const std::uint64_t> values) {
  Text text;
  print(format, values.subspan(2), guest, text);
  guest.print(text.view());
}

}  // namespace

// Long, but a table: one row for each opcode.
Outcome run(const Program& program, Environment& guest, std::uint32_t fuel) noexcept {
  RS_CHECK(!program.code().empty());  // a program that has been moved away
  std::array<std::uint64_t, kMaxStack> values;
  Stack stack(values.data());
  const Instruction* const code = program.code().data();
  const Instruction* next = code;
  while (true) {
    const Instruction& in = *next++;
    const auto fault = [&in](Fault why, std::uint64_t at = 0) { return Outcome{why, in.at, {}, {at}}; };
    if (fuel == 0) return fault(Fault::kFuel);
    --fuel;
    // clang-format off
    switch (in.op) {
      case Opcode::kConst8:
      case Opcode::kConst16:
      case Opcode::kConst32:
      case Opcode::kConst64: stack.push(in.operand); break;
      case Opcode::kReg: {
        const auto value = guest.read_register(static_cast<unsigned>(in.operand));
        if (!value) return fault(Fault::kRegister);
        stack.push(*value);
        break;
      }
      case Opcode::kRef8:
      case Opcode::kRef16:
      case Opcode::kRef32:
      case Opcode::kRef64: {
        const auto value = fetch(guest, stack.top(), ref_size(in.op));
        if (!value) return fault(Fault::kMemory, stack.top());
        stack.top() = *value;
        break;
      }

      case Opcode::kAdd: stack.binary(std::plus<>{}); break;
      case Opcode::kSub: stack.binary(std::minus<>{}); break;
      case Opcode::kMul: stack.binary(std::multiplies<>{}); break;
      case Opcode::kDivSigned:
      case Opcode::kDivUnsigned:
      case Opcode::kRemSigned:
      case Opcode::kRemUnsigned:
        if (stack.top() == 0) return fault(Fault::kDivideByZero);
        stack.binary([&in](std::uint64_t a, std::uint64_t b) { return divide(in.op, a, b); });
        break;
      case Opcode::kLsh: stack.binary(shift_left); break;
      case Opcode::kRshSigned: stack.binary(shift_right_signed); break;
      case Opcode::kRshUnsigned: stack.binary(shift_right_unsigned); break;
      case Opcode::kLogNot: stack.top() = stack.top() == 0; break;
      case Opcode::kBitAnd: stack.binary(std::bit_and<>{}); break;
      case Opcode::kBitOr: stack.binary(std::bit_or<>{}); break;
      case Opcode::kBitXor: stack.binary(std::bit_xor<>{}); break;
      case Opcode::kBitNot: stack.top() = ~stack.top(); break;
      case Opcode::kEqual: stack.binary(std::equal_to<>{}); break;
      case Opcode::kLessSigned: stack.binary(less_signed); break;
      case Opcode::kLessUnsigned: stack.binary(std::less<>{}); break;
      case Opcode::kExt: stack.top() = sign_extend(stack.top(), static_cast<unsigned>(in.operand)); break;
      case Opcode::kZeroExt: stack.top() = zero_extend(stack.top(), static_cast<unsigned>(in.operand)); break;

      case Opcode::kIfGoto: if (stack.pop() != 0) next = code + in.operand; break;
      case Opcode::kGoto: next = code + in.operand; break;
      case Opcode::kEnd: {
        Outcome outcome{Fault::kNone, in.at, {}, {}};
        if (!stack.empty()) outcome.value = stack.top();
        return outcome;
      }

      case Opcode::kDup: stack.push(stack.top()); break;
      case Opcode::kPop: stack.pop(); break;
      case Opcode::kSwap: stack.swap(); break;
      case Opcode::kPick: stack.push(stack.peek(in.operand)); break;
      case Opcode::kRot: stack.rotate(); break;

      case Opcode::kGetv: {
        const auto value = guest.read_variable(static_cast<unsigned>(in.operand));
        if (!value) return fault(Fault::kVariable);
        stack.push(*value);
        break;
      }
      case Opcode::kSetv: {  // the value stays
        const bool written = guest.write_variable(static_cast<unsigned>(in.operand), stack.top());
        if (!written) return fault(Fault::kVariable);
        break;
      }
      case Opcode::kTracev:
        if (!guest.record_variable(static_cast<unsigned>(in.operand))) return fault(Fault::kVariable);
        break;
      case Opcode::kTrace: {
        const std::uint64_t size = stack.pop();
        const std::uint64_t at = stack.pop();
        if (!guest.record_memory({at}, size)) return fault(Fault::kRecord, at);
        break;
      }
      case Opcode::kTracenz: {
        const std::uint64_t limit = stack.pop();
        const std::uint64_t at = stack.pop();
        if (!guest.record_string({at}, limit)) return fault(Fault::kRecord, at);
        break;
      }
      case Opcode::kTraceQuick:  // the address stays
      case Opcode::kTrace16:
        if (!guest.record_memory({stack.top()}, in.operand)) return fault(Fault::kRecord, stack.top());
        break;
      case Opcode::kPrintf: {
        if (fuel < kPrintFuel) return fault(Fault::kFuel);
        fuel -= kPrintFuel;
        const Format& format = program.formats()[in.operand];
        print_to(guest, format, stack.take(format.arguments() + 2));
        break;
      }
    }
    // clang-format on
  }
}

Outcome run_condition(const Program& program, Environment& guest, std::uint32_t fuel) noexcept {
  Outcome outcome = run(program, guest, fuel);
  if (outcome.ok() && !outcome.value) outcome.fault = Fault::kNoValue;
  return outcome;
}

}  // namespace ringside::agent
