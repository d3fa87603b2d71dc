#include "vmm/boot/boot_params.hpp"

#include <algorithm>
#include <cstddef>

#include <asm/bootparam.h>

#include <fmt/format.h>

#include "vmm/boot/bzimage.hpp"
#include "vmm/mem/e820.hpp"
#include "vmm/mem/layout.hpp"

namespace ringside::boot {
namespace {

static_assert(sizeof(boot_params) == kPageSize);
static_assert(offsetof(boot_params, hdr) == kSetupHeader);
static_assert(offsetof(boot_params, acpi_rsdp_addr) == 0x70);
static_assert(sizeof(setup_header) <= kSetupHeaderEnd - kSetupHeader);

constexpr std::uint8_t kUndefinedLoader = 0xff;  // "for loaders without an assigned id"

void make_up_header(setup_header& header, const LoadLimits& limits) {
  header.boot_flag = 0xaa55;
  header.header = 0x53726448;  // "HdrS"
  header.version = 0x20f;
  header.kernel_alignment = mem::kHugePage;
  header.cmdline_size = limits.cmdline_size;
  header.initrd_addr_max = limits.initrd_addr_max;
}

constexpr std::uint32_t low_half(std::uint64_t value) { return static_cast<std::uint32_t>(value); }
constexpr std::uint32_t high_half(std::uint64_t value) { return static_cast<std::uint32_t>(value >> 32); }

void fill_memory_map(boot_params& page, std::uint64_t ram_bytes) {
  for (const mem::E820Entry& entry : mem::e820_map(ram_bytes)) {
    RS_CHECK(page.e820_entries < E820_MAX_ENTRIES_ZEROPAGE);
    boot_e820_entry& slot = page.e820_table[page.e820_entries++];
    slot.addr = entry.begin.value;
    slot.size = entry.bytes;
    slot.type = static_cast<std::uint32_t>(entry.type);
  }
}

}  // namespace

Result<void> write_cmdline(mem::GuestRam& ram, std::string_view cmdline, const LoadLimits& limits) {
  const std::uint64_t limit = std::min<std::uint64_t>(limits.cmdline_size, mem::kCmdlineBytes - 1);
  if (cmdline.size() > limit) {
    return fail(Errc::kRefused,
                fmt::format("the kernel's command line has {} bytes, and this kernel takes {}",
                            cmdline.size(), limit));
  }
  if (cmdline.find('\0') != std::string_view::npos) {
    return fail(Errc::kRefused, "the kernel's command line contains a NUL byte");
  }
  const auto* text = reinterpret_cast<const std::uint8_t*>(cmdline.data());
  if (!ram.fill(mem::kCmdline, mem::kCmdlineBytes, 0) || !ram.write(mem::kCmdline, {text, cmdline.size()})) {
    return fail(Errc::kNotMapped, "no guest RAM for the kernel's command line");
  }
  return {};
}

Result<void> write_boot_params(mem::GuestRam& ram, const BootParams& params) {
  RS_TRY(write_cmdline(ram, params.cmdline, params.limits));

  // "The loader must zero the whole page and then copy the setup header": the sentinel byte at 0x1ef stays
  // zero.
  boot_params page{};
  if (params.setup_header.empty()) {
    make_up_header(page.hdr, params.limits);
  } else {
    const std::size_t bytes = std::min(params.setup_header.size(), kSetupHeaderEnd - kSetupHeader);
    std::copy_n(params.setup_header.data(), bytes, reinterpret_cast<std::uint8_t*>(&page) + kSetupHeader);
  }
  page.hdr.type_of_loader = kUndefinedLoader;
  page.hdr.loadflags =
      static_cast<std::uint8_t>((page.hdr.loadflags | LOADED_HIGH) & ~(KASLR_FLAG | CAN_USE_HEAP));
  if (params.kaslr == KaslrFlag::kSet) page.hdr.loadflags |= KASLR_FLAG;
  page.hdr.cmd_line_ptr = low_half(mem::kCmdline.value);
  page.hdr.setup_data = 0;  // the loader's list, not the image's
  if (params.initrd) {
    page.hdr.ramdisk_image = low_half(params.initrd->begin.value);
    page.hdr.ramdisk_size = low_half(params.initrd->bytes);
    page.ext_ramdisk_image = high_half(params.initrd->begin.value);
    page.ext_ramdisk_size = high_half(params.initrd->bytes);
  }
  page.acpi_rsdp_addr = params.rsdp.value;
  fill_memory_map(page, ram.bytes());
  if (!ram.write(mem::kZeroPage, bytes_of(page)))
    return fail(Errc::kNotMapped, "no guest RAM for the zero page");
  return {};
}

Result<InitrdRange> place_initrd(const mem::GuestRam& ram, std::uint64_t initrd_bytes, Gpa kernel_end,
                                 const LoadLimits& limits) {
  const std::uint64_t end = std::min(ram.low_end().value, std::uint64_t{limits.initrd_addr_max} + 1);
  const std::uint64_t floor = std::max(kernel_end.value, mem::kOneMiB.value);
  if (initrd_bytes <= end) {
    const Gpa begin{(end - initrd_bytes) & ~kPageMask};
    if (begin.value >= floor) return InitrdRange{begin, initrd_bytes};
  }
  const std::uint64_t missing = floor + initrd_bytes + kPageSize - std::min(end, floor + initrd_bytes);
  if (end < ram.low_end().value) {
    return fail(Errc::kExhausted,
                fmt::format("the initrd of {} MiB does not fit below this kernel's limit for it, {:#x}",
                            initrd_bytes / mem::kMiB, limits.initrd_addr_max));
  }
  return fail(
      Errc::kExhausted,
      fmt::format(
          "the initrd of {} MiB does not fit beside the kernel in {} MiB of guest RAM: give the guest "
          "{} MiB more",
          initrd_bytes / mem::kMiB, ram.bytes() / mem::kMiB, missing / mem::kMiB + 1));
}

}  // namespace ringside::boot
