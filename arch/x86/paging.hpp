// The page walk of SDM 3A chapter 4 over guest physical memory, for debugger access: from a guest virtual
// address to the physical one, with every mode and page size a guest may be in.
//
// Pure and noexcept, no allocation; tables are hostile data, and each entry is copied once and then used.
// Rights are reported, not enforced: a debugger reads and writes pages the guest may not.  Nothing is cached,
// and accessed or dirty bits are not set.  Thread: any; the guest may change its tables meanwhile.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "arch/addr.hpp"
#include "arch/bytes.hpp"
#include "arch/expected.hpp"
#include "arch/guest_view.hpp"
#include "arch/x86/cpu.hpp"

namespace ringside::x86 {

enum class PagingMode : std::uint8_t { kNone, k32Bit, kPae, k4Level, k5Level };

PagingMode paging_mode(const PagingState& state) noexcept;

// Where a byte lives, and what the guest may do with its page.
struct Leaf {
  Gpa gpa;                      // of the very byte asked for
  std::uint64_t page_size = 0;  // bytes; with paging off, 4096
  bool writable = false;        // R/W set at every level
  bool user = false;            // U/S set at every level
  bool executable = false;      // no XD at any level
  bool accessed = false;        // A set at every level that has one: an access would not set it
  bool dirty = false;           // D set: a write would not set it
  bool operator==(const Leaf&) const = default;
};

struct WalkFault {
  enum class Why : std::uint8_t {
    kNonCanonical,   // not an address in this mode: a hole in 64-bit, beyond 4 GiB elsewhere
    kNotPresent,     // P clear
    kReserved,       // a bit is set that the CPU demands to be zero
    kMemoryMissing,  // no memory where the table should be
  };
  Why why = Why::kNotPresent;
  std::uint8_t level =
      0;  // of the entry: 1 page table, 2 directory, 3 PDPT, 4 PML4, 5 PML5; 0 before the first
  bool operator==(const WalkFault&) const = default;
};

using WalkResult = Expected<Leaf, WalkFault>;

WalkResult walk(const PagingState& state, Gva at, const PhysicalMemory& memory) noexcept;

// The same walk with each entry it read, from the top level down.
struct WalkLevel {
  std::uint8_t level = 0;  // numbered as in WalkFault
  Gpa entry_at;
  std::uint64_t entry = 0;  // a 32-bit entry is zero-extended
};

struct WalkLevels {
  std::array<WalkLevel, 5> storage{};
  std::size_t count = 0;
  WalkResult result = unexpected(WalkFault{});

  std::span<const WalkLevel> levels() const { return std::span(storage).first(count); }
};

WalkLevels walk_levels(const PagingState& state, Gva at, const PhysicalMemory& memory) noexcept;

// Copies page by page and returns the bytes done: all of them, or the prefix before the first page without a
// translation or without memory.
[[nodiscard]] std::size_t read_virtual(const PagingState& state, Gva from, MutableByteView to,
                                       const PhysicalMemory& memory) noexcept;
[[nodiscard]] std::size_t write_virtual(const PagingState& state, Gva to, ByteView from,
                                        PhysicalMemory& memory) noexcept;

const char* to_text(PagingMode mode) noexcept;
const char* to_text(WalkFault::Why why) noexcept;

}  // namespace ringside::x86
