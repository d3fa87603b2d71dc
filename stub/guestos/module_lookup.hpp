// Which module an address is in, and what is there: without allocating, so also on vCPU threads.  Lists and
// tables are the guest's, and bounded.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "arch/addr.hpp"
#include "arch/guest_view.hpp"
#include "stub/guestos/kernel.hpp"
#include "stub/guestos/layout.hpp"

namespace ringside::guestos {

// The struct module whose memory has `at`.  Each module that is looked at costs one of `fuel`.
std::optional<Gva> find_module(const ModuleLayout& layout, Gva at, const VirtualMemory& memory,
                               std::uint32_t& fuel) noexcept;

// The last symbol of that module at or before `at`, as the kernel chooses it (kernel/module/kallsyms.c); its
// names are put into `into`.
std::optional<Kernel::Place> place_in_module(const ModuleLayout& layout, Gva module, Gva at,
                                             const VirtualMemory& memory, std::span<char> into) noexcept;

}  // namespace ringside::guestos
