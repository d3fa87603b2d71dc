#include "vmm/boot/elf.hpp"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include <elf.h>

#include <fmt/format.h>

#include "vmm/mem/layout.hpp"

namespace ringside::boot {
namespace {

constexpr std::uint64_t kMaxImage = mem::kGiB;  // KERNEL_IMAGE_SIZE: the kernel's own window (mm.rst)

// T at `offset`, or nothing when the file ends before.
template <typename T>
std::optional<T> at(ByteView file, std::uint64_t offset) {
  if (offset > file.size() || file.size() - offset < sizeof(T)) return std::nullopt;
  return load<T>(file.data() + offset);
}

bool within(ByteView file, std::uint64_t offset, std::uint64_t bytes) {
  return offset <= file.size() && bytes <= file.size() - offset;
}

Unexpected<Error> truncated() {
  return fail(Errc::kMalformed, "is truncated: its ELF headers point beyond the end of the file");
}

Result<Elf64_Ehdr> header(ByteView file) {
  if (file.size() > EI_CLASS && file[EI_CLASS] == ELFCLASS32) {
    return fail(Errc::kUnsupported, "is a 32-bit ELF file: ringside boots 64-bit kernels only");
  }
  const auto ehdr = at<Elf64_Ehdr>(file, 0);
  if (!ehdr) return truncated();
  if (ehdr->e_ident[EI_CLASS] != ELFCLASS64 || ehdr->e_ident[EI_DATA] != ELFDATA2LSB ||
      ehdr->e_machine != EM_X86_64) {
    return fail(Errc::kUnsupported,
                fmt::format("is an ELF file for another machine (e_machine {}): an x86-64 "
                            "vmlinux is needed",
                            ehdr->e_machine));
  }
  if ((ehdr->e_type != ET_EXEC && ehdr->e_type != ET_DYN) || ehdr->e_phentsize != sizeof(Elf64_Phdr)) {
    return fail(Errc::kMalformed, "is an ELF file that cannot be loaded (an object file or a core dump)");
  }
  return *ehdr;
}

// Where the last byte that a header accounts for lies.  Section headers normally end a vmlinux, but tools
// that strip may put sections behind them.  A file with more than 65279 sections has their number in section
// 0.
Result<std::uint64_t> accounted_end(ByteView file, const Elf64_Ehdr& ehdr) {
  std::uint64_t end = ehdr.e_phoff + std::uint64_t{ehdr.e_phnum} * sizeof(Elf64_Phdr);
  if (ehdr.e_shoff == 0) return end;
  const auto first = at<Elf64_Shdr>(file, ehdr.e_shoff);
  if (!first || ehdr.e_shentsize != sizeof(Elf64_Shdr)) return truncated();
  const std::uint64_t count = ehdr.e_shnum != 0 ? ehdr.e_shnum : first->sh_size;
  if (count > file.size() / sizeof(Elf64_Shdr) || !within(file, ehdr.e_shoff, count * sizeof(Elf64_Shdr))) {
    return truncated();
  }
  end = std::max(end, ehdr.e_shoff + count * sizeof(Elf64_Shdr));
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto section = load<Elf64_Shdr>(file.data() + ehdr.e_shoff + i * sizeof(Elf64_Shdr));
    if (section.sh_type == SHT_NOBITS || section.sh_type == SHT_NULL) continue;
    if (!within(file, section.sh_offset, section.sh_size)) return truncated();
    end = std::max(end, section.sh_offset + section.sh_size);
  }
  return end;
}

std::optional<PvhNote> pvh_note(ByteView file, ByteView value) {
  const auto offset = static_cast<std::uint64_t>(value.data() - file.data());
  if (value.size() == 4) return PvhNote{load<std::uint32_t>(value.data()), offset, 4};
  if (value.size() == 8) return PvhNote{load<std::uint64_t>(value.data()), offset, 8};
  return std::nullopt;
}

void take_note(ElfImage& elf, ByteView file, std::uint32_t type, std::string_view name, ByteView value) {
  constexpr std::uint32_t kPhys32Entry = 18;  // Xen: public/elfnote.h, XEN_ELFNOTE_PHYS32_ENTRY
  constexpr std::size_t kLongestBuildId = 64;
  const bool build_id = name == std::string_view("GNU\0", 4) && type == NT_GNU_BUILD_ID;
  if (build_id && elf.build_id.empty() && value.size() <= kLongestBuildId) {
    elf.build_id.assign(value.begin(), value.end());
  }
  const bool pvh = name == std::string_view("Xen\0", 4) && type == kPhys32Entry;
  if (pvh && !elf.pvh) elf.pvh = pvh_note(file, value);
}

// Notes: three words (name size, descriptor size, type), name, descriptor, each padded to 4 bytes.
void take_notes(ElfImage& elf, ByteView file, ByteView notes) {
  while (const auto note = at<Elf64_Nhdr>(notes, 0)) {
    const std::uint64_t name = sizeof(Elf64_Nhdr);
    const std::uint64_t desc = name + ((std::uint64_t{note->n_namesz} + 3) & ~std::uint64_t{3});
    const std::uint64_t next = desc + ((std::uint64_t{note->n_descsz} + 3) & ~std::uint64_t{3});
    if (!within(notes, desc, note->n_descsz)) return;
    const std::string_view owner(reinterpret_cast<const char*>(notes.data() + name), note->n_namesz);
    take_note(elf, file, note->n_type, owner, notes.subspan(desc, note->n_descsz));
    if (next >= notes.size()) return;
    notes = notes.subspan(static_cast<std::size_t>(next));
  }
}

Result<void> add_segment(ElfImage& elf, ByteView file, const Elf64_Phdr& phdr) {
  if (!within(file, phdr.p_offset, phdr.p_filesz) || phdr.p_filesz > phdr.p_memsz) return truncated();
  if (phdr.p_memsz > kMaxImage || phdr.p_paddr > ~std::uint64_t{0} - kMaxImage) {
    return fail(Errc::kMalformed,
                fmt::format("has a segment of {:#x} bytes at {:#x}: no kernel is that large", phdr.p_memsz,
                            phdr.p_paddr));
  }
  if (elf.segments.empty() || Gpa{phdr.p_paddr} < elf.linked_at) {
    elf.linked_at = {phdr.p_paddr};
    elf.text = {phdr.p_vaddr};
  }
  elf.segments.push_back({phdr.p_offset, phdr.p_filesz, phdr.p_memsz, {phdr.p_paddr}});
  return {};
}

Result<void> read_segments(ElfImage& elf, ByteView file, const Elf64_Ehdr& ehdr) {
  for (std::uint64_t i = 0; i < ehdr.e_phnum; ++i) {
    const auto phdr = at<Elf64_Phdr>(file, ehdr.e_phoff + i * sizeof(Elf64_Phdr));
    if (ehdr.e_phoff > file.size() || !phdr) return truncated();
    elf.file_end = std::max(elf.file_end, phdr->p_offset + phdr->p_filesz);
    if (phdr->p_type == PT_LOAD && phdr->p_memsz != 0) RS_TRY(add_segment(elf, file, *phdr));
    if (phdr->p_type == PT_NOTE && within(file, phdr->p_offset, phdr->p_filesz)) {
      take_notes(elf, file, file.subspan(phdr->p_offset, phdr->p_filesz));
    }
  }
  if (elf.segments.empty()) return fail(Errc::kMalformed, "is an ELF file with nothing to load");
  return {};
}

// vmlinux has its entry as a physical address; a kernel linked otherwise may have the virtual one.
Result<void> measure(ElfImage& elf, std::uint64_t entry) {
  for (const ElfSegment& segment : elf.segments) {
    elf.image_bytes = std::max(elf.image_bytes, segment.linked_at - elf.linked_at + segment.memory_bytes);
  }
  if (elf.linked_at < mem::kOneMiB) {
    return fail(Errc::kMalformed,
                fmt::format("is an x86-64 program, not a kernel: it is linked to load at {:#x}",
                            elf.linked_at.value));
  }
  if (elf.image_bytes > kMaxImage) {
    return fail(Errc::kMalformed, fmt::format("spans {:#x} bytes: no kernel is that large", elf.image_bytes));
  }
  elf.entry_offset = entry - elf.linked_at.value;
  if (elf.entry_offset >= elf.image_bytes) elf.entry_offset = entry - elf.text.value;
  if (elf.entry_offset >= elf.image_bytes) {
    return fail(Errc::kMalformed, fmt::format("has its entry point, {:#x}, outside of what it loads", entry));
  }
  return {};
}

}  // namespace

bool looks_like_elf(ByteView file) {
  return file.size() >= SELFMAG && std::memcmp(file.data(), ELFMAG, SELFMAG) == 0;
}

Result<ElfImage> parse_elf(ByteView file) {
  const Elf64_Ehdr ehdr = RS_TRY(header(file));
  ElfImage elf;
  RS_TRY(read_segments(elf, file, ehdr));
  RS_TRY(measure(elf, ehdr.e_entry));
  const std::uint64_t accounted = RS_TRY(accounted_end(file, ehdr));
  elf.file_end = std::min<std::uint64_t>(std::max(elf.file_end, accounted), file.size());
  return elf;
}

void copy_segments(const ElfImage& elf, ByteView file, MutableByteView image) {
  RS_CHECK(image.size() == elf.image_bytes);
  for (const ElfSegment& segment : elf.segments) {
    const ByteView from = file.subspan(segment.offset, segment.file_bytes);
    std::copy(from.begin(), from.end(),
              image.begin() + static_cast<std::ptrdiff_t>(segment.linked_at - elf.linked_at));
  }
}

}  // namespace ringside::boot
