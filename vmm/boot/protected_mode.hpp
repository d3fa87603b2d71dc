// The state in which a kernel is entered in 32-bit code (boot.rst "32-bit boot protocol"; PVH wants the same,
// docs/misc/pvh in Xen's tree): flat segments out of a GDT, paging off, interrupts off.
#pragma once

#include <cstdint>

#include "arch/addr.hpp"
#include "arch/result.hpp"
#include "vmm/boot/entry.hpp"
#include "vmm/mem/guest_ram.hpp"

namespace ringside::boot {

// Writes the GDT (layout.hpp kGdt) and says how to begin at `eip`.
Result<EntryState> prepare_protected_mode(mem::GuestRam& ram, Gpa eip);

}  // namespace ringside::boot
