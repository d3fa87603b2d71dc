#include "vmm/boot/payload.hpp"

#include <algorithm>
#include <memory>

#include <fmt/format.h>
#include <lz4.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

namespace ringside::boot {
namespace {

Unexpected<Error> damaged(Codec codec) {
  return fail(Errc::kMalformed, fmt::format("is damaged: its {} payload does not unpack", name_of(codec)));
}

// A stream that ends before the promised size is as wrong as one that goes on after it.
Result<HostBytes> finish(HostBytes& output, Codec codec) {
  if (!output.full()) return damaged(codec);
  return std::move(output);
}

Result<HostBytes> unpack_gzip(ByteView in, HostBytes output) {
  z_stream stream{};
  if (::inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) return fail(Errc::kExhausted, "zlib: out of memory");
  const std::unique_ptr<z_stream, int (*)(z_stream*)> owner(&stream, ::inflateEnd);
  stream.next_in = const_cast<Bytef*>(in.data());  // zlib's old interface; it does not write there
  stream.avail_in = static_cast<uInt>(in.size());
  for (;;) {
    const MutableByteView room = output.room();
    stream.next_out = room.data();
    stream.avail_out = static_cast<uInt>(room.size());
    const int status = ::inflate(&stream, Z_NO_FLUSH);
    output.wrote(room.size() - stream.avail_out);
    if (status == Z_STREAM_END) return finish(output, Codec::kGzip);
    if (status != Z_OK) return damaged(Codec::kGzip);
  }
}

Result<HostBytes> unpack_lzma(ByteView in, HostBytes output, Codec codec) {
  constexpr std::uint64_t kMemory = std::uint64_t{256} << 20;  // xz -9 needs 65 MiB
  lzma_stream stream = LZMA_STREAM_INIT;
  const lzma_ret made = codec == Codec::kXz ? ::lzma_stream_decoder(&stream, kMemory, 0)
                                            : ::lzma_alone_decoder(&stream, kMemory);
  if (made != LZMA_OK) return fail(Errc::kExhausted, "liblzma: out of memory");
  const std::unique_ptr<lzma_stream, void (*)(lzma_stream*)> owner(&stream, ::lzma_end);
  stream.next_in = in.data();
  stream.avail_in = in.size();
  for (;;) {
    const MutableByteView room = output.room();
    stream.next_out = room.data();
    stream.avail_out = room.size();
    const lzma_ret status = ::lzma_code(&stream, LZMA_FINISH);
    output.wrote(room.size() - stream.avail_out);
    if (status == LZMA_STREAM_END) return finish(output, codec);
    if (status != LZMA_OK) return damaged(codec);
  }
}

Result<HostBytes> unpack_zstd(ByteView in, HostBytes output) {
  const std::unique_ptr<ZSTD_DStream, std::size_t (*)(ZSTD_DStream*)> stream(::ZSTD_createDStream(),
                                                                             ::ZSTD_freeDStream);
  if (stream == nullptr) return fail(Errc::kExhausted, "libzstd: out of memory");
  ZSTD_inBuffer from{in.data(), in.size(), 0};
  for (;;) {
    const MutableByteView room = output.room();
    ZSTD_outBuffer to{room.data(), room.size(), 0};
    const std::size_t before = from.pos;
    const std::size_t status = ::ZSTD_decompressStream(stream.get(), &to, &from);
    output.wrote(to.pos);
    if (::ZSTD_isError(status) != 0) return damaged(Codec::kZstd);
    if (status == 0) return finish(output, Codec::kZstd);
    if (to.pos == 0 && from.pos == before)
      return damaged(Codec::kZstd);  // ends early, or promises less than it has
  }
}

// LZ4 "legacy" (lz4_Frame_format.md): the magic number, then blocks of a 4-byte compressed size and data that
// unpack to 8 MiB each, the last to less.  The end of input ends the frame.
Result<HostBytes> unpack_lz4(ByteView in, HostBytes output) {
  in = in.subspan(4);
  while (!in.empty()) {
    if (in.size() < 4) return damaged(Codec::kLz4);
    const std::uint32_t block = load<std::uint32_t>(in.data());
    in = in.subspan(4);
    if (block == 0 || block > in.size() || block > LZ4_MAX_INPUT_SIZE) return damaged(Codec::kLz4);
    constexpr std::size_t kBlock = std::size_t{8} << 20;
    const MutableByteView room = output.room();
    const int got =
        ::LZ4_decompress_safe(reinterpret_cast<const char*>(in.data()), reinterpret_cast<char*>(room.data()),
                              static_cast<int>(block), static_cast<int>(std::min(kBlock, room.size())));
    if (got < 0) return damaged(Codec::kLz4);
    output.wrote(static_cast<std::size_t>(got));
    in = in.subspan(block);
  }
  return finish(output, Codec::kLz4);
}

bool begins(ByteView payload, std::initializer_list<std::uint8_t> magic) {
  return payload.size() >= magic.size() && std::equal(magic.begin(), magic.end(), payload.begin());
}

}  // namespace

// Magic numbers as in lib/decompress.c.
Codec codec_of(ByteView payload) {
  if (begins(payload, {0x1f, 0x8b})) return Codec::kGzip;
  if (begins(payload, {'B', 'Z', 'h'})) return Codec::kBzip2;
  if (begins(payload, {0x5d, 0x00, 0x00})) return Codec::kLzma;
  if (begins(payload, {0xfd, '7', 'z', 'X', 'Z', 0x00})) return Codec::kXz;
  if (begins(payload, {0x89, 'L', 'Z', 'O'})) return Codec::kLzo;
  if (begins(payload, {0x02, 0x21, 0x4c, 0x18})) return Codec::kLz4;
  if (begins(payload, {0x28, 0xb5, 0x2f, 0xfd})) return Codec::kZstd;
  return Codec::kUnknown;
}

std::string_view name_of(Codec codec) {
  switch (codec) {
    case Codec::kGzip:
      return "gzip";
    case Codec::kBzip2:
      return "bzip2";
    case Codec::kLzma:
      return "LZMA";
    case Codec::kXz:
      return "xz";
    case Codec::kLzo:
      return "LZO";
    case Codec::kLz4:
      return "LZ4";
    case Codec::kZstd:
      return "Zstandard";
    case Codec::kUnknown:
      break;
  }
  return "unknown";
}

Result<HostBytes> unpack(ByteView payload) {
  const Codec codec = codec_of(payload);
  if (codec == Codec::kUnknown || codec == Codec::kBzip2 || codec == Codec::kLzo) {
    return fail(
        Errc::kUnsupported,
        fmt::format("has a payload in {} compression, which ringside cannot unpack: let the kernel do it "
                    "(--boot=64), or build it with CONFIG_KERNEL_ZSTD",
                    name_of(codec)));
  }
  if (payload.size() < 8) return damaged(codec);
  const std::uint32_t promised = load<std::uint32_t>(&payload[payload.size() - 4]);
  if (promised == 0 || promised > kMaxUnpacked) {
    return fail(Errc::kMalformed,
                fmt::format("is damaged: its payload claims to unpack to {} bytes", promised));
  }
  const ByteView stream = payload.first(payload.size() - 4);
  HostBytes output = RS_TRY(HostBytes::create(promised));
  switch (codec) {
    case Codec::kGzip:
      return unpack_gzip(payload, std::move(output));
    case Codec::kLz4:
      return unpack_lz4(stream, std::move(output));
    case Codec::kZstd:
      return unpack_zstd(stream, std::move(output));
    default:
      return unpack_lzma(stream, std::move(output), codec);
  }
}

}  // namespace ringside::boot
