// An agent expression that has been verified and decoded: what condition, command and tracepoint packets
// carry.
//
// A Program cannot exist unverified.  Every opcode is known and complete, every jump lands on an opcode,
// every path ends in `end`, and the depth of the stack at each opcode is known and within bounds, whichever
// way it is reached (as JVM verifiers have it; gdb's own ax_reqs calls anything else a flaw).  So running one
// needs no check of its stack or its program counter.  Thread: any; immutable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "arch/bytes.hpp"
#include "arch/result.hpp"
#include "stub/agent/format.hpp"
#include "stub/agent/opcodes.hpp"

namespace ringside::agent {

inline constexpr std::size_t kMaxCode = 64 * 1024;  // bytes of one program; jumps reach no further
inline constexpr std::size_t kMaxStack = 128;       // values; gdbserver's stack has 100

// One decoded opcode.  `operand` is what its bytes say, but for a jump the place in Program::code(), and for
// a printf the place in Program::formats().
struct Instruction {
  Opcode op;
  std::uint32_t at;  // offset in bytes()
  std::uint64_t operand;
};

// What can be known without running it, of all that a run may reach.  Numbers are sorted, each there once.
struct Facts {
  std::vector<std::uint16_t> registers;          // read by `reg`, gdb's numbers
  std::vector<std::uint16_t> variables_read;     // getv, tracev
  std::vector<std::uint16_t> variables_written;  // setv
  std::size_t max_depth = 0;                     // of the stack
  bool reads_memory = false;                     // ref*, %s, and the traces of memory
  bool prints = false;
  bool records = false;     // trace, trace_quick, trace16, tracenz, tracev
  bool has_loops = false;   // some jump goes backwards: fuel may run out
  bool gives_value = true;  // false: on some path the stack is empty at `end`
};

class Program {
 public:
  // Errors: kMalformed, kUnsupported (an opcode nobody generates), kExhausted (too long, too deep); the text
  // has offset and opcode.
  static Result<Program> verify(ByteView code);

  ByteView bytes() const { return bytes_; }
  std::span<const Instruction> code() const { return code_; }
  std::span<const Format> formats() const { return formats_; }
  const Facts& facts() const { return facts_; }

  // One line: `reg 5; ext 64; const8 0; equal; end`, with `@12:` where a jump lands.
  std::string listing() const;

 private:
  Program() = default;
  Result<void> decode();
  Result<void> resolve_jumps();
  Result<void> follow_paths();
  Result<std::uint64_t> decode_format(std::size_t at, std::size_t& next);
  void note(const Instruction& in, std::size_t place, std::size_t depth);

  Bytes bytes_;
  std::vector<Instruction> code_;
  std::vector<Format> formats_;
  Facts facts_;
};

}  // namespace ringside::agent
