#include "vmm/boot/protected_mode.hpp"

#include <array>

#include "vmm/mem/layout.hpp"

namespace ringside::boot {
namespace {

// Segment descriptors (SDM 3A 3.4.5, 7.2.2).  __BOOT_CS 0x10 and __BOOT_DS 0x18 are the protocol's.
constexpr std::array<std::uint64_t, mem::kGdtBytes / 8> kGdtEntries{
    0,
    0,
    0x00cf9b000000ffff,  // 0x10 code: 32-bit, execute/read, accessed, 4 GiB
    0x00cf93000000ffff,  // 0x18 data: read/write, accessed, 4 GiB
    0x00008b0000000067,  // 0x20 TSS: 32-bit, busy, base 0, limit 0x67
    0,
};

constexpr std::uint64_t kCr0 = 0x11;  // ET | PE (SDM 3A 2.5)

}  // namespace

Result<EntryState> prepare_protected_mode(mem::GuestRam& ram, Gpa eip) {
  if (!ram.write(mem::kGdt, bytes_of(kGdtEntries)))
    return fail(Errc::kNotMapped, "no guest RAM below 1 MiB for the boot GDT");
  EntryState entry;
  entry.mode = EntryMode::kProtected;
  entry.rip = eip.value;
  entry.cr0 = kCr0;
  entry.gdt_base = mem::kGdt.value;
  entry.gdt_limit = mem::kGdtBytes - 1;
  return entry;
}

}  // namespace ringside::boot
