// A bzImage entered where a boot sector would enter it: its 16-bit setup code below 1 MiB, with what a loader
// has to write into the header (boot.rst "Loading The Rest of The Kernel", "Running the Kernel").  That code
// asks a BIOS for memory map and screen, makes boot_params itself and goes on to the 32-bit entry.
#pragma once

#include <optional>
#include <string_view>

#include "arch/addr.hpp"
#include "arch/result.hpp"
#include "vmm/boot/boot_params.hpp"
#include "vmm/boot/bzimage.hpp"
#include "vmm/boot/entry.hpp"
#include "vmm/mem/guest_ram.hpp"

namespace ringside::boot {

struct RealModeBoot {
  std::string_view cmdline;
  LoadLimits limits;
  std::optional<InitrdRange> initrd;
  Gpa code32;  // where the protected-mode kernel has been put
};

// Refuses setup code that does not fit into its half of the segment.
Result<void> check_setup(const BzImage& image);

// Writes setup code (layout.hpp kSetupCode), command line and BIOS.
Result<EntryState> prepare_real_mode(mem::GuestRam& ram, const BzImage& image, const RealModeBoot& boot);

}  // namespace ringside::boot
