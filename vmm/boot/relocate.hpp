// Moves a kernel image to another virtual address, as its own decompressor would (handle_relocations in
// arch/x86/boot/compressed/misc.c, table written by arch/x86/tools/relocs.c).  The table follows the ELF
// file:
//
//   until 6.14   0 | 64-bit …| 0 | 32-bit inverse …| 0 | 32-bit …| end of payload
//   since 6.15   0 | 64-bit …| 0 | 32-bit …| end of payload       (commit a8327be7b2aa, per-CPU data is not
//                                                                  linked at 0 any more: nothing to invert)
//
// Each entry is the low half of a linked virtual address where a word must grow (inverse: shrink) by the
// slide. The kernel reads backwards and must know the number of lists; we know where the ELF file ends, so
// the zeroes tell: three lists or two.  No entry is zero, and a list may be empty.
#pragma once

#include <cstdint>

#include "arch/addr.hpp"
#include "arch/bytes.hpp"
#include "arch/result.hpp"

namespace ringside::boot {

struct RelocationTable {
  ByteView words64;  // lists of 4-byte entries, inside the payload
  ByteView inverse32;
  ByteView words32;
  bool empty() const { return words64.empty() && inverse32.empty() && words32.empty(); }
  std::size_t count() const { return (words64.size() + inverse32.size() + words32.size()) / 4; }
};

// `trailer`: what follows the ELF file.  Empty input is an empty table (a kernel built without KASLR).
Result<RelocationTable> parse_relocations(ByteView trailer);

// Adds `slide` in every place of the table.  `image` begins with _text, linked at virtual address `text`.  On
// an error the image is half done and of no use.
Result<void> relocate(const RelocationTable& table, MutableByteView image, Gva text, std::uint64_t slide);

}  // namespace ringside::boot
