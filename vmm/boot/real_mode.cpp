#include "vmm/boot/real_mode.hpp"

#include <algorithm>

#include <asm/bootparam.h>

#include <fmt/format.h>

#include "vmm/boot/bios_image.hpp"
#include "vmm/mem/layout.hpp"

namespace ringside::boot {
namespace {

// boot.rst "Memory layout": code, data and bss in the first half of the segment (the kernel's own linker
// script holds that, setup.ld), heap and stack in the second.
constexpr std::uint64_t kMostSetup = 0x8000;
constexpr std::uint16_t kHeapEnd = 0xe000;    // "heap_end" of the sample loader: the stack begins here
constexpr std::uint16_t kStackSize = 0x200;   // what heap_end_ptr is below that
constexpr std::uint16_t kEntryOffset = 0x20;  // of CS, in paragraphs: "jmp_far(seg + 0x20, 0)"
constexpr std::uint8_t kUndefinedLoader = 0xff;
// "Current": 0xffff would set 80x25 and have the kernel believe in a screen.
constexpr std::uint16_t kCurrentVideoMode = 0x0f04;
constexpr std::uint64_t kCr0 = 0x10;  // ET

constexpr std::uint32_t low_half(std::uint64_t value) { return static_cast<std::uint32_t>(value); }

void fill_header(setup_header& header, const RealModeBoot& boot) {
  header.vid_mode = kCurrentVideoMode;
  header.type_of_loader = kUndefinedLoader;
  header.ext_loader_ver = 0;
  header.loadflags = static_cast<std::uint8_t>((header.loadflags | LOADED_HIGH | CAN_USE_HEAP) & ~KASLR_FLAG);
  header.realmode_swtch = 0;
  header.code32_start = low_half(boot.code32.value);
  header.heap_end_ptr = kHeapEnd - kStackSize;
  header.cmd_line_ptr = low_half(mem::kCmdline.value);
  header.setup_data = 0;  // the loader's list, not the image's
  header.ramdisk_image = boot.initrd ? low_half(boot.initrd->begin.value) : 0;
  header.ramdisk_size = boot.initrd ? low_half(boot.initrd->bytes) : 0;
}

EntryState entry_of(Gpa setup) {
  EntryState entry;
  entry.mode = EntryMode::kReal;
  entry.ds = static_cast<std::uint16_t>(setup.value >> 4);
  entry.cs = entry.ds + kEntryOffset;
  entry.rip = 0;
  entry.rsp = kHeapEnd;
  entry.cr0 = kCr0;
  entry.tr = 0;
  return entry;
}

}  // namespace

Result<void> check_setup(const BzImage& image) {
  if (image.setup.size() <= kMostSetup) return {};
  return fail(Errc::kMalformed,
              fmt::format("is damaged: its header claims {} bytes of real-mode code, and {} are possible",
                          image.setup.size(), kMostSetup));
}

Result<EntryState> prepare_real_mode(mem::GuestRam& ram, const BzImage& image, const RealModeBoot& boot) {
  RS_TRY(check_setup(image));
  RS_TRY(write_cmdline(ram, boot.cmdline, boot.limits));
  RS_TRY(write_bios(ram));
  // An old header is shorter than the structure, and code follows it.
  setup_header header{};
  const std::size_t bytes = std::min(image.setup_header.size(), sizeof header);
  std::copy_n(image.setup_header.data(), bytes, reinterpret_cast<std::uint8_t*>(&header));
  fill_header(header, boot);
  if (!ram.fill(mem::kSetupCode, mem::kSetupBytes, 0) || !ram.write(mem::kSetupCode, image.setup) ||
      !ram.write(mem::kSetupCode + kSetupHeader, bytes_of(header).first(bytes)))
    return fail(Errc::kNotMapped, "no guest RAM below 1 MiB for the kernel's real-mode code");
  return entry_of(mem::kSetupCode);
}

}  // namespace ringside::boot
