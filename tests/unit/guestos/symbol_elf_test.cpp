#include "stub/guestos/symbol_elf.hpp"

#include <algorithm>

#include <elf.h>

#include <gtest/gtest.h>

#include "tests/unit/guestos/small_kernel.hpp"

namespace ringside::guestos {
namespace {

TEST(SymbolElf, HasEverySymbolAtItsLinkAddress) {
  test::SmallKernel guest;
  const auto kernel = guest.kernel();
  ASSERT_TRUE(kernel);
  const Bytes file = make_symbol_elf(**kernel);
  ASSERT_GT(file.size(), sizeof(Elf64_Ehdr));
  const auto header = load<Elf64_Ehdr>(file.data());
  const auto section = [&](std::size_t n) {
    return load<Elf64_Shdr>(file.data() + header.e_shoff + n * sizeof(Elf64_Shdr));
  };
  const Elf64_Shdr symbols = section(4), strings = section(5);
  ASSERT_EQ(symbols.sh_type, unsigned{SHT_SYMTAB});
  ASSERT_LE(strings.sh_offset + strings.sh_size, file.size());
  std::size_t found = 0;
  for (std::uint64_t at = 0; at < symbols.sh_size; at += sizeof(Elf64_Sym)) {
    const auto symbol = load<Elf64_Sym>(file.data() + symbols.sh_offset + at);
    const std::string name(reinterpret_cast<const char*>(file.data() + strings.sh_offset + symbol.st_name));
    if (name == "filler_3") {
      EXPECT_EQ(symbol.st_value, test::SmallKernel::kText.value + 48);
    }
    found += name.starts_with("filler_") ? 1 : 0;
  }
  EXPECT_EQ(found, 600u);
}

}  // namespace
}  // namespace ringside::guestos
