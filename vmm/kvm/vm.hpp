// One virtual machine's descriptor: memory slots, the in-kernel interrupt chips, vCPU creation.
// Thread: created by one; set_irq() by any.
#pragma once

#include "arch/addr.hpp"
#include "arch/ids.hpp"
#include "arch/result.hpp"
#include "vmm/kvm/system.hpp"

namespace ringside::kvm {

enum class SlotAccess : std::uint8_t { kReadWrite, kReadOnly };

class Vm {
 public:
  // With irqchip, PIT, and the addresses Intel's real-mode emulation needs (KVM api 4.36, 4.42).
  static Result<Vm> create(const System& system);
  // Without any interrupt controller: for the doctor's and the tests' tiny guests.
  static Result<Vm> create_bare(const System& system);

  const Fd& fd() const { return fd_; }
  // `host` must stay mapped while the slot exists; bytes == 0 deletes the slot (KVM api 4.35).
  Result<void> set_memory(unsigned slot, Gpa at, std::uint64_t bytes, void* host,
                          SlotAccess access = SlotAccess::kReadWrite) const;
  Result<void> set_irq(unsigned gsi, bool level) const;
  // kvmclock in nanoseconds (KVM api 4.29, 4.30), and the PIT (4.71, 4.72).
  Result<std::uint64_t> clock_ns() const;
  Result<void> set_clock_ns(std::uint64_t now) const;
  Result<kvm_ioapic_state> io_apic() const;  // 4.26
  Result<kvm_pit_state2> pit() const;
  Result<void> set_pit(const kvm_pit_state2& state) const;
  // Reads and writes of EFER come to us, as kvm::MsrAccess (KVM api 4.97).
  Result<void> watch_msrs() const;
  Result<Fd> create_vcpu(VcpuId id) const;

 private:
  explicit Vm(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace ringside::kvm
