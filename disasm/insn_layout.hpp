// The parts of one instruction of 64-bit code: prefixes, opcode, ModRM, displacement, immediate (SDM 2A 2.1).
//
//   | legacy prefixes | REX | opcode: [0f [38 | 3a]] xx | ModRM | SIB | displacement | immediate |
//   |                 VEX or EVEX, opcode               | …
//
// Structure only: whether there is such an instruction is Capstone's to say.  What means one thing to Intel
// and another to AMD, or contradicts itself, is refused.  Pure; the bytes are hostile data.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "arch/bytes.hpp"
#include "arch/expected.hpp"
#include "arch/x86/emulate.hpp"

namespace ringside::disasm {

inline constexpr std::size_t kLongestInstruction = 15;  // SDM 2A 2.3.11

struct InsnLayout {
  enum class Coding : std::uint8_t { kLegacy, kVex, kEvex };
  enum class Segment : std::uint8_t { kFlat, kFs, kGs };

  Coding coding = Coding::kLegacy;
  Segment segment = Segment::kFlat;
  std::uint8_t map = 0;  // 0: one byte, 1: 0f, 2: 0f 38, 3: 0f 3a
  std::uint8_t opcode = 0;
  std::uint8_t repeat = 0;  // f2, f3 or 0
  std::uint8_t rex = 0;     // 40 | W R X B, also where VEX or EVEX has them; 0: none
  bool lock = false;
  bool prefix66 = false;
  bool address32 = false;  // 67
  bool has_modrm = false;
  std::uint8_t modrm = 0;
  std::uint8_t sib = 0;
  std::uint8_t displacement_at = 0;  // offset; 0: none
  std::uint8_t length = 0;
  std::int32_t displacement = 0;
  std::int64_t immediate = 0;  // sign-extended; a relative branch's distance, too

  bool wide() const { return (rex & 8) != 0; }
  // Bytes of an operand that the prefixes decide about: 2, 4 or 8.
  std::uint8_t operand_size() const { return wide() ? 8 : prefix66 ? 2 : 4; }
  std::uint8_t mod() const { return modrm >> 6; }
  std::uint8_t group() const { return (modrm >> 3) & 7; }  // the reg field where it extends the opcode
  std::uint8_t reg() const { return static_cast<std::uint8_t>(group() | ((rex & 4) << 1)); }
  std::uint8_t rm() const { return static_cast<std::uint8_t>((modrm & 7) | ((rex & 1) << 3)); }
  std::uint8_t opcode_gpr() const { return static_cast<std::uint8_t>((opcode & 7) | ((rex & 1) << 3)); }
  bool has_memory() const { return has_modrm && mod() != 3; }
  bool rip_relative() const { return has_memory() && mod() == 0 && (modrm & 7) == 5; }
  // Requires has_memory(); segment and address size come on top.
  x86::MemoryOperand memory() const;
};

enum class LayoutFault : std::uint8_t {
  kCutOff,   // goes on behind the bytes given
  kUnknown,  // no such structure
  kVendor,   // a different length, or effect, on Intel's and AMD's CPUs
};

Expected<InsnLayout, LayoutFault> read_layout(ByteView code);

}  // namespace ringside::disasm
