// A VM of sixteen pages and no kernel: bytes are put in, run, looked at.  The doctor tries KVM
// with it, and so do the KVM tests.
//
//   0x1000 page tables (3 pages: the first 2 MiB one to one, open to user mode)   0x4000 GDT   0x5000 IDT
//   0x6000 one stub of 16 bytes for each interrupt vector in use   0x8000 code   0xa000 data   0xf000 stack,
//   down 0x10000 the spare page: in a memory slot of its own, mapped as asked for
//
// Above that there is no memory: an access is an MMIO exit.
// Thread: the one that made it, until take_vcpu().
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "arch/addr.hpp"
#include "arch/bytes.hpp"
#include "arch/guest_view.hpp"
#include "arch/result.hpp"
#include "vmm/kvm/vcpu_fd.hpp"
#include "vmm/run/ram_slots.hpp"

namespace ringside::run {

class TinyGuest final : public PhysicalMemory {
 public:
  enum class Mode : std::uint8_t { kReal, kLong };
  enum class Chips : std::uint8_t { kNone, kIrqchip };  // the in-kernel PIC, I/O APIC, local APIC and PIT

  static constexpr std::uint64_t kHandlers = 0x6000, kCode = 0x8000, kData = 0xa000, kStackTop = 0xf000,
                                 kStackBytes = 0x400, kSpare = 0x10000, kBytes = kSpare + kPageSize;
  static constexpr std::uint16_t kCodeSelector = 0x10, kDataSelector = 0x18;

  struct Shape {
    Mode mode = Mode::kLong;
    Chips chips = Chips::kNone;
    unsigned vcpus = 1;  // with the interrupt controllers, all but the first wait to be started by the guest
  };

  // Every vCPU stands at kCode with interrupts off and a stack of its own.  `system` must outlive the guest.
  static Result<std::unique_ptr<TinyGuest>> create(const kvm::System& system, const Shape& shape);
  ~TinyGuest() override;
  TinyGuest(const TinyGuest&) = delete;
  TinyGuest& operator=(const TinyGuest&) = delete;

  // Code at kCode, registers as at first; memory elsewhere stays.  Before take_vcpu() only.
  void load(ByteView code);
  // Long mode: interrupts and exceptions of this vector go to these bytes (16 at most), in ring 0.
  void handle(std::uint8_t vector, ByteView code);
  static constexpr std::uint64_t handler(std::uint8_t vector) { return kHandlers + vector * 16u; }

  // The spare page in slot 1; `flags` as in KVM_SET_USER_MEMORY_REGION.
  Result<void> map_spare(std::uint32_t flags);
  static constexpr unsigned kSpareSlot = 0;
  // As Machine::watch_writes(); of all but the spare page.
  Result<void> watch_writes(std::span<const GpaRange> pages);

  kvm::Vm& vm() { return vm_; }
  kvm::VcpuFd& vcpu(std::size_t index = 0) { return *vcpus_.at(index); }
  // For a VcpuThread, which must end before this object does.
  std::unique_ptr<kvm::VcpuFd> take_vcpu(std::size_t index = 0) { return std::move(vcpus_.at(index)); }
  static x86::CoreRegs first_registers(std::size_t index = 0);

  [[nodiscard]] bool read(Gpa from, MutableByteView to) const noexcept override;
  [[nodiscard]] bool write(Gpa to, ByteView from) noexcept override;

 private:
  TinyGuest(kvm::Vm vm, std::uint8_t* memory)
      : vm_(std::move(vm)), memory_(memory), slots_(vm_, kSpareSlot + 1) {}
  void write_tables();
  void enter(Mode mode, std::size_t index);

  kvm::Vm vm_;
  std::uint8_t* memory_;
  RamSlots slots_;
  std::vector<std::unique_ptr<kvm::VcpuFd>> vcpus_;
  bool spare_mapped_ = false;
};

}  // namespace ringside::run
