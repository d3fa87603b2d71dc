#include "stub/guestos/modules.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/guestos/small_kernel.hpp"

namespace ringside::guestos {
namespace {

using test::SmallKernel;
using testing::SizeIs;

// One module with the sections .text and .data.
void load_module(SmallKernel& guest) {
  const Gva module = guest.place(0x4000), sections = guest.place(0x4200), list = guest.place(0x4300);
  guest.word(guest.place(0), module + 8);
  guest.word(module + 8, guest.place(0));
  guest.put(module + 24, "tiny");
  guest.word(module + 64, Gva{0xffffffffc0000000});
  guest.memory().put(module + 72, std::uint32_t{4096});
  guest.memory().put(module + 64 + 24 + 8, std::uint32_t{8192});
  guest.word(module + 128, sections);
  guest.word(sections + 40, list);
  for (std::uint64_t i = 0; i < 2; ++i) {
    const Gva attribute = guest.place(0x4400 + 0x40 * i), name = guest.place(0x4500 + 16 * i);
    guest.word(list + 8 * i, attribute);
    guest.word(attribute, name);
    guest.put(name, i == 0 ? ".text" : ".data");
    guest.word(attribute + 24, Gva{0xffffffffc0000000 + 0x1000 * i});
  }
}

TEST(Modules, AreListedWithTheirSections) {
  SmallKernel guest;
  load_module(guest);
  const auto kernel = guest.kernel();
  ASSERT_TRUE(kernel);
  const auto modules = (*kernel)->modules(guest.memory());
  ASSERT_TRUE(modules) << modules.error().text;
  ASSERT_THAT(*modules, SizeIs(1));
  EXPECT_EQ((*modules)[0].name, "tiny");
  EXPECT_EQ((*modules)[0].at, Gva{0xffffffffc0000000});
  EXPECT_EQ((*modules)[0].size, 12288u);
  ASSERT_THAT((*modules)[0].sections, SizeIs(2));
  EXPECT_EQ((*modules)[0].sections[1].name, ".data");
  EXPECT_EQ((*modules)[0].sections[1].at, Gva{0xffffffffc0001000});
}

TEST(Modules, AListWithoutAnEndIsRefused) {
  SmallKernel guest;
  load_module(guest);
  guest.word(guest.place(0x4008), guest.place(0x4008));
  const auto kernel = guest.kernel();
  ASSERT_TRUE(kernel);
  EXPECT_FALSE((*kernel)->modules(guest.memory()));
}

}  // namespace
}  // namespace ringside::guestos
