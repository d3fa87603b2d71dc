// A second interpreter of agent expressions, as plain as can be: byte by byte, a growing stack, arithmetic
// done the long way.  What the real one does is compared with it.  A stack that underflows here, or a program
// counter outside, means that verification let something through: then it aborts.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "stub/agent/machine.hpp"
#include "stub/agent/print.hpp"

namespace ringside::fakes {

class NaiveMachine {
 public:
  NaiveMachine(ByteView code, agent::Environment& guest) : code_(code), guest_(guest) {}

  agent::Outcome run(std::uint32_t fuel) {
    while (true) {
      at_ = pc_;
      address_ = 0;
      if (fuel-- == 0) return fault(agent::Fault::kFuel);
      const unsigned op = static_cast<unsigned>(operand(1));
      if (op == 0x27)
        return {agent::Fault::kNone, at(), stack_.empty() ? std::nullopt : std::optional(stack_.back()), {}};
      if (op == 0x34) {
        if (fuel < agent::kPrintFuel) return fault(agent::Fault::kFuel);
        fuel -= agent::kPrintFuel;
      }
      const agent::Fault why = step(op);
      if (why != agent::Fault::kNone) return fault(why);
    }
  }

 private:
  using Fault = agent::Fault;

  static void require(bool condition) {
    if (!condition) std::abort();
  }
  std::uint32_t at() const { return static_cast<std::uint32_t>(at_); }
  agent::Outcome fault(Fault why) const { return {why, at(), {}, {address_}}; }
  std::uint64_t operand(unsigned bytes) {
    std::uint64_t value = 0;
    for (; bytes > 0; --bytes) {
      require(pc_ < code_.size());
      value = value * 256 + code_[pc_++];
    }
    return value;
  }
  std::uint64_t pop() {
    require(!stack_.empty());
    const std::uint64_t value = stack_.back();
    stack_.pop_back();
    return value;
  }
  void push(std::uint64_t value) {
    stack_.push_back(value);
    require(stack_.size() <= agent::kMaxStack);
  }
  static bool negative(std::uint64_t value) { return value / 0x8000000000000000 == 1; }
  static std::uint64_t magnitude(std::uint64_t value) { return negative(value) ? ~value + 1 : value; }
  static std::uint64_t with_sign(std::uint64_t value, bool minus) { return minus ? ~value + 1 : value; }

  // One place at a time; after 64 of them nothing changes any more.
  static std::uint64_t shift(unsigned op, std::uint64_t value, std::uint64_t by) {
    for (std::uint64_t i = 0; i < by && i < 64; ++i) {
      if (op == 0x09) value *= 2;
      if (op == 0x0a) value = value / 2 + (negative(value) ? 0x8000000000000000 : 0);
      if (op == 0x0b) value /= 2;
    }
    return value;
  }
  static std::uint64_t extend(std::uint64_t value, std::uint64_t bits, bool with_sign) {
    std::uint64_t out = 0;
    bool bit = false;
    for (unsigned i = 0; i < 64; ++i) {
      if (i < bits) bit = (value >> i) % 2 == 1;
      if (i < bits || with_sign) out += (bit ? std::uint64_t{1} : 0) << i;
    }
    return out;
  }

  std::uint64_t calculate(unsigned op, std::uint64_t a, std::uint64_t b) {
    const bool minus = negative(a) != negative(b);
    switch (op) {
      case 0x02:
        return a + b;
      case 0x03:
        return a + ~b + 1;
      case 0x04:
        return a * b;
      case 0x05:
        return with_sign(magnitude(a) / magnitude(b), minus);
      case 0x06:
        return a / b;
      case 0x07:
        return with_sign(magnitude(a) % magnitude(b), negative(a));
      case 0x08:
        return a % b;
      case 0x09:
      case 0x0a:
      case 0x0b:
        return shift(op, a, b);
      case 0x0f:
        return a & b;
      case 0x10:
        return a | b;
      case 0x11:
        return (a | b) & ~(a & b);
      case 0x13:
        return a > b || a < b ? 0 : 1;
      case 0x14:
        return negative(a) != negative(b) ? negative(a) : a < b;
      case 0x15:
        return a < b;
      default:
        std::abort();
    }
  }

