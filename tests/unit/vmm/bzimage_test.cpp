#include "vmm/boot/bzimage.hpp"

#include <gmock/gmock.h>

#include "images.hpp"

namespace ringside::boot {
namespace {

using test::put;
using testing::HasSubstr;

std::string error_of(ByteView file) {
  const auto image = parse_bzimage(file);
  return image ? "" : image.error().text;
}

TEST(BzImage, TakesTheImageApart) {
  const Bytes payload(100, 0x77);
  const Bytes file = test::bzimage(payload);
  const auto image = parse_bzimage(file);
  ASSERT_TRUE(image) << image.error().text;
  EXPECT_EQ(image->protocol, 0x20f);
  EXPECT_EQ(image->version, "6.1.0-test (someone@somewhere)");
  EXPECT_EQ(image->pref_address, Gpa{0x1000000});
  EXPECT_EQ(image->init_size, 0x10000u);
  EXPECT_EQ(image->cmdline_size, 2047u);
  EXPECT_TRUE(image->relocatable);
  EXPECT_EQ(image->setup_header.size(), 0x26cu - 0x1f1u);
  EXPECT_EQ(image->body.data(), file.data() + test::kBody);
  EXPECT_TRUE(std::ranges::equal(image->payload, payload));
}

TEST(BzImage, ZeroSetupSectorsMeanFour) {
  Bytes file = test::bzimage(Bytes(100));
  file[0x1f1] = 0;
  EXPECT_EQ(parse_bzimage(file)->body.data(), file.data() + test::kBody);
}

TEST(BzImage, SomethingElseIsNotAKernel) {
  EXPECT_THAT(error_of(Bytes(4096)), HasSubstr("not a Linux kernel"));
  EXPECT_THAT(error_of(Bytes(3)), HasSubstr("not a Linux kernel"));
  EXPECT_THAT(error_of({}), HasSubstr("not a Linux kernel"));
}

TEST(BzImage, EveryTruncationIsAnError) {
  const Bytes file = test::bzimage(Bytes(100));
  for (std::size_t size = 0; size < file.size(); ++size)
    EXPECT_NE(error_of(ByteView(file).first(size)), "") << size;
  EXPECT_THAT(error_of(ByteView(file).first(0x240)), HasSubstr("truncated"));
  EXPECT_THAT(error_of(ByteView(file).first(file.size() - 1)), HasSubstr("truncated"));
}

TEST(BzImage, PayloadBeyondTheFileIsTruncatedEvenWhenTheSumWraps) {
  Bytes file = test::bzimage(Bytes(100));
  put(file, 0x248, std::uint32_t{0xfffffff0});
  put(file, 0x24c, std::uint32_t{0x20});
  EXPECT_THAT(error_of(file), HasSubstr("truncated"));
}

TEST(BzImage, A32BitKernelIsNamedAsSuch) {
  Bytes file = test::bzimage(Bytes(100));
  put(file, 0x236, std::uint16_t{0});
  EXPECT_THAT(error_of(file), HasSubstr("32-bit"));
}

TEST(BzImage, AnOldProtocolIsNamedWithWhatIsNeeded) {
  Bytes file = test::bzimage(Bytes(100));
  put(file, 0x206, std::uint16_t{0x20a});
  EXPECT_THAT(error_of(file), HasSubstr("boot protocol 2.10, and 2.12 (Linux 3.8) is needed"));
}

TEST(BzImage, AZImageIsNamedAsSuch) {
  Bytes file = test::bzimage(Bytes(100));
  file[0x211] = 0;
  EXPECT_THAT(error_of(file), HasSubstr("zImage"));
}

TEST(BzImage, AnImpossibleAlignmentIsDamage) {
  Bytes file = test::bzimage(Bytes(100));
  for (const std::uint32_t alignment : {0u, 0x1000u, 0x300000u}) {
    put(file, 0x230, alignment);
    EXPECT_THAT(error_of(file), HasSubstr("alignment"));
  }
}

}  // namespace
}  // namespace ringside::boot
