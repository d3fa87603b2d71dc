#include "vmm/boot/acpi.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <string_view>

#include <fmt/format.h>

#include "vmm/mem/layout.hpp"
#include "vmm/mem/ports.hpp"

namespace ringside::boot {
namespace {

// Appends little-endian fields; a table is written top to bottom as the specification lists it.
class Table {
 public:
  // The header common to all tables (ACPI 6.4 5.2.6); length and checksum follow in finish().
  Table(std::string_view signature, std::uint8_t revision) {
    text(signature);
    u32(0);
    u8(revision);
    u8(0);
    text("RNGSDE");    // OEMID, 6
    text("RINGSIDE");  // OEM table ID, 8
    u32(1);
    text("RNGS");  // creator ID, 4
    u32(1);
  }
  void u8(std::uint8_t value) { put(value); }
  void u16(std::uint16_t value) { put(value); }
  void u32(std::uint32_t value) { put(value); }
  void u64(std::uint64_t value) { put(value); }
  void text(std::string_view value) { bytes_.insert(bytes_.end(), value.begin(), value.end()); }
  void raw(ByteView value) { bytes_.insert(bytes_.end(), value.begin(), value.end()); }
  void zeroes(std::size_t count) { bytes_.resize(bytes_.size() + count); }
  // Generic Address Structure (5.2.3.2); access size 0 is "undefined": derived from the width.
  void io_address(std::uint16_t port, std::uint8_t bits, std::uint8_t access) {
    u8(1);
    u8(bits);
    u8(0);
    u8(access);
    u64(port);
  }
  void no_address() { zeroes(12); }

  Bytes finish() && {
    store(&bytes_[4], static_cast<std::uint32_t>(bytes_.size()));
    bytes_[9] = static_cast<std::uint8_t>(0 - std::accumulate(bytes_.begin(), bytes_.end(), 0u));
    return std::move(bytes_);
  }

