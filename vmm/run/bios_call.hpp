// A guest's call of the BIOS, from its stub's `out` (vmm/mem/bios.hpp) to the registers that `iret` goes back
// with.
#pragma once

#include "arch/guest_view.hpp"
#include "vmm/api/vcpu.hpp"
#include "vmm/dev/bios.hpp"

namespace ringside::run {

// The vCPU has just executed an `out` to kBiosCall and KVM is done with it.  Nothing happens if it was not a
// stub's: outside of real mode, or elsewhere.  Thread: the vCPU's.
void serve_bios_call(dev::Bios& bios, api::VcpuAccess& vcpu, PhysicalMemory& memory);

}  // namespace ringside::run
