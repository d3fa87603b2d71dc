#include "vmm/boot/bzimage.hpp"

#include <algorithm>
#include <bit>

#include <fmt/format.h>

#include "vmm/boot/payload.hpp"
#include "vmm/mem/layout.hpp"

namespace ringside::boot {
namespace {

// Offsets in the file, named as boot.rst names the fields.
constexpr std::size_t kSetupSects = 0x1f1;
constexpr std::size_t kSysSize = 0x1f4;  // of the body, in 16 bytes
constexpr std::size_t kBootFlag = 0x1fe;
constexpr std::size_t kJumpOffset = 0x201;  // "the byte value at 0x201 is the header's end minus 0x202"
constexpr std::size_t kMagic = 0x202;
constexpr std::size_t kVersion = 0x206;
constexpr std::size_t kKernelVersion = 0x20e;
constexpr std::size_t kLoadFlags = 0x211;
constexpr std::size_t kInitrdAddrMax = 0x22c;
constexpr std::size_t kKernelAlignment = 0x230;
constexpr std::size_t kRelocatableKernel = 0x234;
constexpr std::size_t kXLoadFlags = 0x236;
constexpr std::size_t kCmdlineSize = 0x238;
constexpr std::size_t kPayloadOffset = 0x248;
constexpr std::size_t kPayloadLength = 0x24c;
constexpr std::size_t kPrefAddress = 0x258;
constexpr std::size_t kInitSize = 0x260;
constexpr std::size_t kFieldsEnd = 0x264;

constexpr std::uint32_t kHdrS = 0x53726448;
constexpr std::uint16_t kOldestProtocol = 0x20c;  // xloadflags, and with them a declared 64-bit entry
constexpr std::uint8_t kLoadedHigh = 1u << 0;
constexpr std::uint16_t kXlfKernel64 = 1u << 0;
constexpr std::size_t kSectorBytes = 512;

std::string version_string(ByteView file) {
  // "If not zero, contains a pointer to a NUL-terminated human-readable version string, less 0x200."
  const std::size_t pointer = load<std::uint16_t>(&file[kKernelVersion]);
  if (pointer == 0 || pointer + 0x200 >= file.size()) return {};
  constexpr std::size_t kLongest = 256;
  const ByteView from = file.subspan(pointer + 0x200);
  const ByteView text = from.first(std::min(from.size(), kLongest));
  const auto end =
      std::find_if(text.begin(), text.end(), [](std::uint8_t c) { return c < 0x20 || c > 0x7e; });
  return {text.begin(), end};
}

Result<void> check_kind(ByteView file) {
  if (!looks_like_bzimage(file)) {
    return fail(Errc::kMalformed, "is not a Linux kernel: neither a bzImage nor an ELF vmlinux");
  }
  const auto protocol = load<std::uint16_t>(&file[kVersion]);
  if (protocol < kOldestProtocol) {
    return fail(Errc::kUnsupported,
                fmt::format("is too old: boot protocol {}.{:02}, and 2.12 (Linux 3.8) is needed",
                            protocol >> 8, protocol & 0xff));
  }
  if (file.size() < kFieldsEnd || kMagic + file[kJumpOffset] < kFieldsEnd) {
    return fail(Errc::kMalformed, "is truncated: its setup header is incomplete");
  }
  if ((file[kLoadFlags] & kLoadedHigh) == 0) {
    return fail(Errc::kUnsupported, "is a zImage, which loads below 1 MiB: build a bzImage");
  }
  if ((load<std::uint16_t>(&file[kXLoadFlags]) & kXlfKernel64) == 0) {
    return fail(Errc::kUnsupported, "is a 32-bit kernel: ringside boots 64-bit kernels only");
  }
  return {};
}

Result<void> cut(BzImage& image, ByteView file) {
  const std::size_t setup_sects = file[kSetupSects] == 0 ? 4 : file[kSetupSects];  // "0 means 4", for history
  const std::size_t body = (setup_sects + 1) * kSectorBytes;
  const std::size_t header_end = std::min<std::size_t>(kMagic + file[kJumpOffset], kSetupHeaderEnd);
  const std::uint64_t payload = load<std::uint32_t>(&file[kPayloadOffset]);
  const std::uint64_t payload_bytes = load<std::uint32_t>(&file[kPayloadLength]);
  constexpr std::uint64_t kParagraph = 16;
  const std::uint64_t body_bytes = load<std::uint32_t>(&file[kSysSize]) * kParagraph;
  const std::uint64_t promised = std::max(payload + payload_bytes, body_bytes);
  // The last paragraph need not be full.
  const bool complete = body < file.size() && payload + payload_bytes <= file.size() - body &&
                        body_bytes < file.size() - body + kParagraph;
  if (!complete || header_end > file.size()) {
    return fail(Errc::kMalformed, fmt::format("is truncated: it has {} bytes, and its header promises {}",
                                              file.size(), body + promised));
  }
  image.setup_header = file.subspan(kSetupHeader, header_end - kSetupHeader);
  image.setup = file.first(body);
  image.body = file.subspan(body);
  image.payload =
      image.body.subspan(static_cast<std::size_t>(payload), static_cast<std::size_t>(payload_bytes));
  return {};
}

// What the payload's end says that it unpacks to (payload.hpp); 0 for a stream that we do not know.
std::uint64_t unpacked_bytes(const BzImage& image) {
  if (codec_of(image.payload) == Codec::kUnknown || image.payload.size() < 4) return 0;
  return load<std::uint32_t>(&image.payload[image.payload.size() - 4]);
}

// The decompressor moves itself to the end of init_size bytes and unpacks to their begin: with less it would
// overwrite whatever follows.
Result<void> check_sizes(const BzImage& image) {
  constexpr std::uint64_t kMostInit = 2 * mem::kGiB;  // twice the kernel image's own limit
  const std::uint64_t least = std::max<std::uint64_t>(image.payload.size(), unpacked_bytes(image));
  if (image.init_size < least || image.init_size > kMostInit) {
    return fail(
        Errc::kMalformed,
        fmt::format("is damaged: its setup header asks for {} bytes to unpack itself in (init_size), and "
                    "{} to {} are possible",
                    image.init_size, least, kMostInit));
  }
  const std::uint64_t at = image.pref_address.value;
  if (at < mem::kOneMiB.value || at >= mem::kHoleBegin.value || at % image.kernel_alignment != 0) {
    return fail(
        Errc::kMalformed,
        fmt::format("is damaged: its setup header asks to be loaded at {:#x} (pref_address), which must "
                    "be a multiple of {:#x} from {:#x} to {:#x}",
                    at, image.kernel_alignment, mem::kOneMiB.value, mem::kHoleBegin.value));
  }
  return {};
}

}  // namespace

bool looks_like_bzimage(ByteView file) {
  return file.size() >= kVersion + 2 && load<std::uint16_t>(&file[kBootFlag]) == 0xaa55 &&
         load<std::uint32_t>(&file[kMagic]) == kHdrS;
}

Result<BzImage> parse_bzimage(ByteView file) {
  RS_TRY(check_kind(file));
  BzImage image;
  RS_TRY(cut(image, file));
  image.version = version_string(file);
  image.protocol = load<std::uint16_t>(&file[kVersion]);
  image.kernel_alignment = load<std::uint32_t>(&file[kKernelAlignment]);
  image.cmdline_size = load<std::uint32_t>(&file[kCmdlineSize]);
  image.initrd_addr_max = load<std::uint32_t>(&file[kInitrdAddrMax]);
  image.init_size = load<std::uint32_t>(&file[kInitSize]);
  image.pref_address = {load<std::uint64_t>(&file[kPrefAddress])};
  image.relocatable = file[kRelocatableKernel] != 0;
  // The kernel's first code requires 2 MiB (head_64.S; CONFIG_PHYSICAL_ALIGN is at least that on x86-64).
  if (!std::has_single_bit(image.kernel_alignment) || image.kernel_alignment < mem::kHugePage) {
    return fail(Errc::kMalformed, fmt::format("is damaged: its setup header asks for an alignment of {:#x}",
                                              image.kernel_alignment));
  }
  RS_TRY(check_sizes(image));
  return image;
}

}  // namespace ringside::boot
