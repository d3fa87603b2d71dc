// The bytecodes as values, and their table (opcodes.def) to look them up.
// Thread: any; constant data.
#pragma once

#include <cstdint>
#include <string_view>

namespace ringside::agent {

enum class Opcode : std::uint8_t {
#define OPCODE(code, id, ...) id = code,
#define REFUSED(...)
#include "stub/agent/opcodes.def"
#undef OPCODE
#undef REFUSED
};

struct OpcodeRow {
  std::uint8_t code;
  std::string_view name;
  std::uint8_t operand = 0;  // bytes
  std::uint8_t takes = 0;    // values that must be on the stack and are replaced
  std::uint8_t gives = 0;    // by so many
  std::string_view refused;  // why it may not be used; empty when it may
};

// Null for a byte that is no bytecode.
const OpcodeRow* find_opcode(std::uint8_t code) noexcept;
const OpcodeRow& row_of(Opcode op) noexcept;

constexpr bool is_jump(Opcode op) { return op == Opcode::kGoto || op == Opcode::kIfGoto; }

}  // namespace ringside::agent
