// What the boot vCPU starts with, and where the kernel was put: the loader's answer, as plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "arch/addr.hpp"
#include "arch/bytes.hpp"

namespace ringside::boot {

// Interrupts off, all registers that are not named here zero.
//   kLong       64-bit mode, paging on (boot.rst "64-bit boot protocol"); flat segments: CS is __BOOT_CS,
//               everything else __BOOT_DS
//   kProtected  32-bit protected mode without paging (boot.rst "32-bit boot protocol"); the same selectors
//   kReal       CS and the other segments are what the selectors say; no descriptor tables
// The GDT also has a busy TSS descriptor, because VMX does not enter protected mode without one (SDM 3C
// 26.3.1.2).
enum class EntryMode : std::uint8_t { kReal, kProtected, kLong };

struct EntryState {
  EntryMode mode = EntryMode::kLong;
  std::uint64_t rip = 0;  // architectural: in real mode an offset in CS
  std::uint64_t rbx = 0;  // guest-physical address of PVH's hvm_start_info
  std::uint64_t rsi = 0;  // guest-physical address of boot_params
  std::uint64_t rsp = 0;
  std::uint64_t rflags = 2;
  std::uint64_t cr0 = 0;
  std::uint64_t cr3 = 0;
  std::uint64_t cr4 = 0;
  std::uint64_t efer = 0;
  std::uint64_t gdt_base = 0;
  std::uint16_t gdt_limit = 0;
  std::uint16_t cs = 0x10;
  std::uint16_t ds = 0x18;
  std::uint16_t tr = 0x20;
  bool operator==(const EntryState&) const = default;
};

// Known when ringside places the kernel itself; the kernel's own decompressor decides for itself.
struct KernelPlacement {
  Gpa phys_text;                  // where _text, the lowest byte of the image, lies
  Gva text;                       // the run-time address of _text
  std::uint64_t slide = 0;        // run-time minus linked virtual address (KASLR), a multiple of 2 MiB
  std::uint64_t image_bytes = 0;  // from _text to _end, bss included
  bool operator==(const KernelPlacement&) const = default;
};

// What the image says of itself as linked: by it a kernel that moved itself is found again in memory.
struct LinkedKernel {
  Gva text;           // _text
  Gva banner;         // linux_banner: "Linux version …"
  std::string words;  // what stands there
  bool operator==(const LinkedKernel&) const = default;
};

struct BootPlan {
  EntryState entry;
  std::optional<KernelPlacement> kernel;
  std::optional<Gpa> unpacker;         // where a bzImage's protected-mode part was put, to unpack itself
  std::optional<LinkedKernel> linked;  // absent when the image has no banner, or is not unpacked here
  std::string version;  // "6.1.0-50-cloud-amd64 (debian-kernel@…) …"; empty when the image does not say
  Bytes build_id;       // GNU build id of vmlinux; empty when the image has none
};

}  // namespace ringside::boot
