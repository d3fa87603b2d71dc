#include "stub/guestos/kallsyms.hpp"

#include <gtest/gtest.h>

#include "tests/unit/guestos/images.hpp"

namespace ringside::guestos {
namespace {

using test::FlatMemory;
using test::KallsymsLayout;
using test::TestSymbol;

constexpr Gva kText{0xffffffff9a000000};  // slid
constexpr Gva kTable{kText.value + 0x210000};
constexpr Gva kBanner{kText.value + 0x200000};

std::vector<TestSymbol> symbols() {
  std::vector<TestSymbol> all{{kText.value, 'T', "_text"}};
  for (int i = 0; i < 700; ++i) {
    all.push_back(
        {kText.value + 64 * static_cast<std::uint64_t>(i + 1), 't', "function_" + std::to_string(i)});
  }
  all.push_back({kText.value + 0xfff00, 'T', std::string(300, 'x')});
  all.push_back({kBanner.value, 'D', "linux_banner"});
  return all;
}

FlatMemory kernel(KallsymsLayout layout, std::vector<TestSymbol> all = symbols()) {
  FlatMemory memory(kText, 0x400000);
  memory.put_text(kBanner, "Linux version 6.1.0 (somebody)\n");
  test::put_kallsyms(memory, kTable, all, kText.value, layout);
  return memory;
}

class Kallsyms : public testing::TestWithParam<KallsymsLayout> {};

TEST_P(Kallsyms, FindsEverySymbolAtItsAddress) {
  const FlatMemory memory = kernel(GetParam());
  const auto table = read_kallsyms(memory, kText + 0x1234);
  ASSERT_TRUE(table) << table.error().text;
  EXPECT_EQ(table->size(), symbols().size());
  for (const TestSymbol& symbol : symbols())
    EXPECT_EQ(table->find(symbol.name), Gva{symbol.at}) << symbol.name;
}

TEST_P(Kallsyms, NamesTheNearestSymbolBelow) {
  const FlatMemory memory = kernel(GetParam());
  const auto table = read_kallsyms(memory, kText);
  ASSERT_TRUE(table);
  const auto near = table->at_or_before(kText + 64 * 3 + 7);
  ASSERT_TRUE(near);
  EXPECT_EQ(near->name, "function_2");
  EXPECT_EQ(near->type, 't');
}

INSTANTIATE_TEST_SUITE_P(Layouts, Kallsyms,
                         testing::Values(KallsymsLayout::kBeforeNames, KallsymsLayout::kBehindIndex,
                                         KallsymsLayout::kUnsigned, KallsymsLayout::kFromOwnPlace));

TEST(KallsymsOfPerCpuData, StayWhereTheyAreLinkedWhenThatIsAbsolute) {
  std::vector<TestSymbol> all = symbols();
  all.insert(all.begin(), TestSymbol{0x1fb80, 'A', "current_task"});
  const FlatMemory memory = kernel(KallsymsLayout::kBeforeNames, all);
  const auto table = read_kallsyms(memory, kText);
  ASSERT_TRUE(table);
  EXPECT_EQ(table->find("current_task"), Gva{0x1fb80});
}

TEST(KallsymsThatAreDamaged, AreRefusedInWords) {
  FlatMemory memory = kernel(KallsymsLayout::kBehindIndex);
  memory.put_text(kBanner, "Windows NT");
  const auto table = read_kallsyms(memory, kText);
  ASSERT_FALSE(table);
  EXPECT_NE(table.error().text.find("kallsyms"), std::string::npos);
}

TEST(KallsymsInMemoryWithoutAKernel, AreNotFound) {
  const FlatMemory memory(kText, 0x400000);
  EXPECT_FALSE(read_kallsyms(memory, kText));
  EXPECT_FALSE(read_kallsyms(memory, Gva{0}));
  EXPECT_FALSE(read_kallsyms(memory, Gva{UINT64_MAX}));
}

}  // namespace
}  // namespace ringside::guestos
