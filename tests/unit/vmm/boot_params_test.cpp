#include "vmm/boot/boot_params.hpp"

#include <asm/bootparam.h>

#include <gmock/gmock.h>

#include "images.hpp"
#include "vmm/boot/long_mode.hpp"
#include "vmm/mem/e820.hpp"

namespace ringside::boot {
namespace {

using mem::GuestRam;
using mem::kMiB;
using testing::HasSubstr;

GuestRam make_ram(std::uint64_t bytes = 128 * kMiB) { return std::move(GuestRam::create(bytes)).value(); }

::boot_params zero_page(const GuestRam& ram) { return ram.load_at<::boot_params>(mem::kZeroPage).value(); }

TEST(BootParams, AMadeUpHeaderHasWhatTheKernelReads) {
  GuestRam ram = make_ram();
  BootParams params;
  params.cmdline = "console=ttyS0";
  params.initrd = InitrdRange{Gpa{0x4000000}, 1234};
  params.rsdp = Gpa{0xe0000};
  ASSERT_TRUE(write_boot_params(ram, params));
  const ::boot_params page = zero_page(ram);
  EXPECT_EQ(page.sentinel, 0);
  EXPECT_EQ(page.hdr.header, 0x53726448u);
  EXPECT_EQ(page.hdr.version, 0x20f);
  EXPECT_EQ(page.hdr.type_of_loader, 0xff);
  EXPECT_EQ(page.hdr.loadflags, LOADED_HIGH);
  EXPECT_EQ(page.hdr.ramdisk_image, 0x4000000u);
  EXPECT_EQ(page.hdr.ramdisk_size, 1234u);
  EXPECT_EQ(page.acpi_rsdp_addr, 0xe0000u);
  EXPECT_EQ(page.e820_entries, mem::e820_map(ram.bytes()).size());
  EXPECT_EQ(page.e820_table[0].type, 1u);
  Bytes text(14);
  ASSERT_TRUE(ram.read(Gpa{page.hdr.cmd_line_ptr}, text));
  EXPECT_STREQ(reinterpret_cast<const char*>(text.data()), "console=ttyS0");
}

TEST(BootParams, TheImagesOwnHeaderIsKept) {
  GuestRam ram = make_ram();
  const Bytes file = test::kernel();
  BootParams params;
  params.setup_header = ByteView(file).subspan(0x1f1, 0x26c - 0x1f1);
  params.kaslr = KaslrFlag::kSet;
  ASSERT_TRUE(write_boot_params(ram, params));
  const ::boot_params page = zero_page(ram);
  EXPECT_EQ(page.hdr.pref_address, 0x1000000u);
  EXPECT_EQ(page.hdr.xloadflags, 0x7f);
  EXPECT_EQ(page.hdr.loadflags, LOADED_HIGH | KASLR_FLAG);
  EXPECT_EQ(page.hdr.ramdisk_size, 0u);
}

TEST(BootParams, ACommandLineAsLongAsTheLimitIsTheLongest) {
  GuestRam ram = make_ram();
  const std::string fits(2047, 'a');
  const std::string too_long(2048, 'a');
  BootParams params;
  params.cmdline = fits;
  EXPECT_TRUE(write_boot_params(ram, params));
  params.cmdline = too_long;
  EXPECT_THAT(write_boot_params(ram, params).error().text,
              HasSubstr("2048 bytes, and this kernel takes 2047"));
  params.limits.cmdline_size = 0xffffffff;
  const std::string huge(mem::kCmdlineBytes, 'a');
  params.cmdline = huge;
  EXPECT_FALSE(write_boot_params(ram, params));
}

TEST(BootParams, ANulInTheCommandLineIsRefused) {
  GuestRam ram = make_ram();
  BootParams params;
  params.cmdline = std::string_view("a\0b", 3);
  EXPECT_THAT(write_boot_params(ram, params).error().text, HasSubstr("NUL"));
}

TEST(Initrd, LiesAsHighAsPossibleOnAPageBorder) {
  const GuestRam ram = make_ram(128 * kMiB);
  const auto range = place_initrd(ram, 5000, Gpa{32 * kMiB}, {});
  ASSERT_TRUE(range);
  EXPECT_EQ(range->begin, Gpa{128 * kMiB - 8192});
}

TEST(Initrd, StaysBelowTheKernelsLimitAndTheHole) {
  const GuestRam ram = make_ram(5 * mem::kGiB);
  EXPECT_EQ(place_initrd(ram, 4096, Gpa{32 * kMiB}, {})->begin, Gpa{0x80000000 - 4096});
  LoadLimits everywhere;
  everywhere.initrd_addr_max = 0xffffffff;
  EXPECT_EQ(place_initrd(ram, 4096, Gpa{32 * kMiB}, everywhere)->begin, mem::kHoleBegin - 4096);
}

TEST(Initrd, OneThatDoesNotFitSaysWhatToDo) {
  const GuestRam ram = make_ram(128 * kMiB);
  EXPECT_TRUE(place_initrd(ram, 96 * kMiB, Gpa{32 * kMiB}, {}));
  const auto tight = place_initrd(ram, 96 * kMiB + 1, Gpa{32 * kMiB}, {});
  ASSERT_FALSE(tight);
  EXPECT_THAT(tight.error().text, HasSubstr("give the guest 1 MiB more"));
  const auto large = place_initrd(ram, 300 * kMiB, Gpa{32 * kMiB}, {});
  ASSERT_FALSE(large);
  EXPECT_THAT(large.error().text, HasSubstr("give the guest 205 MiB more"));
  EXPECT_FALSE(place_initrd(ram, ~std::uint64_t{0}, Gpa{32 * kMiB}, {}));
}

TEST(LongMode, MapsTheFirstFourGigabytesOneToOne) {
  GuestRam ram = make_ram();
  const auto entry = prepare_long_mode(ram, Gpa{0x1000200}, mem::kZeroPage);
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->rip, 0x1000200u);
  EXPECT_EQ(entry->rsi, 0x7000u);
  for (const std::uint64_t at : {0x0u, 0x1000000u, 0x3fffffffu, 0x40000000u, 0xfee00000u, 0xffffffffu}) {
    const auto pml4e = ram.load_at<std::uint64_t>(Gpa{entry->cr3}).value();
    const auto pdpte = ram.load_at<std::uint64_t>(Gpa{(pml4e & ~kPageMask) + (at >> 30) * 8}).value();
    const auto pde = ram.load_at<std::uint64_t>(Gpa{(pdpte & ~kPageMask) + (at >> 21 & 511) * 8}).value();
    EXPECT_EQ(pde, (at & ~0x1fffffu) | 0x83);
  }
}

TEST(LongMode, SegmentsAreThoseOfTheBootProtocol) {
  GuestRam ram = make_ram();
  const auto entry = prepare_long_mode(ram, Gpa{0x1000200}, mem::kZeroPage);
  const auto code = ram.load_at<std::uint64_t>(Gpa{entry->gdt_base + entry->cs}).value();
  EXPECT_EQ(code >> 53 & 1, 1u);  // L
  EXPECT_EQ(code >> 40 & 0xff, 0x9bu);
  EXPECT_EQ(ram.load_at<std::uint64_t>(Gpa{entry->gdt_base + entry->ds}).value() >> 40 & 0xff, 0x93u);
  EXPECT_EQ(ram.load_at<std::uint64_t>(Gpa{entry->gdt_base + entry->tr}).value() >> 40 & 0xff, 0x8bu);
  EXPECT_EQ(entry->gdt_limit, 47);
}

}  // namespace
}  // namespace ringside::boot
