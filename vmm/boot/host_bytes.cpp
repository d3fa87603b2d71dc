#include "vmm/boot/host_bytes.hpp"

#include <cerrno>

#include <sys/mman.h>

namespace ringside::boot {

Result<HostBytes> HostBytes::create(std::size_t capacity) {
  void* mapping =
      ::mmap(nullptr, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) return fail_errno("memory for the unpacked kernel", errno);
  static_cast<void>(::madvise(mapping, capacity, MADV_HUGEPAGE));  // fewer faults; right without it
  return HostBytes(static_cast<std::uint8_t*>(mapping), capacity);
}

HostBytes::~HostBytes() {
  if (data_ != nullptr) ::munmap(data_, capacity_);
}

}  // namespace ringside::boot
