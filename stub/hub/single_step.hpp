// One instruction of one vCPU, with a trap after it and debug registers where it could go without one; and
// TF, which KVM sets in the guest's own RFLAGS for that, taken out of everything the guest has saved
// meanwhile.
//
//   begin()  ->  entry  ->  debug exit  ->  finish(): behind the instruction, or at a handler's first one
//
// Execute slots of breakpoints may lose their debug registers for the step: whoever ends one looks himself
// whether a breakpoint is where the vCPU has come to.  Owner: the policy, one a vCPU.  Thread: the vCPU's.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "arch/guest_view.hpp"
#include "disasm/landing.hpp"
#include "stub/hub/snapshot.hpp"
#include "vmm/api/vcpu.hpp"

namespace ringside::hub {

class SingleStep {
 public:
  explicit SingleStep(PhysicalMemory& memory) : memory_(memory) {}

  // Makes `wish` one for a step and hands it to the vCPU.  False: where the instruction goes cannot be
  // watched (unknown, or no debug register is free); it comes back when the way has led back, with interrupts
  // on.
  bool begin(api::VcpuAccess& vcpu, const PointSnapshot& points, api::DebugWish wish,
             x86::RegisterFile& registers);
  void cancel() { active_ = false; }
  bool active() const { return active_; }

  // A frame of the instruction's exception, by which somebody may be told where it stands.
  struct Frame {
    Gva at;  // of the saved instruction pointer
    std::uint8_t word = 8;
  };
  // After a #DB while active().  True: the step is over, and `exit` says BS and which data was touched, but
  // no longer which execute slots were met.
  bool finish(api::VcpuAccess& vcpu, api::DebugExit& exit, x86::RegisterFile& registers);
  const std::optional<Frame>& frame() const { return frame_; }  // of the last finish()

  // It has gone where a debug register waits, which the next entry will tell.
  bool about_to_end(api::VcpuAccess& vcpu) const;

 private:
  bool place(const disasm::Landing& landing, const x86::CoreRegs& core, Gva here, api::DebugWish& wish);
  const disasm::Landing* landed_at(Gva at) const;
  bool looks_like_its_frame(const x86::CpuContext& now, Gva top, std::uint8_t word) const;
  void clean_up(api::VcpuAccess& vcpu, const x86::CpuContext& now, const disasm::Landing* landed,
                disasm::SystemRegisters& system);
  void clean_frame(const x86::CpuContext& now, Gva top, std::uint8_t word);
  void clear_tf(const x86::CpuContext& now, Gva flags);

  PhysicalMemory& memory_;
  bool active_ = false;
  x86::CpuContext before_;
  disasm::Landings landings_;
  std::array<std::optional<disasm::Landing>, x86::kDebugSlotCount> waiting_;  // by debug register
  std::uint64_t data_bits_ = 0;                                               // of DR6: slots that watch data
  bool lets_interrupts_in_ = false;
  std::optional<Frame> frame_;
};

}  // namespace ringside::hub
