// Passing an int3 of ours on the vCPU that has hit it, while the others run past it or into it: the
// instruction below is executed here, or as a copy in a page of ours; the int3 stays where it is.
//
//   emulate   pass() has executed it; the guest is entered behind it
//   copy      pass() sends RIP to the slot; one step; finish() brings RIP back
//   neither   nobody else may run while it is stepped (Verdict::kStepAlone): the hub sees to that
//
// Owner: the policy, one a vCPU.  Thread: the vCPU's.
#pragma once

#include <cstdint>

#include "arch/guest_view.hpp"
#include "stub/hub/snapshot.hpp"
#include "vmm/api/vcpu.hpp"

namespace ringside::hub {

class Stepper {
 public:
  explicit Stepper(PhysicalMemory& memory) : memory_(memory) {}

  enum class Passed : std::uint8_t {
    kDone,     // the vCPU stands behind the instruction
    kStarted,  // a copy is about to run: enter with the debug wish of copy_wish()
    kNo,
  };
  // `place` lies at the vCPU's RIP and is one of `points`, which outlives the copy's run.
  Passed pass(api::VcpuAccess& vcpu, const PointSnapshot& points, const Place& place,
              x86::RegisterFile& registers);

  bool copying() const { return copy_ != nullptr; }
  // The same, with one step in it that no interrupt disturbs.
  static api::DebugWish copy_wish(api::DebugWish wish);
  // After a debug exit while copying(): true when the copy has run, and the vCPU stands behind the original.
  bool finish(api::VcpuAccess& vcpu);

 private:
  bool emulate(api::VcpuAccess& vcpu, const PointSnapshot& points, const x86::SimpleInsn& insn,
               const x86::CpuContext& context);
  bool start_copy(api::VcpuAccess& vcpu, const PointSnapshot& points, const disasm::RunInScratch& copy,
                  const x86::CpuContext& context, x86::RegisterFile& registers);

  PhysicalMemory& memory_;
  const disasm::RunInScratch* copy_ = nullptr;
  Gva slot_;
};

}  // namespace ringside::hub
