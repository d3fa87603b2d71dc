#include "vmm/boot/elf.hpp"

#include <gmock/gmock.h>

#include "images.hpp"

namespace ringside::boot {
namespace {

using test::kImageBytes;
using test::kLinked;
using test::kText;
using test::put;
using testing::HasSubstr;

std::string error_of(ByteView file) {
  const auto elf = parse_elf(file);
  return elf ? "" : elf.error().text;
}

TEST(Elf, MeasuresTheImageByPhysicalAddress) {
  const Bytes file = test::elf_file();
  const auto elf = parse_elf(file);
  ASSERT_TRUE(elf) << elf.error().text;
  EXPECT_EQ(elf->segments.size(), 2u);
  EXPECT_EQ(elf->linked_at, Gpa{kLinked});
  EXPECT_EQ(elf->text, Gva{kText});
  EXPECT_EQ(elf->image_bytes, kImageBytes);
  EXPECT_EQ(elf->entry_offset, 0x40u);
  EXPECT_EQ(elf->file_end, file.size());
  ASSERT_EQ(elf->build_id.size(), 20u);
  EXPECT_EQ(elf->build_id[19], 19);
}

TEST(Elf, AVirtualEntryIsTheSamePlace) {
  Bytes file = test::elf_file();
  Elf64_Ehdr header = test::ehdr();
  header.e_entry = kText + 0x80;
  put(file, 0, header);
  EXPECT_EQ(parse_elf(file)->entry_offset, 0x80u);
}

TEST(Elf, WhatFollowsTheHeadersIsNotTheFile) {
  EXPECT_EQ(parse_elf(test::relocatable_elf_file())->file_end, test::elf_file().size());
}

TEST(Elf, SectionHeadersAndSectionsBelongToTheFile) {
  Bytes file = test::elf_file();
  const std::size_t sections = file.size();
  Elf64_Ehdr header = test::ehdr();
  header.e_shoff = sections;
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shnum = 2;
  put(file, 0, header);
  put(file, sections, Elf64_Shdr{});
  Elf64_Shdr section{};
  section.sh_type = SHT_PROGBITS;
  section.sh_offset = sections + 2 * sizeof section;
  section.sh_size = 16;
  put(file, sections + sizeof section, section);
  file.resize(file.size() + 16 + 4);
  EXPECT_EQ(parse_elf(file)->file_end, file.size() - 4);
  EXPECT_THAT(error_of(ByteView(file).first(sections + 100)), HasSubstr("truncated"));
}

TEST(Elf, CopiesSegmentsAndLeavesTheRestZero) {
  const Bytes file = test::elf_file();
  Bytes image(kImageBytes);
  copy_segments(*parse_elf(file), file, image);
  EXPECT_EQ(load<std::uint64_t>(image.data()), kText);
  EXPECT_EQ(image[0xfff], 0x11);
  EXPECT_EQ(image[0x1000], 0x22);
  EXPECT_EQ(image[0x17ff], 0x22);
  EXPECT_EQ(image[0x1800], 0);
  EXPECT_EQ(image[0x2fff], 0);
}

TEST(Elf, WrongKindsAreNamed) {
  Bytes file = test::elf_file();
  file[EI_CLASS] = ELFCLASS32;
  EXPECT_THAT(error_of(file), HasSubstr("32-bit ELF"));

  file = test::elf_file();
  put(file, offsetof(Elf64_Ehdr, e_machine), std::uint16_t{EM_AARCH64});
  EXPECT_THAT(error_of(file), HasSubstr("another machine"));

  file = test::elf_file();
  put(file, offsetof(Elf64_Ehdr, e_type), std::uint16_t{ET_REL});
  EXPECT_THAT(error_of(file), HasSubstr("object file"));

  file = test::elf_file();
  put(file, 0x40, test::phdr(PT_LOAD, test::kTextInFile, 0x400000, 0, 0x1000, 0x1000));
  EXPECT_THAT(error_of(file), HasSubstr("not a kernel"));
}

TEST(Elf, EveryTruncationIsAnError) {
  const Bytes file = test::elf_file();
  for (std::size_t size = 0; size < file.size(); size += 7)
    EXPECT_NE(error_of(ByteView(file).first(size)), "") << size;
}

TEST(Elf, ImpossibleSegmentsAreRefused) {
  constexpr std::uint64_t kHuge = ~std::uint64_t{0};
  Bytes file = test::elf_file();
  put(file, 0x40, test::phdr(PT_LOAD, 0, kText, kLinked, 0x1000, kHuge));
  EXPECT_THAT(error_of(file), HasSubstr("no kernel is that large"));
  put(file, 0x40, test::phdr(PT_LOAD, 0, kText, kHuge - 0xfff, 0x1000, 0x1000));
  EXPECT_THAT(error_of(file), HasSubstr("no kernel is that large"));
  put(file, 0x40, test::phdr(PT_LOAD, kHuge - 0xfff, kText, kLinked, 0x1000, 0x1000));
  EXPECT_THAT(error_of(file), HasSubstr("truncated"));
  put(file, 0x40, test::phdr(PT_LOAD, 0, kText, kLinked, 0x1000, 0x800));
  EXPECT_THAT(error_of(file), HasSubstr("truncated"));
  put(file, 0x40, test::phdr(PT_LOAD, 0, kText, 0x80000000, 0x1000, 0x1000));
  EXPECT_THAT(error_of(file), HasSubstr("no kernel is that large"));
}

TEST(Elf, AnEntryOutsideIsRefused) {
  Bytes file = test::elf_file();
  put(file, offsetof(Elf64_Ehdr, e_entry), std::uint64_t{0x500000});
  EXPECT_THAT(error_of(file), HasSubstr("entry point"));
}

TEST(Elf, DamagedNotesOnlyCostTheBuildId) {
  Bytes file = test::elf_file();
  put(file, test::kNoteInFile, Elf64_Nhdr{0xffffffff, 0xffffffff, NT_GNU_BUILD_ID});
  ASSERT_TRUE(parse_elf(file));
  EXPECT_TRUE(parse_elf(file)->build_id.empty());
}

}  // namespace
}  // namespace ringside::boot
