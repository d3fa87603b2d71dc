#include "stub/guestos/vmcore.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include <elf.h>

namespace ringside::guestos {
namespace {

using x86::Reg;
using x86::RegisterFile;

template <typename T>
void append(Bytes& to, const T& value) {
  const std::size_t at = to.size();
  to.resize(at + sizeof value);
  std::memcpy(to.data() + at, &value, sizeof value);
}

// name and contents each on a 4-byte border (ELF gABI, "Note Section").
void append_note(Bytes& to, std::string_view name, std::uint32_t type, ByteView contents) {
  const auto align = [&to] { to.resize((to.size() + 3) & ~std::size_t{3}); };
  append(to, Elf64_Nhdr{.n_namesz = static_cast<std::uint32_t>(name.size() + 1),
                        .n_descsz = static_cast<std::uint32_t>(contents.size()),
                        .n_type = type});
  to.insert(to.end(), name.begin(), name.end());
  to.push_back(0);
  align();
  to.insert(to.end(), contents.begin(), contents.end());
  align();
}

// struct elf_prstatus of x86-64 (Linux include/linux/elfcore.h; the registers in the order of user_regs_struct).
struct PrStatus {
  std::array<std::uint8_t, 32> signal{};
  std::uint32_t pid = 0;
  std::array<std::uint8_t, 76> family_and_times{};
  std::array<std::uint64_t, 27> registers{};
  std::uint64_t fpu_valid = 0;
};
static_assert(sizeof(PrStatus) == 336);

constexpr std::array kUserRegisters = {
    Reg::kR15,    Reg::kR14,     Reg::kR13, Reg::kR12, Reg::kRbp,    Reg::kRbx, Reg::kR11,
    Reg::kR10,    Reg::kR9,      Reg::kR8,  Reg::kRax, Reg::kRcx,    Reg::kRdx, Reg::kRsi,
    Reg::kRdi,    Reg::kOrigRax, Reg::kRip, Reg::kCs,  Reg::kEflags, Reg::kRsp, Reg::kSs,
    Reg::kFsBase, Reg::kGsBase,  Reg::kDs,  Reg::kEs,  Reg::kFs,     Reg::kGs};
static_assert(kUserRegisters.size() == std::tuple_size_v<decltype(PrStatus::registers)>);

PrStatus pr_status(const DumpedCpu& cpu) {
  PrStatus status;
  status.pid = cpu.pid;
  for (std::size_t i = 0; i < kUserRegisters.size(); ++i)
    status.registers[i] = cpu.registers.u64(kUserRegisters[i]);
  return status;
}

// The note of QEMU's dumps (QEMU target/i386/arch_dump.c, QEMUCPUState version 1), from which crash and drgn
// take the page table and the IDT.  Limits and rights of segments, which nobody reads there, are zero.
struct QemuSegment {
  std::uint32_t selector = 0, limit = 0, rights = 0, padding = 0;
  std::uint64_t base = 0;
};
struct QemuCpuState {
  std::uint32_t version = 1, size = sizeof(QemuCpuState);
  std::array<std::uint64_t, 18> general{};
  std::array<QemuSegment, 6> segments{};
  QemuSegment ldt, tr, gdt, idt;
  std::array<std::uint64_t, 5> control{};
  std::uint64_t kernel_gs_base = 0;
};
static_assert(sizeof(QemuCpuState) == 8 + 18 * 8 + 10 * 24 + 6 * 8);

QemuCpuState qemu_state(const RegisterFile& cpu) {
  using enum Reg;
  constexpr std::array kGeneral = {kRax, kRbx, kRcx, kRdx, kRsi, kRdi, kRsp, kRbp, kR8,
                                   kR9,  kR10, kR11, kR12, kR13, kR14, kR15, kRip, kEflags};
  const auto segment = [&cpu](Reg selector, Reg base) {
    return QemuSegment{.selector = static_cast<std::uint32_t>(cpu.u64(selector)), .base = cpu.u64(base)};
  };
  const auto table = [&cpu](Reg base, Reg limit) {
    return QemuSegment{.limit = static_cast<std::uint32_t>(cpu.u64(limit)), .base = cpu.u64(base)};
  };
  QemuCpuState state;
  for (std::size_t i = 0; i < kGeneral.size(); ++i) state.general[i] = cpu.u64(kGeneral[i]);
  state.segments = {segment(kCs, kCsBase), segment(kDs, kDsBase), segment(kEs, kEsBase),
                    segment(kFs, kFsBase), segment(kGs, kGsBase), segment(kSs, kSsBase)};
  state.ldt = segment(kLdtr, kLdtrBase);
  state.tr = segment(kTr, kTrBase);
  state.gdt = table(kGdtrBase, kGdtrLimit);
  state.idt = table(kIdtrBase, kIdtrLimit);
  state.control = {cpu.u64(kCr0), 0, cpu.u64(kCr2), cpu.u64(kCr3), cpu.u64(kCr4)};
  state.kernel_gs_base = cpu.u64(kKGsBase);
  return state;
}

Elf64_Ehdr file_header(std::size_t segments) {
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_CORE;
  header.e_machine = EM_X86_64;
  header.e_version = EV_CURRENT;
  header.e_phoff = sizeof(Elf64_Ehdr);
  header.e_ehsize = sizeof(Elf64_Ehdr);
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = static_cast<Elf64_Half>(segments);
  return header;
}

Elf64_Phdr load_segment(const DumpedRam& ram, Gva at) {
  Elf64_Phdr header{};
  header.p_type = PT_LOAD;
  header.p_flags = PF_R | PF_W | PF_X;
  header.p_offset = ram.file_offset;
  header.p_vaddr = at.value;
  header.p_paddr = ram.begin.value;
  header.p_filesz = header.p_memsz = ram.bytes;
  return header;
}

// The kernel's image is part of some RAM: the same bytes of the file, at another address.
std::optional<DumpedRam> text_in(std::span<const DumpedRam> ram, const KernelMaps& maps) {
  for (const DumpedRam& one : ram) {
    const std::uint64_t offset = maps.text_at - one.begin;
    if (maps.text_at < one.begin || offset >= one.bytes || maps.text_bytes > one.bytes - offset) continue;
    return DumpedRam{maps.text_at, maps.text_bytes, one.file_offset + offset};
  }
  return std::nullopt;
}

}  // namespace

Result<std::string> read_vmcoreinfo(const Kernel& kernel, const VirtualMemory& memory) {
  constexpr std::uint64_t kMost = 64 * 1024;
  const auto data = kernel.symbol("vmcoreinfo_data");
  const auto size = kernel.symbol("vmcoreinfo_size");
  if (!data || !size) return fail(Errc::kNotFound, "this kernel has no vmcoreinfo (CONFIG_CRASH_CORE)");
  const auto at = memory.load_at<std::uint64_t>(*data);
  const auto bytes = memory.load_at<std::uint64_t>(*size);
  if (!at || !bytes || *at == 0 || *bytes == 0)
    return fail(Errc::kNotFound, "the kernel has not written its vmcoreinfo yet: it is early in its boot");
  if (*bytes > kMost) return fail(Errc::kMalformed, "the kernel's vmcoreinfo has a size that cannot be");
  std::string text(static_cast<std::size_t>(*bytes), '\0');
  if (!memory.read(Gva{*at}, {reinterpret_cast<std::uint8_t*>(text.data()), text.size()}))
    return fail(Errc::kNotMapped, "the kernel's vmcoreinfo cannot be read");
  return text;
}

Result<KernelMaps> find_kernel_maps(const Kernel& kernel, const VirtualMemory& memory) {
  constexpr Gva kImageBase{0xffffffff80000000};  // __START_KERNEL_map
  constexpr Gva kDirect4Levels{0xffff888000000000};
  const auto text = kernel.symbol("_text"), end = kernel.symbol("_end"), base = kernel.symbol("phys_base");
  const auto moved = base ? memory.load_at<std::uint64_t>(*base) : std::nullopt;
  if (!text || !end || !moved || *end <= *text)
    return fail(Errc::kNotFound, "the kernel does not tell where it has mapped itself");
  const auto direct = kernel.symbol("page_offset_base");
  return KernelMaps{
      .direct = direct ? Gva{memory.load_at<std::uint64_t>(*direct).value_or(0)} : kDirect4Levels,
      .text = *text,
      .text_at = Gpa{*text - kImageBase + *moved},
      .text_bytes = (*end - *text + kPageMask) & ~kPageMask};
}

Bytes make_vmcore_head(std::span<const DumpedCpu> cpus, std::string_view vmcoreinfo,
                       const std::optional<KernelMaps>& maps, std::span<DumpedRam> ram) {
  Bytes notes;
  for (const DumpedCpu& cpu : cpus) append_note(notes, "CORE", NT_PRSTATUS, bytes_of(pr_status(cpu)));
  for (const DumpedCpu& cpu : cpus) append_note(notes, "QEMU", 0, bytes_of(qemu_state(cpu.registers)));
  if (!vmcoreinfo.empty())
    append_note(notes, "VMCOREINFO", 0,
                {reinterpret_cast<const std::uint8_t*>(vmcoreinfo.data()), vmcoreinfo.size()});
  const bool has_text = maps && text_in(ram, *maps);
  const std::size_t segments = 1 + (has_text ? 1 : 0) + ram.size();
  const std::uint64_t headers = sizeof(Elf64_Ehdr) + segments * sizeof(Elf64_Phdr);
  std::uint64_t at = (headers + notes.size() + kPageMask) & ~kPageMask;
  for (DumpedRam& one : ram) {
    one.file_offset = at;
    at += one.bytes;
  }
  Bytes head;
  append(head, file_header(segments));
  Elf64_Phdr note{};
  note.p_type = PT_NOTE;
  note.p_offset = headers;
  note.p_filesz = notes.size();
  append(head, note);
  if (has_text) append(head, load_segment(*text_in(ram, *maps), maps->text));
  for (const DumpedRam& one : ram)
    append(head, load_segment(one, maps ? maps->direct + one.begin.value : Gva{0}));
  head.insert(head.end(), notes.begin(), notes.end());
  return head;
}

}  // namespace ringside::guestos
