// The guest's RAM: one anonymous mapping of the host, seen by the guest as one region, or two when it does
// not fit below the hole.  Owns the mapping; whoever holds a Region's host pointer must not outlive it.
//
// Thread: read, write and fill from any thread while the guest runs.  There is no ordering with the guest's
// own accesses, but an aligned access of 1, 2, 4 or 8 bytes is one load or store, never torn.  clear() and
// window() only while no vCPU runs.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <utility>

#include "arch/addr.hpp"
#include "arch/bytes.hpp"
#include "arch/guest_view.hpp"
#include "arch/result.hpp"
#include "vmm/mem/layout.hpp"

namespace ringside::mem {

class GuestRam final : public PhysicalMemory {
 public:
  // One KVM_SET_USER_MEMORY_REGION (KVM api 4.35).  `bytes` is a multiple of the page size.
  struct Region {
    Gpa begin;
    std::uint64_t bytes = 0;
    std::uint8_t* host = nullptr;
    bool contains(Gpa at) const { return at >= begin && at - begin < bytes; }
    // Null unless all of it is inside.
    std::uint8_t* range(Gpa from, std::uint64_t size) const noexcept {
      return contains(from) && size <= bytes - (from - begin) ? host + (from - begin) : nullptr;
    }
  };

  // `bytes`: kMinRam..kMaxRam, a multiple of 2 MiB.  Takes no memory until the guest touches it.
  static Result<GuestRam> create(std::uint64_t bytes);

  GuestRam(GuestRam&& other) noexcept;
  GuestRam& operator=(GuestRam&& other) noexcept;
  GuestRam(const GuestRam&) = delete;
  GuestRam& operator=(const GuestRam&) = delete;
  ~GuestRam() override;

  std::span<const Region> regions() const noexcept { return {regions_.data(), region_count_}; }
  std::uint64_t bytes() const noexcept { return bytes_; }
  // The monitor's own (layout.hpp, kScratch): read and written like RAM, and not among the regions.
  const Region& scratch() const noexcept { return scratch_; }
  // Where RAM below the hole ends.
  Gpa low_end() const noexcept { return regions_[0].begin + regions_[0].bytes; }

  [[nodiscard]] bool read(Gpa from, MutableByteView to) const noexcept override;
  [[nodiscard]] bool write(Gpa to, ByteView from) noexcept override;
  [[nodiscard]] bool fill(Gpa begin, std::uint64_t bytes, std::uint8_t value) noexcept;
  [[nodiscard]] bool contains(Gpa begin, std::uint64_t bytes) const noexcept;

  // All of RAM becomes zero and is given back to the host.
  Result<void> clear();

  // Host bytes of a range within one region, for loaders that fill megabytes in place.
  Result<MutableByteView> window(Gpa begin, std::uint64_t bytes);

 private:
  GuestRam(std::uint8_t* mapping, std::size_t mapping_bytes, std::uint64_t bytes) noexcept;
  std::uint8_t* host_range(Gpa begin, std::uint64_t bytes) const noexcept;  // null unless all of it is RAM
  std::uint8_t* memory_at(Gpa begin, std::uint64_t bytes) const noexcept;   // RAM or scratch
  void release() noexcept;

  std::uint8_t* mapping_ = nullptr;  // as mmap gave it; RAM begins at its first 2 MiB border
  std::size_t mapping_bytes_ = 0;
  std::uint64_t bytes_ = 0;
  std::array<Region, 2> regions_{};
  std::size_t region_count_ = 0;
  Region scratch_;
};

}  // namespace ringside::mem
