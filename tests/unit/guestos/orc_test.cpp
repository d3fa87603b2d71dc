#include "stub/guestos/orc.hpp"

#include <gtest/gtest.h>

#include "tests/unit/guestos/orc_image.hpp"

namespace ringside::guestos {
namespace {

using test::NewerOrc;
using test::OrcImage;
using Reg = OrcEntry::Reg;
using Type = OrcEntry::Type;

// sp + 8, as three kinds of kernels have it.
constexpr std::uint64_t kOlderCall = 0x0005ull << 32 | 8, kNewerCall = 0x0205ull << 32 | 8,
                        kNewestCall = 0x0203ull << 32 | 8;

std::optional<OrcFormat> format_of(int older, std::uint64_t call) {
  const Btf btf = test::orc_btf(older);
  return OrcFormat::from(&btf, call);
}

TEST(OrcFormat, OfTheNewerKernelsHasTheEndOfTheStackAsAType) {
  const auto format = format_of(0, kNewerCall);
  ASSERT_TRUE(format);
  const OrcEntry entry = format->decode(NewerOrc{-16, -8, Reg::kBp, Reg::kPreviousSp, 3, true}.word());
  EXPECT_EQ(entry.sp_offset, -16);
  EXPECT_EQ(entry.bp_offset, -8);
  EXPECT_EQ(entry.sp_reg, Reg::kBp);
  EXPECT_EQ(entry.bp_reg, Reg::kPreviousSp);
  EXPECT_EQ(entry.type, Type::kRegs);
  EXPECT_TRUE(entry.signal);
  EXPECT_EQ(format->decode(NewerOrc{.type = 0}.word()).type, Type::kUndefined);
  EXPECT_EQ(format->decode(NewerOrc{.type = 1}.word()).type, Type::kEndOfStack);
  EXPECT_EQ(format->decode(NewerOrc{.type = 4}.word()).type, Type::kRegsPartial);
  EXPECT_EQ(format->decode(NewerOrc{.type = 7}.word()).type, Type::kUndefined);
}

TEST(OrcFormat, OfTheOldestKernelsHasABitForTheEnd) {
  const auto format = format_of(1, kOlderCall);
  ASSERT_TRUE(format);
  EXPECT_EQ(format->decode(kOlderCall).type, Type::kCall);
  EXPECT_FALSE(format->decode(kOlderCall).signal);
  EXPECT_EQ(format->decode(kOlderCall | 1ull << 40).type, Type::kRegs);
  EXPECT_TRUE(format->decode(kOlderCall | 1ull << 40).signal);
  EXPECT_EQ(format->decode(kOlderCall | 2ull << 40).type, Type::kRegsPartial);
  EXPECT_EQ(format->decode(1ull << 42).type, Type::kEndOfStack);
  EXPECT_EQ(format->decode(0).type, Type::kUndefined);
}

TEST(OrcFormat, BetweenThemHasBothBits) {
  const auto format = format_of(2, kOlderCall);
  ASSERT_TRUE(format);
  EXPECT_FALSE(format->decode(kOlderCall | 1ull << 40).signal);
  EXPECT_TRUE(format->decode(kOlderCall | 1ull << 42).signal);
  EXPECT_EQ(format->decode(1ull << 43).type, Type::kEndOfStack);
}

TEST(OrcFormat, OfTheNewestKernelsNumbersRegistersAnew) {
  const auto format = format_of(0, kNewestCall);
  ASSERT_TRUE(format);
  const OrcEntry entry = format->decode(0x0289ull << 32);
  EXPECT_EQ(entry.sp_reg, Reg::kSpIndirect);
  EXPECT_EQ(entry.bp_reg, Reg::kPreviousSp);
  EXPECT_EQ(format->decode(0x024aull << 32).sp_reg, Reg::kBpIndirect);
  EXPECT_EQ(format->decode(0x024aull << 32).bp_reg, Reg::kBp);
  EXPECT_EQ(format->decode(0x0205ull << 32).sp_reg, Reg::kDi);
  EXPECT_EQ(format->decode(0x0201ull << 32).sp_reg, Reg::kAx);
  EXPECT_EQ(format->decode(0x020bull << 32).sp_reg, Reg::kUndefined);
}

TEST(OrcFormat, ThatDoesNotSayWhatACallIsIsNotKnown) {
  EXPECT_FALSE(format_of(0, 0x0204ull << 32 | 8));
  EXPECT_FALSE(format_of(0, 0x0205ull << 32 | 16));
  EXPECT_FALSE(format_of(0, 0x0305ull << 32 | 8));
  EXPECT_FALSE(format_of(1, 0x0405ull << 32 | 16));
  EXPECT_FALSE(OrcFormat::from(nullptr, UINT64_MAX));
}

TEST(OrcFormat, WithoutTypesIsToldByTheEntryOfACall) {
  const auto newer = OrcFormat::from(nullptr, kNewerCall);
  ASSERT_TRUE(newer);
  EXPECT_EQ(newer->decode(NewerOrc{.type = 1}.word()).type, Type::kEndOfStack);
  EXPECT_TRUE(newer->decode(NewerOrc{.signal = true}.word()).signal);
  const auto older = OrcFormat::from(nullptr, kOlderCall);
  ASSERT_TRUE(older);
  EXPECT_EQ(older->decode(kOlderCall | 1ull << 40).type, Type::kRegs);
  EXPECT_EQ(older->decode(1ull << 42).type, Type::kEndOfStack);
}

TEST(OrcTables, AnEntryHoldsUpToTheNext) {
  std::vector<std::pair<std::uint64_t, NewerOrc>> table;
  for (std::uint64_t i = 0; i < 300; ++i)
    table.push_back({0x10 + 0x10 * i, {.sp_offset = static_cast<std::int16_t>(i), .sp_reg = Reg::kSp}});
  const OrcImage image(table);
  const Btf btf = test::orc_btf(0);
  const auto tables = image.tables(&btf);
  ASSERT_TRUE(tables);
  const auto offset_at = [&](std::uint64_t offset) {
    const auto entry = tables->in_kernel(OrcImage::kText + offset, const_cast<OrcImage&>(image).memory());
    return entry ? entry->sp_offset : -1;
  };
  EXPECT_EQ(offset_at(0xf), -1);
  EXPECT_EQ(offset_at(0x10), 0);
  EXPECT_EQ(offset_at(0x1f), 0);
  EXPECT_EQ(offset_at(0x20), 1);
  EXPECT_EQ(offset_at(0x10 + 0x10 * 149 + 5), 149);
  EXPECT_EQ(offset_at(0x10 + 0x10 * 299), 299);
  EXPECT_EQ(offset_at(0x7eff), 299);
}

TEST(OrcTables, AreNotThereWithoutTheirSymbolsOrWithAnotherSize) {
  const Btf btf = test::orc_btf(0);
  const OrcImage none({});
  EXPECT_FALSE(none.tables(&btf));
  test::FlatMemory memory(OrcImage::kText, 0x1000);
  SymbolTable symbols;
  symbols.add(OrcImage::kText, 'R', "__start_orc_unwind_ip");
  symbols.add(OrcImage::kText + 16, 'R', "__stop_orc_unwind_ip");
  symbols.add(OrcImage::kText + 16, 'R', "__start_orc_unwind");
  symbols.add(OrcImage::kText + 40 - 1, 'R', "__stop_orc_unwind");
  symbols.add(OrcImage::kText + 512, 'T', "do_syscall_64");
  symbols.seal();
  EXPECT_FALSE(OrcTables::find(symbols, &btf, std::nullopt, memory));
}

TEST(OrcTables, ThatAreNotSortedOrNotThereLeadNowhereElse) {
  OrcImage image({{0x300, {.sp_offset = 1}}, {0x100, {.sp_offset = 2}}, {0x200, {.sp_offset = 3}}});
  const Btf btf = test::orc_btf(0);
  const auto tables = image.tables(&btf);
  ASSERT_TRUE(tables);
  const auto entry = tables->in_kernel(OrcImage::kText + 0x150, image.memory());
  EXPECT_TRUE(!entry || (entry->sp_offset >= 1 && entry->sp_offset <= 3));
  const test::FlatMemory nothing(Gva{0x1000}, 16);
  EXPECT_FALSE(tables->in_kernel(OrcImage::kText + 0x150, nothing));
}

}  // namespace
}  // namespace ringside::guestos
