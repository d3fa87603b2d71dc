// The interrupt controllers' registers as values: what the CPU has in them, not what it means.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "arch/bytes.hpp"

namespace ringside::x86 {

// A local APIC's registers (SDM 3A table 11-1): each 32 bits wide, on borders of 16 bytes, by its offset in
// the APIC's page.  In x2APIC mode the same ones are MSRs, and the id takes all of its 32 bits.
struct LocalApic {
  std::array<std::uint8_t, 1024> page{};
  std::uint32_t at(std::size_t offset) const { return load<std::uint32_t>(page.data() + offset); }
};

// An I/O APIC (82093AA): where its page is, and its redirection table.
struct IoApic {
  std::uint64_t base = 0;  // guest physical
  std::uint32_t id = 0;
  std::uint32_t lines = 0;  // the inputs as they are, a bit each (KVM's irr)
  std::array<std::uint64_t, 24> redirection{};
};

}  // namespace ringside::x86
