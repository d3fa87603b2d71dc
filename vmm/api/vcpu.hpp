// One vCPU, from outside (Vcpu) and from its own thread (VcpuAccess).
//
// A vCPU is parked or running.  run() lets a parked one go; each run() is answered by exactly one
// MachineListener::on_stop(), after which it is parked again.  pause() only hastens that answer.
#pragma once

#include <array>
#include <functional>
#include <optional>

#include "arch/ids.hpp"
#include "arch/result.hpp"
#include "arch/x86/apic.hpp"
#include "arch/x86/cpu.hpp"
#include "arch/x86/debug_regs.hpp"
#include "arch/x86/regs.hpp"
#include "vmm/api/stop.hpp"

namespace ringside::api {

// What the debug hardware of a vCPU should do at its next entry (KVM api 4.87, KVM_SET_GUEST_DEBUG).
struct DebugWish {
  bool trap_int3 = false;        // #BP exits to us instead of going to the guest
  bool step = false;             // one instruction, then a debug exit
  bool hold_interrupts = false;  // KVM_GUESTDBG_BLOCKIRQ: none is delivered meanwhile
  std::array<std::optional<x86::DebugSlot>, 4> slots;
  bool operator==(const DebugWish&) const = default;
};

// What shows whether a vCPU takes interrupts: two that are the same, with some time in between, show that it has
// taken none.
struct Pulse {
  bool asleep = false;         // in hlt, or not started by the guest
  bool interrupts_on = false;  // RFLAGS.IF
  std::uint64_t taken = 0;     // interrupts, since power-on; 0 where KVM does not count them
  std::uint64_t timer = 0;     // what it has set its local APIC's deadline to
  bool operator==(const Pulse&) const = default;
};

// What may be done to a vCPU between two entries.
// Thread: the vCPU's own; a reference is good for the duration of the call that handed it out.
class VcpuAccess {
 public:
  virtual ~VcpuAccess() = default;
  virtual VcpuId id() const = 0;

  // At hand after a debug exit.
  virtual const x86::CoreRegs& core() = 0;
  virtual void set_core(const x86::CoreRegs& core) = 0;
  // With segments and control registers, which may cost a system call the first time after an exit.
  virtual const x86::CpuContext& context() = 0;
  // Linear address of the next instruction.  Above 4 GiB there is 64-bit code only, and CS does not count.
  Gva linear_rip() {
    const std::uint64_t rip = core().rip;
    return rip > 0xffffffffu ? Gva{rip} : context().linear_rip();
  }
  // Of the guest's time stamp counter since power-on; nothing when KVM does not say.
  virtual std::optional<std::uint64_t> time_ns() = 0;
  virtual std::optional<Pulse> pulse() = 0;

  // Fills the registers of these groups; what this CPU does not have is marked unavailable.
  virtual Result<void> read(x86::RegGroups groups, x86::RegisterFile& into) = 0;
  // Writes one register, little-endian, of the register's size.
  virtual Result<void> write(x86::Reg reg, ByteView value) = 0;

  // Any MSR, by its number; an error when this CPU has none such, or does not tell.
  virtual Result<std::uint64_t> msr(std::uint32_t number) = 0;
  virtual Result<x86::LocalApic> local_apic() = 0;

  virtual void set_debug(const DebugWish& wish) = 0;
  // Hands the int3 at RIP to the guest, as if no debugger were there.
  virtual Result<void> reinject_int3() = 0;
  // Hands a #DB to the guest that was its own: DR6 as the guest should see it.
  virtual Result<void> reinject_debug_trap(std::uint64_t dr6) = 0;
};

class Vcpu {
 public:
  virtual ~Vcpu() = default;
  using Work = std::move_only_function<void(VcpuAccess&)>;

  // Thread: hub.  The vCPU must be parked.
  virtual void run() = 0;
  // Any thread.  No effect on a parked vCPU.
  virtual void pause() = 0;
  // Any thread.  Runs `work` on the vCPU's thread between two entries: at once while it is parked, after a
  // kick while it is in the guest (which it does not leave for longer than the work takes).
  virtual void post(Work work) = 0;
  // Any thread.  How often it has come out of the guest to the monitor since power-on.
  virtual std::uint64_t exits() const = 0;
};

}  // namespace ringside::api
