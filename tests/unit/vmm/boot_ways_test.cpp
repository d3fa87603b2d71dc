// Each way into a kernel: what its first instruction finds, and what an image lacks for it.
#include <fstream>

#include <asm/bootparam.h>
#include <unistd.h>

#include <gmock/gmock.h>

#include "images.hpp"
#include "vmm/boot/load.hpp"
#include "vmm/mem/e820.hpp"

namespace ringside::boot {
namespace {

using mem::GuestRam;
using mem::kMiB;
using testing::HasSubstr;

class BootWays : public testing::Test {
 protected:
  ~BootWays() override { std::filesystem::remove(file_); }

  Result<BootPlan> enter(ByteView kernel, BootMode mode) {
    spec_.mode = mode;
    spec_.kernel = file_;
    std::ofstream(file_, std::ios::binary)
        .write(reinterpret_cast<const char*>(kernel.data()), static_cast<std::streamsize>(kernel.size()));
    return load(spec_, ram_);
  }
  std::string error_of(ByteView kernel, BootMode mode) {
    const auto plan = enter(kernel, mode);
    return plan ? "" : plan.error().text;
  }
  template <typename T>
  T at(Gpa where) const {
    return ram_.load_at<T>(where).value();
  }
  std::string text_at(std::uint64_t where) const {
    std::string text;
    for (Gpa from{where}; at<char>(from) != 0; from = from + 1) text += at<char>(from);
    return text;
  }
  void add_initrd() {
    spec_.initrd = file_.string() + ".initrd";
    std::ofstream(*spec_.initrd) << std::string(10000, 'Z');
  }

