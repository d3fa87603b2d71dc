#include "vmm/mem/guest_ram.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <sys/mman.h>

#include <fmt/format.h>

namespace ringside::mem {
namespace {

// One load or store where the CPU has one; page-table and kernel words must not be seen half written.
template <typename T>
void copy_word(std::uint8_t* to, const std::uint8_t* from, bool from_is_guest) {
  if (from_is_guest) {
    const T value = __atomic_load_n(reinterpret_cast<const T*>(from), __ATOMIC_RELAXED);
    std::memcpy(to, &value, sizeof value);
  } else {
    T value;
    std::memcpy(&value, from, sizeof value);
    __atomic_store_n(reinterpret_cast<T*>(to), value, __ATOMIC_RELAXED);
  }
}

bool aligned(const std::uint8_t* at, std::size_t bytes) {
  return (reinterpret_cast<std::uintptr_t>(at) & (bytes - 1)) == 0;
}

// Sizes without a single instruction go through memcpy, in no promised order.
void copy(std::uint8_t* to, const std::uint8_t* from, std::size_t bytes, bool from_is_guest) {
  const std::uint8_t* guest = from_is_guest ? from : to;
  if (bytes == 8 && aligned(guest, 8)) return copy_word<std::uint64_t>(to, from, from_is_guest);
  if (bytes == 4 && aligned(guest, 4)) return copy_word<std::uint32_t>(to, from, from_is_guest);
  if (bytes == 2 && aligned(guest, 2)) return copy_word<std::uint16_t>(to, from, from_is_guest);
  if (bytes == 1) return copy_word<std::uint8_t>(to, from, from_is_guest);
  if (bytes != 0) std::memcpy(to, from, bytes);
}

}  // namespace

Result<GuestRam> GuestRam::create(std::uint64_t bytes) {
  if (bytes < kMinRam || bytes > kMaxRam || bytes % kHugePage != 0) {
    return fail(Errc::kRefused,
                fmt::format("guest RAM of {} bytes is not possible: give a multiple of 2 MiB from "
                            "{} MiB to {} GiB",
                            bytes, kMinRam / kMiB, kMaxRam / kGiB));
  }
  // One huge page more, to begin on a 2 MiB border: KVM maps huge pages only where guest and host agree
  // modulo 2 MiB.
  const auto mapping_bytes = static_cast<std::size_t>(bytes + kScratchBytes + kHugePage);
  void* mapping = ::mmap(nullptr, mapping_bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) {
    return fail_errno(fmt::format("cannot map {} MiB for the guest's RAM", bytes / kMiB), errno);
  }
  // Both are wishes: a host without huge pages, or one that dumps everything, is no reason to stop.  The
  // guest's memory stays out of our core dumps because it holds other people's secrets.
  (void)::madvise(mapping, mapping_bytes, MADV_HUGEPAGE);
  (void)::madvise(mapping, mapping_bytes, MADV_DONTDUMP);
  return GuestRam(static_cast<std::uint8_t*>(mapping), mapping_bytes, bytes);
}

GuestRam::GuestRam(std::uint8_t* mapping, std::size_t mapping_bytes, std::uint64_t bytes) noexcept
    : mapping_(mapping), mapping_bytes_(mapping_bytes), bytes_(bytes) {
  const auto begin = reinterpret_cast<std::uintptr_t>(mapping);
  std::uint8_t* host = mapping + ((begin + kHugePage - 1) / kHugePage * kHugePage - begin);
  const std::uint64_t low = std::min(bytes, kHoleBegin.value);
  regions_[0] = {{0}, low, host};
  region_count_ = 1;
  if (bytes > low) regions_[region_count_++] = {kHoleEnd, bytes - low, host + low};
  scratch_ = {kScratch, kScratchBytes, host + bytes};
}

GuestRam::GuestRam(GuestRam&& other) noexcept
    : mapping_(std::exchange(other.mapping_, nullptr)),
      mapping_bytes_(std::exchange(other.mapping_bytes_, 0)),
      bytes_(std::exchange(other.bytes_, 0)),
      regions_(std::exchange(other.regions_, {})),
      region_count_(std::exchange(other.region_count_, 0)),
      scratch_(std::exchange(other.scratch_, {})) {}

GuestRam& GuestRam::operator=(GuestRam&& other) noexcept {
  if (this == &other) return *this;
  release();
  mapping_ = std::exchange(other.mapping_, nullptr);
  mapping_bytes_ = std::exchange(other.mapping_bytes_, 0);
  bytes_ = std::exchange(other.bytes_, 0);
  regions_ = std::exchange(other.regions_, {});
  region_count_ = std::exchange(other.region_count_, 0);
  scratch_ = std::exchange(other.scratch_, {});
  return *this;
}

GuestRam::~GuestRam() { release(); }

void GuestRam::release() noexcept {
  if (mapping_ != nullptr) ::munmap(mapping_, mapping_bytes_);
  mapping_ = nullptr;
}

// The hole lies between the two regions, so an access that begins in one and leaves it is never all RAM: no
// access has to be put together from two.
bool GuestRam::contains(Gpa begin, std::uint64_t bytes) const noexcept {
  return host_range(begin, bytes) != nullptr;
}

std::uint8_t* GuestRam::host_range(Gpa begin, std::uint64_t bytes) const noexcept {
  for (const Region& region : regions()) {
    if (std::uint8_t* host = region.range(begin, bytes)) return host;
  }
  return nullptr;
}

std::uint8_t* GuestRam::memory_at(Gpa begin, std::uint64_t bytes) const noexcept {
  if (std::uint8_t* low = regions_[0].range(begin, bytes)) return low;  // nearly always
  std::uint8_t* host = host_range(begin, bytes);
  return host != nullptr ? host : scratch_.range(begin, bytes);
}

bool GuestRam::read(Gpa from, MutableByteView to) const noexcept {
  const std::uint8_t* host = memory_at(from, to.size());
  if (host == nullptr) return false;
  copy(to.data(), host, to.size(), true);
  return true;
}

bool GuestRam::write(Gpa to, ByteView from) noexcept {
  std::uint8_t* host = memory_at(to, from.size());
  if (host == nullptr) return false;
  copy(host, from.data(), from.size(), false);
  return true;
}

bool GuestRam::fill(Gpa begin, std::uint64_t bytes, std::uint8_t value) noexcept {
  std::uint8_t* host = host_range(begin, bytes);
  if (host == nullptr) return false;
  std::memset(host, value, static_cast<std::size_t>(bytes));
  return true;
}

Result<void> GuestRam::clear() {
  if (::madvise(mapping_, mapping_bytes_, MADV_DONTNEED) != 0) {
    return fail_errno("cannot clear the guest's RAM", errno);
  }
  return {};
}

Result<MutableByteView> GuestRam::window(Gpa begin, std::uint64_t bytes) {
  std::uint8_t* host = host_range(begin, bytes);
  if (host == nullptr) {
    return fail(Errc::kNotMapped, fmt::format("no guest RAM for {:#x} bytes at {:#x}", bytes, begin.value));
  }
  return MutableByteView(host, static_cast<std::size_t>(bytes));
}

}  // namespace ringside::mem
