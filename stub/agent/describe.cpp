// What an Outcome means, in words: for the log and for the user whose condition failed.
#include <algorithm>
#include <charconv>
#include <iterator>

#include "stub/agent/machine.hpp"

namespace ringside::agent {
namespace {

std::string hex(std::uint64_t value) {
  char digits[16];
  const auto end = std::to_chars(std::begin(digits), std::end(digits), value, 16).ptr;
  return "0x" + std::string(digits, end);
}

const Instruction* instruction_at(const Program& program, std::uint32_t at) {
  const auto code = program.code();
  const auto before = [](const Instruction& in, std::uint32_t offset) { return in.at < offset; };
  const auto place = std::lower_bound(code.begin(), code.end(), at, before);
  return place != code.end() && place->at == at ? &*place : nullptr;
}

std::string reason(const Outcome& outcome, const Instruction& in) {
  switch (outcome.fault) {
    case Fault::kNone:
      return outcome.value ? "the value is " + hex(*outcome.value) : "there is no value";
    case Fault::kMemory:
      return "cannot read memory at " + hex(outcome.address.value);
    case Fault::kRegister:
      return "cannot read register " + std::to_string(in.operand);
    case Fault::kVariable:
      return "cannot use trace variable " + std::to_string(in.operand);
    case Fault::kRecord:
      return "cannot record memory at " + hex(outcome.address.value);
    case Fault::kDivideByZero:
      return "division by zero";
    case Fault::kFuel:
      return "too many steps: stopped";
    case Fault::kNoValue:
      return "a condition must leave a value";
  }
  return {};
}

}  // namespace

std::string describe(const Outcome& outcome, const Program& program) {
  const Instruction* in = instruction_at(program, outcome.at);
  if (in == nullptr) return "an outcome of another program";
  return std::string(row_of(in->op).name) + " @" + std::to_string(outcome.at) + ": " + reason(outcome, *in);
}

}  // namespace ringside::agent
