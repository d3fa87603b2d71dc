#include "stub/guestos/module_lookup.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/guestos/small_kernel.hpp"

namespace ringside::guestos {
namespace {

using test::SmallKernel;
using testing::ElementsAre;

constexpr Gva kModule{0xffffffffc0000000};

void put_symbol(SmallKernel& guest, std::uint64_t index, std::uint32_t name, std::uint16_t section,
                Gva value) {
  const Gva at = guest.place(0x5100) + 24 * index;
  guest.memory().put(at, name);
  guest.memory().put(at + 6, section);
  guest.word(at + 8, value);
}

// A module with two functions, what is no function among them, and a table of its own.
void load_module(SmallKernel& guest) {
  const Gva module = guest.place(0x5000), list = guest.place(0x5400), names = guest.place(0x5500);
  guest.word(guest.place(0), module + 8);
  guest.word(module + 8, guest.place(0));
  guest.put(module + 24, "tiny");
  guest.word(module + 64, kModule);
  guest.memory().put(module + 72, std::uint32_t{4096});
  guest.word(module + 136, list);
  guest.word(list, guest.place(0x5100));
  guest.memory().put(list + 8, std::uint32_t{6});
  guest.word(list + 16, names);
  guest.put(names, std::string_view("\0first\0second\0$x.1\0.L5", 22));
  put_symbol(guest, 0, 0, 0, Gva{});
  put_symbol(guest, 1, 7, 1, kModule + 0x200);   // second
  put_symbol(guest, 2, 1, 1, kModule + 0x100);   // first
  put_symbol(guest, 3, 14, 1, kModule + 0x110);  // a label
  put_symbol(guest, 4, 0, 1, kModule + 0x120);   // a section
  put_symbol(guest, 5, 7, 0, kModule + 0x130);   // somebody else's
  const Gva ips = guest.place(0x5600), entries = guest.place(0x5700);
  guest.memory().put(module + 144, std::uint32_t{1});
  guest.word(module + 152, ips);
  guest.word(module + 160, entries);
  guest.memory().put(ips, static_cast<std::uint32_t>(kModule + 0x100 - ips));
  guest.memory().put(entries, std::uint32_t{8});
  guest.memory().put(entries + 4, std::uint16_t{0x0205});
}

TEST(ModuleLookup, NamesTheNearestFunctionAndItsModule) {
  SmallKernel guest;
  load_module(guest);
  const auto kernel = guest.kernel();
  ASSERT_TRUE(kernel);
  std::array<char, 256> names;
  const auto place = (*kernel)->place(kModule + 0x145, guest.memory(), names);
  ASSERT_TRUE(place);
  EXPECT_EQ(place->name, "first");
  EXPECT_EQ(place->offset, 0x45u);
  EXPECT_EQ(place->size, 0x100u);
  EXPECT_EQ(place->module, "tiny");
  const auto last = (*kernel)->place(kModule + 0xfff, guest.memory(), names);
  ASSERT_TRUE(last);
  EXPECT_EQ(last->name, "second");
  EXPECT_EQ(last->size, 0xe00u);
}

TEST(ModuleLookup, KnowsNothingBeforeTheFirstFunctionAndBeyondTheModule) {
  SmallKernel guest;
  load_module(guest);
  const auto kernel = guest.kernel();
  ASSERT_TRUE(kernel);
  std::array<char, 256> names;
  EXPECT_FALSE((*kernel)->place(kModule + 0xff, guest.memory(), names));
  EXPECT_FALSE((*kernel)->place(kModule + 0x1000, guest.memory(), names));
  EXPECT_FALSE((*kernel)->place(Gva{0x401000}, guest.memory(), names));
}

TEST(ModuleLookup, AListWithoutAnEndUsesUpItsFuel) {
  SmallKernel guest;
  load_module(guest);
  guest.word(guest.place(0x5008), guest.place(0x5008));
  const auto kernel = guest.kernel();
  ASSERT_TRUE(kernel);
  std::array<char, 256> names;
  EXPECT_FALSE((*kernel)->place(kModule + 0x1000, guest.memory(), names));
}

TEST(Stacks, OfASleeperGoUpToUserMode) {
  SmallKernel guest;
  const auto kernel = guest.kernel();
  ASSERT_TRUE(kernel);
  const auto from = (*kernel)->sleeping_stack(guest.task(1), guest.memory());
  ASSERT_TRUE(from) << from.error().text;
  std::array<StackFrame, 8> frames;
  const StackWalk walk = (*kernel)->walk_stack(*from, guest.memory(), frames);
  ASSERT_EQ(walk.frames, 3u);
  EXPECT_EQ(walk.end, StackWalk::End::kUser);
  EXPECT_EQ(frames[0].ip, SmallKernel::kText + 0x108);
  EXPECT_EQ(frames[1].ip, SmallKernel::kText + 0x208);
  EXPECT_EQ(frames[2].ip, SmallKernel::kText + 0x308);
  EXPECT_TRUE(frames[2].behind_call);
}

TEST(Stacks, GoThroughModules) {
  SmallKernel guest;
  load_module(guest);
  guest.word(guest.place(0x9000) + 48, kModule + 0x108);
  const auto kernel = guest.kernel();
  ASSERT_TRUE(kernel);
  std::array<StackFrame, 8> frames;
  const auto from = (*kernel)->sleeping_stack(guest.task(1), guest.memory());
  const StackWalk walk = (*kernel)->walk_stack(from.value(), guest.memory(), frames);
  EXPECT_EQ(walk.frames, 3u);
  EXPECT_EQ(walk.end, StackWalk::End::kUser);
  EXPECT_EQ(frames[0].ip, kModule + 0x108);
}

TEST(Stacks, OfARunningTaskAreInItsCpu) {
  SmallKernel guest;
  guest.memory().put(guest.task(1) + 200, std::uint8_t{1});
  const auto kernel = guest.kernel();
  ASSERT_TRUE(kernel);
  const auto from = (*kernel)->sleeping_stack(guest.task(1), guest.memory());
  ASSERT_FALSE(from);
  EXPECT_EQ(from.error().code, Errc::kBusy);
}

}  // namespace
}  // namespace ringside::guestos
