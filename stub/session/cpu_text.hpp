// What a CPU's tables and interrupt controllers hold, in lines for people (`monitor pagetable` and the like).
// Pure.  The guest's own contents are shown as they are: whatever is in them, there is text for it.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "arch/guest_view.hpp"
#include "arch/x86/apic.hpp"
#include "arch/x86/paging.hpp"
#include "arch/x86/regs.hpp"

namespace ringside::session {

// "asm_exc_page_fault", or nothing.
using NameOf = std::function<std::string(Gva)>;

x86::PagingState paging_of(const x86::RegisterFile& registers);  // with kSystem

// Each entry on the way, and what comes of it.
std::string page_table_text(const x86::PagingState& paging, Gva at, const PhysicalMemory& memory);

// The gates that are present, or the one asked for.  `registers` with kSystem; `memory` as that CPU sees it.
std::string idt_text(const x86::RegisterFile& registers, const VirtualMemory& memory,
                     std::optional<unsigned> vector, const NameOf& name);
std::string gdt_text(const x86::RegisterFile& registers, const VirtualMemory& memory);

// `base`: IA32_APIC_BASE.
std::string local_apic_text(const x86::LocalApic& apic, std::uint64_t base);
std::string io_apic_text(const x86::IoApic& chip);

// "LSTAR", or empty; and back, whatever the case.
std::string_view msr_name(std::uint32_t number);
std::optional<std::uint32_t> msr_number(std::string_view name);

}  // namespace ringside::session
