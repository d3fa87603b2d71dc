#include "stub/guestos/btf.hpp"

#include <gtest/gtest.h>

#include "tests/unit/guestos/images.hpp"

namespace ringside::guestos {
namespace {

using test::BtfImage;

TEST(Btf, FindsMembersInNestedAndUnnamedStructures) {
  BtfImage image;
  const auto word = image.integer("int", 4);
  const auto inner = image.structure("inner", 8, {{"low", word, 0}, {"high", word, 4}});
  const auto unnamed = image.structure("", 12, {{"flag", word, 0}, {"pair", inner, 4}});
  const auto fixed = image.constant(inner);
  image.structure("outer", 40, {{"first", word, 0}, {"", unnamed, 8}, {"fixed", fixed, 24}});
  const auto btf = Btf::parse(image.bytes());
  ASSERT_TRUE(btf) << btf.error().text;
  EXPECT_EQ(btf->member("outer", "flag"), 8u);
  EXPECT_EQ(btf->member("outer", "pair.high"), 16u);
  EXPECT_EQ(btf->member("outer", "fixed.high"), 28u);
  EXPECT_EQ(btf->size_of("outer"), 40u);
  EXPECT_FALSE(btf->member("outer", "missing"));
  EXPECT_FALSE(btf->member("outer", "first.more"));
  EXPECT_FALSE(btf->member("nothing", "first"));
}

TEST(Btf, KnowsTheSizeOfAnArray) {
  BtfImage image;
  const auto byte = image.integer("char", 1);
  const auto text = image.array(byte, 16);
  image.structure("task", 20, {{"comm", text, 4}});
  const auto btf = Btf::parse(image.bytes());
  ASSERT_TRUE(btf);
  EXPECT_EQ(btf->member_size("task", "comm"), 16u);
}

TEST(Btf, KnowsWhereBitFieldsAre) {
  BtfImage image;
  const auto half = image.integer("short", 2);
  const auto word = image.integer("unsigned", 4);
  image.structure(
      "packed", 6,
      {{"offset", half, 2}, {"low", word, 4, 0, 4}, {"high", word, 4, 4, 4}, {"type", word, 4, 8, 3}});
  const auto btf = Btf::parse(image.bytes());
  ASSERT_TRUE(btf);
  EXPECT_EQ(btf->bits("packed", "offset"), (Btf::Bits{16, 16}));
  EXPECT_EQ(btf->bits("packed", "high"), (Btf::Bits{36, 4}));
  EXPECT_EQ(btf->bits("packed", "type"), (Btf::Bits{40, 3}));
  EXPECT_EQ(btf->member("packed", "type"), 5u);
  EXPECT_FALSE(btf->bits("packed", "end"));
}

TEST(Btf, ComesToAnEndInStructuresThatHoldThemselves) {
  BtfImage image;
  image.structure("loop", 8, {{"", 1, 0}, {"", 1, 0}});
  const auto constant = image.constant(2);  // of itself
  image.structure("qualified", 8, {{"", constant, 0}});
  const auto btf = Btf::parse(image.bytes());
  ASSERT_TRUE(btf);
  EXPECT_FALSE(btf->member("loop", "anything"));
  EXPECT_FALSE(btf->member("qualified", "anything"));
}

TEST(Btf, IsRefusedWhenItsHeaderReachesBeyondIt) {
  BtfImage image;
  image.integer("int", 4);
  Bytes bytes = image.bytes();
  store(bytes.data() + 12, std::uint32_t{0xfffffff0});
  EXPECT_FALSE(Btf::parse(bytes));
  EXPECT_FALSE(Btf::parse({}));
  EXPECT_FALSE(Btf::parse(Bytes(100)));
}

}  // namespace
}  // namespace ringside::guestos
