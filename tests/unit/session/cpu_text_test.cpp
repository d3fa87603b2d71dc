// What `monitor pagetable`, `idt`, `gdt`, `lapic`, `ioapic` and `msr` make of known contents.
#include "stub/session/cpu_text.hpp"

#include <gmock/gmock.h>

#include "arch/x86/control.hpp"
#include "arch/x86/paged_memory.hpp"
#include "tests/fakes/array_memory.hpp"

namespace ringside::session {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
using x86::Reg;

constexpr std::uint64_t kNx = x86::bit(63);

std::string no_name(Gva) { return {}; }

class PageTables : public testing::Test {
 protected:
  fakes::ArrayMemory memory_{0x10000};
  std::string four_levels(std::uint64_t at) {
    const x86::PagingState paging{.cr0 = x86::cr0::kPg | x86::cr0::kPe,
                                  .cr3 = 0x1000,
                                  .cr4 = x86::cr4::kPae,
                                  .efer = x86::efer::kLma | x86::efer::kNxe};
    return page_table_text(paging, Gva{at}, memory_);
  }
};

TEST_F(PageTables, FourLevelsAreShownWithTheirEntries) {
  memory_.put(0x1000 + 8 * 0x1ff, std::uint64_t{0x2067});
  memory_.put(0x2000 + 8 * 0x1fe, std::uint64_t{0x3063});
  memory_.put(0x3000 + 8 * 0x008, std::uint64_t{0x4063});
  memory_.put(0x4000 + 8 * 0x001, std::uint64_t{kNx | 0x5161});

  EXPECT_EQ(
      four_levels(0xffffffff81001234),
      "4-level paging, CR3 0x1000\n"
      "PML4 [0x1ff] at 0x1ff8: 0000000000002067 table, write user accessed\n"
      "PDPT [0x1fe] at 0x2ff0: 0000000000003063 table, write kernel accessed\n"
      "PD   [0x008] at 0x3040: 0000000000004063 table, write kernel accessed\n"
      "PT   [0x001] at 0x4008: 8000000000005161 page, read-only kernel accessed dirty global no-execute\n"
      "0xffffffff81001234 is 0x5234, in a page of 4 KiB: read, kernel only\n");
}

TEST_F(PageTables, ALargePageEndsTheWalk) {
  memory_.put(0x1000, std::uint64_t{0x2007});
  memory_.put(0x2000, std::uint64_t{0x3007});
  memory_.put(0x3000 + 8, std::uint64_t{0x2000e7});

  EXPECT_THAT(four_levels(0x2abcde), HasSubstr("PD   [0x001] at 0x3008: 00000000002000e7 page, write user "
                                               "accessed dirty\n0x2abcde is 0x2abcde, in a page of 2 MiB: "
                                               "read write execute, user too\n"));
}

TEST_F(PageTables, WhatIsNotMappedIsExplained) {
  memory_.put(0x1000, std::uint64_t{0x2007});
  EXPECT_THAT(four_levels(0x1000), HasSubstr("PDPT [0x000] at 0x2000: 0000000000000000 not present\n"
                                             "0x1000 is not mapped (PDPT): the entry is empty\n"));
  memory_.put(0x2000, std::uint64_t{0x1234500});
  EXPECT_THAT(four_levels(0x1000), HasSubstr("not mapped (PDPT): the entry is not present, and what else"));
  memory_.put(0x1000 + 8, std::uint64_t{0x7ffff007});
  EXPECT_THAT(four_levels(0x8000000000), HasSubstr("no memory where the table should be"));
  EXPECT_THAT(four_levels(0x800000000000), HasSubstr("no address of this mode"));
}

TEST_F(PageTables, ThirtyTwoBitAndPaeAreShownInTheirOwnWay) {
  memory_.put(0x1000 + 4 * 0x300, std::uint32_t{0x2067});
  memory_.put(0x2000 + 4 * 0x101, std::uint32_t{0x5063});
  const x86::PagingState plain{.cr0 = x86::cr0::kPg | x86::cr0::kPe, .cr3 = 0x1000, .cr4 = 0, .efer = 0};
  EXPECT_THAT(page_table_text(plain, Gva{0xc0101010}, memory_),
              HasSubstr("PD   [0x300] at 0x1c00: 00002067 table, write user accessed\n"
                        "PT   [0x101] at 0x2404: 00005063 page, write kernel accessed dirty\n"
                        "0xc0101010 is 0x5010"));
  memory_.put(0x8000 + 8 * 3, std::uint64_t{0x9001});
  memory_.put(0x9000, std::uint64_t{0xe3});
  x86::PagingState pae = plain;
  pae.cr3 = 0x8000;
  pae.cr4 = x86::cr4::kPae;
  EXPECT_THAT(page_table_text(pae, Gva{0xc0000123}, memory_),
              HasSubstr("PDPT [0x003] at 0x8018: 0000000000009001 table,\n"
                        "PD   [0x000] at 0x9000: 00000000000000e3 page, write kernel accessed dirty\n"
                        "0xc0000123 is 0x123, in a page of 2 MiB"));
  EXPECT_EQ(page_table_text({}, Gva{0x1234}, memory_), "paging is off: 0x1234 is 0x1234\n");
}

class Tables : public testing::Test {
 protected:
  Tables() {
    registers_.set_u64(Reg::kCr0, x86::cr0::kPe);
    registers_.set_u64(Reg::kEfer, x86::efer::kLma);
    registers_.set_u64(Reg::kIdtrBase, 0x2000);
    registers_.set_u64(Reg::kIdtrLimit, 0xfff);
    registers_.set_u64(Reg::kGdtrBase, 0x3000);
    registers_.set_u64(Reg::kGdtrLimit, 0x2f);
  }
  x86::PagedMemory view() { return x86::PagedMemory(memory_, {}); }
  fakes::ArrayMemory memory_{0x10000};
  x86::RegisterFile registers_;
};

TEST_F(Tables, GatesSayWhereTheyLead) {
  memory_.put(0x2000 + 16 * 8, std::uint64_t{0x81008e0100100cd0});
  memory_.put(0x2000 + 16 * 8 + 8, std::uint64_t{0xffffffff});
  const NameOf name = [](Gva at) { return at.value == 0xffffffff81000cd0 ? "asm_exc_double_fault" : ""; };

  EXPECT_EQ(
      idt_text(registers_, view(), std::nullopt, name),
      "IDT at 0x2000 limit 0xfff\n"
      "0x08 #DF double fault: interrupt gate to 0x10:0xffffffff81000cd0 asm_exc_double_fault dpl 0 ist 1\n");
  EXPECT_EQ(idt_text(registers_, view(), 9, name), "0x09: the gate is not present\n");
}

TEST_F(Tables, AnEmptyTableIsSaidToMeanATripleFault) {
  registers_.set_u64(Reg::kIdtrLimit, 0);
  EXPECT_THAT(idt_text(registers_, view(), std::nullopt, no_name), HasSubstr("is a triple fault"));
  EXPECT_EQ(idt_text(registers_, view(), 3, no_name), "0x03: beyond the table's limit, or not mapped\n");
}

TEST_F(Tables, ThirtyTwoBitGatesAndRealModeVectors) {
  registers_.set_u64(Reg::kEfer, 0);
  memory_.put(0x2000 + 8 * 0x80, std::uint64_t{0xc010ef0000601234});
  EXPECT_EQ(idt_text(registers_, view(), 0x80, no_name), "0x80: trap gate to 0x60:0xc0101234 dpl 3\n");
  registers_.set_u64(Reg::kCr0, 0);
  memory_.put(0x2000 + 4 * 0x10, std::uint32_t{0xc0000150});
  EXPECT_EQ(idt_text(registers_, view(), 0x10, no_name), "0x10 c000:0150\n");
}

TEST_F(Tables, DescriptorsAreShownWithTheLongOnesAsOne) {
  memory_.put(0x3010, std::uint64_t{0x00af9b000000ffff});
  memory_.put(0x3018, std::uint64_t{0x00008b0030004087});
  memory_.put(0x3020, std::uint64_t{0xfffffe00});
  memory_.put(0x3028, std::uint64_t{0x00cff3000000ffff});
  EXPECT_EQ(gdt_text(registers_, view()),
            "GDT at 0x3000 limit 0x2f\n"
            "0x10: 00af9b000000ffff 64-bit code, readable dpl 0 base 0x0 limit 0xffffffff\n"
            "0x18: 00008b0030004087 TSS, busy dpl 0 base 0xfffffe0000003000 limit 0x4087\n"
            "0x28: 00cff3000000ffff data, writable dpl 3 base 0x0 limit 0xffffffff\n");
}

TEST(ControllerText, OfALocalApic) {
  x86::LocalApic apic;
  const auto put = [&apic](std::size_t at, std::uint32_t value) { store(apic.page.data() + at, value); };
  put(0x20, 3u << 24);
  put(0x30, 0x50014);
  put(0xf0, 0x1ff);
  put(0x320, 0x400ec);
  put(0x350, 0x10700);
  put(0x370, 0xfe);
  put(0x3e0, 0xb);
  put(0x100 + 7 * 0x10, 1u << 12);
  put(0x200, 1u << 31);
  const std::string text = local_apic_text(apic, 0xfee00d00);

  EXPECT_THAT(text,
              StartsWith("APIC 3 x2APIC, boot CPU, version 0x14 with 6 LVT entries, base 0xfee00000\n"));
  EXPECT_THAT(text, HasSubstr("LVT timer    000400ec vector 0xec, TSC deadline\n"));
  EXPECT_THAT(text, HasSubstr("LVT LINT0    00010700 vector 0x00, ExtINT, high edge, masked\n"));
  EXPECT_THAT(text, HasSubstr("each 1 cycles of the bus\nISR 0xec\nTMR none\nIRR 0x1f\n"));
  EXPECT_THAT(local_apic_text(apic, 0xfee00000), StartsWith("APIC 3 disabled, version"));
}

TEST(ControllerText, OfAnIoApic) {
  x86::IoApic chip{.base = 0xfec00000, .id = 1};
  chip.redirection[4] = 0x22;
  chip.redirection[9] = std::uint64_t{1} << 56 | 0x1e821;
  const std::string text = io_apic_text(chip);
  EXPECT_THAT(text, StartsWith("I/O APIC 1 at 0xfec00000, inputs 0x0\n"));
  EXPECT_THAT(text, HasSubstr("\n 4 0000000000000022 vector 0x22, fixed to APIC 0x0, high edge\n"));
  EXPECT_THAT(text, HasSubstr("\n 9 010000000001e821 vector 0x21, fixed to logical 0x1, low level, "
                              "not acknowledged, masked\n"));
}

TEST(MsrNames, GoBothWays) {
  EXPECT_EQ(msr_name(0xc0000082), "LSTAR");
  EXPECT_EQ(msr_name(0x12345), "");
  EXPECT_EQ(msr_number("lstar"), 0xc0000082u);
  EXPECT_EQ(msr_number("IA32_TSC_DEADLINE"), 0x6e0u);
  EXPECT_EQ(msr_number("MSR_LSTAR"), 0xc0000082u);
  EXPECT_EQ(msr_number(""), std::nullopt);
  EXPECT_EQ(msr_number("nonsense"), std::nullopt);
}

}  // namespace
}  // namespace ringside::session
