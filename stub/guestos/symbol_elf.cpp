#include "stub/guestos/symbol_elf.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include <elf.h>

namespace ringside::guestos {
namespace {

enum Section : std::uint16_t { kNone, kText, kData, kPerCpu, kSymbols, kStrings, kSectionNames, kSections };

struct Range {
  std::uint64_t begin = 0, end = 0;
  bool contains(std::uint64_t at) const { return begin <= at && at < end; }
};

// In link addresses.
struct Image {
  Range text, data, per_cpu;

  Section section_of(std::uint64_t at) const {
    if (text.contains(at)) return kText;
    if (data.contains(at)) return kData;
    return per_cpu.contains(at) ? kPerCpu : kNone;
  }
};

Image image_of(const Kernel& kernel) {
  constexpr std::uint64_t kMostPerCpu = 16u << 20;
  const std::uint64_t slide = kernel.slide();
  const auto link = [&](std::string_view name, std::uint64_t otherwise) {
    const auto at = kernel.symbol(name);
    return at ? at->value - slide : otherwise;
  };
  const std::uint64_t begin = kernel.link_text().value;
  const std::uint64_t end = std::max(link("_end", begin + (64u << 20)), begin + 2);
  const std::uint64_t middle = std::clamp(link("_etext", end - 1), begin + 1, end - 1);
  const std::uint64_t per_cpu = kernel.symbol("__per_cpu_end").value_or(Gva{0}).value;
  return {{begin, middle}, {middle, end}, {0, per_cpu < kMostPerCpu ? per_cpu : 0}};
}

template <typename T>
void append(Bytes& to, const T& value) {
  const std::size_t at = to.size();
  to.resize(at + sizeof value);
  std::memcpy(to.data() + at, &value, sizeof value);
}

struct Symbols {
  std::vector<Elf64_Sym> table;
  std::string names{"\0", 1};
  std::uint32_t locals = 0;  // how many come first, as ELF demands
};

Symbols collect(const Kernel& kernel, const Image& image) {
  const std::vector<Kernel::Symbol> all = kernel.all_symbols();
  Symbols symbols;
  std::vector<Elf64_Sym> global;
  symbols.table.push_back({});
  for (std::size_t i = 0; i < all.size(); ++i) {
    const bool per_cpu = image.per_cpu.contains(all[i].at.value);
    const std::uint64_t at = per_cpu ? all[i].at.value : all[i].at.value - kernel.slide();
    const Section section = image.section_of(at);
    if (section == kNone) continue;
    std::size_t next = i + 1;
    while (next < all.size() && all[next].at == all[i].at) ++next;
    const bool is_code = all[i].type == 't' || all[i].type == 'T' || all[i].type == 'W' || all[i].type == 'w';
    const bool is_local = all[i].type >= 'a' && all[i].type != 'w';
    Elf64_Sym symbol{};
    symbol.st_name = static_cast<std::uint32_t>(symbols.names.size());
    const unsigned type = section == kText && is_code ? STT_FUNC : STT_OBJECT;
    symbol.st_info = static_cast<unsigned char>(ELF64_ST_INFO(is_local ? STB_LOCAL : STB_GLOBAL, type));
    symbol.st_shndx = section;
    symbol.st_value = at;
    if (next < all.size()) symbol.st_size = std::min<std::uint64_t>(all[next].at - all[i].at, 1u << 20);
    symbols.names += all[i].name;
    symbols.names += '\0';
    (is_local ? symbols.table : global).push_back(symbol);
  }
  symbols.locals = static_cast<std::uint32_t>(symbols.table.size());
  symbols.table.insert(symbols.table.end(), global.begin(), global.end());
  return symbols;
}

Elf64_Shdr without_contents(std::uint32_t name, const Range& range, std::uint64_t flags) {
  Elf64_Shdr header{};
  header.sh_name = name;
  header.sh_type = SHT_NOBITS;
  header.sh_flags = SHF_ALLOC | flags;
  header.sh_addr = range.begin;
  header.sh_size = range.end - range.begin;
  header.sh_addralign = 1;
  return header;
}

Elf64_Phdr segment(const Range& range, std::uint32_t flags) {
  Elf64_Phdr header{};
  header.p_type = PT_LOAD;
  header.p_flags = flags;
  header.p_vaddr = header.p_paddr = range.begin;
  header.p_memsz = range.end - range.begin;
  header.p_align = 1;
  return header;
}

Elf64_Ehdr file_header(const Image& image, std::uint64_t sections_at) {
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_EXEC;
  header.e_machine = EM_X86_64;
  header.e_version = EV_CURRENT;
  header.e_entry = image.text.begin;
  header.e_phoff = sizeof(Elf64_Ehdr);
  header.e_shoff = sections_at;
  header.e_ehsize = sizeof(Elf64_Ehdr);
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 2;
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shnum = kSections;
  header.e_shstrndx = kSectionNames;
  return header;
}

}  // namespace

// | header | 2 segments | section headers | symbols | their names | the sections' names |
Bytes make_symbol_elf(const Kernel& kernel) {
  constexpr std::string_view kNames{"\0.text\0.data\0.data..percpu\0.symtab\0.strtab\0.shstrtab\0", 53};
  const Image image = image_of(kernel);
  const Symbols symbols = collect(kernel, image);
  const std::uint64_t headers = sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Phdr);
  std::uint64_t at = headers + kSections * sizeof(Elf64_Shdr);
  const auto with_contents = [&at](std::uint32_t name, std::uint32_t type, std::uint64_t size) {
    Elf64_Shdr header{};
    header.sh_name = name;
    header.sh_type = type;
    header.sh_offset = at;
    header.sh_size = size;
    header.sh_addralign = 1;
    at += size;
    return header;
  };
  std::array<Elf64_Shdr, kSections> sections{};
  sections[kText] = without_contents(1, image.text, SHF_EXECINSTR);
  sections[kData] = without_contents(7, image.data, SHF_WRITE);
  sections[kPerCpu] = without_contents(13, image.per_cpu, SHF_WRITE);
  sections[kSymbols] = with_contents(27, SHT_SYMTAB, symbols.table.size() * sizeof(Elf64_Sym));
  sections[kSymbols].sh_link = kStrings;
  sections[kSymbols].sh_info = symbols.locals;
  sections[kSymbols].sh_entsize = sizeof(Elf64_Sym);
  sections[kSymbols].sh_addralign = 8;
  sections[kStrings] = with_contents(35, SHT_STRTAB, symbols.names.size());
  sections[kSectionNames] = with_contents(43, SHT_STRTAB, kNames.size());

  Bytes file;
  file.reserve(at);
  append(file, file_header(image, headers));
  append(file, segment(image.text, PF_R | PF_X));
  append(file, segment(image.data, PF_R | PF_W));
  for (const Elf64_Shdr& section : sections) append(file, section);
  for (const Elf64_Sym& symbol : symbols.table) append(file, symbol);
  file.insert(file.end(), symbols.names.begin(), symbols.names.end());
  file.insert(file.end(), kNames.begin(), kNames.end());
  return file;
}

}  // namespace ringside::guestos