 private:
  template <typename T>
  void put(T value) {
    const ByteView view = bytes_of(value);
    bytes_.insert(bytes_.end(), view.begin(), view.end());
  }
  Bytes bytes_;
};

// Name (\_S5, Package (4) { SLP_TYPa, SLP_TYPb, 0, 0 }) in AML (ACPI 6.4 7.4.2.6, 20.2.5).
Bytes dsdt() {
  constexpr std::array<std::uint8_t, 15> kS5{0x08, '\\',
                                             '_',  'S',
                                             '5',  '_',  // NameOp, root name
                                             0x12, 0x08,
                                             0x04,  // PackageOp, length 8, 4 elements
                                             0x0a, mem::kSleepTypeS5,
                                             0x0a, mem::kSleepTypeS5,
                                             0x00, 0x00};
  Table table("DSDT", 2);
  table.raw(kS5);
  return std::move(table).finish();
}

// Firmware ACPI Control Structure (5.2.10): 64 bytes, no header, no checksum.
Bytes facs() {
  Bytes bytes(64);
  std::copy_n("FACS", 4, bytes.begin());
  store(&bytes[4], std::uint32_t{64});
  bytes[32] = 2;  // version
  return bytes;
}

// FADT flags (table 5.10).  Buttons are declared absent: bit set means "not a fixed feature".
constexpr std::uint32_t kWbinvd = 1u << 0;
constexpr std::uint32_t kNoFixedPowerButton = 1u << 4;
constexpr std::uint32_t kNoFixedSleepButton = 1u << 5;
constexpr std::uint32_t kNoFixedRtcWake = 1u << 6;
constexpr std::uint32_t kTimer32Bit = 1u << 8;
constexpr std::uint32_t kResetRegister = 1u << 10;
// IAPC_BOOT_ARCH (table 5.11).  Bit 1 (8042) clear: Linux does not probe a keyboard.  Bit 5 (no CMOS RTC)
// clear: there is one.
constexpr std::uint16_t kLegacyDevices = 1u << 0;
constexpr std::uint16_t kNoVga = 1u << 2;
constexpr std::uint16_t kNoAspm = 1u << 4;

// Revision 5 (ACPI 5.0 table 5-34): reset register and 64-bit addresses, and IAPC_BOOT_ARCH bits up to 5.
Bytes fadt(Gpa facs_at, Gpa dsdt_at) {
  Table t("FACP", 5);
  t.u32(static_cast<std::uint32_t>(facs_at.value));
  t.u32(static_cast<std::uint32_t>(dsdt_at.value));
  t.u8(0);  // reserved
  t.u8(0);  // preferred profile: unspecified
  t.u16(mem::kIrqSci);
  t.u32(0);     // SMI_CMD: none, the machine is in ACPI mode from the start
  t.zeroes(4);  // ACPI_ENABLE, ACPI_DISABLE, S4BIOS_REQ, PSTATE_CNT
  t.u32(mem::kPm1Event);
  t.u32(0);  // PM1b event block
  t.u32(mem::kPm1Control);
  t.u32(0);  // PM1b control block
  t.u32(0);  // PM2 control block
  t.u32(mem::kPmTimer);
  t.u32(0);       // GPE0
  t.u32(0);       // GPE1
  t.u8(4);        // PM1_EVT_LEN
  t.u8(2);        // PM1_CNT_LEN
  t.u8(0);        // PM2_CNT_LEN
  t.u8(4);        // PM_TMR_LEN
  t.zeroes(4);    // GPE0_BLK_LEN, GPE1_BLK_LEN, GPE1_BASE, CST_CNT
  t.u16(0xffff);  // P_LVL2_LAT, P_LVL3_LAT: above 100 and 1000, no such states
  t.u16(0xffff);
  t.zeroes(4);  // FLUSH_SIZE, FLUSH_STRIDE: WBINVD works
  t.zeroes(4);  // DUTY_OFFSET, DUTY_WIDTH, DAY_ALRM, MON_ALRM
  t.u8(0x32);   // CENTURY: its index in CMOS memory
  t.u16(kLegacyDevices | kNoVga | kNoAspm);
  t.u8(0);
  t.u32(kWbinvd | kNoFixedPowerButton | kNoFixedSleepButton | kNoFixedRtcWake | kTimer32Bit | kResetRegister);
  t.io_address(mem::kResetControl, 8, 1);
  t.u8(mem::kResetValue);
  t.zeroes(3);  // ARM_BOOT_ARCH, minor version
  t.u64(facs_at.value);
  t.u64(dsdt_at.value);
  t.io_address(mem::kPm1Event, 32, 2);  // two 16-bit registers
  t.no_address();
  t.io_address(mem::kPm1Control, 16, 2);
  t.no_address();
  t.no_address();
  t.io_address(mem::kPmTimer, 32, 3);
  t.no_address();
  t.no_address();
  t.no_address();  // sleep control and status: hardware-reduced machines only
  t.no_address();
  return std::move(t).finish();
}

// Interrupt source override (5.2.12.5): an ISA interrupt that is not the GSI of the same number, or not
// edge-triggered and active high.
void add_override(Table& t, std::uint8_t irq, std::uint32_t gsi, std::uint16_t flags) {
  t.u8(2);
  t.u8(10);
  t.u8(0);
  t.u8(irq);
  t.u32(gsi);
  t.u16(flags);
}

Bytes madt(unsigned vcpus) {
  Table t("APIC", 3);
  t.u32(static_cast<std::uint32_t>(mem::kLocalApic.value));
  t.u32(1);  // PCAT_COMPAT: there are 8259s too
  for (unsigned i = 0; i < vcpus; ++i) {
    t.u8(0);  // processor local APIC (5.2.12.2)
    t.u8(8);
    t.u8(static_cast<std::uint8_t>(i));
    t.u8(static_cast<std::uint8_t>(i));
    t.u32(1);  // enabled
  }
  t.u8(1);  // IOAPIC (5.2.12.3)
  t.u8(12);
  t.u8(0);
  t.u8(0);
  t.u32(static_cast<std::uint32_t>(mem::kIoApic.value));
  t.u32(0);
  constexpr std::uint16_t kLevelActiveHigh = 0x000d;
  add_override(t, 0, 2, 0);  // the timer is on input 2, as on every PC
  add_override(t, mem::kIrqSci, mem::kIrqSci, kLevelActiveHigh);
  t.u8(4);  // local APIC NMI (5.2.12.7): LINT1 of all processors
  t.u8(6);
  t.u8(0xff);
  t.u16(0);
  t.u8(1);
  return std::move(t).finish();
}

Bytes xsdt(Gpa fadt_at, Gpa madt_at) {
  Table t("XSDT", 1);
  t.u64(fadt_at.value);
  t.u64(madt_at.value);
  return std::move(t).finish();
}

// Root System Description Pointer (5.2.5.3): two checksums, over the first 20 bytes and over all 36.
Bytes rsdp(Gpa xsdt_at) {
  Bytes bytes(36);
  std::copy_n("RSD PTR ", 8, bytes.begin());
  std::copy_n("RNGSDE", 6, bytes.begin() + 9);
  bytes[15] = 2;
  store(&bytes[20], std::uint32_t{36});
  store(&bytes[24], xsdt_at.value);
  bytes[8] = static_cast<std::uint8_t>(0 - std::accumulate(bytes.begin(), bytes.begin() + 20, 0u));
  bytes[32] = static_cast<std::uint8_t>(0 - std::accumulate(bytes.begin(), bytes.end(), 0u));
  return bytes;
}

// Lays tables out one after the other; FACS wants a 64-byte border (5.2.10), so all get one.
class Block {
 public:
  explicit Block(std::size_t reserved) : bytes_(reserved) {}
  Gpa add(const Bytes& table) {
    bytes_.resize((bytes_.size() + 63) / 64 * 64);
    const Gpa at = mem::kAcpiTables + bytes_.size();
    bytes_.insert(bytes_.end(), table.begin(), table.end());
    return at;
  }
  Bytes finish(const Bytes& first) && {
    std::copy(first.begin(), first.end(), bytes_.begin());
    return std::move(bytes_);
  }

 private:
  Bytes bytes_;
};

}  // namespace

Result<Bytes> build_acpi_tables(unsigned vcpus) {
  if (vcpus == 0 || vcpus > mem::kMaxVcpus) {
    return fail(Errc::kRefused,
                fmt::format("{} vCPUs are not possible: give 1 to {}", vcpus, mem::kMaxVcpus));
  }
  Block block(64);
  const Gpa facs_at = block.add(facs());
  const Gpa dsdt_at = block.add(dsdt());
  const Gpa fadt_at = block.add(fadt(facs_at, dsdt_at));
  const Gpa madt_at = block.add(madt(vcpus));
  const Gpa xsdt_at = block.add(xsdt(fadt_at, madt_at));
  return std::move(block).finish(rsdp(xsdt_at));
}

Result<Gpa> write_acpi_tables(mem::GuestRam& ram, unsigned vcpus) {
  const Bytes tables = RS_TRY(build_acpi_tables(vcpus));
  RS_CHECK(tables.size() <= mem::kAcpiTablesBytes);
  if (!ram.write(mem::kAcpiTables, tables)) return fail(Errc::kNotMapped, "no guest RAM for the ACPI tables");
  return mem::kAcpiTables;
}

}  // namespace ringside::boot
