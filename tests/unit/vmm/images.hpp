// Small kernel images made up for tests: an ELF file with two segments, relocations, and a bzImage around it.
#pragma once

#include <cstring>
#include <initializer_list>
#include <string_view>

#include <elf.h>

#include "arch/bytes.hpp"

namespace ringside::test {

inline constexpr std::uint64_t kText = 0xffffffff81000000;
inline constexpr std::uint64_t kLinked = 0x1000000;
inline constexpr std::uint64_t kImageBytes = 0x3000;  // text 0x1000, data 0x800 and bss up to 0x3000
inline constexpr std::size_t kTextInFile = 0x200;
inline constexpr std::size_t kNoteInFile = 0x100;

template <typename T>
void put(Bytes& bytes, std::size_t at, T value) {
  if (bytes.size() < at + sizeof value) bytes.resize(at + sizeof value);
  store(&bytes[at], value);
}

inline void append(Bytes& bytes, ByteView more) {
  for (const std::uint8_t byte : more)
    bytes.push_back(byte);  // GCC 12 misreads insert() here (-Wstringop-overread)
}
inline ByteView view(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

inline Elf64_Ehdr ehdr() {
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_type = ET_EXEC;
  header.e_machine = EM_X86_64;
  header.e_entry = kLinked + 0x40;
  header.e_phoff = sizeof(Elf64_Ehdr);
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 3;
  return header;
}

inline Elf64_Phdr phdr(std::uint32_t type, std::uint64_t offset, std::uint64_t vaddr, std::uint64_t paddr,
                       std::uint64_t file_bytes, std::uint64_t memory_bytes) {
  Elf64_Phdr header{};
  header.p_type = type;
  header.p_offset = offset;
  header.p_vaddr = vaddr;
  header.p_paddr = paddr;
  header.p_filesz = file_bytes;
  header.p_memsz = memory_bytes;
  return header;
}

// text: bytes 0x11, at its begin a 64-bit pointer to itself, a 32-bit pointer at +8, an inverse word at +16.
// data: bytes 0x22, with virtual address 0, as the per-CPU segment has.
inline Bytes elf_file() {
  Bytes file(kTextInFile + 0x1800);
  put(file, 0, ehdr());
  put(file, 0x40, phdr(PT_LOAD, kTextInFile, kText, kLinked, 0x1000, 0x1000));
  put(file, 0x40 + 56, phdr(PT_LOAD, kTextInFile + 0x1000, 0, kLinked + 0x1000, 0x800, 0x2000));
  put(file, 0x40 + 112, phdr(PT_NOTE, kNoteInFile, 0, 0, 12 + 4 + 20, 0));
  put(file, kNoteInFile, Elf64_Nhdr{4, 20, NT_GNU_BUILD_ID});
  std::memcpy(&file[kNoteInFile + 12], "GNU", 4);
  for (std::uint8_t i = 0; i < 20; ++i) file[kNoteInFile + 16 + i] = i;
  std::memset(&file[kTextInFile], 0x11, 0x1000);
  std::memset(&file[kTextInFile + 0x1000], 0x22, 0x800);
  put(file, kTextInFile, kText);
  put(file, kTextInFile + 8, static_cast<std::uint32_t>(kText));
  put(file, kTextInFile + 16, std::uint32_t{0x5000000});
  return file;
}

// Behind the build id a note that names this PVH entry (as linked, physical).
inline Bytes with_pvh_entry(Bytes file, std::uint64_t entry) {
  constexpr std::size_t kAt = kNoteInFile + 36;
  put(file, 0x40 + 112, phdr(PT_NOTE, kNoteInFile, 0, 0, 36 + 24, 0));
  put(file, kAt, Elf64_Nhdr{4, 8, 18});
  std::memcpy(&file[kAt + 12], "Xen", 4);
  put(file, kAt + 16, entry);
  return file;
}

inline Bytes words(std::initializer_list<std::uint32_t> values) {
  Bytes bytes;
  for (const std::uint32_t value : values) append(bytes, bytes_of(value));
  return bytes;
}

// One entry in each list: the pointers that elf_file() has.
inline Bytes three_lists() { return words({0, 0x81000000, 0, 0x81000010, 0, 0x81000008}); }
inline Bytes two_lists() { return words({0, 0x81000000, 0, 0x81000008}); }

inline Bytes relocatable_elf_file() {
  Bytes file = elf_file();
  append(file, three_lists());
  return file;
}

// LZ4 legacy with literals only: a block of up to 64 KiB here, its size, one token.
inline Bytes lz4_payload(ByteView plain) {
  Bytes payload = words({0x184c2102});
  Bytes block{0xf0};
  std::size_t rest = plain.size() - 15;  // plain has at least 15 bytes
  for (; rest >= 255; rest -= 255) block.push_back(255);
  block.push_back(static_cast<std::uint8_t>(rest));
  append(block, plain);
  append(payload, words({static_cast<std::uint32_t>(block.size())}));
  append(payload, block);
  append(payload, words({static_cast<std::uint32_t>(plain.size())}));
  return payload;
}

inline constexpr std::size_t kBody = 5 * 512;  // four setup sectors and the boot sector
inline constexpr std::size_t kPayloadInBody = 0x400;

inline Bytes bzimage(ByteView payload) {
  Bytes file(kBody + kPayloadInBody);
  file[0x1f1] = 4;
  put(file, 0x1fe, std::uint16_t{0xaa55});
  file[0x201] = 0x6a;  // header ends at 0x26c
  std::memcpy(&file[0x202], "HdrS", 4);
  put(file, 0x206, std::uint16_t{0x20f});
  put(file, 0x20e, std::uint16_t{0x100});
  file[0x211] = 1;
  put(file, 0x22c, std::uint32_t{0x7fffffff});
  put(file, 0x230, std::uint32_t{0x200000});
  file[0x234] = 1;
  put(file, 0x236, std::uint16_t{0x7f});
  put(file, 0x238, std::uint32_t{2047});
  put(file, 0x248, static_cast<std::uint32_t>(kPayloadInBody));
  put(file, 0x24c, static_cast<std::uint32_t>(payload.size()));
  put(file, 0x258, kLinked);
  put(file, 0x260, std::uint32_t{0x10000});
  std::memcpy(&file[0x300], "6.1.0-test (someone@somewhere)", 31);
  append(file, payload);
  return file;
}

inline Bytes kernel() { return bzimage(lz4_payload(relocatable_elf_file())); }

}  // namespace ringside::test
