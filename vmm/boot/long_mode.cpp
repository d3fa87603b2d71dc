#include "vmm/boot/long_mode.hpp"

#include <array>

#include "vmm/mem/layout.hpp"

namespace ringside::boot {
namespace {

// Segment descriptors (SDM 3A 3.4.5, 7.2.3).  __BOOT_CS 0x10 and __BOOT_DS 0x18 are the protocol's.
constexpr std::array<std::uint64_t, mem::kGdtBytes / 8> kGdtEntries{
    0,
    0,
    0x00af9b000000ffff,  // 0x10 code: 64-bit, execute/read, accessed
    0x00cf93000000ffff,  // 0x18 data: read/write, accessed, 4 GiB
    0x00008b0000000067,  // 0x20 TSS: 64-bit, busy, base 0, limit 0x67
    0,                   //      its upper half
};

constexpr std::uint64_t kPresentWritable = 0x3;
constexpr std::uint64_t kLargePage = 0x80;
constexpr std::uint64_t kEntries = 512;

constexpr std::uint64_t kCr0 = 0x80010031;  // PG | WP | NE | ET | PE (SDM 3A 2.5)
constexpr std::uint64_t kCr4 = 0x20;        // PAE
constexpr std::uint64_t kEfer = 0x500;      // LMA | LME

bool store_entry(mem::GuestRam& ram, Gpa table, std::uint64_t index, std::uint64_t entry) {
  return ram.write(table + index * 8, bytes_of(entry));
}

bool write_page_tables(mem::GuestRam& ram) {
  const Gpa pml4 = mem::kBootPageTables;
  const Gpa pdpt = pml4 + kPageSize;
  const Gpa first_pd = pdpt + kPageSize;
  bool ok = ram.fill(pml4, mem::kBootPageTablesBytes, 0) &&
            store_entry(ram, pml4, 0, pdpt.value | kPresentWritable);
  for (std::uint64_t gib = 0; gib < mem::kBootMappedBytes / mem::kGiB; ++gib) {
    ok = ok && store_entry(ram, pdpt, gib, (first_pd + gib * kPageSize).value | kPresentWritable);
  }
  for (std::uint64_t page = 0; page < mem::kBootMappedBytes / mem::kHugePage; ++page) {
    const Gpa pd = first_pd + page / kEntries * kPageSize;
    ok = ok && store_entry(ram, pd, page % kEntries, page * mem::kHugePage | kPresentWritable | kLargePage);
  }
  return ok;
}

}  // namespace

Result<EntryState> prepare_long_mode(mem::GuestRam& ram, Gpa rip, Gpa boot_params) {
  bool ok = write_page_tables(ram);
  for (std::size_t i = 0; i < kGdtEntries.size(); ++i)
    ok = ok && store_entry(ram, mem::kGdt, i, kGdtEntries[i]);
  if (!ok) return fail(Errc::kNotMapped, "no guest RAM below 1 MiB for the boot page tables");

  EntryState entry;
  entry.rip = rip.value;
  entry.rsi = boot_params.value;
  entry.cr0 = kCr0;
  entry.cr3 = mem::kBootPageTables.value;
  entry.cr4 = kCr4;
  entry.efer = kEfer;
  entry.gdt_base = mem::kGdt.value;
  entry.gdt_limit = mem::kGdtBytes - 1;
  return entry;
}

}  // namespace ringside::boot
