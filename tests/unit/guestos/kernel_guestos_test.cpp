// The readers against kernels that people run: RINGSIDE_TEST_KERNELS names bzImages, separated by colons.
// Each is unpacked and moved as the monitor would, and lies there as at its first instruction.
#include <chrono>
#include <cstdlib>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stub/guestos/kernel.hpp"
#include "tests/unit/guestos/images.hpp"
#include "vmm/boot/bzimage.hpp"
#include "vmm/boot/elf.hpp"
#include "vmm/boot/file.hpp"
#include "vmm/boot/payload.hpp"
#include "vmm/boot/relocate.hpp"

namespace ringside::guestos {
namespace {

using testing::AnyOf;
using testing::Contains;
using testing::Ge;
using testing::SizeIs;
using Kind = SyscallSite::Kind;

constexpr std::uint64_t kSlide = 0x1ce00000;

std::vector<std::string> kernels() {
  const char* list = std::getenv("RINGSIDE_TEST_KERNELS");
  std::vector<std::string> found;
  std::istringstream names(list == nullptr ? "" : list);
  for (std::string name; std::getline(names, name, ':');) found.push_back(name);
  return found;
}

test::FlatMemory unpacked(const std::string& name) {
  const Bytes file = boot::read_file("kernel", name, std::uint64_t{1} << 30).value();
  const boot::HostBytes payload = std::move(boot::unpack(boot::parse_bzimage(file)->payload)).value();
  const boot::ElfImage elf = boot::parse_elf(payload.view()).value();
  const auto relocations = boot::parse_relocations(payload.view().subspan(elf.file_end));
  Bytes image(elf.image_bytes);
  boot::copy_segments(elf, payload.view(), image);
  EXPECT_TRUE(boot::relocate(*relocations, image, elf.text, kSlide));
  return {elf.text + kSlide, std::move(image)};
}

std::vector<Gva> sites_of(const Kernel& kernel, Kind kind) {
  std::vector<Gva> found;
  for (const SyscallSite& site : kernel.syscall_sites()) {
    if (site.kind == kind) found.push_back(site.at);
  }
  return found;
}

std::string around(const Kernel& kernel, Gva at) {
  return std::string(kernel.nearest(at).value_or(Kernel::Near{}).name);
}

class RealKernels : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_FALSE(kernels().empty()) << "set RINGSIDE_TEST_KERNELS to bzImages, separated by colons";
  }
};

TEST_F(RealKernels, AreRecognisedWithTheirSlideAndIdentity) {
  for (const std::string& name : kernels()) {
    SCOPED_TRACE(name);
    const test::FlatMemory memory = unpacked(name);
    const auto begin = std::chrono::steady_clock::now();
    const auto kernel = recognise(memory, memory.begin() + 0xc00080);
    const auto took = std::chrono::steady_clock::now() - begin;
    ASSERT_TRUE(kernel) << kernel.error().text;
    RecordProperty("milliseconds",
                   static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(took).count()));
    EXPECT_LT(took, std::chrono::seconds(5));
    EXPECT_EQ((*kernel)->slide(), kSlide);
    EXPECT_EQ((*kernel)->link_text() + (*kernel)->slide(), memory.begin());
    EXPECT_TRUE((*kernel)->banner().starts_with("Linux version "));
    EXPECT_EQ((*kernel)->build_id().size(), 40u);
    EXPECT_THAT((*kernel)->all_symbols(), SizeIs(Ge(50'000u)));
  }
}

TEST_F(RealKernels, HaveEverySiteAroundSystemCalls) {
  for (const std::string& name : kernels()) {
    SCOPED_TRACE(name);
    const test::FlatMemory memory = unpacked(name);
    const auto kernel = recognise(memory, memory.begin());
    ASSERT_TRUE(kernel) << kernel.error().text;
    for (const Kind kind : {Kind::kEntry64, Kind::kEntryFast32, Kind::kNewTask, Kind::kExit,
                            Kind::kSignalEntry, Kind::kSignalReturn}) {
      EXPECT_THAT(sites_of(**kernel, kind), SizeIs(1)) << static_cast<int>(kind);
    }
    EXPECT_THAT(sites_of(**kernel, Kind::kEntryInt80), SizeIs(AnyOf(1, 2)));  // two, if it knows FRED
    EXPECT_THAT(sites_of(**kernel, Kind::kEntry32), SizeIs(0));
    EXPECT_THAT(sites_of(**kernel, Kind::kLeave), SizeIs(4));
    const std::size_t results = sites_of(**kernel, Kind::kResult).size();
    EXPECT_EQ(results == 1, sites_of(**kernel, Kind::kResultRax).empty());
    EXPECT_EQ(around(**kernel, sites_of(**kernel, Kind::kEntry64)[0]), "do_syscall_64");
    EXPECT_EQ(around(**kernel, sites_of(**kernel, Kind::kLeave)[0]), "entry_SYSCALL_64_after_hwframe");
    EXPECT_EQ(around(**kernel, sites_of(**kernel, Kind::kSignalReturn)[0]), "arch_do_signal_or_restart");
  }
}

TEST_F(RealKernels, DescribeTheirSystemCalls) {
  constexpr std::uint32_t kRead = 0, kOpenat = 257, kGetpid = 39;
  for (const std::string& name : kernels()) {
    SCOPED_TRACE(name);
    const test::FlatMemory memory = unpacked(name);
    const auto kernel = recognise(memory, memory.begin());
    ASSERT_TRUE(kernel) << kernel.error().text;
    const auto* read = (*kernel)->syscall(kRead);
    ASSERT_NE(read, nullptr);
    EXPECT_EQ(read->name, "read");
    ASSERT_THAT(read->arguments, SizeIs(3));
    EXPECT_EQ(read->arguments[1].type, "char *");
    EXPECT_EQ(read->arguments[1].name, "buf");
    ASSERT_NE((*kernel)->syscall(kOpenat), nullptr);
    EXPECT_EQ((*kernel)->syscall(kOpenat)->name, "openat");
    ASSERT_NE((*kernel)->syscall(kGetpid), nullptr);
    EXPECT_THAT((*kernel)->syscall(kGetpid)->arguments, SizeIs(0));
    EXPECT_EQ((*kernel)->syscall(100'000), nullptr);
  }
}

TEST_F(RealKernels, SayWhereTheirTasksAre) {
  for (const std::string& name : kernels()) {
    SCOPED_TRACE(name);
    const test::FlatMemory memory = unpacked(name);
    const auto kernel = recognise(memory, memory.begin());
    ASSERT_TRUE(kernel) << kernel.error().text;
    const auto init = (*kernel)->symbol("init_task");
    ASSERT_TRUE(init);
    const auto ids = (*kernel)->task_ids(*init, memory);
    ASSERT_TRUE(ids);
    EXPECT_EQ(ids->comm(), "swapper");
    EXPECT_EQ(ids->pid, 0);
    EXPECT_EQ((*kernel)->parent(*init, memory), *init);
    const auto tasks = (*kernel)->tasks(memory);
    ASSERT_TRUE(tasks) << tasks.error().text;
    EXPECT_THAT(*tasks, SizeIs(0));  // nobody but init_task, which is in no list
    const auto modules = (*kernel)->modules(memory);
    ASSERT_TRUE(modules) << modules.error().text;
    EXPECT_THAT(*modules, SizeIs(0));
    EXPECT_EQ((*kernel)->member("list_head", "next"), 0u);
    EXPECT_EQ((*kernel)->size_of("list_head"), 16u);
  }
}

}  // namespace
}  // namespace ringside::guestos
