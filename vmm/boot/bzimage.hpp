// A bzImage taken apart (Documentation/arch/x86/boot.rst "The Real-Mode Kernel Header").
//
//   0          0x1f1        0x200+setup sectors*512
//   | boot sector | setup header … | protected-mode kernel: decompressor [ payload ] |
//                   ^ "HdrS" 0x202                                        ^ payload_offset from here
//
// Everything here points into the file's bytes, which outlive it.
#pragma once

#include <cstdint>
#include <string>

#include "arch/addr.hpp"
#include "arch/bytes.hpp"
#include "arch/result.hpp"

namespace ringside::boot {

inline constexpr std::size_t kSetupHeader = 0x1f1;     // offset in the file, and in boot_params
inline constexpr std::size_t kSetupHeaderEnd = 0x290;  // where boot_params has something else

struct BzImage {
  ByteView setup_header;  // from kSetupHeader on, as long as it says itself
  ByteView setup;         // boot sector and real-mode code, with the header in it
  ByteView body;          // the protected-mode kernel: what is loaded as one piece
  ByteView payload;       // the compressed vmlinux inside it
  std::string version;
  std::uint16_t protocol = 0;          // 0x20f is 2.15
  std::uint32_t kernel_alignment = 0;  // a power of two, at least 2 MiB
  std::uint32_t cmdline_size = 0;      // without the final NUL
  std::uint32_t initrd_addr_max = 0;   // highest address an initrd's last byte may have
  std::uint32_t init_size = 0;         // contiguous RAM needed from the load address on
  Gpa pref_address;
  bool relocatable = false;
};

// True when `file` has the boot sector's and the header's magic numbers.
bool looks_like_bzimage(ByteView file);
Result<BzImage> parse_bzimage(ByteView file);

}  // namespace ringside::boot
