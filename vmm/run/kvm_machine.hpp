// The KVM machine: RAM, VM, vCPU threads and devices put together, behind waist 1.
//
// Thread: created, started, reset and destroyed on the hub's; on_end comes from whichever thread saw it.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "vmm/api/machine.hpp"
#include "vmm/boot/load.hpp"
#include "vmm/dev/bios.hpp"
#include "vmm/dev/platform.hpp"
#include "vmm/kvm/vcpu_fd.hpp"
#include "vmm/mem/guest_ram.hpp"
#include "vmm/run/ram_slots.hpp"
#include "vmm/run/time_keeper.hpp"
#include "vmm/run/vcpu_thread.hpp"

namespace ringside::run {

struct MachineConfig {
  boot::BootSpec boot;  // .vcpus is the number of vCPUs
  std::uint64_t ram_bytes = 0;
  std::function<void(std::string_view)> console;  // what the guest prints; called on vCPU threads
  std::function<void()> console_waits;  // something without a newline waits for flush_console(); likewise
};

class KvmMachine final : public api::Machine {
 public:
  // Everything that can go wrong with the images and with KVM goes wrong here, before anything runs.
  static Result<std::unique_ptr<KvmMachine>> create(MachineConfig config);
  ~KvmMachine() override;

  std::size_t vcpu_count() const override { return config_.boot.vcpus; }
  api::Vcpu& vcpu(VcpuId id) override { return *threads_.at(id.number); }
  PhysicalMemory& memory() override { return ram_; }
  const api::MachineInfo& info() const override { return info_; }
  Result<x86::IoApic> io_apic() const override;
  Result<void> start(api::DebugPolicy& policy, api::MachineListener& listener) override;
  Result<void> reset() override;
  Result<void> watch_writes(std::span<const GpaRange> pages) override;

  // Console input; returns how much was taken.
  std::size_t type(std::string_view input) { return hardware_->platform->type(input); }
  void flush_console() {
    if (bios_) bios_->flush();
    hardware_->platform->flush();
  }

  // To be called about once a second: finds out that every vCPU is in hlt with interrupts off, from which
  // nothing wakes it (Linux: "System halted"), and reports GuestEnd::kHalt.  Costs nothing while any runs.
  void look_for_halt();

 private:
  static constexpr unsigned kScratchSlot = 0;
  // What a reset makes anew.  Order matters: vCPUs go before their VM.
  struct Hardware {
    explicit Hardware(kvm::Vm fresh) : vm(std::move(fresh)) {}
    kvm::Vm vm;
    RamSlots ram{vm, kScratchSlot + 1};
    std::unique_ptr<dev::Platform> platform;
    std::vector<std::unique_ptr<kvm::VcpuFd>> fds;  // empty once the threads have them
  };

  KvmMachine(MachineConfig config, kvm::System system, mem::GuestRam ram, boot::BootImages images);
  Result<std::unique_ptr<Hardware>> make_hardware();
  Result<void> load_kernel(Hardware& hardware);
  Result<void> make_vcpus(Hardware& hardware);
  void end(api::GuestEnd how);
  void inspect_halt();

  MachineConfig config_;
  kvm::System system_;
  mem::GuestRam ram_;
  boot::BootImages images_;
  api::MachineInfo info_;
  TimeKeeper time_;
  std::unique_ptr<dev::Bios> bios_;  // only for a kernel that is entered in real mode
  std::unique_ptr<Hardware> hardware_;
  std::vector<std::unique_ptr<VcpuThread>> threads_;
  api::MachineListener* listener_ = nullptr;
  std::atomic<bool> ended_{false};

  std::uint64_t cpu_time_seen_ = 0;
  bool halt_inspected_ = false;
  std::atomic<std::size_t> halted_{0};
};

}  // namespace ringside::run
