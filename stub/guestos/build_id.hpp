// The kernel's build id, by which debugging information made for it is found: an ELF note in its image.
#pragma once

#include <string>

#include "arch/guest_view.hpp"
#include "stub/guestos/symbols.hpp"

namespace ringside::guestos {

// In hex, empty when there is none.
std::string read_build_id(const SymbolTable& symbols, const VirtualMemory& memory);

}  // namespace ringside::guestos
