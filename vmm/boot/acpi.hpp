// The ACPI tables: as few as Linux needs to find its CPUs, its interrupts, and the way to power off and
// reset.
//
//   RSDP -> XSDT -> FADT -> FACS, DSDT (only \_S5)
//                -> MADT (a local APIC for each vCPU, one IOAPIC, two overrides)
#pragma once

#include "arch/addr.hpp"
#include "arch/bytes.hpp"
#include "arch/result.hpp"
#include "vmm/mem/guest_ram.hpp"

namespace ringside::boot {

// All tables as one block that is valid at kAcpiTables; the RSDP is its first byte.  `vcpus`: 1..kMaxVcpus.
Result<Bytes> build_acpi_tables(unsigned vcpus);

// Writes them there and returns the address of the RSDP.
Result<Gpa> write_acpi_tables(mem::GuestRam& ram, unsigned vcpus);

}  // namespace ringside::boot
