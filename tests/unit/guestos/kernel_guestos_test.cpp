// The readers against kernels that people run: RINGSIDE_TEST_KERNELS names bzImages, separated by colons.
// Each is unpacked and moved as the monitor would, and lies there as at its first instruction.
#include <chrono>
#include <cstdlib>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stub/guestos/copy.hpp"
#include "stub/guestos/kallsyms.hpp"
#include "stub/guestos/kernel.hpp"
#include "stub/guestos/orc.hpp"
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

Btf types_of(const SymbolTable& symbols, const VirtualMemory& memory) {
  const Gva begin = symbols.find("__start_BTF").value(), end = symbols.find("__stop_BTF").value();
  return std::move(Btf::parse(copy_out(memory, begin, end - begin).bytes)).value();
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

// Behind the first call of one function in another.
Gva behind_call(const Kernel& kernel, const VirtualMemory& image, std::string_view caller,
                std::string_view callee) {
  constexpr std::uint8_t kCall = 0xe8;  // call rel32
  const Gva target = kernel.symbol(callee).value();
  for (Gva at = kernel.symbol(caller).value();; at = at + 1) {
    if (image.load_at<std::uint8_t>(at).value() != kCall) continue;
    const Gva next = at + 5;
    if (next + static_cast<std::uint64_t>(std::int64_t{image.load_at<std::int32_t>(at + 1).value()}) ==
        target)
      return next;
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
    const std::size_t results = sites_of(**kernel, Kind::kResult).size();
    EXPECT_THAT(sites_of(**kernel, Kind::kLeave), SizeIs(results == 1 ? 3 : 4));
    EXPECT_EQ(results == 1, sites_of(**kernel, Kind::kResultRax).empty());
    EXPECT_EQ(around(**kernel, sites_of(**kernel, Kind::kEntry64)[0]), "do_syscall_64");
    EXPECT_EQ(around(**kernel, sites_of(**kernel, Kind::kLeave)[0]) == "entry_SYSCALL_64_after_hwframe",
              results == 0);
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

TEST_F(RealKernels, HaveOrcTablesThatSayWhatCallsAre) {
  for (const std::string& name : kernels()) {
    SCOPED_TRACE(name);
    const test::FlatMemory memory = unpacked(name);
    const SymbolTable symbols = std::move(read_kallsyms(memory, memory.begin())).value();
    const Btf btf = types_of(symbols, memory);
    const auto tables = OrcTables::find(symbols, &btf, std::nullopt, memory);
    ASSERT_TRUE(tables);
    for (const std::string_view function :
         {"do_syscall_64", "vfs_read", "do_exit", "schedule", "get_signal"}) {
      const auto entry = tables->in_kernel(symbols.find(function).value(), memory);
      ASSERT_TRUE(entry) << function;
      EXPECT_EQ(entry->type, OrcEntry::Type::kCall) << function;
      EXPECT_EQ(entry->sp_reg, OrcEntry::Reg::kSp) << function;
      EXPECT_EQ(entry->sp_offset, 8) << function;
      EXPECT_FALSE(entry->signal) << function;
    }
  }
}

TEST_F(RealKernels, HaveAnOrcFormatThatIsToldWithoutTypesToo) {
  for (const std::string& name : kernels()) {
    SCOPED_TRACE(name);
    const test::FlatMemory memory = unpacked(name);
    const SymbolTable symbols = std::move(read_kallsyms(memory, memory.begin())).value();
    const Btf btf = types_of(symbols, memory);
    const auto with = OrcTables::find(symbols, &btf, std::nullopt, memory);
    const auto without = OrcTables::find(symbols, nullptr, std::nullopt, memory);
    ASSERT_TRUE(with && without);
    const std::uint64_t bytes = symbols.find("_etext").value() - memory.begin();
    std::array<std::size_t, 5> seen{};
    std::size_t different = 0;
    for (std::uint64_t at = 0; at < bytes; at += 61) {
      const auto one = with->in_kernel(memory.begin() + at, memory);
      const auto other = without->in_kernel(memory.begin() + at, memory);
      ASSERT_EQ(one.has_value(), other.has_value());
      if (!one) continue;
      ++seen[static_cast<std::size_t>(one->type)];
      if (one->type != other->type || one->signal != other->signal || one->sp_offset != other->sp_offset)
        ++different;
    }
    EXPECT_EQ(different, 0u);
    EXPECT_GT(seen[static_cast<std::size_t>(OrcEntry::Type::kCall)], 10'000u);
    EXPECT_GT(seen[static_cast<std::size_t>(OrcEntry::Type::kRegs)], 10u);
  }
}

TEST_F(RealKernels, HaveStacksThatGoUpToUserMode) {
  constexpr Gva kStack{0xffffc90000100000};
  constexpr std::uint64_t kRegs = 8, kCs = kRegs + 17 * 8;
  for (const std::string& name : kernels()) {
    SCOPED_TRACE(name);
    const test::FlatMemory image = unpacked(name);
    const auto kernel = recognise(image, image.begin());
    ASSERT_TRUE(kernel) << kernel.error().text;
    test::FlatMemory stack(kStack, 4096);
    const test::TwoMemories memory(stack, image);
    const Gva back = behind_call(**kernel, image, "entry_SYSCALL_64_after_hwframe", "do_syscall_64");
    stack.put(kStack, back.value);
    stack.put(kStack + kCs, std::uint64_t{0x33});
    for (const Gva at : {sites_of(**kernel, Kind::kEntry64)[0], (*kernel)->symbol("vfs_read").value(),
                         (*kernel)->symbol("do_exit").value()}) {
      std::array<StackFrame, 8> frames;
      const StackWalk walk = (*kernel)->walk_stack({.ip = at, .sp = kStack}, memory, frames);
      ASSERT_EQ(walk.frames, 2u);
      EXPECT_EQ(frames[0].ip, at);
      EXPECT_EQ(frames[1].ip, back);
      EXPECT_EQ(walk.end, StackWalk::End::kUser);
      EXPECT_EQ(walk.user_regs, kStack + kRegs);
    }
  }
}

}  // namespace
}  // namespace ringside::guestos
