#include "vmm/kvm/vm.hpp"

#include "vmm/kvm/flexible.hpp"

namespace ringside::kvm {
namespace {

// Three pages in the hole below 4 GiB that no RAM covers (mem/layout.hpp keeps them free).
constexpr std::uint64_t kIdentityMap = 0xfffbc000;
constexpr unsigned long kTss = 0xfffbd000;

constexpr std::uint32_t kEfer = 0xc0000080;  // SDM 4 table 2-2

// KVM's default has interrupt 0 at the I/O APIC's pin 0; on a PC, and in our MADT, the PIT is at pin 2.
Result<void> route_interrupts(const Fd& fd) {
  constexpr std::uint32_t kPicPins = 16;
  constexpr std::uint32_t kIoApicPins = 24;
  CountedArray<kvm_irq_routing_entry> table(kPicPins + kIoApicPins);
  std::uint32_t count = 0;
  const auto add = [&](std::uint32_t gsi, std::uint32_t chip, std::uint32_t pin) {
    kvm_irq_routing_entry& entry = table.entries()[count++];
    entry.gsi = gsi;
    entry.type = KVM_IRQ_ROUTING_IRQCHIP;
    entry.u.irqchip.irqchip = chip;
    entry.u.irqchip.pin = pin;
  };
  for (std::uint32_t gsi = 0; gsi < kIoApicPins; ++gsi) {
    if (gsi < kPicPins) add(gsi, gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, gsi % 8);
    if (gsi != 2) add(gsi, KVM_IRQCHIP_IOAPIC, gsi == 0 ? 2 : gsi);
  }
  table.header()->count = count;
  RS_TRY(fd.call("KVM_SET_GSI_ROUTING", kSetGsiRouting, table.header()));
  return {};
}

}  // namespace

Result<Vm> Vm::create_bare(const System& system) {
  const int number = RS_TRY(system.fd().call("KVM_CREATE_VM", KVM_CREATE_VM, 0));
  Vm vm{Fd(number)};
  std::uint64_t identity_map = kIdentityMap;
  RS_TRY(vm.fd_.call("KVM_SET_IDENTITY_MAP_ADDR", KVM_SET_IDENTITY_MAP_ADDR, &identity_map));
  RS_TRY(vm.fd_.call("KVM_SET_TSS_ADDR", KVM_SET_TSS_ADDR, kTss));
  // An instruction that KVM cannot emulate, a vector store to watched memory for one, is ours to deal with; the
  // guest would get #UD for it (KVM api 7.31).
  if (system.capabilities().exit_on_emulation_failure) {
    kvm_enable_cap wanted{};
    wanted.cap = KVM_CAP_EXIT_ON_EMULATION_FAILURE;
    wanted.args[0] = 1;
    RS_TRY(vm.fd_.call("KVM_ENABLE_CAP", KVM_ENABLE_CAP, &wanted));
  }
  return vm;
}

Result<Vm> Vm::create(const System& system) {
  Vm vm = RS_TRY(create_bare(system));
  RS_TRY(vm.fd_.call("KVM_CREATE_IRQCHIP", KVM_CREATE_IRQCHIP, 0));
  kvm_pit_config pit{};
  pit.flags = KVM_PIT_SPEAKER_DUMMY;
  RS_TRY(vm.fd_.call("KVM_CREATE_PIT2", KVM_CREATE_PIT2, &pit));
  RS_TRY(route_interrupts(vm.fd_));
  return vm;
}

Result<void> Vm::set_memory(unsigned slot, Gpa at, std::uint64_t bytes, void* host, SlotAccess access) const {
  kvm_userspace_memory_region region{};
  region.slot = slot;
  region.flags = access == SlotAccess::kReadOnly ? KVM_MEM_READONLY : 0u;
  region.guest_phys_addr = at.value;
  region.memory_size = bytes;
  region.userspace_addr = reinterpret_cast<std::uintptr_t>(host);
  RS_TRY(fd_.call("KVM_SET_USER_MEMORY_REGION", KVM_SET_USER_MEMORY_REGION, &region));
  return {};
}

Result<void> Vm::set_irq(unsigned gsi, bool level) const {
  kvm_irq_level line{};
  line.irq = gsi;
  line.level = level ? 1 : 0;
  RS_TRY(fd_.call("KVM_IRQ_LINE", KVM_IRQ_LINE, &line));
  return {};
}

Result<std::uint64_t> Vm::clock_ns() const {
  kvm_clock_data clock{};
  RS_TRY(fd_.call("KVM_GET_CLOCK", KVM_GET_CLOCK, &clock));
  return std::uint64_t{clock.clock};
}

// Without KVM_CLOCK_REALTIME: that would add the time that has passed on the host's clock.
Result<void> Vm::set_clock_ns(std::uint64_t now) const {
  kvm_clock_data clock{};
  clock.clock = now;
  RS_TRY(fd_.call("KVM_SET_CLOCK", KVM_SET_CLOCK, &clock));
  return {};
}

Result<kvm_ioapic_state> Vm::io_apic() const {
  kvm_irqchip chip{};
  chip.chip_id = KVM_IRQCHIP_IOAPIC;
  RS_TRY(fd_.call("KVM_GET_IRQCHIP", KVM_GET_IRQCHIP, &chip));
  return chip.chip.ioapic;
}

Result<kvm_pit_state2> Vm::pit() const {
  kvm_pit_state2 state{};
  RS_TRY(fd_.call("KVM_GET_PIT2", KVM_GET_PIT2, &state));
  return state;
}

Result<void> Vm::set_pit(const kvm_pit_state2& state) const {
  RS_TRY(fd_.call("KVM_SET_PIT2", KVM_SET_PIT2, &state));
  return {};
}

// It stays for good: a kernel touches EFER when a CPU starts, and then no more, so it costs nothing; and one
// that kexec starts is seen as well.  KVM exits for EFER anyway, so nothing of the guest's becomes slower.
Result<void> Vm::watch_msrs() const {
  kvm_enable_cap exits{};
  exits.cap = KVM_CAP_X86_USER_SPACE_MSR;
  exits.args[0] = KVM_MSR_EXIT_REASON_FILTER;
  RS_TRY(fd_.call("KVM_ENABLE_CAP(KVM_CAP_X86_USER_SPACE_MSR)", KVM_ENABLE_CAP, &exits));
  std::uint8_t denied = 0;  // one bit an MSR: 0 denies
  kvm_msr_filter filter{};
  filter.flags = KVM_MSR_FILTER_DEFAULT_ALLOW;
  filter.ranges[0] = {
      .flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE, .nmsrs = 1, .base = kEfer, .bitmap = &denied};
  RS_TRY(fd_.call("KVM_X86_SET_MSR_FILTER", KVM_X86_SET_MSR_FILTER, &filter));
  return {};
}

Result<Fd> Vm::create_vcpu(VcpuId id) const {
  const int number =
      RS_TRY(fd_.call("KVM_CREATE_VCPU", KVM_CREATE_VCPU, static_cast<unsigned long>(id.number)));
  return Fd(number);
}

}  // namespace ringside::kvm
