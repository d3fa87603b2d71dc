#include "vmm/boot/acpi.hpp"

#include <numeric>
#include <string>

#include <gtest/gtest.h>

#include "vmm/mem/layout.hpp"
#include "vmm/mem/ports.hpp"

namespace ringside::boot {
namespace {

// The tables as the guest sees them: by guest-physical address.
class Acpi : public testing::Test {
 protected:
  ByteView from(std::uint64_t gpa) const { return ByteView(block_).subspan(gpa - mem::kAcpiTables.value); }
  ByteView table(std::uint64_t gpa) const { return from(gpa).first(load<std::uint32_t>(&from(gpa)[4])); }
  std::uint64_t xsdt_entry(std::size_t i) const { return load<std::uint64_t>(&table(xsdt())[36 + 8 * i]); }
  std::uint64_t xsdt() const { return load<std::uint64_t>(&block_[24]); }
  ByteView fadt() const { return table(xsdt_entry(0)); }
  ByteView madt() const { return table(xsdt_entry(1)); }
  static std::string signature(ByteView t) { return {t.begin(), t.begin() + 4}; }
  static std::uint8_t sum(ByteView t) {
    return static_cast<std::uint8_t>(std::accumulate(t.begin(), t.end(), 0u));
  }

  const Bytes block_ = build_acpi_tables(3).value();
};

TEST_F(Acpi, ThePointerHasBothChecksums) {
  EXPECT_EQ(std::string(block_.begin(), block_.begin() + 8), "RSD PTR ");
  EXPECT_EQ(sum(ByteView(block_).first(20)), 0);
  EXPECT_EQ(sum(ByteView(block_).first(36)), 0);
}

TEST_F(Acpi, EveryTableIsReachedAndSumsToZero) {
  EXPECT_EQ(signature(table(xsdt())), "XSDT");
  EXPECT_EQ(signature(fadt()), "FACP");
  EXPECT_EQ(signature(madt()), "APIC");
  const ByteView dsdt = table(load<std::uint64_t>(&fadt()[140]));
  EXPECT_EQ(signature(dsdt), "DSDT");
  EXPECT_EQ(sum(table(xsdt())), 0);
  EXPECT_EQ(sum(fadt()), 0);
  EXPECT_EQ(sum(madt()), 0);
  EXPECT_EQ(sum(dsdt), 0);
}

TEST_F(Acpi, TheFacsLiesOnA64ByteBorder) {
  const auto at = load<std::uint64_t>(&fadt()[132]);
  EXPECT_EQ(at % 64, 0u);
  EXPECT_EQ(signature(from(at)), "FACS");
  EXPECT_EQ(load<std::uint32_t>(&fadt()[36]), at);
}

TEST_F(Acpi, TheFadtHasItsRevisionsLengthAndOurPorts) {
  EXPECT_EQ(fadt().size(), 268u);
  EXPECT_EQ(fadt()[8], 5);
  EXPECT_EQ(load<std::uint16_t>(&fadt()[46]), mem::kIrqSci);
  EXPECT_EQ(load<std::uint32_t>(&fadt()[56]), mem::kPm1Event);
  EXPECT_EQ(load<std::uint32_t>(&fadt()[64]), mem::kPm1Control);
  EXPECT_EQ(load<std::uint32_t>(&fadt()[76]), mem::kPmTimer);
  EXPECT_EQ(fadt()[88], 4);
  EXPECT_EQ(fadt()[89], 2);
  EXPECT_EQ(fadt()[91], 4);
  EXPECT_EQ(load<std::uint16_t>(&fadt()[109]) & 0x22, 0);  // no 8042; an RTC
  EXPECT_EQ(load<std::uint32_t>(&fadt()[112]) >> 10 & 1, 1u);
  EXPECT_EQ(load<std::uint64_t>(&fadt()[120]), mem::kResetControl);
  EXPECT_EQ(fadt()[128], mem::kResetValue);
}

TEST_F(Acpi, TheMadtHasALocalApicForEachVcpu) {
  unsigned apics = 0;
  bool timer_override = false;
  for (std::size_t at = 44; at < madt().size(); at += madt()[at + 1]) {
    ASSERT_GT(madt()[at + 1], 0);
    if (madt()[at] == 0) {
      EXPECT_EQ(madt()[at + 3], apics++);
    }
    if (madt()[at] == 2 && madt()[at + 3] == 0) timer_override = load<std::uint32_t>(&madt()[at + 4]) == 2;
  }
  EXPECT_EQ(apics, 3u);
  EXPECT_TRUE(timer_override);
}

TEST(AcpiTables, VcpuCountsThatCannotBeAreRefused) {
  EXPECT_FALSE(build_acpi_tables(0));
  EXPECT_FALSE(build_acpi_tables(255));
  EXPECT_LE(build_acpi_tables(254).value().size(), mem::kAcpiTablesBytes);
}

}  // namespace
}  // namespace ringside::boot
