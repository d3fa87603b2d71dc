// The CPUID a vCPU sees: what KVM supports, with the entries that depend on the vCPU filled in
// (SDM 2A "CPUID", AMD APM 3 appendix E).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <linux/kvm.h>

#include "arch/ids.hpp"
#include "arch/x86/regs.hpp"

namespace ringside::kvm {

struct CpuidShape {
  VcpuId vcpu;
  unsigned vcpus = 1;
  bool tsc_deadline = false;  // KVM_CAP_TSC_DEADLINE_TIMER: KVM_GET_SUPPORTED_CPUID leaves the bit out
};

// All vCPUs are cores of one package, without hyper-threads; the APIC id is the vCPU's number.
void shape_cpuid(std::vector<kvm_cpuid_entry2>& entries, const CpuidShape& shape);

const kvm_cpuid_entry2* find_cpuid(const std::vector<kvm_cpuid_entry2>& entries, std::uint32_t function,
                                   std::uint32_t index = 0);

// What of the register set the guest's CPU has.
x86::CpuFeatures cpu_features(const std::vector<kvm_cpuid_entry2>& entries);

// Byte offset of a state component in the standard-format XSAVE area (SDM 1 13.4.3); none when absent.
std::optional<std::size_t> xsave_offset(const std::vector<kvm_cpuid_entry2>& entries, unsigned component);

}  // namespace ringside::kvm
