// Where everything lies in guest-physical memory, with the arithmetic that makes it so.
//
//   0x0000'0000  first MiB: what the loader leaves for the kernel's first instructions (below), EBDA, ACPI
//   0x0010'0000  RAM, "low", up to 3 GiB: kernel, initrd at its top
//   0xc000'0000  the hole: no RAM; IOAPIC, local APIC, KVM's own pages
//   0xd000'0000  in it, 2 MiB of the monitor's own, of which the guest is not told
//   0x1'0000'0000  RAM, "high": what did not fit below the hole
#pragma once

#include <cstdint>

#include "arch/addr.hpp"

namespace ringside::mem {

inline constexpr std::uint64_t kKiB = 1024;
inline constexpr std::uint64_t kMiB = 1024 * kKiB;
inline constexpr std::uint64_t kGiB = 1024 * kMiB;
inline constexpr std::uint64_t kHugePage = 2 * kMiB;

// The hole must hold everything that is not RAM below 4 GiB.  One GiB is more than needed and leaves room for
// devices; its begin on a GiB border lets the host back all of low RAM with huge pages.
inline constexpr Gpa kHoleBegin{3 * kGiB};
inline constexpr Gpa kHoleEnd{4 * kGiB};
inline constexpr std::uint64_t kHoleBytes = kHoleEnd - kHoleBegin;
// Where copies of instructions run that stand under a breakpoint: one huge page, so that one entry of the
// guest kernel's page directory maps it.
inline constexpr Gpa kScratch{0xd0000000};
inline constexpr std::uint64_t kScratchBytes = kHugePage;
static_assert(kHoleBegin <= kScratch && kScratch + kScratchBytes <= kHoleEnd);

// The kernel alone needs about 50 MiB (init_size), so less than this never boots.  The upper limit is ours:
// 40 physical address bits, which every CPU with hardware virtualisation has.
inline constexpr std::uint64_t kMinRam = 64 * kMiB;
inline constexpr std::uint64_t kMaxRam = 1024 * kGiB - kHoleBytes;

// The APIC id is the vCPU's number and has 8 bits in the MADT we build; 255 addresses everyone (SDM
// 3A 10.6.1).
inline constexpr unsigned kMaxVcpus = 254;

// --- below 1 MiB -------------------------------------------------------------------------------------------
// All of it is scratch once the kernel has its own tables; page 0 stays empty for the BIOS data area that the
// kernel reads (0x40e EBDA segment, 0x413 memory size: zero means "not there"), unless there is a BIOS
// (bios.hpp).
inline constexpr Gpa kGdt{0x1000};
inline constexpr std::uint64_t kGdtBytes = 6 * 8;
inline constexpr Gpa kZeroPage{0x7000};
// Boot page tables: one PML4, one PDPT, four PDs = 6 pages, 4 GiB mapped one to one with 2 MiB pages.
inline constexpr Gpa kBootPageTables{0x9000};
inline constexpr std::uint64_t kBootMappedBytes = 4 * kGiB;
inline constexpr std::uint64_t kBootPageTablesBytes = (2 + kBootMappedBytes / kGiB) * kPageSize;
inline constexpr Gpa kCmdline{0x20000};
inline constexpr std::uint64_t kCmdlineBytes = 64 * kKiB;
inline constexpr Gpa kStartInfo{0x8000};  // PVH's hvm_start_info, with its tables in the same page
static_assert(kZeroPage + kPageSize <= kStartInfo && kStartInfo + kPageSize <= kBootPageTables);
// The real-mode part of a bzImage: code, heap and stack in one segment (boot.rst "Memory layout": "X", as low
// as possible since protocol 2.02), the command line behind it.
inline constexpr Gpa kSetupCode{0x10000};
inline constexpr std::uint64_t kSetupBytes = 64 * kKiB;
static_assert(kBootPageTables + kBootPageTablesBytes <= kSetupCode);
static_assert(kSetupCode + kSetupBytes <= kCmdline);

// 639 KiB: where a PC's conventional memory ends and its extended BIOS data area begins.
inline constexpr Gpa kEbda{0x9fc00};
static_assert(kCmdline + kCmdlineBytes <= kEbda);
inline constexpr Gpa kVgaWindow{0xa0000};  // RAM to us, reserved in the map: nothing is drawn there

// The RSDP is handed over in the zero page; it lies in the BIOS area all the same, for kernels that search
// (ACPI 6.4 5.2.5.1: 0xe0000..0xfffff, on a 16-byte border).
inline constexpr Gpa kAcpiTables{0xe0000};
inline constexpr std::uint64_t kAcpiTablesBytes = 64 * kKiB;
// The BIOS segment, 0xf000: empty unless the kernel is entered in real mode.
inline constexpr Gpa kBios = kAcpiTables + kAcpiTablesBytes;
inline constexpr std::uint64_t kBiosBytes = 64 * kKiB;
inline constexpr Gpa kOneMiB{0x100000};
static_assert(kBios + kBiosBytes == kOneMiB);

// --- in the hole -------------------------------------------------------------------------------------------
inline constexpr Gpa kIoApic{0xfec00000};     // fixed by convention, in the MADT
inline constexpr Gpa kLocalApic{0xfee00000};  // reset value of IA32_APIC_BASE (SDM 3A 10.4.4)
// KVM wants three pages for a TSS and one for an identity-mapped page table, needed on Intel CPUs that cannot
// run real mode natively (KVM api 4.44, 4.61), outside of any memory slot.
inline constexpr Gpa kKvmIdentityMap{0xfffbc000};
inline constexpr Gpa kKvmTss{kKvmIdentityMap + kPageSize};
inline constexpr std::uint64_t kKvmReservedBytes = 4 * kPageSize;
static_assert(kKvmTss == Gpa{0xfffbd000});

// --- the kernel --------------------------------------------------------------------------------------------
inline constexpr Gpa kDefaultKernel{16 * kMiB};  // CONFIG_PHYSICAL_START of every distribution

}  // namespace ringside::mem
