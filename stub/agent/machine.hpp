// Runs a Program: total, bounded by fuel, without allocation, exceptions or locks, so that a vCPU's thread
// can do it between a debug exit and the next KVM_RUN.
//
// Arithmetic is 64 bits wide and wraps; shifts of 64 and more leave zeros (or the sign).  What cannot be
// answered - memory, a register, division by zero - is an Outcome like any other.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "arch/addr.hpp"
#include "stub/agent/environment.hpp"
#include "stub/agent/program.hpp"

namespace ringside::agent {

inline constexpr std::uint32_t kDefaultFuel =
    10'000;                                       // opcodes; only a loop or a very long program needs more
inline constexpr std::uint32_t kPrintFuel = 100;  // what a printf costs besides: it makes up to 8 KiB of text

enum class Fault : std::uint8_t {
  kNone,
  kMemory,        // ref* at an address that cannot be read
  kRegister,      // no such register, or wider than a value
  kVariable,      // no such trace state variable, or it may not be set
  kRecord,        // the environment could not collect it
  kDivideByZero,  // of quotients and remainders alike
  kFuel,          // ran out of it
  kNoValue,       // a condition that left nothing on the stack
};

struct Outcome {
  Fault fault = Fault::kNone;
  std::uint32_t at = 0;                // offset of the opcode that it ended with
  std::optional<std::uint64_t> value;  // top of the stack at `end`; nothing when it was empty, or at a fault
  Gva address = {};                    // what could not be read or recorded

  bool ok() const { return fault == Fault::kNone; }
  // For a condition: stop and tell.  A condition that fails counts as met, so that the user sees what is
  // wrong with it: gdb evaluates it once more itself, so a stop too many is slow, one too few a lie.
  bool stops() const { return !ok() || value != 0u; }

  friend bool operator==(const Outcome&, const Outcome&) = default;
};

// No more than `fuel` opcodes.
[[nodiscard]] Outcome run(const Program& program, Environment& guest,
                          std::uint32_t fuel = kDefaultFuel) noexcept;

// The same, but an empty stack at the end is a fault, for a condition must have a value.
[[nodiscard]] Outcome run_condition(const Program& program, Environment& guest,
                                    std::uint32_t fuel = kDefaultFuel) noexcept;

// One sentence for the user: "ref64 @7: cannot read memory at 0x10"; the program is the one that was run.
std::string describe(const Outcome& outcome, const Program& program);

}  // namespace ringside::agent
