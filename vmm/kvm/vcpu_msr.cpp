// The MSRs that come to us instead of to KVM (Vm::watch_msrs): done here as the CPU does them.
#include "arch/x86/control.hpp"
#include "vmm/kvm/cpuid.hpp"
#include "vmm/kvm/vcpu_fd.hpp"

namespace ringside::kvm {
namespace {

constexpr std::uint32_t kEfer = 0xc0000080;  // SDM 4 table 2-2

// Bits of EFER that a CPU takes only if its CPUID has them (SDM 4 table 2-2; AMD APM 2 3.1.7).  KVM looks at
// them when the guest writes, not when we do.
struct EferBit {
  unsigned bit;
  bool in_ecx;  // of CPUID 80000001h; else in EDX
  unsigned feature;
};
constexpr EferBit kEferBits[] = {{8, false, 29}, {11, false, 20}, {12, true, 2}, {14, false, 25}};

}  // namespace

bool VcpuFd::takes_efer(std::uint64_t value) {
  constexpr std::uint32_t kExtendedFeatures = 0x80000001;
  const kvm_cpuid_entry2* features = find_cpuid(cpuid_, kExtendedFeatures);
  for (const EferBit& one : kEferBits) {
    if ((value >> one.bit & 1u) == 0) continue;
    if (features == nullptr || ((one.in_ecx ? features->ecx : features->edx) >> one.feature & 1u) == 0)
      return false;
  }
  // Long mode is switched on and off while paging is off (SDM 3A 4.1.2).
  const x86::PagingState& now = context().paging;
  return (now.cr0 & x86::cr0::kPg) == 0 || ((now.efer ^ value) & x86::efer::kLme) == 0;
}

std::optional<std::uint64_t> VcpuFd::serve(const MsrAccess& access) {
  run_->msr.error = 1;
  if (access.direction == Direction::kIn) {
    const auto value = read_msr(access.index);
    if (!value) return std::nullopt;
    run_->msr.data = *value;
    run_->msr.error = 0;
    return *value;
  }
  if (access.index == kEfer && !takes_efer(access.value)) return std::nullopt;
  if (!write_msr(access.index, access.value)) return std::nullopt;
  sregs_valid_ = context_valid_ = false;
  run_->msr.error = 0;
  return access.value;
}

}  // namespace ringside::kvm
