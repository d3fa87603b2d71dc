// The head of a dump: segments, notes, and where RAM begins in the file.
#include "stub/guestos/vmcore.hpp"

#include <elf.h>

#include <gmock/gmock.h>

namespace ringside::guestos {
namespace {

using x86::Reg;

template <typename T>
T at(const Bytes& file, std::uint64_t offset) {
  EXPECT_LE(offset + sizeof(T), file.size());
  return load<T>(file.data() + offset);
}

struct Note {
  std::string name;
  std::uint32_t type = 0;
  std::uint64_t contents = 0, size = 0;
};

std::vector<Note> notes_of(const Bytes& file) {
  const auto segment = at<Elf64_Phdr>(file, sizeof(Elf64_Ehdr));
  EXPECT_EQ(segment.p_type, PT_NOTE);
  EXPECT_EQ(segment.p_offset + segment.p_filesz, file.size());
  std::vector<Note> notes;
  for (std::uint64_t offset = segment.p_offset; offset < file.size();) {
    const auto header = at<Elf64_Nhdr>(file, offset);
    const auto aligned = [](std::uint64_t size) { return (size + 3) & ~std::uint64_t{3}; };
    const std::uint64_t name = offset + sizeof header, contents = name + aligned(header.n_namesz);
    notes.push_back(
        {reinterpret_cast<const char*>(file.data() + name), header.n_type, contents, header.n_descsz});
    offset = contents + aligned(header.n_descsz);
  }
  return notes;
}

std::vector<DumpedCpu> two_cpus() {
  std::vector<DumpedCpu> cpus(2);
  cpus[0].registers.set_u64(Reg::kRip, 0x1111);
  cpus[1].registers.set_u64(Reg::kRip, 0xffffffff81002222);
  cpus[1].registers.set_u64(Reg::kRsp, 0x3333);
  cpus[1].registers.set_u64(Reg::kCs, 0x10);
  cpus[1].registers.set_u64(Reg::kCr3, 0x4000);
  cpus[1].pid = 77;
  return cpus;
}

TEST(Vmcore, HasTheRegistersOfEveryCpuAndTheKernelsText) {
  std::array ram = {DumpedRam{.begin = Gpa{0}, .bytes = 0x10000}};
  const Bytes head = make_vmcore_head(two_cpus(), "OSRELEASE=6.1\n", std::nullopt, ram);
  const std::vector<Note> notes = notes_of(head);

  ASSERT_EQ(notes.size(), 5u);
  EXPECT_EQ(notes[1].name, "CORE");
  EXPECT_EQ(notes[1].type, NT_PRSTATUS);
  EXPECT_EQ(notes[1].size, 336u);
  EXPECT_EQ(at<std::uint32_t>(head, notes[1].contents + 32), 77u);
  constexpr std::uint64_t kRegisters = 112;  // of user_regs_struct: rip is the 17th, cs, eflags, rsp follow
  EXPECT_EQ(at<std::uint64_t>(head, notes[0].contents + kRegisters + 8 * 16), 0x1111u);
  EXPECT_EQ(at<std::uint64_t>(head, notes[1].contents + kRegisters + 8 * 16), 0xffffffff81002222u);
  EXPECT_EQ(at<std::uint64_t>(head, notes[1].contents + kRegisters + 8 * 17), 0x10u);
  EXPECT_EQ(at<std::uint64_t>(head, notes[1].contents + kRegisters + 8 * 19), 0x3333u);
  EXPECT_EQ(notes[3].name, "QEMU");
  EXPECT_EQ(at<std::uint32_t>(head, notes[3].contents), 1u);
  EXPECT_EQ(at<std::uint32_t>(head, notes[3].contents + 4), notes[3].size);
  EXPECT_EQ(at<std::uint64_t>(head, notes[3].contents + 8 + 18 * 8 + 10 * 24 + 3 * 8), 0x4000u);
  EXPECT_EQ(notes[4].name, "VMCOREINFO");
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(head.data() + notes[4].contents), notes[4].size),
            "OSRELEASE=6.1\n");
}

TEST(Vmcore, RamOnBothSidesOfTheHoleLiesAtItsPhysicalAddresses) {
  std::array ram = {DumpedRam{.begin = Gpa{0}, .bytes = 3ull << 30},
                    DumpedRam{.begin = Gpa{4ull << 30}, .bytes = 1ull << 30}};
  const Bytes head = make_vmcore_head(two_cpus(), {}, std::nullopt, ram);

  EXPECT_EQ(at<Elf64_Ehdr>(head, 0).e_phnum, 3);
  EXPECT_EQ(at<Elf64_Ehdr>(head, 0).e_type, ET_CORE);
  EXPECT_EQ(notes_of(head).size(), 4u);
  for (std::size_t i = 0; i < ram.size(); ++i) {
    const auto segment = at<Elf64_Phdr>(head, sizeof(Elf64_Ehdr) + (1 + i) * sizeof(Elf64_Phdr));
    EXPECT_EQ(segment.p_type, PT_LOAD);
    EXPECT_EQ(segment.p_paddr, ram[i].begin.value);
    EXPECT_EQ(segment.p_filesz, ram[i].bytes);
    EXPECT_EQ(segment.p_offset, ram[i].file_offset);
    EXPECT_EQ(segment.p_offset % kPageSize, 0u);
  }
  EXPECT_GE(ram[0].file_offset, head.size());
  EXPECT_EQ(ram[1].file_offset, ram[0].file_offset + ram[0].bytes);
}

TEST(Vmcore, SegmentsHaveTheKernelsAddressesWhereTheyAreKnown) {
  std::array ram = {DumpedRam{.begin = Gpa{0}, .bytes = 0x1000000}};
  KernelMaps maps{.direct = Gva{0xffff888000000000},
                  .text = Gva{0xffffffff81000000},
                  .text_at = Gpa{0x200000},
                  .text_bytes = 0x300000};
  const Bytes head = make_vmcore_head(two_cpus(), {}, maps, ram);

  ASSERT_EQ(at<Elf64_Ehdr>(head, 0).e_phnum, 3);
  const auto text = at<Elf64_Phdr>(head, sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr));
  EXPECT_EQ(text.p_vaddr, 0xffffffff81000000u);
  EXPECT_EQ(text.p_paddr, 0x200000u);
  EXPECT_EQ(text.p_filesz, 0x300000u);
  EXPECT_EQ(text.p_offset, ram[0].file_offset + 0x200000);
  EXPECT_EQ(at<Elf64_Phdr>(head, sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Phdr)).p_vaddr, 0xffff888000000000u);

  maps.text_at = Gpa{0xffffffffff000000};  // what a guest says may be wrong
  EXPECT_EQ(at<Elf64_Ehdr>(make_vmcore_head(two_cpus(), {}, maps, ram), 0).e_phnum, 2);
  maps.text_at = Gpa{0xe00000};
  EXPECT_EQ(at<Elf64_Ehdr>(make_vmcore_head(two_cpus(), {}, maps, ram), 0).e_phnum, 2);
}

}  // namespace
}  // namespace ringside::guestos
