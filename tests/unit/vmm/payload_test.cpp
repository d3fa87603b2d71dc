#include "vmm/boot/payload.hpp"

#include <algorithm>

#include <gmock/gmock.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include "images.hpp"

namespace ringside::boot {
namespace {

using testing::HasSubstr;

// 40 KiB that compress well, and are more than one step for no decoder.
Bytes plain() {
  Bytes bytes(40000);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * i >> 9);
  return bytes;
}

Bytes with_size(Bytes stream, std::size_t size) {
  test::append(stream, test::words({static_cast<std::uint32_t>(size)}));
  return stream;
}

Bytes gzip(const Bytes& in) {
  Bytes out(in.size() + 1000);
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  stream.next_in = const_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

Bytes run_lzma(lzma_stream stream, const Bytes& in) {
  Bytes out(in.size() + 1000);
  stream.next_in = in.data();
  stream.avail_in = in.size();
  stream.next_out = out.data();
  stream.avail_out = out.size();
  EXPECT_EQ(lzma_code(&stream, LZMA_FINISH), LZMA_STREAM_END);
  out.resize(out.size() - stream.avail_out);
  lzma_end(&stream);
  return out;
}

Bytes xz(const Bytes& in) {
  lzma_stream stream = LZMA_STREAM_INIT;
  EXPECT_EQ(lzma_easy_encoder(&stream, 6, LZMA_CHECK_CRC32), LZMA_OK);
  return run_lzma(stream, in);
}

Bytes lzma(const Bytes& in) {
  lzma_stream stream = LZMA_STREAM_INIT;
  lzma_options_lzma options;
  lzma_lzma_preset(&options, 6);
  EXPECT_EQ(lzma_alone_encoder(&stream, &options), LZMA_OK);
  return run_lzma(stream, in);
}

Bytes zstd(const Bytes& in) {
  Bytes out(ZSTD_compressBound(in.size()));
  out.resize(ZSTD_compress(out.data(), out.size(), in.data(), in.size(), 19));
  return out;
}

std::string error_of(const Bytes& payload) {
  const auto bytes = unpack(payload);
  return bytes ? "" : bytes.error().text;
}

struct Case {
  const char* name;
  Bytes payload;  // of plain()
};

std::vector<Case> cases() {
  const Bytes in = plain();
  return {{"gzip", gzip(in)},
          {"xz", with_size(xz(in), in.size())},
          {"LZMA", with_size(lzma(in), in.size())},
          {"LZ4", test::lz4_payload(in)},
          {"Zstandard", with_size(zstd(in), in.size())}};
}

TEST(Payload, EachCodecGivesBackWhatWentIn) {
  for (const Case& c : cases()) {
    const auto out = unpack(c.payload);
    ASSERT_TRUE(out) << c.name << ": " << out.error().text;
    EXPECT_TRUE(std::ranges::equal(out->view(), plain())) << c.name;
    EXPECT_EQ(name_of(codec_of(c.payload)), c.name);
  }
}

TEST(Payload, AWrongPromiseOfTheSizeIsDamage) {
  for (const Case& c : cases()) {
    for (const std::uint32_t wrong : {39999u, 40001u, 1u, 0u, 0xffffffffu}) {
      Bytes payload = c.payload;
      store(&payload[payload.size() - 4], wrong);
      EXPECT_THAT(error_of(payload), HasSubstr("damaged")) << c.name << " " << wrong;
    }
  }
}

TEST(Payload, ATruncatedStreamIsDamage) {
  for (const Case& c : cases()) {
    for (const std::size_t cut : {1u, 100u}) {
      Bytes payload = c.payload;
      payload.erase(payload.end() - 4 - static_cast<std::ptrdiff_t>(cut), payload.end() - 4);
      EXPECT_THAT(error_of(payload), HasSubstr("damaged")) << c.name << " " << cut;
    }
  }
}

TEST(Payload, AnyByteMayBeWrongWithoutHarm) {
  for (const Case& c : cases()) {
    for (std::size_t i = 0; i < c.payload.size(); i += 1 + c.payload.size() / 200) {
      Bytes payload = c.payload;
      payload[i] ^= 0x41;
      if (const auto out = unpack(payload)) {
        EXPECT_LE(out->view().size(), kMaxUnpacked);
      }
    }
  }
}

TEST(Payload, CodecsThatAreNotBuiltInAreNamed) {
  EXPECT_THAT(error_of({'B', 'Z', 'h', '9', 0, 0, 0, 0}), HasSubstr("bzip2"));
  EXPECT_THAT(error_of({0x89, 'L', 'Z', 'O', 0, 0, 0, 0}), HasSubstr("LZO"));
  EXPECT_THAT(error_of({1, 2, 3, 4, 0, 0, 0, 0}), HasSubstr("unknown compression"));
  EXPECT_THAT(error_of({}), HasSubstr("unknown compression"));
}

}  // namespace
}  // namespace ringside::boot
