#include "vmm/run/kvm_machine.hpp"

#include <latch>

#include "vmm/boot/kaslr.hpp"
#include "vmm/kvm/cpuid.hpp"
#include "vmm/run/bios_call.hpp"
#include "vmm/run/entry_registers.hpp"
#include "vmm/run/kick.hpp"

namespace ringside::run {

KvmMachine::KvmMachine(MachineConfig config, kvm::System system, mem::GuestRam ram, boot::BootImages images)
    : config_(std::move(config)),
      system_(std::move(system)),
      ram_(std::move(ram)),
      images_(std::move(images)),
      time_(config_.boot.vcpus, [this](std::size_t vcpu, TimeKeeper::Work work) {
        threads_.at(vcpu)->post([work = std::move(work)](api::VcpuAccess& access) mutable {
          work(static_cast<kvm::VcpuFd&>(access));
        });
      }) {}

KvmMachine::~KvmMachine() {
  ended_ = true;
  time_.leave();
  threads_.clear();
}

Result<std::unique_ptr<KvmMachine>> KvmMachine::create(MachineConfig config) {
  boot::BootImages images = RS_TRY(boot::load_images(config.boot));
  // A reset puts the kernel where it was: debuggers have their symbols there.
  if (!config.boot.kaslr.seed) {
    boot::KaslrRandom random = RS_TRY(boot::KaslrRandom::create(std::nullopt));
    config.boot.kaslr.seed = random.below(UINT64_MAX);
  }
  kvm::System system = RS_TRY(kvm::System::open());
  mem::GuestRam ram = RS_TRY(mem::GuestRam::create(config.ram_bytes));
  std::unique_ptr<KvmMachine> machine(
      new KvmMachine(std::move(config), std::move(system), std::move(ram), std::move(images)));
  machine->info_.engine = "KVM";
  machine->info_.watches_writes = machine->system_.capabilities().readonly_mem;
  machine->info_.ram_bytes = machine->config_.ram_bytes;
  for (const mem::GuestRam::Region& region : machine->ram_.regions())
    machine->info_.ram.push_back({region.begin, region.begin + region.bytes});
  machine->info_.msrs = RS_TRY(machine->system_.msr_numbers());
  if (machine->config_.boot.mode == boot::BootMode::kReal) {
    machine->bios_ =
        std::make_unique<dev::Bios>(dev::Bios::Config{.ram_bytes = machine->config_.ram_bytes,
                                                      .console = machine->config_.console,
                                                      .console_waits = machine->config_.console_waits,
                                                      .seconds_of_day = {}});
  }
  machine->hardware_ = RS_TRY(machine->make_hardware());
  return machine;
}

Result<std::unique_ptr<KvmMachine::Hardware>> KvmMachine::make_hardware() {
  kvm::Vm vm = RS_TRY(kvm::Vm::create(system_));
  auto hardware = std::make_unique<Hardware>(std::move(vm));
  std::vector<RamPiece> pieces = RS_TRY(cut_ram(ram_.regions(), {}));
  RS_TRY(hardware->ram.set(std::move(pieces)));
  const mem::GuestRam::Region& scratch = ram_.scratch();
  RS_TRY(hardware->vm.set_memory(kScratchSlot, scratch.begin, scratch.bytes, scratch.host));
  info_.scratch = scratch.begin;
  info_.tells_of_efer = system_.capabilities().msr_filter;
  if (info_.tells_of_efer) RS_TRY(hardware->vm.watch_msrs());
  hardware->platform = RS_TRY(dev::Platform::create({
      .set_irq = [vm = &hardware->vm](unsigned gsi,
                                      bool level) { RS_CHECK(vm->set_irq(gsi, level).has_value()); },
      .console = config_.console,
      .console_waits = config_.console_waits,
      .events = {.on_poweroff = [this] { end(api::GuestEnd::kPowerOff); },
                 .on_reset = [this] { end(api::GuestEnd::kReboot); }},
      .clock = [this] { return time_.guest_time(); },
  }));
  RS_TRY(make_vcpus(*hardware));
  RS_TRY(load_kernel(*hardware));
  return hardware;
}

Result<void> KvmMachine::make_vcpus(Hardware& hardware) {
  const std::vector<kvm_cpuid_entry2> cpuid = RS_TRY(system_.supported_cpuid());
  info_.features = kvm::cpu_features(cpuid);
  const unsigned count = config_.boot.vcpus;
  for (unsigned i = 0; i < count; ++i) {
    auto fd = RS_TRY(kvm::VcpuFd::create(system_, hardware.vm, VcpuId{i}, count, cpuid));
    RS_TRY(fd->set_power_on_msrs());
    hardware.fds.push_back(std::move(fd));
  }
  return {};
}

// The kernel's image into RAM, and the boot vCPU to its first instruction; the others wait for the guest.
Result<void> KvmMachine::load_kernel(Hardware& hardware) {
  const boot::BootPlan plan = RS_TRY(boot::place(images_, config_.boot, ram_));
  kvm::VcpuFd& first = *hardware.fds.front();
  kvm_sregs sregs = first.sregs();
  enter(plan.entry, sregs);
  first.set_sregs(sregs);
  x86::CoreRegs core;
  core.rip = plan.entry.rip;
  core.rflags = plan.entry.rflags;
  core.gpr[x86::kRbx] = plan.entry.rbx;
  core.gpr[x86::kRsi] = plan.entry.rsi;
  core.gpr[x86::kRsp] = plan.entry.rsp;
  first.set_core(core);
  RS_TRY(first.write_back_now());
  api::KernelImage image;
  image.version = plan.version;
  image.unpacker = plan.unpacker;
  if (plan.linked) {
    image.link_text = plan.linked->text;
    image.link_banner = plan.linked->banner;
    image.banner = plan.linked->words;
  }
  if (plan.kernel) {
    image.link_text = plan.kernel->text - plan.kernel->slide;
    image.slide = plan.kernel->slide;
    image.at = plan.kernel->phys_text;
    image.bytes = plan.kernel->image_bytes;
  }
  info_.kernel = std::move(image);
  return {};
}

Result<void> KvmMachine::start(api::DebugPolicy& policy, api::MachineListener& listener) {
  listener_ = &listener;
  install_kick_handler();
  FirmwareCall firmware;
  if (bios_) firmware = [this](api::VcpuAccess& vcpu) { serve_bios_call(*bios_, vcpu, ram_); };
  for (auto& fd : hardware_->fds) {
    threads_.push_back(std::make_unique<VcpuThread>(std::move(fd), hardware_->platform->bus(), policy,
                                                    listener,
                                                    Surroundings{.time = &time_, .firmware = firmware}));
  }
  hardware_->fds.clear();
  time_.follow(hardware_->vm);
  return {};
}

Result<x86::IoApic> KvmMachine::io_apic() const {
  const kvm_ioapic_state state = RS_TRY(hardware_->vm.io_apic());
  x86::IoApic chip{.base = state.base_address, .id = state.id, .lines = state.irr};
  static_assert(std::size(decltype(state.redirtbl){}) == std::tuple_size_v<decltype(chip.redirection)>);
  for (std::size_t i = 0; i < chip.redirection.size(); ++i) chip.redirection[i] = state.redirtbl[i].bits;
  return chip;
}

Result<void> KvmMachine::reset() {
  RS_TRY(ram_.clear());
  if (bios_) bios_->reset();
  std::unique_ptr<Hardware> fresh = RS_TRY(make_hardware());
  for (std::size_t i = 0; i < threads_.size(); ++i) {
    threads_[i]->replace(std::move(fresh->fds[i]), fresh->platform->bus());
  }
  fresh->fds.clear();
  // The old VM may go only when no thread has a vCPU of it; parked threads answer at once.
  std::latch replaced(static_cast<std::ptrdiff_t>(threads_.size()));
  for (auto& thread : threads_) thread->post([&replaced](api::VcpuAccess&) { replaced.count_down(); });
  replaced.wait();
  time_.follow(fresh->vm);
  hardware_ = std::move(fresh);
  return {};
}

Result<void> KvmMachine::watch_writes(std::span<const GpaRange> pages) {
  if (!pages.empty() && !system_.capabilities().readonly_mem) {
    return fail(Errc::kUnsupported,
                "this host's KVM lacks KVM_CAP_READONLY_MEM: what the guest writes cannot be watched");
  }
  return hardware_->ram.set(RS_TRY(cut_ram(ram_.regions(), pages)));
}

void KvmMachine::end(api::GuestEnd how) {
  if (ended_.exchange(true)) return;
  hardware_->platform->flush();
  for (auto& thread : threads_) thread->retire();
  listener_->on_end(how, {});
}

void KvmMachine::look_for_halt() {
  std::uint64_t used = 0;
  for (const auto& thread : threads_) used += thread->cpu_time();
  if (used != cpu_time_seen_) {
    cpu_time_seen_ = used;
    halt_inspected_ = false;
    return;
  }
  if (!halt_inspected_ && !ended_) inspect_halt();
  halt_inspected_ = true;
}

void KvmMachine::inspect_halt() {
  halted_ = 0;
  for (auto& thread : threads_) {
    thread->post([this](api::VcpuAccess& access) {
      auto& fd = static_cast<kvm::VcpuFd&>(access);
      const auto state = fd.mp_state();
      if (!state) return;
      constexpr std::uint64_t kInterruptFlag = 1u << 9;
      const bool deaf = (fd.core().rflags & kInterruptFlag) == 0;
      const bool asleep = state->mp_state == KVM_MP_STATE_HALTED && deaf;
      const bool never_started = state->mp_state == KVM_MP_STATE_UNINITIALIZED;
      if (!asleep && !never_started) return;
      if (halted_.fetch_add(1) + 1 == threads_.size()) end(api::GuestEnd::kHalt);
    });
  }
}

}  // namespace ringside::run
