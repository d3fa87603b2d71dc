// The modules that are loaded, and where their sections lie (what /sys/module/NAME/sections shows).
// Thread: any.  Allocates.
#pragma once

#include "stub/guestos/kernel.hpp"
#include "stub/guestos/layout.hpp"

namespace ringside::guestos {

Result<std::vector<Kernel::Module>> read_modules(const ModuleLayout& layout, const VirtualMemory& memory);

}  // namespace ringside::guestos
