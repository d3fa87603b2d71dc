// The state in which a 64-bit kernel is entered (boot.rst "64-bit boot protocol"): a GDT, page tables that
// map the first 4 GiB one to one, and the registers that go with them.
#pragma once

#include "arch/addr.hpp"
#include "arch/result.hpp"
#include "vmm/boot/entry.hpp"
#include "vmm/mem/guest_ram.hpp"

namespace ringside::boot {

// Writes the tables (layout.hpp kGdt, kBootPageTables) and says how to begin at `rip`.
Result<EntryState> prepare_long_mode(mem::GuestRam& ram, Gpa rip, Gpa boot_params);

}  // namespace ringside::boot
