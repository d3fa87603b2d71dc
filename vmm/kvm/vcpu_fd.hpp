// One vCPU's descriptor and run page; implements api::VcpuAccess on them.
//
// Registers are kept as KVM left them at the last exit: fetched when first asked for (from the run page
// where KVM_CAP_SYNC_REGS brought them), written back at the next entry when changed.  The general ones come
// along with each exit while somebody debugs; those of the system, which cost KVM as much as all else that it
// does for a debug exit, only as long as they are being asked for.
// Thread: from bind_thread() on, only the one that called it; that is checked.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <thread>
#include <vector>

#include <linux/kvm.h>

#include "vmm/api/vcpu.hpp"
#include "vmm/kvm/exit.hpp"
#include "vmm/kvm/vm.hpp"

namespace ringside::kvm {

// What of a vCPU goes on counting in the host while the vCPU is parked.
struct TimerState {
  kvm_lapic_state apic{};
  std::uint64_t deadline = 0;  // IA32_TSC_DEADLINE; 0 when the timer is not armed, or counts in another way
};

class VcpuFd final : public api::VcpuAccess {
 public:
  // `cpuid` as System::supported_cpuid() gave it; the entries that depend on the vCPU are set here.
  static Result<std::unique_ptr<VcpuFd>> create(const System& system, const Vm& vm, VcpuId id, unsigned vcpus,
                                                std::vector<kvm_cpuid_entry2> cpuid);
  ~VcpuFd() override;
  VcpuFd(const VcpuFd&) = delete;
  VcpuFd& operator=(const VcpuFd&) = delete;

  void bind_thread() { owner_ = std::this_thread::get_id(); }
  kvm_run& run_page() { return *run_; }

  // Writes back what changed, arms the debug hardware, enters the guest.
  Exit run();
  // KVM api 5: the operation of an I/O exit is complete only after the next KVM_RUN.  While this is true the
  // registers are those before the instruction's end: run() once more with immediate_exit set, which does
  // nothing else (and may come back with a further I/O exit, or the debug exit of a single step).
  bool io_pending() const { return io_pending_; }

  // Does what the exit was about as the CPU would, or has it end in #GP; the guest goes on behind it, or in
  // its handler, after the next run().  The value written or read; nothing with #GP.
  std::optional<std::uint64_t> serve(const MsrAccess& access);

  VcpuId id() const override { return id_; }
  const x86::CoreRegs& core() override;
  void set_core(const x86::CoreRegs& core) override;
  const x86::CpuContext& context() override;
  std::optional<std::uint64_t> time_ns() override;
  std::optional<api::Pulse> pulse() override;
  Result<void> read(x86::RegGroups groups, x86::RegisterFile& into) override;
  Result<void> write(x86::Reg reg, ByteView value) override;
  Result<std::uint64_t> msr(std::uint32_t number) override;
  Result<x86::LocalApic> local_apic() override;
  void set_debug(const api::DebugWish& wish) override;
  Result<void> reinject_int3() override;
  Result<void> reinject_debug_trap(std::uint64_t dr6) override;

  // Gives the vCPU back the state in which it was last seen outside of the guest, for those who look at it;
  // it cannot go on from there.  How long ago that was, of the general registers and of the rest; nothing
  // when it has not been seen.  For a vCPU that KVM has reset at a triple fault.
  struct LastSeen {
    std::uint64_t core_ns = 0;
    std::uint64_t system_ns = 0;
  };
  std::optional<LastSeen> show_last_seen();

  const kvm_sregs& sregs();
  void set_sregs(const kvm_sregs& sregs);
  Result<kvm_mp_state> mp_state();
  // What firmware leaves behind and Linux expects: fast strings on, memory write-back by default.
  Result<void> set_power_on_msrs();

  // vcpu_timers.cpp.  With an in-kernel local APIC only.
  Result<TimerState> timers();
  // The timer goes on from `state`; after turn_tsc_back(), since a deadline is a time of that counter.
  Result<void> set_timers(const TimerState& state);
  // The guest's time stamp counter by that many ticks.  All vCPUs by the same, before any runs: KVM then
  // goes on taking their counters for one (Linux 5.16; KVM api, "devices/vcpu.rst" 4.1).
  Result<void> turn_tsc_back(std::uint64_t ticks);
  // kvmclock's "host has stopped you" flag, which makes the guest's watchdogs forgive.
  void tell_of_pause();
  // Registers set before the first run(): KVM's opinion of them now, not at the entry.
  Result<void> write_back_now();

 private:
  VcpuFd(VcpuId id, Fd fd, kvm_run* run, const System& system, std::vector<kvm_cpuid_entry2> cpuid);

  // Every ioctl on the descriptor goes through here: from another thread it would block until KVM_RUN
  // returns.
  template <typename Argument>
  Result<int> call(std::string_view name, unsigned long request, Argument argument) {
    RS_CHECK(std::this_thread::get_id() == owner_);
    return fd_.call(name, request, argument);
  }
  enum class WriteBack { kNow, kAtEntry };
  void write_back(WriteBack how);
  void arm_debug();
  void wake_from_hlt();
  void collect_synced();
  void remember();
  Result<void> inject(std::uint32_t control);
  Result<kvm_lapic_state> lapic();
  Result<std::vector<std::uint8_t>> get_xsave();
  Result<void> set_xsave(std::vector<std::uint8_t>& area);
  Result<void> read_msrs(x86::RegisterFile& into);
  std::uint64_t interrupts_taken();
  Result<std::uint64_t> read_msr(std::uint32_t index);
  bool takes_efer(std::uint64_t value);
  Result<void> write_msr(std::uint32_t index, std::uint64_t value);
  Result<void> write_system(x86::Reg reg, std::uint64_t value);
  Result<void> write_vector(x86::Reg reg, ByteView value);
  Result<void> write_debugreg(x86::Reg reg, std::uint64_t value);

  VcpuId id_;
  Fd fd_;
  kvm_run* run_;
  std::size_t run_bytes_;
  Capabilities capabilities_;
  std::vector<kvm_cpuid_entry2> cpuid_;
  std::thread::id owner_;

  static constexpr unsigned kSregsPatience = 2;  // exits: those of an entry and of a return often take turns

  x86::CpuContext context_;  // its core is the vCPU's when core_valid_, the rest when context_valid_
  kvm_sregs sregs_{};
  // At the last exit that was none of death: what a triple fault leaves behind where KVM keeps nothing.
  struct Remembered {
    x86::CoreRegs core;
    kvm_sregs sregs{};
    std::uint64_t core_at = 0, sregs_at = 0;  // ticks of the host's counter; 0: never
  };
  Remembered last_;
  unsigned sregs_come_ = 0;  // with so many more exits
  bool core_valid_ = false;
  bool core_dirty_ = false;
  bool context_valid_ = false;
  bool sregs_valid_ = false;
  bool sregs_dirty_ = false;
  bool io_pending_ = false;
  std::optional<Fd> stats_;  // KVM_GET_STATS_FD, once it has been asked for
  std::optional<std::uint64_t> injections_at_;
  api::DebugWish wish_;
  bool wish_changed_ = false;
};

}  // namespace ringside::kvm
