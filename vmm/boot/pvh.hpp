// PVH: the way by which Xen and others enter an unpacked kernel in 32-bit code (Xen:
// public/arch-x86/hvm/start_info.h; Linux: arch/x86/platform/pvh).  An ELF note says where; EBX points to a
// small table with memory map, command line, modules and ACPI instead of boot_params.
//
// In Linux 6.1 and 6.12 the code behind that entry takes the kernel's physical addresses for its linked ones
// less __START_KERNEL_map, so that a kernel that is moved has to be moved by the same distance in both.  In
// 7.2 it compares where it runs with the address in the note, which no relocation touches, and moves its page
// tables by the difference; those have been moved by their relocations already.  So the note has to move
// along.
#pragma once

#include <cstdint>
#include <optional>

#include "arch/addr.hpp"
#include "arch/result.hpp"
#include "vmm/boot/boot_params.hpp"
#include "vmm/boot/elf.hpp"
#include "vmm/boot/entry.hpp"
#include "vmm/mem/guest_ram.hpp"

namespace ringside::boot {

// Offset of the entry from _text.  An error when the kernel has none, or names one outside of itself.
Result<std::uint64_t> pvh_entry_offset(const ElfImage& elf);

// The address in the note, where that is part of `image`, becomes `entry`.
void move_pvh_note(const ElfImage& elf, MutableByteView image, Gpa entry);

// Writes hvm_start_info (layout.hpp kStartInfo), command line and GDT.
struct PvhBoot {
  Gpa entry;
  std::string_view cmdline;
  LoadLimits limits;
  std::optional<InitrdRange> initrd;
  Gpa rsdp;
};
Result<EntryState> prepare_pvh(mem::GuestRam& ram, const PvhBoot& boot);

}  // namespace ringside::boot
