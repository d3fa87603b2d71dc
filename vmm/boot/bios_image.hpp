// The guest's side of a BIOS, as much as arch/x86/boot needs: interrupt table, BIOS data area, stubs.
// The services themselves are vmm/dev/bios.
#pragma once

#include "arch/result.hpp"
#include "vmm/mem/guest_ram.hpp"

namespace ringside::boot {

Result<void> write_bios(mem::GuestRam& ram);

}  // namespace ringside::boot
