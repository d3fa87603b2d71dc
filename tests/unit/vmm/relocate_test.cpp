#include "vmm/boot/relocate.hpp"

#include <gmock/gmock.h>

#include "images.hpp"
#include "vmm/boot/elf.hpp"
#include "vmm/boot/kaslr.hpp"

namespace ringside::boot {
namespace {

using test::words;

TEST(Relocations, ThreeListsUpTo614) {
  const Bytes trailer = words({0, 1, 2, 3, 0, 4, 0, 5, 6});
  const auto table = parse_relocations(trailer);
  ASSERT_TRUE(table);
  EXPECT_TRUE(std::ranges::equal(table->words64, words({1, 2, 3})));
  EXPECT_TRUE(std::ranges::equal(table->inverse32, words({4})));
  EXPECT_TRUE(std::ranges::equal(table->words32, words({5, 6})));
}

TEST(Relocations, AnEmptyInverseListIsStillAList) {
  const Bytes trailer = words({0, 1, 0, 0, 5});
  const auto table = parse_relocations(trailer);
  ASSERT_TRUE(table);
  EXPECT_EQ(table->words64.size(), 4u);
  EXPECT_TRUE(table->inverse32.empty());
  EXPECT_EQ(table->words32.size(), 4u);
}

TEST(Relocations, TwoListsSince615) {
  const Bytes trailer = words({0, 1, 2, 0, 3});
  const auto table = parse_relocations(trailer);
  ASSERT_TRUE(table);
  EXPECT_TRUE(std::ranges::equal(table->words64, words({1, 2})));
  EXPECT_TRUE(table->inverse32.empty());
  EXPECT_TRUE(std::ranges::equal(table->words32, words({3})));
}

TEST(Relocations, NothingIsAnEmptyTable) {
  ASSERT_TRUE(parse_relocations({}));
  EXPECT_TRUE(parse_relocations({})->empty());
}

TEST(Relocations, OtherFormsAreRefused) {
  EXPECT_FALSE(parse_relocations(words({0})));
  EXPECT_FALSE(parse_relocations(words({1, 2, 3})));
  EXPECT_FALSE(parse_relocations(words({0, 1, 2, 3})));
  EXPECT_FALSE(parse_relocations(words({0, 1, 0, 2, 0, 3, 0, 4})));
  EXPECT_FALSE(parse_relocations(Bytes(7)));
}

Bytes moved_image(const Bytes& trailer, std::uint64_t slide) {
  const Bytes file = test::elf_file();
  Bytes image(test::kImageBytes);
  copy_segments(*parse_elf(file), file, image);
  EXPECT_TRUE(relocate(*parse_relocations(trailer), image, Gva{test::kText}, slide));
  return image;
}

TEST(Relocations, EachKindMovesItsWord) {
  const Bytes image = moved_image(test::three_lists(), 0x1a00000);
  EXPECT_EQ(load<std::uint64_t>(image.data()), test::kText + 0x1a00000);
  EXPECT_EQ(load<std::uint32_t>(&image[8]), 0x82a00000u);
  EXPECT_EQ(load<std::uint32_t>(&image[16]), 0x5000000u - 0x1a00000u);
  EXPECT_EQ(image[24], 0x11);
}

TEST(Relocations, NoSlideChangesNothing) {
  EXPECT_EQ(moved_image(test::three_lists(), 0), moved_image({}, 0));
}

TEST(Relocations, PlacesOutsideTheImageAreDamage) {
  Bytes image(0x1000);
  for (const std::uint32_t at : {0x80ffffffu, 0x81000ff9u, 0x81001000u, 0x12345678u}) {
    EXPECT_FALSE(relocate(*parse_relocations(words({0, at, 0, 0})), image, Gva{test::kText}, 0x200000)) << at;
  }
  EXPECT_TRUE(
      relocate(*parse_relocations(words({0, 0x81000ff8, 0, 0x81000ffc})), image, Gva{test::kText}, 0x200000));
}

TEST(Kaslr, SlidesKeepTheImageInsideItsWindow) {
  // 1 GiB window, linked at 16 MiB: an image of 48 MiB can go up to 960 MiB further, in steps of 2 MiB.
  EXPECT_EQ(slide_slots(Gva{test::kText}, 48u << 20, 2u << 20), 960u / 2 + 1);
  EXPECT_EQ(slide_slots(Gva{test::kText}, (1u << 30) - (16u << 20), 2u << 20), 1u);
  EXPECT_EQ(slide_slots(Gva{test::kText}, 1u << 30, 2u << 20), 0u);
  EXPECT_EQ(slide_slots(Gva{0x1000}, 4096, 2u << 20), 0u);
}

TEST(Kaslr, PlacementsKeepTheImageInsideRam) {
  EXPECT_EQ(placement_slots(Gpa{16 << 20}, Gpa{64 << 20}, 40 << 20, 2 << 20), 5u);
  EXPECT_EQ(placement_slots(Gpa{16 << 20}, Gpa{64 << 20}, 49 << 20, 2 << 20), 0u);
  EXPECT_EQ(placement_slots(Gpa{16 << 20}, Gpa{8 << 20}, 4096, 2 << 20), 0u);
}

TEST(Kaslr, TheSameSeedGivesTheSameNumbers) {
  KaslrRandom a = *KaslrRandom::create(7);
  KaslrRandom b = *KaslrRandom::create(7);
  KaslrRandom c = *KaslrRandom::create(8);
  const std::uint64_t first = a.below(1u << 30);
  EXPECT_EQ(b.below(1u << 30), first);
  EXPECT_NE(c.below(1u << 30), first);
  EXPECT_EQ(a.below(1), 0u);
}

TEST(Kaslr, WordsOfTheCommandLineAreWholeWords) {
  EXPECT_TRUE(has_word("nokaslr", "nokaslr"));
  EXPECT_TRUE(has_word("quiet nokaslr  ro", "nokaslr"));
  EXPECT_FALSE(has_word("xnokaslr nokaslr=1", "nokaslr"));
  EXPECT_FALSE(has_word("ro -- nokaslr", "nokaslr"));
  EXPECT_FALSE(has_word("", "nokaslr"));
}

}  // namespace
}  // namespace ringside::boot
