// Passing an int3 of ours on the vCPU that has hit it, while the others run past it or into it: the
// instruction below is executed here, or as a copy in a page of ours; the int3 stays where it is.
//
//   emulate   pass() has executed it; the guest is entered behind it
//   copy      pass() sends RIP to the slot; one SingleStep; finish() brings RIP back
//   neither   nobody else may run while it is stepped (Verdict::kStepAlone): the hub sees to that
//
// Owner: the policy, one a vCPU.  Thread: the vCPU's.
#pragma once

#include <cstdint>
#include <optional>

#include "arch/guest_view.hpp"
#include "stub/hub/single_step.hpp"
#include "stub/hub/snapshot.hpp"
#include "vmm/api/vcpu.hpp"

namespace ringside::hub {

class Stepper {
 public:
  explicit Stepper(PhysicalMemory& memory) : memory_(memory) {}

  enum class Passed : std::uint8_t {
    kDone,     // the vCPU stands behind the instruction
    kStarted,  // a copy is about to run: enter for one step that no interrupt disturbs
    kNo,
  };
  // `place` lies at the vCPU's RIP and is one of `points`, which outlives the copy's run.
  Passed pass(api::VcpuAccess& vcpu, const PointSnapshot& points, const Place& place,
              x86::RegisterFile& registers);

  bool copying() const { return copy_ != nullptr; }
  // The copy cannot be run after all: the vCPU stands at the original again.
  void abandon(api::VcpuAccess& vcpu);
  // After a debug exit while copying(): true when the copy has run, and the vCPU stands behind the original;
  // or when it has faulted, with `frame`, which tells of the original now.
  bool finish(api::VcpuAccess& vcpu, const std::optional<SingleStep::Frame>& frame);

 private:
  bool emulate(api::VcpuAccess& vcpu, const PointSnapshot& points, const x86::SimpleInsn& insn,
               const x86::CpuContext& context);
  bool start_copy(api::VcpuAccess& vcpu, const PointSnapshot& points, const disasm::RunInScratch& copy,
                  const x86::CpuContext& context, x86::RegisterFile& registers);

  void correct(const x86::CpuContext& now, const SingleStep::Frame& frame);

  PhysicalMemory& memory_;
  const disasm::RunInScratch* copy_ = nullptr;
  Gva slot_;
};

}  // namespace ringside::hub
