// A stack of the kernel's, as values: where a walk along it begins, and what it finds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "arch/addr.hpp"

namespace ringside::guestos {

// Addresses are the guest's, virtual, in its kernel's address space.
struct StackRegisters {
  Gva ip;
  Gva sp;
  std::uint64_t bp = 0;
  // Needed at a few places only (functions that align their stack); known of a CPU that stands there and where
  // the kernel has kept all registers, not of a task that sleeps.
  struct Others {
    std::uint64_t ax = 0, dx = 0, di = 0, r10 = 0, r13 = 0;
  };
  std::optional<Others> others = std::nullopt;
  bool behind_call = false;  // `ip` is where a call returns to
};

struct StackFrame {
  Gva ip;
  // Behind a call, whose function is that of `ip` - 1: the call may be a function's last instruction.
  // Otherwise it stands there, or was interrupted there.
  bool behind_call = false;
};

struct StackWalk {
  enum class End : std::uint8_t {
    kUser,  // user mode is above; its registers are at user_regs
    kTop,   // a kernel thread's first function
    kFull,  // there are more frames than were asked for
    kLost,  // nothing tells how to go on: code without a table (BPF, trampolines), or a damaged stack
  };
  std::size_t frames = 0;  // innermost first
  End end = End::kLost;
  Gva user_regs;  // struct pt_regs
};

}  // namespace ringside::guestos
