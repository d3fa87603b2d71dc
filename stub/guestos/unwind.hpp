// Walks along a stack of the kernel's: by ORC where the kernel has it, else by its frame pointers.  By
// presence of the tables, and for each frame again: one without an entry is taken for one with a frame pointer,
// as the kernel's own walk does (arch/x86/kernel/unwind_orc.c).  Code that is neither the kernel's nor a
// module's (BPF, trampolines) is passed in the same way, if that leads back to code that is.
//
// Bounded by the number of frames asked for: the stack pointer must advance, but for a few changes of stack.
// What the kernel has written over return addresses is not undone: below a function that the function graph
// tracer follows, the walk ends at return_to_handler.
// Thread: any; nothing allocates, no error is worse than a walk that ends (StackWalk::End::kLost).
#pragma once

#include <optional>
#include <span>

#include "arch/guest_view.hpp"
#include "stub/guestos/orc.hpp"
#include "stub/guestos/stack.hpp"

namespace ringside::guestos {

class Unwinder {
 public:
  Unwinder(const SymbolTable& symbols, const Btf* btf, const std::optional<ModuleLayout>& modules,
           const VirtualMemory& memory);

  bool has_orc() const { return orc_.has_value(); }
  // The first frame is `from` itself.
  StackWalk walk(const StackRegisters& from, const VirtualMemory& memory,
                 std::span<StackFrame> into) const noexcept;

  // Where a task that does not run begins: it stands in __switch_to_asm, at the switch away.
  std::optional<StackRegisters> sleeping(const SleepLayout& layout, Gva task,
                                         const VirtualMemory& memory) const noexcept;

 private:
  struct State;  // of one walk
  enum class Step : std::uint8_t { kOn, kUser, kTop, kLost };
  // Where code is.
  struct Owner {
    bool known = false;
    std::optional<Gva> module;
  };

  Owner owner(State& state) const noexcept;
  Step next(State& state) const noexcept;
  Step past_stranger(State& state) const noexcept;
  Step by_orc(const OrcEntry& entry, State& state) const noexcept;
  Step by_frame_pointer(State& state) const noexcept;
  bool stands_at_begin(const State& state) const noexcept;

  const SymbolTable& symbols_;
  std::optional<OrcTables> orc_;
  std::optional<ModuleLayout> modules_;
  GvaRange text_, init_text_;
};

}  // namespace ringside::guestos