  Fault step(unsigned op) {
    if ((op >= 0x02 && op <= 0x0b) || (op >= 0x0f && op <= 0x11) || (op >= 0x13 && op <= 0x15)) {
      const std::uint64_t b = pop();
      const std::uint64_t a = pop();
      if (op >= 0x05 && op <= 0x08 && b == 0) return Fault::kDivideByZero;
      push(calculate(op, a, b));
      return Fault::kNone;
    }
    switch (op) {
      case 0x0c:
        return trace();
      case 0x0d:
        return record(pick(0), operand(1));
      case 0x30:
        return record(pick(0), operand(2));
      case 0x2f:
        return trace_string();
      case 0x2e:
        return guest_.record_variable(number()) ? Fault::kNone : Fault::kVariable;
      case 0x0e:
        push(pop() == 0 ? 1 : 0);
        break;
      case 0x12:
        push(~std::uint64_t{0} - pop());
        break;
      case 0x16:
        push(extend(pop(), operand(1), true));
        break;
      case 0x2a:
        push(extend(pop(), operand(1), false));
        break;
      case 0x17:
        return load(1);
      case 0x18:
        return load(2);
      case 0x19:
        return load(4);
      case 0x1a:
        return load(8);
      case 0x20: {
        const std::uint64_t target = operand(2);
        if (pop() != 0) pc_ = target;
        break;
      }
      case 0x21:
        pc_ = operand(2);
        break;
      case 0x22:
        push(operand(1));
        break;
      case 0x23:
        push(operand(2));
        break;
      case 0x24:
        push(operand(4));
        break;
      case 0x25:
        push(operand(8));
        break;
      case 0x26:
        return push_or(guest_.read_register(number()), Fault::kRegister);
      case 0x2c:
        return push_or(guest_.read_variable(number()), Fault::kVariable);
      case 0x2d:
        return guest_.write_variable(number(), pick(0)) ? Fault::kNone : Fault::kVariable;
      case 0x28:
        push(pick(0));
        break;
      case 0x29:
        pop();
        break;
      case 0x2b:
        reorder({1, 0});
        break;
      case 0x32:
        push(pick(operand(1)));
        break;
      case 0x33:
        reorder({2, 0, 1});
        break;
      case 0x34:
        print();
        break;
      default:
        std::abort();
    }
    return Fault::kNone;
  }

  unsigned number() { return static_cast<unsigned>(operand(2)); }
  std::uint64_t pick(std::uint64_t depth) const {
    require(depth < stack_.size());
    return stack_[stack_.size() - 1 - depth];
  }
  // The new order of the top values by their old places, 0 being the lowest: c a b is {2, 0, 1}.
  void reorder(const std::vector<std::size_t>& order) {
    require(stack_.size() >= order.size());
    const std::size_t bottom = stack_.size() - order.size();
    const std::vector<std::uint64_t> old(stack_.begin() + static_cast<std::ptrdiff_t>(bottom), stack_.end());
    for (std::size_t i = 0; i < order.size(); ++i) stack_[bottom + i] = old[order[i]];
  }
  Fault push_or(std::optional<std::uint64_t> value, Fault why) {
    if (!value) return why;
    push(*value);
    return Fault::kNone;
  }
  Fault load(std::size_t size) {
    std::vector<std::uint8_t> bytes(size);
    address_ = pop();
    if (!guest_.read_memory({address_}, bytes)) return Fault::kMemory;
    std::uint64_t value = 0;
    for (std::size_t i = size; i > 0; --i) value = value * 256 + bytes[i - 1];
    push(value);
    return Fault::kNone;
  }
  Fault record(std::uint64_t at, std::uint64_t size) {
    address_ = at;
    return guest_.record_memory({at}, size) ? Fault::kNone : Fault::kRecord;
  }
  Fault trace() {
    const std::uint64_t size = pop();
    return record(pop(), size);
  }
  Fault trace_string() {
    const std::uint64_t limit = pop();
    address_ = pop();
    return guest_.record_string({address_}, limit) ? Fault::kNone : Fault::kRecord;
  }
  // Only the order of the arguments is of interest here; formats have their own tests.
  void print() {
    const auto arguments = static_cast<unsigned>(operand(1));
    const std::size_t length = operand(2);
    require(length <= code_.size() - pc_);
    const std::string_view source(reinterpret_cast<const char*>(code_.data()) + pc_, length - 1);
    pc_ += length;
    pop();
    pop();
    std::vector<std::uint64_t> values;
    for (unsigned i = 0; i < arguments; ++i) values.push_back(pop());
    agent::Text text;
    agent::print(*agent::Format::parse(source, arguments), values, guest_, text);
    guest_.print(text.view());
  }

  ByteView code_;
  agent::Environment& guest_;
  std::size_t pc_ = 0;
  std::size_t at_ = 0;
  std::uint64_t address_ = 0;
  std::vector<std::uint64_t> stack_;
};

}  // namespace ringside::fakes
