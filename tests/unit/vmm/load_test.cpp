#include "vmm/boot/load.hpp"

#include <fstream>

#include <asm/bootparam.h>
#include <unistd.h>

#include <gmock/gmock.h>

#include "images.hpp"

namespace ringside::boot {
namespace {

using mem::GuestRam;
using mem::kMiB;
using testing::AllOf;
using testing::HasSubstr;

class Load : public testing::Test {
 protected:
  Load() { std::filesystem::create_directories(folder_); }
  ~Load() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path file(const std::string& name, ByteView content) const {
    std::ofstream out(folder_ / name, std::ios::binary);
    out.write(reinterpret_cast<const char*>(content.data()), static_cast<std::streamsize>(content.size()));
    return folder_ / name;
  }
  BootSpec spec(ByteView kernel) const {
    BootSpec boot;
    boot.kernel = file("kernel", kernel);
    return boot;
  }
  std::string error_of(const BootSpec& boot) {
    const auto plan = load(boot, ram_);
    return plan ? "" : plan.error().text;
  }
  ::boot_params zero_page() const { return ram_.load_at<::boot_params>(mem::kZeroPage).value(); }

  std::filesystem::path folder_ = std::filesystem::temp_directory_path() /
                                  ("ringside-load-" + std::to_string(::getpid()) + "-" +
                                   testing::UnitTest::GetInstance()->current_test_info()->name());
  GuestRam ram_ = std::move(GuestRam::create(256 * kMiB)).value();
};

TEST_F(Load, AnUnpackedKernelWithoutKaslrLiesWhereItWasLinked) {
  BootSpec boot = spec(test::kernel());
  boot.kaslr.kind = KaslrPolicy::Kind::kOff;
  const auto plan = load(boot, ram_);
  ASSERT_TRUE(plan) << plan.error().text;
  EXPECT_EQ(plan->kernel, (KernelPlacement{Gpa{test::kLinked}, Gva{test::kText}, 0, test::kImageBytes}));
  EXPECT_EQ(plan->entry.rip, test::kLinked + 0x40);
  EXPECT_EQ(plan->entry.rsi, mem::kZeroPage.value);
  EXPECT_EQ(plan->version, "6.1.0-test (someone@somewhere)");
  EXPECT_EQ(plan->build_id.size(), 20u);
  EXPECT_EQ(ram_.load_at<std::uint64_t>(Gpa{test::kLinked}), test::kText);
  EXPECT_EQ(zero_page().hdr.loadflags & KASLR_FLAG, 0);
}

TEST_F(Load, KaslrMovesVirtualAndPhysicalAddressesApart) {
  BootSpec boot = spec(test::kernel());
  boot.kaslr.seed = 1;
  const auto plan = load(boot, ram_);
  ASSERT_TRUE(plan) << plan.error().text;
  const KernelPlacement& kernel = plan->kernel.value();
  EXPECT_NE(kernel.slide, 0u);
  EXPECT_EQ(kernel.slide % mem::kHugePage, 0u);
  EXPECT_EQ(kernel.text, Gva{test::kText} + kernel.slide);
  EXPECT_NE(kernel.phys_text, Gpa{test::kLinked});
  EXPECT_EQ(kernel.phys_text.value % mem::kHugePage, 0u);
  EXPECT_EQ(plan->entry.rip, kernel.phys_text.value + 0x40);
  EXPECT_EQ(ram_.load_at<std::uint64_t>(kernel.phys_text), kernel.text.value);
  EXPECT_NE(zero_page().hdr.loadflags & KASLR_FLAG, 0);
}

TEST_F(Load, TheSameSeedGivesTheSamePlaceAndOthersDiffer) {
  BootSpec boot = spec(test::kernel());
  boot.kaslr.seed = 1;
  const auto first = load(boot, ram_);
  const auto again = load(boot, ram_);
  boot.kaslr.seed = 2;
  const auto other = load(boot, ram_);
  EXPECT_EQ(first->kernel, again->kernel);
  EXPECT_NE(first->kernel, other->kernel);
}

TEST_F(Load, NokaslrOnTheCommandLineIsObeyed) {
  BootSpec boot = spec(test::kernel());
  boot.cmdline = "quiet nokaslr";
  EXPECT_EQ(load(boot, ram_)->kernel->slide, 0u);
}

TEST_F(Load, AFixedSlideIsTakenExactlyOrRefused) {
  BootSpec boot = spec(test::kernel());
  boot.kaslr.kind = KaslrPolicy::Kind::kFixed;
  boot.kaslr.slide = 0x12000000;
  EXPECT_EQ(load(boot, ram_)->kernel, (KernelPlacement{Gpa{test::kLinked}, Gva{test::kText} + 0x12000000,
                                                       0x12000000, test::kImageBytes}));
  boot.kaslr.slide = 0x100000;
  EXPECT_THAT(error_of(boot), HasSubstr("cannot be moved by 0x100000: a multiple of 0x200000"));
  boot.kaslr.slide = 0x40000000;
  EXPECT_THAT(error_of(boot), HasSubstr("up to 0x3ee00000"));
}

TEST_F(Load, APlainVmlinuxIsLoadedWithoutASlide) {
  Bytes kernel = test::elf_file();
  std::memcpy(&kernel[test::kTextInFile + 0x200], "Linux version %s\0Linux version 6.1.7-x (me)\n", 45);
  const auto plan = load(spec(kernel), ram_);
  ASSERT_TRUE(plan) << plan.error().text;
  EXPECT_EQ(plan->kernel->slide, 0u);
  EXPECT_EQ(plan->version, "6.1.7-x (me)");
  EXPECT_EQ(zero_page().hdr.header, 0x53726448u);
  BootSpec fixed = spec(kernel);
  fixed.kaslr = {KaslrPolicy::Kind::kFixed, 0x200000, {}};
  EXPECT_THAT(error_of(fixed), HasSubstr("no relocations"));
}

TEST_F(Load, InBzImageModeTheKernelsOwnDecompressorIsEntered) {
  const Bytes kernel = test::kernel();
  BootSpec boot = spec(kernel);
  boot.mode = BootMode::kEntry64;
  const auto plan = load(boot, ram_);
  ASSERT_TRUE(plan) << plan.error().text;
  EXPECT_FALSE(plan->kernel);
  EXPECT_EQ(plan->entry.rip, 0x1000200u);
  Bytes loaded(kernel.size() - test::kBody);
  ASSERT_TRUE(ram_.read(Gpa{0x1000000}, loaded));
  EXPECT_TRUE(std::equal(loaded.begin(), loaded.end(), kernel.begin() + test::kBody));
}

TEST_F(Load, InBzImageModeKaslrOffIsSaidOnTheCommandLine) {
  BootSpec boot = spec(test::kernel());
  boot.mode = BootMode::kEntry64;
  boot.cmdline = "quiet";
  boot.kaslr.kind = KaslrPolicy::Kind::kOff;
  ASSERT_TRUE(load(boot, ram_));
  Bytes text(14);
  ASSERT_TRUE(ram_.read(mem::kCmdline, text));
  EXPECT_STREQ(reinterpret_cast<const char*>(text.data()), "nokaslr quiet");
  boot.kaslr = {KaslrPolicy::Kind::kFixed, 0x200000, {}};
  EXPECT_THAT(error_of(boot), HasSubstr("--boot=auto"));
}

TEST_F(Load, TheInitrdIsInRamAndTheKernelKeepsClearOfIt) {
  BootSpec boot = spec(test::kernel());
  boot.initrd = file("initrd", Bytes(10000, 0x5a));
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    boot.kaslr.seed = seed;
    const auto plan = load(boot, ram_);
    ASSERT_TRUE(plan) << plan.error().text;
    const ::boot_params page = zero_page();
    EXPECT_EQ(page.hdr.ramdisk_size, 10000u);
    EXPECT_EQ(ram_.load_at<std::uint8_t>(Gpa{page.hdr.ramdisk_image} + 9999), 0x5a);
    EXPECT_LE(plan->kernel->phys_text.value + plan->kernel->image_bytes, page.hdr.ramdisk_image);
  }
}

TEST_F(Load, ImagesCanBePlacedAgainAfterAReset) {
  BootSpec boot = spec(test::kernel());
  boot.kaslr.seed = 3;
  const BootImages images = load_images(boot).value();
  std::filesystem::remove(boot.kernel);
  const auto first = place(images, boot, ram_);
  ASSERT_TRUE(first && ram_.clear());
  const auto second = place(images, boot, ram_);
  ASSERT_TRUE(second);
  EXPECT_EQ(first->entry, second->entry);
  EXPECT_EQ(ram_.load_at<std::uint64_t>(second->kernel->phys_text), second->kernel->text.value);
}

TEST_F(Load, FilesThatCannotBeReadAreNamed) {
  BootSpec boot = spec(test::kernel());
  boot.kernel = folder_ / "absent";
  EXPECT_THAT(error_of(boot), AllOf(HasSubstr("kernel"), HasSubstr("absent: no such file")));
  boot.kernel = folder_;
  EXPECT_THAT(error_of(boot), HasSubstr("is a directory"));
  boot.kernel = "/dev/null";
  EXPECT_THAT(error_of(boot), HasSubstr("not a regular file"));
  boot.kernel = file("empty", {});
  EXPECT_THAT(error_of(boot), HasSubstr("is empty"));
  boot = spec(test::kernel());
  boot.initrd = folder_ / "initrd.img";
  EXPECT_THAT(error_of(boot), AllOf(HasSubstr("initrd"), HasSubstr("no such file")));
}

TEST_F(Load, ImagesThatAreNoKernelsAreNamed) {
  EXPECT_THAT(error_of(spec(Bytes(5000, 0x20))), AllOf(HasSubstr("kernel"), HasSubstr("not a Linux kernel")));
  Bytes truncated = test::kernel();
  truncated.resize(truncated.size() - 10);
  EXPECT_THAT(error_of(spec(truncated)), HasSubstr("truncated"));
  EXPECT_THAT(error_of(spec(test::bzimage(Bytes(100, 1)))), HasSubstr("unknown compression"));
  BootSpec boot = spec(test::elf_file());
  boot.mode = BootMode::kEntry64;
  EXPECT_THAT(error_of(boot), HasSubstr("needs a bzImage"));
}

TEST_F(Load, ADamagedRelocationTableIsAnError) {
  Bytes unpacked = test::elf_file();
  test::append(unpacked, test::words({1, 2, 3}));
  EXPECT_THAT(error_of(spec(test::bzimage(test::lz4_payload(unpacked)))), HasSubstr("relocation table"));
  unpacked = test::elf_file();
  test::append(unpacked, test::words({0, 0x91000000, 0, 0x81000008}));
  BootSpec boot = spec(test::bzimage(test::lz4_payload(unpacked)));
  boot.kaslr.seed = 1;
  EXPECT_THAT(error_of(boot), HasSubstr("relocation at 0xffffffff91000000 is outside"));
}

TEST_F(Load, AKernelTooLargeForTheGuestSaysHowMuchItNeeds) {
  Bytes kernel = test::elf_file();
  test::put(kernel, 0x40 + 56, test::phdr(PT_LOAD, 0, 0, test::kLinked + 0x1000, 0, 300 * kMiB));
  EXPECT_THAT(error_of(spec(kernel)),
              HasSubstr("does not fit in 256 MiB of guest RAM: give the guest at least"));
}

TEST_F(Load, AnInitrdTooLargeForTheGuestIsNamed) {
  BootSpec boot = spec(test::kernel());
  boot.initrd = file("initrd", Bytes(1));
  std::filesystem::resize_file(*boot.initrd, 300 * kMiB);
  EXPECT_THAT(error_of(boot), HasSubstr("initrd of 300 MiB does not fit"));
}

TEST_F(Load, TooManyVcpusAreRefused) {
  BootSpec boot = spec(test::kernel());
  boot.vcpus = 1000;
  EXPECT_THAT(error_of(boot), HasSubstr("1000 vCPUs"));
}

}  // namespace
}  // namespace ringside::boot
