// One instruction executed twice from the same state: by the guest, one step where it stands, and by its plan
// (disasm/step_plan.hpp). Registers, flags and memory have to come out the same.
//
//   0x8000 the instruction   0x9800 the scratch slot   0xa000 data and stack, up to 0xf000; FS and GS have
//   bases
#pragma once

#include <memory>
#include <optional>
#include <random>
#include <string>

#include "disasm/step_plan.hpp"
#include "vmm/run/tiny_guest.hpp"

namespace ringside::test {

enum class Way : std::uint8_t {
  kSame,
  kSameThoughDoubted,  // the copy did not fault, but will_not_fault() would not say so
  kDifferent,
  kRefused,  // emulation said no, and the guest did not fault
  kFaults,   // natively; the plan must not have promised anything else
  kInPlace,
  kSkipped,  // tells the time, or changes state that a comparison cannot put back
};

class TwoWays {
 public:
  explicit TwoWays(const kvm::System& system);

  // The first instruction in `code`, whose operand and registers are aimed at mapped memory.
  Way compare(ByteView code, std::mt19937_64& random);
  // The same from registers of the caller's choice (RIP is set here), `code` as it is.
  Way compare(ByteView code, const x86::CoreRegs& start);
  // What differed, or what was promised wrongly.
  const std::string& complaint() const { return complaint_; }
  const x86::CoreRegs& result() const { return native_.regs; }  // of the guest's way

  static constexpr std::uint64_t kAt = run::TinyGuest::kCode, kSlot = kAt + 0x1800, kArea = 0xa000,
                                 kAreaEnd = 0xf000, kStack = 0xd000, kFsBase = 0x1000, kGsBase = 0x2000;

 private:
  struct State {
    x86::CoreRegs regs;
    Bytes memory;  // all but the code
    bool operator==(const State&) const = default;
  };

  void boot();
  void restore_memory();
  State state();
  // One step of `code` at `at`; false: it did not end behind a step.
  bool step(ByteView code, Gva at, x86::CoreRegs regs);
  Way fault_was_foreseen(const disasm::StepPlan& plan, const x86::CpuContext& cpu);
  Way emulated(const x86::SimpleInsn& insn, const x86::CpuContext& cpu);
  Way copied(const disasm::RunInScratch& copy, const x86::CpuContext& cpu);
  Way judge(const disasm::StepPlan& plan, const State& planned);

  const kvm::System& system_;
  disasm::StepPlanner planner_;
  std::unique_ptr<run::TinyGuest> guest_;
  Bytes image_;  // of memory from 0 on, tables included
  State native_;
  std::string complaint_;
};

}  // namespace ringside::test