  std::filesystem::path file_ = std::filesystem::temp_directory_path() /
                                ("ringside-ways-" + std::to_string(::getpid()) + "-" +
                                 testing::UnitTest::GetInstance()->current_test_info()->name());
  BootSpec spec_;
  GuestRam ram_ = std::move(GuestRam::create(256 * kMiB)).value();
};

TEST_F(BootWays, TheNamesOfTheOptionAndBack) {
  for (const char* name : {"auto", "real", "32", "64", "elf", "pvh"})
    EXPECT_EQ(name_of(boot_mode_of(name).value()), name);
  EXPECT_EQ(boot_mode_of("bzimage"), BootMode::kEntry64);
  EXPECT_EQ(boot_mode_of("16"), std::nullopt);
}

TEST_F(BootWays, The32BitEntryIsFlatProtectedModeWithBootParamsInEsi) {
  const auto plan = enter(test::kernel(), BootMode::kEntry32);
  ASSERT_TRUE(plan) << plan.error().text;
  const EntryState& entry = plan->entry;
  EXPECT_EQ(entry.mode, EntryMode::kProtected);
  EXPECT_EQ(entry.rip, test::kLinked);
  EXPECT_EQ(entry.rsi, mem::kZeroPage.value);
  EXPECT_EQ(entry.cr0 & 0x8000'0001u, 1u);
  EXPECT_EQ(entry.efer, 0u);
  EXPECT_EQ(at<std::uint64_t>(mem::kGdt + 0x10), 0x00cf9b000000ffffu);
  EXPECT_EQ(at<std::uint64_t>(mem::kGdt + 0x18), 0x00cf93000000ffffu);
  EXPECT_EQ(at<::boot_params>(mem::kZeroPage).hdr.header, 0x53726448u);
}

TEST_F(BootWays, TheElfEntryOfABzImagesPayloadIsLongMode) {
  const auto plan = enter(test::kernel(), BootMode::kElf);
  ASSERT_TRUE(plan) << plan.error().text;
  EXPECT_EQ(plan->entry.mode, EntryMode::kLong);
  EXPECT_EQ(plan->entry.rip, plan->kernel->phys_text.value + 0x40);
}

TEST_F(BootWays, PvhFindsStartInfoInEbx) {
  add_initrd();
  spec_.cmdline = "quiet";
  const auto plan = enter(test::with_pvh_entry(test::elf_file(), test::kLinked + 0x80), BootMode::kPvh);
  std::filesystem::remove(*spec_.initrd);
  ASSERT_TRUE(plan) << plan.error().text;
  EXPECT_EQ(plan->entry.mode, EntryMode::kProtected);
  EXPECT_EQ(plan->entry.rip, test::kLinked + 0x80);
  const Gpa info{plan->entry.rbx};
  EXPECT_EQ(at<std::uint32_t>(info), 0x336ec578u);
  EXPECT_EQ(at<std::uint32_t>(info + 4), 1u);
  EXPECT_EQ(at<std::uint32_t>(info + 12), 1u);
  const Gpa module{at<std::uint64_t>(info + 16)};
  EXPECT_EQ(text_at(at<std::uint64_t>(info + 24)), "quiet");
  EXPECT_EQ(at<std::uint64_t>(Gpa{at<std::uint64_t>(info + 32)}), 0x2052545020445352u);  // "RSD PTR "
  const Gpa map{at<std::uint64_t>(info + 40)};
  EXPECT_EQ(at<std::uint32_t>(info + 48), mem::e820_map(ram_.bytes()).size());
  EXPECT_EQ(at<std::uint64_t>(map + 8), mem::kEbda.value);
  EXPECT_EQ(at<std::uint32_t>(map + 16), 1u);
  EXPECT_EQ(at<char>(Gpa{at<std::uint64_t>(module)}), 'Z');
  EXPECT_EQ(at<std::uint64_t>(module + 8), 10000u);
}

TEST_F(BootWays, PvhMovesPhysicalAndVirtualAddressesAsOne) {
  Bytes elf = test::with_pvh_entry(test::elf_file(), test::kLinked + 0x80);
  test::append(elf, test::three_lists());
  const Bytes kernel = test::bzimage(test::lz4_payload(elf));
  for (std::uint64_t seed = 1; seed < 20; ++seed) {
    spec_.kaslr.seed = seed;
    const auto plan = enter(kernel, BootMode::kPvh);
    ASSERT_TRUE(plan) << plan.error().text;
    EXPECT_EQ(plan->kernel->phys_text, Gpa{test::kLinked} + plan->kernel->slide);
    EXPECT_EQ(plan->entry.rip, plan->kernel->phys_text.value + 0x80);
  }
  spec_.kaslr = {KaslrPolicy::Kind::kFixed, 0x4000000, {}};
  EXPECT_EQ(enter(kernel, BootMode::kPvh)->kernel->phys_text, Gpa{test::kLinked} + 0x4000000);
  spec_.kaslr.slide = 0x12000000;
  EXPECT_THAT(error_of(kernel, BootMode::kPvh), HasSubstr("does not fit in 256 MiB"));
}

// Newer kernels compare it with where they run.
TEST_F(BootWays, TheAddressInAPvhNoteMovesWithTheKernel) {
  Bytes elf = test::elf_file();
  constexpr std::size_t kInText = 0x800;
  test::put(elf, 0x40 + 112, test::phdr(PT_NOTE, test::kTextInFile + kInText, 0, 0, 20, 0));
  test::put(elf, test::kTextInFile + kInText, Elf64_Nhdr{4, 4, 18});
  std::memcpy(&elf[test::kTextInFile + kInText + 12], "Xen", 4);
  test::put(elf, test::kTextInFile + kInText + 16, static_cast<std::uint32_t>(test::kLinked + 0x80));
  test::append(elf, test::three_lists());
  spec_.kaslr = {KaslrPolicy::Kind::kFixed, 0x4000000, {}};
  const auto plan = enter(test::bzimage(test::lz4_payload(elf)), BootMode::kPvh);
  ASSERT_TRUE(plan) << plan.error().text;
  EXPECT_EQ(plan->entry.rip, test::kLinked + 0x4000080);
  EXPECT_EQ(at<std::uint32_t>(plan->kernel->phys_text + kInText + 16), plan->entry.rip);
  EXPECT_EQ(at<std::uint32_t>(plan->kernel->phys_text + kInText + 20), 0x11111111u);
}

TEST_F(BootWays, AKernelWithoutAPvhEntryIsNamedWithWhatItLacks) {
  EXPECT_THAT(error_of(test::elf_file(), BootMode::kPvh), HasSubstr("no PVH entry"));
  const Bytes outside = test::with_pvh_entry(test::elf_file(), test::kLinked + test::kImageBytes);
  EXPECT_THAT(error_of(outside, BootMode::kPvh), HasSubstr("PVH entry, 0x1003000, is outside"));
}

TEST_F(BootWays, AVmlinuxHasNoDecompressorToEnter) {
  for (const BootMode mode : {BootMode::kReal, BootMode::kEntry32, BootMode::kEntry64}) {
    EXPECT_THAT(error_of(test::elf_file(), mode),
                HasSubstr("is a vmlinux, which has no decompressor: --boot=" + std::string(name_of(mode))));
  }
}

TEST_F(BootWays, TheRealModeEntryIsTheSetupCodeWithWhatALoaderWritesIntoItsHeader) {
  add_initrd();
  spec_.cmdline = "quiet";
  const Bytes kernel = test::kernel();
  const auto plan = enter(kernel, BootMode::kReal);
  std::filesystem::remove(*spec_.initrd);
  ASSERT_TRUE(plan) << plan.error().text;
  EXPECT_EQ(plan->entry.mode, EntryMode::kReal);
  EXPECT_EQ(plan->entry.cs, plan->entry.ds + 0x20);
  EXPECT_EQ(plan->entry.rip, 0u);
  EXPECT_EQ(plan->entry.cr0 & 1, 0u);
  const Gpa setup{std::uint64_t{plan->entry.ds} << 4};
  EXPECT_EQ(text_at((setup + 0x300).value), "6.1.0-test (someone@somewhere)");
  const auto header = at<::setup_header>(setup + 0x1f1);
  EXPECT_EQ(header.header, 0x53726448u);
  EXPECT_EQ(header.type_of_loader, 0xff);
  EXPECT_NE(header.loadflags & CAN_USE_HEAP, 0);
  EXPECT_EQ(header.heap_end_ptr, 0xe000 - 0x200);
  EXPECT_EQ(plan->entry.rsp, 0xe000u);
  EXPECT_EQ(header.code32_start, test::kLinked);
  EXPECT_EQ(at<std::uint8_t>(Gpa{header.code32_start}), kernel[test::kBody]);
  EXPECT_EQ(text_at(header.cmd_line_ptr), "quiet");
  EXPECT_EQ(header.ramdisk_size, 10000u);
  EXPECT_EQ(at<char>(Gpa{header.ramdisk_image}), 'Z');
}

TEST_F(BootWays, EveryInterruptLeadsToAStubOfTheBios) {
  ASSERT_TRUE(enter(test::kernel(), BootMode::kReal));
  for (std::uint64_t vector = 0; vector < 256; ++vector) {
    const auto far = at<std::uint32_t>(Gpa{vector * 4});
    const Gpa stub{(far >> 16 << 4) + (far & 0xffffu)};
    EXPECT_EQ(at<std::uint32_t>(stub), 0x90cfb2e6u) << vector;  // out %al, $0xb2; iret; nop
  }
  EXPECT_EQ(at<std::uint16_t>(Gpa{0x413}), 639);
  EXPECT_EQ(std::uint64_t{at<std::uint16_t>(Gpa{0x40e})} << 4, mem::kEbda.value);
  EXPECT_EQ(at<std::uint8_t>(Gpa{0xffffe}), 0xfc);
}

TEST_F(BootWays, TheOtherWaysHaveNoBios) {
  ASSERT_TRUE(enter(test::kernel(), BootMode::kEntry32));
  EXPECT_EQ(at<std::uint32_t>(Gpa{0x40}), 0u);
  EXPECT_EQ(at<std::uint16_t>(Gpa{0x413}), 0u);
}

TEST_F(BootWays, SetupCodeLargerThanItsHalfOfTheSegmentIsDamage) {
  Bytes kernel = test::kernel();
  kernel.resize(kernel.size() + 0x20000);
  kernel[0x1f1] = 64;
  EXPECT_THAT(error_of(kernel, BootMode::kReal), HasSubstr("claims 33280 bytes of real-mode code"));
}

constexpr BootMode kAllModes[] = {BootMode::kReal, BootMode::kEntry32, BootMode::kEntry64, BootMode::kElf,
                                  BootMode::kPvh};

bool is_one_sentence(const std::string& error) {
  return !error.empty() && error.size() < 400 && error.find('\n') == error.npos;
}

TEST_F(BootWays, AKernelCutShortAnywhereIsOneErrorInEveryWay) {
  const Bytes elf = test::with_pvh_entry(test::elf_file(), test::kLinked + 0x80);
  const Bytes bzimage = test::bzimage(test::lz4_payload(elf));
  for (const BootMode mode : kAllModes) {
    for (std::size_t size = 1; size < bzimage.size(); size += size < 0x300 ? 1 : 61) {
      const std::string error = error_of(ByteView(bzimage).first(size), mode);
      ASSERT_TRUE(is_one_sentence(error)) << name_of(mode) << " cut to " << size << ": " << error;
    }
    if (unpacks_itself(mode)) continue;
    for (std::size_t size = 1; size < elf.size(); size += size < 0x300 ? 1 : 61) {
      const std::string error = error_of(ByteView(elf).first(size), mode);
      ASSERT_TRUE(is_one_sentence(error)) << name_of(mode) << " cut to " << size << ": " << error;
    }
  }
}

TEST_F(BootWays, AHeaderThatLiesAboutSizesIsOneErrorInEveryWay) {
  struct Lie {
    const char* field;
    std::size_t at;
    std::uint64_t value;
    std::size_t bytes;
    const char* error;
  };
  constexpr Lie kLies[] = {
      {"setup_sects", 0x1f1, 255, 1, "truncated"},
      {"syssize", 0x1f4, 0xffffffff, 4, "truncated"},
      {"init_size", 0x260, 0, 4, "init_size"},
      {"init_size", 0x260, 0x1000, 4, "init_size"},
      {"init_size", 0x260, 0xffffffff, 4, "init_size"},
      {"init_size", 0x260, 0x40000000, 4, "does not fit in 256 MiB"},
      {"payload_offset", 0x248, 0xfffffff0, 4, "truncated"},
      {"payload_length", 0x24c, 0xffffffff, 4, "truncated"},
      {"pref_address", 0x258, 0, 8, "pref_address"},
      {"pref_address", 0x258, 0x1000001, 8, "pref_address"},
      {"pref_address", 0x258, 0xffffffffffe00000, 8, "pref_address"},
      {"kernel_alignment", 0x230, 0x12345, 4, "alignment"},
      {"kernel_alignment", 0x230, 0x80000000, 4, "pref_address"},
      {"cmdline_size", 0x238, 0, 4, "command line has 5 bytes, and this kernel takes 0"},
      {"initrd_addr_max", 0x22c, 0, 4, "below this kernel's limit"},
      {"initrd_addr_max", 0x22c, 0x1000000, 4, "below this kernel's limit"},
  };
  add_initrd();
  spec_.cmdline = "quiet";
  const Bytes kernel =
      test::bzimage(test::lz4_payload(test::with_pvh_entry(test::elf_file(), test::kLinked + 0x80)));
  for (const Lie& lie : kLies) {
    Bytes lying = kernel;
    for (std::size_t i = 0; i < lie.bytes; ++i)
      lying[lie.at + i] = static_cast<std::uint8_t>(lie.value >> (8 * i));
    for (const BootMode mode : kAllModes) {
      const bool only_for_unpacking = std::string_view(lie.error).starts_with("does not fit");
      if (only_for_unpacking && !unpacks_itself(mode)) continue;
      const std::string error = error_of(lying, mode);
      EXPECT_THAT(error, HasSubstr(lie.error)) << lie.field << " in mode " << name_of(mode);
      EXPECT_TRUE(is_one_sentence(error)) << error;
    }
  }
  std::filesystem::remove(*spec_.initrd);
}

TEST_F(BootWays, ACommandLineTooLongIsAnErrorInEveryWay) {
  spec_.cmdline = std::string(2048, 'a');
  const Bytes kernel =
      test::bzimage(test::lz4_payload(test::with_pvh_entry(test::elf_file(), test::kLinked + 0x80)));
  for (const BootMode mode : kAllModes)
    EXPECT_THAT(error_of(kernel, mode), HasSubstr("2048 bytes, and this kernel takes 2047")) << name_of(mode);
}

TEST_F(BootWays, AnInitrdBeyondRamIsAnErrorInEveryWay) {
  spec_.initrd = file_.string() + ".initrd";
  std::ofstream(*spec_.initrd) << "x";
  std::filesystem::resize_file(*spec_.initrd, 255 * kMiB);
  const Bytes kernel =
      test::bzimage(test::lz4_payload(test::with_pvh_entry(test::elf_file(), test::kLinked + 0x80)));
  for (const BootMode mode : kAllModes)
    EXPECT_THAT(error_of(kernel, mode), HasSubstr("the initrd of 255 MiB does not fit")) << name_of(mode);
  std::filesystem::remove(*spec_.initrd);
}

TEST_F(BootWays, WhereTheKernelUnpacksItselfKaslrOffIsSaidOnItsCommandLine) {
  spec_.kaslr.kind = KaslrPolicy::Kind::kOff;
  spec_.cmdline = "quiet";
  for (const BootMode mode : {BootMode::kReal, BootMode::kEntry32, BootMode::kEntry64}) {
    ASSERT_TRUE(enter(test::kernel(), mode));
    EXPECT_EQ(text_at(mem::kCmdline.value), "nokaslr quiet");
  }
  ASSERT_TRUE(enter(test::kernel(), BootMode::kElf));
  EXPECT_EQ(text_at(mem::kCmdline.value), "quiet");
}

}  // namespace
}  // namespace ringside::boot
