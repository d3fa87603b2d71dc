#include "vmm/boot/pvh.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "vmm/boot/protected_mode.hpp"
#include "vmm/mem/e820.hpp"
#include "vmm/mem/layout.hpp"

namespace ringside::boot {
namespace {

// public/arch-x86/hvm/start_info.h, by the names that it gives the fields.
struct StartInfo {
  std::uint32_t magic = 0x336ec578;  // "xEn3" with the topmost bit set
  std::uint32_t version = 1;         // memmap_paddr is there
  std::uint32_t flags = 0;
  std::uint32_t nr_modules = 0;
  std::uint64_t modlist_paddr = 0;
  std::uint64_t cmdline_paddr = 0;
  std::uint64_t rsdp_paddr = 0;
  std::uint64_t memmap_paddr = 0;
  std::uint32_t memmap_entries = 0;
  std::uint32_t reserved = 0;
};
struct Module {
  std::uint64_t paddr = 0;
  std::uint64_t size = 0;
  std::uint64_t cmdline_paddr = 0;
  std::uint64_t reserved = 0;
};
struct MemoryEntry {
  std::uint64_t addr = 0;
  std::uint64_t size = 0;
  std::uint32_t type = 0;  // as in an e820 map
  std::uint32_t reserved = 0;
};
static_assert(sizeof(StartInfo) == 56 && sizeof(Module) == 32 && sizeof(MemoryEntry) == 24);

}  // namespace

Result<std::uint64_t> pvh_entry_offset(const ElfImage& elf) {
  if (!elf.pvh) {
    return fail(Errc::kUnsupported,
                "has no PVH entry (no ELF note XEN_ELFNOTE_PHYS32_ENTRY): use --boot=elf, or build it with "
                "CONFIG_PVH=y");
  }
  const std::uint64_t offset = elf.pvh->entry - elf.linked_at.value;
  if (offset >= elf.image_bytes) {
    return fail(Errc::kMalformed,
                fmt::format("is damaged: its PVH entry, {:#x}, is outside of what it loads", elf.pvh->entry));
  }
  return offset;
}

void move_pvh_note(const ElfImage& elf, MutableByteView image, Gpa entry) {
  for (const ElfSegment& segment : elf.segments) {
    const std::uint64_t in_segment = elf.pvh->offset - segment.offset;
    if (in_segment >= segment.file_bytes || segment.file_bytes - in_segment < elf.pvh->bytes) continue;
    const std::uint64_t at = segment.linked_at - elf.linked_at + in_segment;
    std::copy_n(bytes_of(entry.value).begin(), elf.pvh->bytes,
                image.begin() + static_cast<std::ptrdiff_t>(at));
  }
}

Result<EntryState> prepare_pvh(mem::GuestRam& ram, const PvhBoot& boot) {
  RS_TRY(write_cmdline(ram, boot.cmdline, boot.limits));
  StartInfo info;
  Bytes tables;
  const Gpa begin = mem::kStartInfo + sizeof info;
  const auto add = [&](const auto& entry) {
    const ByteView bytes = bytes_of(entry);
    tables.insert(tables.end(), bytes.begin(), bytes.end());
  };
  info.cmdline_paddr = mem::kCmdline.value;
  info.rsdp_paddr = boot.rsdp.value;
  if (boot.initrd) {
    info.nr_modules = 1;
    info.modlist_paddr = begin.value;
    add(Module{.paddr = boot.initrd->begin.value, .size = boot.initrd->bytes});
  }
  info.memmap_paddr = (begin + tables.size()).value;
  for (const mem::E820Entry& entry : mem::e820_map(ram.bytes())) {
    ++info.memmap_entries;
    add(MemoryEntry{
        .addr = entry.begin.value, .size = entry.bytes, .type = static_cast<std::uint32_t>(entry.type)});
  }
  RS_CHECK(sizeof info + tables.size() <= kPageSize);
  if (!ram.write(mem::kStartInfo, bytes_of(info)) || !ram.write(begin, tables))
    return fail(Errc::kNotMapped, "no guest RAM for PVH's start info");
  EntryState entry = RS_TRY(prepare_protected_mode(ram, boot.entry));
  entry.rbx = mem::kStartInfo.value;
  return entry;
}

}  // namespace ringside::boot
