// The zero page: everything the loader tells the kernel (Documentation/arch/x86/zero-page.rst), the command
// line and the place of the initrd.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "arch/addr.hpp"
#include "arch/bytes.hpp"
#include "arch/result.hpp"
#include "vmm/mem/guest_ram.hpp"

namespace ringside::boot {

struct InitrdRange {
  Gpa begin;
  std::uint64_t bytes = 0;
};

// What limits the command line and the initrd: from a bzImage's header, or these, which fit every kernel
// since 2.6.37, for a vmlinux that comes without one (arch/x86/boot/header.S).
struct LoadLimits {
  std::uint32_t cmdline_size = 2047;           // without the final NUL
  std::uint32_t initrd_addr_max = 0x7fffffff;  // of the initrd's last byte
};

enum class KaslrFlag : std::uint8_t { kClear, kSet };

struct BootParams {
  ByteView setup_header;  // the image's own (BzImage), or empty: a minimal one is made up
  LoadLimits limits;
  std::string_view cmdline;
  std::optional<InitrdRange> initrd;
  Gpa rsdp;
  KaslrFlag kaslr = KaslrFlag::kClear;  // tells the kernel to randomise its other regions too
};

// Writes the command line (kCmdline).  Refuses one that is too long for this kernel or has a NUL in it.
Result<void> write_cmdline(mem::GuestRam& ram, std::string_view cmdline, const LoadLimits& limits);

// Writes the zero page (kZeroPage) and the command line.
Result<void> write_boot_params(mem::GuestRam& ram, const BootParams& params);

// The highest page-aligned place below the limit, the hole and the end of RAM that keeps clear of
// [0, kernel_end).
Result<InitrdRange> place_initrd(const mem::GuestRam& ram, std::uint64_t initrd_bytes, Gpa kernel_end,
                                 const LoadLimits& limits);

}  // namespace ringside::boot
