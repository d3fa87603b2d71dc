// The requests whose argument ends in an array without a size.  In C++ the kernel header's way of declaring
// it (an empty struct beside the array) gives the struct another size than in C, and with it the request
// another number: so their headers and numbers are spelt here (KVM api 4.18, 4.46, 4.58).
#pragma once

#include <cstdint>
#include <vector>

#include <linux/kvm.h>

namespace ringside::kvm {

// kvm_cpuid2, kvm_msrs and kvm_irq_routing alike: a count, padding or flags, then the entries.
struct CountHeader {
  std::uint32_t count = 0;
  std::uint32_t padding = 0;
};
static_assert(sizeof(CountHeader) == 8);

inline constexpr unsigned long kGetSupportedCpuid = _IOWR(KVMIO, 0x05, CountHeader);
inline constexpr unsigned long kSetCpuid2 = _IOW(KVMIO, 0x90, CountHeader);
struct MsrIndexHeader {  // kvm_msr_list: a count, then the numbers (KVM api 4.3)
  std::uint32_t count = 0;
};
inline constexpr unsigned long kGetMsrIndexList = _IOWR(KVMIO, 0x02, MsrIndexHeader);
inline constexpr unsigned long kGetMsrs = _IOWR(KVMIO, 0x88, CountHeader);
inline constexpr unsigned long kSetMsrs = _IOW(KVMIO, 0x89, CountHeader);
inline constexpr unsigned long kSetGsiRouting = _IOW(KVMIO, 0x6a, CountHeader);  // KVM api 4.52

// kvm_xsave without its array: 4 KiB; what lies behind is not counted (KVM api 4.42, 4.43, 4.134).
using XsaveRegion = std::uint32_t[1024];
inline constexpr unsigned long kGetXsave = _IOR(KVMIO, 0xa4, XsaveRegion);
inline constexpr unsigned long kSetXsave = _IOW(KVMIO, 0xa5, XsaveRegion);
inline constexpr unsigned long kGetXsave2 = _IOR(KVMIO, 0xcf, XsaveRegion);

// A header and room for `most` entries in one block.
template <typename Entry>
class CountedArray {
 public:
  explicit CountedArray(std::size_t most) : storage_((sizeof(CountHeader) + most * sizeof(Entry)) / 8 + 1) {
    header()->count = static_cast<std::uint32_t>(most);
  }
  CountHeader* header() { return reinterpret_cast<CountHeader*>(storage_.data()); }
  Entry* entries() { return reinterpret_cast<Entry*>(header() + 1); }

 private:
  std::vector<std::uint64_t> storage_;
};

}  // namespace ringside::kvm
