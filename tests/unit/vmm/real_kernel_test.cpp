// The loader against kernels that people run: RINGSIDE_TEST_KERNELS names bzImages, separated by colons.
#include <cstdlib>
#include <sstream>

#include <gtest/gtest.h>

#include "vmm/boot/bzimage.hpp"
#include "vmm/boot/elf.hpp"
#include "vmm/boot/file.hpp"
#include "vmm/boot/load.hpp"
#include "vmm/boot/payload.hpp"
#include "vmm/boot/relocate.hpp"

namespace ringside::boot {
namespace {

std::vector<std::string> kernels() {
  const char* list = std::getenv("RINGSIDE_TEST_KERNELS");
  std::vector<std::string> found;
  std::istringstream names(list == nullptr ? "" : list);
  for (std::string name; std::getline(names, name, ':');) found.push_back(name);
  return found;
}

// Share of the 64-bit relocations after which the word is an address inside the moved image.
double share_inside(const RelocationTable& table, ByteView image, Gva text, std::uint64_t slide) {
  std::size_t inside = 0;
  for (std::size_t i = 0; i < table.words64.size(); i += 4) {
    const Gva at{static_cast<std::uint64_t>(std::int64_t{ringside::load<std::int32_t>(&table.words64[i])})};
    const auto value = ringside::load<std::uint64_t>(&image[at - text]);
    inside += value - (text + slide).value <= image.size() ? 1 : 0;
  }
  return static_cast<double>(inside) / static_cast<double>(table.words64.size() / 4);
}

TEST(RealKernels, UnpackAndMoveTheWayTheyWould) {
  ASSERT_FALSE(kernels().empty()) << "set RINGSIDE_TEST_KERNELS to bzImages, separated by colons";
  for (const std::string& name : kernels()) {
    SCOPED_TRACE(name);
    const Bytes file = read_file("kernel", name, mem::kGiB).value();
    const HostBytes unpacked = std::move(unpack(parse_bzimage(file)->payload)).value();
    const ElfImage elf = parse_elf(unpacked.view()).value();
    const auto table = parse_relocations(unpacked.view().subspan(elf.file_end));
    ASSERT_TRUE(table);
    EXPECT_GT(table->count(), 10000u);
    Bytes image(elf.image_bytes);
    copy_segments(elf, unpacked.view(), image);
    constexpr std::uint64_t kSlide = 0x1ce00000;
    ASSERT_TRUE(relocate(*table, image, elf.text, kSlide));
    EXPECT_GT(share_inside(*table, image, elf.text, kSlide), 0.99);
  }
}

TEST(RealKernels, LoadWithAndWithoutASlide) {
  ASSERT_FALSE(kernels().empty()) << "set RINGSIDE_TEST_KERNELS to bzImages, separated by colons";
  auto ram = std::move(mem::GuestRam::create(512 * mem::kMiB)).value();
  for (const std::string& name : kernels()) {
    SCOPED_TRACE(name);
    BootSpec spec;
    spec.kernel = name;
    const auto plan = load(spec, ram);
    ASSERT_TRUE(plan) << plan.error().text;
    EXPECT_EQ(plan->build_id.size(), 20u);
    EXPECT_FALSE(plan->version.empty());
    spec.kaslr.kind = KaslrPolicy::Kind::kOff;
    EXPECT_EQ(load(spec, ram)->kernel->slide, 0u);
    spec.mode = BootMode::kEntry64;
    EXPECT_TRUE(load(spec, ram));
  }
}

}  // namespace
}  // namespace ringside::boot
