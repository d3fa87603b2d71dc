#include "vmm/mem/e820.hpp"

#include <algorithm>

#include "vmm/mem/layout.hpp"

namespace ringside::mem {

std::vector<E820Entry> e820_map(std::uint64_t ram_bytes) {
  const std::uint64_t low = std::min(ram_bytes, kHoleBegin.value);
  std::vector<E820Entry> map{
      {{0}, kEbda.value, E820Type::kRam},
      {kEbda, kVgaWindow - kEbda, E820Type::kReserved},
      {kAcpiTables, kAcpiTablesBytes, E820Type::kAcpi},
      {kBios, kBiosBytes, E820Type::kReserved},
      {kOneMiB, low - kOneMiB.value, E820Type::kRam},
      {kKvmIdentityMap, kKvmReservedBytes, E820Type::kReserved},
  };
  if (ram_bytes > low) map.push_back({kHoleEnd, ram_bytes - low, E820Type::kRam});
  return map;
}

}  // namespace ringside::mem
