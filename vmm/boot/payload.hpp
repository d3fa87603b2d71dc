// Unpacks the compressed vmlinux of a bzImage, so that the guest need not: a second or more of its boot.
//
//   | compressed stream | size of the unpacked data, 4 bytes |     (scripts/Makefile.lib "size_append";
//                                                                   gzip ends with that number by itself)
//   unpacked: | vmlinux ELF | relocations (relocate.hpp) |
#pragma once

#include <cstdint>
#include <string_view>

#include "arch/bytes.hpp"
#include "arch/result.hpp"
#include "vmm/boot/host_bytes.hpp"

namespace ringside::boot {

inline constexpr std::uint64_t kMaxUnpacked = std::uint64_t{1}
                                              << 30;  // the kernel image's own limit, with 1 GiB

enum class Codec : std::uint8_t { kGzip, kBzip2, kLzma, kXz, kLzo, kLz4, kZstd, kUnknown };

Codec codec_of(ByteView payload);
std::string_view name_of(Codec codec);

// kUnsupported for bzip2, LZO and unknown data; kMalformed for a damaged stream.  Memory grows with what
// really comes out, never with what the input promises.
Result<HostBytes> unpack(ByteView payload);

}  // namespace ringside::boot
