// How to execute one instruction of 64-bit code while an int3 stands on it: by ourselves, as a copy somewhere
// else, or only with the int3 lifted.
//
//   guest:    at       | cc e5 ... |        slot | 48 89 e5 |   <- the copy; stepped; then fix_up(): RIP and
//   the original: at       | 48 89 e5  |                               return address of a call, as if run at
//   `at`
//
// A plan is made from the guest's own bytes, once; is_of() says whether they are the same still.  A copy is
// for kernel code: a fault in it shows its address to the guest, so ask will_not_fault() before, and run in
// place what may.  Thread: any; a StepPlanner is used by one at a time.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <variant>

#include "arch/addr.hpp"
#include "arch/bytes.hpp"
#include "arch/result.hpp"
#include "arch/x86/emulate.hpp"
#include "disasm/accesses.hpp"
#include "disasm/in_place.hpp"
#include "disasm/insn_layout.hpp"

namespace ringside::disasm {

struct CodeBytes {
  std::array<std::uint8_t, kLongestInstruction> storage{};
  std::uint8_t length = 0;

  ByteView view() const { return ByteView(storage).first(length); }
  bool operator==(const CodeBytes&) const = default;
};

struct RunInScratch {
  Gva at;                      // where it stands in the guest
  CodeBytes code;              // the guest's own bytes
  std::uint8_t rip_field = 0;  // offset of the displacement that is relative to RIP; 0: there is none
  bool calls = false;          // pushes the address of the next instruction
  bool repeats = false;        // one step is one iteration; RIP stays until the last
  bool stores_flags = false;   // pushf: a step's TF would be seen
  Accesses accesses;

  // The copy to be put at `slot`, of the same length; nothing when what it refers to is out of reach of 32
  // bits. With int3 behind it, a step that takes more than one instruction (a shadow, an intercept) ends
  // there.
  std::optional<CodeBytes> encode(Gva slot) const;

  // Whether a copy may run at all: ring 0, 64-bit code that does not step itself, no shadow stack for a call.
  bool may_run(const x86::CpuContext& cpu) const;
  // `cpu` before the step.  No: it may well, or that cannot be told.
  bool will_not_fault(const x86::CpuContext& cpu, const SegmentBases& bases,
                      const PhysicalMemory& memory) const;

  // After one step of the copy: registers and stack as if it had run at `at`.  RIP at the slot's start
  // becomes `at`: a repeat that is not done yet, and will meet the int3 again unless it is stepped on from
  // the slot first. RIP elsewhere than behind the copy stays.  False: the return address could not be
  // written; nothing changed.
  [[nodiscard]] bool fix_up(x86::CoreRegs& after, Gva slot, x86::DataAccess& data) const;
};

struct StepInPlace {
  InPlace why = InPlace::kUndecodable;
};

struct StepPlan {
  CodeBytes original;  // of the one instruction; empty when that is not known
  std::variant<x86::SimpleInsn, RunInScratch, StepInPlace> how;

  // Whether the bytes at the same address now still start with this instruction.
  bool is_of(ByteView now) const;
};

class StepPlanner {
 public:
  static Result<StepPlanner> create();
  StepPlanner(StepPlanner&&) noexcept;
  StepPlanner& operator=(StepPlanner&&) noexcept;
  ~StepPlanner();

  // `code`: the guest's own bytes from `at` on, up to 15 of them; more are ignored.
  StepPlan plan(ByteView code, Gva at) const;

 private:
  struct Engine;
  explicit StepPlanner(std::unique_ptr<Engine> engine);
  std::unique_ptr<Engine> engine_;
};

}  // namespace ringside::disasm
