// The memory map a PC's firmware would report (ACPI 6.4 15.1, "INT 15H, E820H"), from the amount of RAM.
#pragma once

#include <cstdint>
#include <vector>

#include "arch/addr.hpp"

namespace ringside::mem {

enum class E820Type : std::uint32_t { kRam = 1, kReserved = 2, kAcpi = 3 };

struct E820Entry {
  Gpa begin;
  std::uint64_t bytes = 0;
  E820Type type = E820Type::kReserved;
  bool operator==(const E820Entry&) const = default;
};

// Sorted by address, without overlaps.  `ram_bytes` as given to GuestRam::create.
std::vector<E820Entry> e820_map(std::uint64_t ram_bytes);

}  // namespace ringside::mem
