// A vmlinux ELF file: what is loaded where (System V ABI, "Program Header"), and who it says it is.
//
// The kernel is placed by physical address: its per-CPU segment had virtual address 0 before Linux 6.15.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "arch/addr.hpp"
#include "arch/bytes.hpp"
#include "arch/result.hpp"

namespace ringside::boot {

struct ElfSegment {
  std::uint64_t offset = 0;      // in the file
  std::uint64_t file_bytes = 0;  // what the file has; the rest of memory_bytes is zero
  std::uint64_t memory_bytes = 0;
  Gpa linked_at;
};

// XEN_ELFNOTE_PHYS32_ENTRY: where PVH enters the kernel as linked; not checked yet.
struct PvhNote {
  std::uint64_t entry = 0;
  std::uint64_t offset = 0;  // of the address, in the file
  std::uint8_t bytes = 0;    // of the address, 4 or 8
};

struct ElfImage {
  std::vector<ElfSegment> segments;
  Gpa linked_at;                   // lowest physical address of a segment: _text
  std::uint64_t image_bytes = 0;   // from there to the end of the last segment, _end; 1..1 GiB
  Gva text;                        // linked virtual address of _text
  std::uint64_t entry_offset = 0;  // from _text
  std::uint64_t file_end = 0;      // what the headers account for; relocations may follow (relocate.hpp)
  Bytes build_id;                  // NT_GNU_BUILD_ID, empty when there is none
  std::optional<PvhNote> pvh;
};

bool looks_like_elf(ByteView file);
Result<ElfImage> parse_elf(ByteView file);

// Puts the segments into `image` (image_bytes long: the guest's RAM where _text is to be), which is all zero
// before: gaps and bss are not written again.
void copy_segments(const ElfImage& elf, ByteView file, MutableByteView image);

}  // namespace ringside::boot
