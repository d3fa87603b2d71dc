#include "stub/hub/kernel_memory.hpp"

#include "arch/x86/control.hpp"
#include "arch/x86/paging.hpp"
#include "stub/hub/vcpu_environment.hpp"

namespace ringside::hub {

x86::PagingState KnownKernel::paging(const PhysicalMemory& memory) const noexcept {
  if (!page_table) return {};
  const bool five = five_levels && memory.load_at<std::uint32_t>(*five_levels).value_or(0) != 0;
  return {.cr0 = x86::cr0::kPg | x86::cr0::kPe,
          .cr3 = page_table->value,
          .cr4 = x86::cr4::kPae | (five ? x86::cr4::kLa57 : 0),
          .efer = x86::efer::kLme | x86::efer::kLma | x86::efer::kNxe};
}

bool KernelMemory::read(Gva from, MutableByteView to) const noexcept {
  return read_kernel(image_, paging_, memory_, *points_, from, to);
}

bool read_kernel(const ImagePlace& image, const x86::PagingState& paging, const PhysicalMemory& memory,
                 const PointSnapshot& points, Gva from, MutableByteView to) noexcept {
  if (const auto where = image.find(from); where && to.size() <= image.bytes - (from - image.text)) {
    return read_own_physical(memory, points, *where, to);
  }
  return read_own_bytes(paging, memory, points, from, to);
}

}  // namespace ringside::hub
