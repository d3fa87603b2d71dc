#include "vmm/kvm/cpuid.hpp"

#include <algorithm>
#include <bit>

namespace ringside::kvm {
namespace {

constexpr std::uint32_t kXsaveLeaf = 0xd;

// Leaf 1: initial APIC id, logical processors, the two feature bits KVM leaves to us.
void shape_leaf_1(kvm_cpuid_entry2& entry, const CpuidShape& shape) {
  constexpr std::uint32_t kTscDeadline = 1u << 24;
  constexpr std::uint32_t kHypervisor = 1u << 31;
  entry.ebx = (entry.ebx & 0x0000ffffu) | (shape.vcpu.number << 24) | ((shape.vcpus & 0xffu) << 16);
  entry.ecx |= kHypervisor;
  if (shape.tsc_deadline) entry.ecx |= kTscDeadline;
}

// Leaves 0xb and 0x1f: extended topology, level 0 = thread, level 1 = core.
void shape_topology(kvm_cpuid_entry2& entry, const CpuidShape& shape) {
  constexpr std::uint32_t kSmt = 1u << 8;
  constexpr std::uint32_t kCore = 2u << 8;
  entry.edx = shape.vcpu.number;
  entry.eax = entry.ebx = 0;
  entry.ecx = entry.index;
  if (entry.index == 0) {
    entry.ebx = 1;
    entry.ecx |= kSmt;
  } else if (entry.index == 1) {
    entry.eax = static_cast<std::uint32_t>(std::bit_width(shape.vcpus - 1));
    entry.ebx = shape.vcpus;
    entry.ecx |= kCore;
  }
}

}  // namespace

void shape_cpuid(std::vector<kvm_cpuid_entry2>& entries, const CpuidShape& shape) {
  for (kvm_cpuid_entry2& entry : entries) {
    switch (entry.function) {
      case 0x1:
        shape_leaf_1(entry, shape);
        break;
      case 0x4:  // deterministic cache parameters: cores in the package
        entry.eax = (entry.eax & 0x03ffffffu) | ((std::max(shape.vcpus, 1u) - 1) << 26);
        break;
      case 0xb:
      case 0x1f:
        shape_topology(entry, shape);
        break;
      case 0x80000008:  // AMD: number of cores - 1, width of the core part of the APIC id
        entry.ecx = (entry.ecx & ~0xf0ffu) | (shape.vcpus - 1) |
                    (static_cast<std::uint32_t>(std::bit_width(shape.vcpus - 1)) << 12);
        break;
      case 0x8000001e:  // AMD: extended APIC id, compute unit, node
        entry.eax = shape.vcpu.number;
        entry.ebx = shape.vcpu.number;
        entry.ecx = 0;
        break;
      default:
        break;
    }
  }
}

const kvm_cpuid_entry2* find_cpuid(const std::vector<kvm_cpuid_entry2>& entries, std::uint32_t function,
                                   std::uint32_t index) {
  for (const kvm_cpuid_entry2& entry : entries) {
    const bool indexed = (entry.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) != 0;
    if (entry.function == function && (!indexed || entry.index == index)) return &entry;
  }
  return nullptr;
}

x86::CpuFeatures cpu_features(const std::vector<kvm_cpuid_entry2>& entries) {
  x86::CpuFeatures features;
  features.avx = xsave_offset(entries, 2).has_value();
  features.avx512 = xsave_offset(entries, 5) && xsave_offset(entries, 6) && xsave_offset(entries, 7);
  features.pkru = xsave_offset(entries, 9).has_value();
  return features;
}

std::optional<std::size_t> xsave_offset(const std::vector<kvm_cpuid_entry2>& entries, unsigned component) {
  const kvm_cpuid_entry2* all = find_cpuid(entries, kXsaveLeaf, 0);
  if (all == nullptr || (all->eax >> component & 1u) == 0) return std::nullopt;
  const kvm_cpuid_entry2* one = find_cpuid(entries, kXsaveLeaf, component);
  if (one == nullptr || one->eax == 0) return std::nullopt;
  return one->ebx;
}

}  // namespace ringside::kvm
