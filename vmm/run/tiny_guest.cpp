#include "vmm/run/tiny_guest.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include <sys/mman.h>

#include "arch/x86/control.hpp"
#include "vmm/run/entry_registers.hpp"

namespace ringside::run {
namespace {

constexpr std::uint64_t kTables = 0x1000, kGdt = 0x4000, kIdt = 0x5000;
constexpr std::uint64_t kGateBytes = 16;

// Flat 64-bit code, data, and a TSS of which nothing is used (SDM 3A 3.4.5, 7.2.3).
constexpr std::array<std::uint64_t, 6> kGdtEntries{
    0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00008b0000000067, 0};

boot::EntryState long_mode_entry() {
  boot::EntryState entry;
  entry.cr0 = x86::cr0::kPg | x86::cr0::kWp | x86::cr0::kNe | x86::cr0::kEt | x86::cr0::kMp | x86::cr0::kPe;
  entry.cr3 = kTables;
  entry.cr4 = x86::cr4::kPae | x86::cr4::kOsfxsr | x86::cr4::kOsxmmexcpt;
  entry.efer = x86::efer::kLme | x86::efer::kLma;
  entry.gdt_base = kGdt;
  entry.gdt_limit = sizeof kGdtEntries - 1;
  return entry;
}

}  // namespace

Result<std::unique_ptr<TinyGuest>> TinyGuest::create(const kvm::System& system, const Shape& shape) {
  kvm::Vm vm =
      RS_TRY(shape.chips == Chips::kIrqchip ? kvm::Vm::create(system) : kvm::Vm::create_bare(system));
  void* memory = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return fail_errno("mmap of guest memory", errno);
  std::unique_ptr<TinyGuest> guest(new TinyGuest(std::move(vm), static_cast<std::uint8_t*>(memory)));
  RS_TRY(guest->watch_writes({}));
  RS_TRY(guest->map_spare(0));
  if (shape.mode == Mode::kLong) guest->write_tables();
  const std::vector<kvm_cpuid_entry2> cpuid = RS_TRY(system.supported_cpuid());
  for (unsigned i = 0; i < shape.vcpus; ++i) {
    guest->vcpus_.push_back(RS_TRY(kvm::VcpuFd::create(system, guest->vm_, VcpuId{i}, shape.vcpus, cpuid)));
    guest->enter(shape.mode, i);
    RS_TRY(guest->vcpu(i).write_back_now());
  }
  return guest;
}

TinyGuest::~TinyGuest() {
  vcpus_.clear();
  ::munmap(memory_, kBytes);
}

void TinyGuest::enter(Mode mode, std::size_t index) {
  kvm_sregs sregs = vcpu(index).sregs();
  if (mode == Mode::kReal) {
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
  } else {
    run::enter(long_mode_entry(), sregs);
    sregs.idt.base = kIdt;
    sregs.idt.limit = kPageSize - 1;
  }
  vcpu(index).set_sregs(sregs);
  vcpu(index).set_core(first_registers(index));
}

void TinyGuest::write_tables() {
  constexpr std::uint64_t kPresentWritableUser = 0x7;
  constexpr std::uint64_t kLargePage = 0x80;
  const std::uint64_t pdpt = kTables + kPageSize;
  const std::uint64_t pd = pdpt + kPageSize;
  store(memory_ + kTables, pdpt | kPresentWritableUser);
  store(memory_ + pdpt, pd | kPresentWritableUser);
  store(memory_ + pd, kPresentWritableUser | kLargePage);
  std::ranges::copy(bytes_of(kGdtEntries), memory_ + kGdt);
}

x86::CoreRegs TinyGuest::first_registers(std::size_t index) {
  x86::CoreRegs core;
  core.rip = kCode;
  core.gpr[x86::kRsp] = kStackTop - index * kStackBytes;
  core.gpr[x86::kRbx] = kData;
  return core;
}

void TinyGuest::load(ByteView code) {
  const bool fits = write(Gpa{kCode}, code);
  RS_CHECK(fits);
  for (std::size_t i = 0; i < vcpus_.size(); ++i) vcpu(i).set_core(first_registers(i));
}

// A 64-bit interrupt gate (SDM 3A 6.14.1), callable from ring 3 too.
void TinyGuest::handle(std::uint8_t vector, ByteView code) {
  RS_CHECK(code.size() <= 16 && handler(vector) + 16 <= kCode);
  constexpr std::uint64_t kGatePresentUser = 0xee00;
  const std::uint64_t at = handler(vector);
  const std::uint64_t gate =
      (at & 0xffff) | std::uint64_t{kCodeSelector} << 16 | kGatePresentUser << 32 | (at >> 16 & 0xffff) << 48;
  store(memory_ + kIdt + vector * kGateBytes, gate);
  store(memory_ + kIdt + vector * kGateBytes + 8, at >> 32);
  std::ranges::copy(code, memory_ + at);
}

Result<void> TinyGuest::map_spare(std::uint32_t flags) {
  kvm_userspace_memory_region region{};
  region.slot = kSpareSlot;
  // KVM refuses some changes of a slot's flags (KVM api 4.35): so it goes first, and comes anew.
  if (std::exchange(spare_mapped_, false)) RS_TRY(vm_.set_memory(kSpareSlot, Gpa{kSpare}, 0, nullptr));
  region.flags = flags;
  region.guest_phys_addr = kSpare;
  region.memory_size = kPageSize;
  region.userspace_addr = reinterpret_cast<std::uintptr_t>(memory_ + kSpare);
  RS_TRY(vm_.fd().call("KVM_SET_USER_MEMORY_REGION", KVM_SET_USER_MEMORY_REGION, &region));
  spare_mapped_ = true;
  return {};
}

Result<void> TinyGuest::watch_writes(std::span<const GpaRange> pages) {
  const mem::GuestRam::Region all{.begin = Gpa{0}, .bytes = kSpare, .host = memory_};
  return slots_.set(RS_TRY(cut_ram({&all, 1}, pages)));
}

bool TinyGuest::read(Gpa from, MutableByteView to) const noexcept {
  if (from.value > kBytes || to.size() > kBytes - from.value) return false;
  std::copy_n(memory_ + from.value, to.size(), to.begin());
  return true;
}

bool TinyGuest::write(Gpa to, ByteView from) noexcept {
  if (to.value > kBytes || from.size() > kBytes - to.value) return false;
  std::ranges::copy(from, memory_ + to.value);
  return true;
}

}  // namespace ringside::run
