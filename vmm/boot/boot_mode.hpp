// The ways into a Linux kernel (docs/early-boot.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace ringside::boot {

enum class BootMode : std::uint8_t {
  kAuto,     // the fastest: kElf
  kReal,     // bzImage: its 16-bit entry, as from a boot sector, with a BIOS
  kEntry32,  // bzImage: the decompressor's 32-bit entry
  kEntry64,  // bzImage: the decompressor's 64-bit entry
  kElf,      // vmlinux, or the payload of a bzImage unpacked here: its ELF entry, 64-bit; the slide is known
  kPvh,      // the same kernels: their PVH entry, 32-bit
};

// As --boot takes them; "bzimage" is what "64" was called at first.
std::optional<BootMode> boot_mode_of(std::string_view name);
std::string_view name_of(BootMode mode);

// Whether the kernel's own decompressor runs: it chooses the kernel's place then.
constexpr bool unpacks_itself(BootMode mode) {
  return mode == BootMode::kReal || mode == BootMode::kEntry32 || mode == BootMode::kEntry64;
}

}  // namespace ringside::boot
