#include "stub/session/cpu_text.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "arch/x86/control.hpp"

namespace ringside::session {
namespace {

using x86::PagingMode;
using x86::Reg;

constexpr std::uint64_t kPresent = x86::bit(0), kLarge = x86::bit(7), kNoExecute = x86::bit(63);

// Bits of an entry, in the words of SDM 3A tables 4-5 to 4-20.
std::string entry_flags(std::uint64_t entry, bool is_leaf, bool rights) {
  std::string text;
  const auto add = [&](bool set, const char* word) {
    if (set) text += fmt::format(" {}", word);
  };
  const auto on = [entry](unsigned number) { return (entry >> number & 1u) != 0; };
  if (rights) {
    add(true, on(1) ? "write" : "read-only");
    add(true, on(2) ? "user" : "kernel");
  }
  add(on(3), "write-through");
  add(on(4), "uncached");
  add(rights && on(5), "accessed");
  add(is_leaf && on(6), "dirty");
  add(is_leaf && on(8), "global");
  add((entry & kNoExecute) != 0, "no-execute");
  return text;
}

struct LevelShape {
  const char* name;
  unsigned shift;  // of the index in the address
  unsigned bits;   // of it
};

LevelShape shape_of(PagingMode mode, unsigned level) {
  static constexpr std::array kNames = {"?", "PT", "PD", "PDPT", "PML4", "PML5"};
  const char* name = kNames[std::min<std::size_t>(level, 5)];
  if (mode == PagingMode::k32Bit) return {name, 12 + 10 * (level - 1), 10};
  const unsigned bits = mode == PagingMode::kPae && level == 3 ? 2 : 9;
  return {name, 12 + 9 * (level - 1), bits};
}

std::string size_text(std::uint64_t bytes) {
  if (bytes >= 1u << 30) return fmt::format("{} GiB", bytes >> 30);
  return bytes >= 1u << 20 ? fmt::format("{} MiB", bytes >> 20) : fmt::format("{} KiB", bytes >> 10);
}

std::string level_line(PagingMode mode, const x86::WalkLevel& level, Gva at) {
  const LevelShape shape = shape_of(mode, level.level);
  const std::uint64_t index = at.value >> shape.shift & (x86::bit(shape.bits) - 1);
  const int width = mode == PagingMode::k32Bit ? 8 : 16;
  std::string text = fmt::format("{:<4} [{:#05x}] at {:#x}: {:0{}x}", shape.name, index, level.entry_at.value,
                                 level.entry, width);
  if ((level.entry & kPresent) == 0) return text + " not present\n";
  const bool large = (level.entry & kLarge) != 0 && level.level > 1;
  const bool is_leaf = level.level == 1 || large;
  const bool rights = mode != PagingMode::kPae || level.level != 3;  // a PAE PDPT's entry has none
  text += is_leaf ? " page," : " table,";
  return text + entry_flags(level.entry, is_leaf, rights) + '\n';
}

std::string fault_text(const x86::WalkLevels& walk, PagingMode mode) {
  using Why = x86::WalkFault::Why;
  const x86::WalkFault fault = walk.result.error();
  const std::string where = fault.level == 0 ? "" : fmt::format(" ({})", shape_of(mode, fault.level).name);
  switch (fault.why) {
    case Why::kNotPresent: {
      const bool empty = walk.count == 0 || walk.storage[walk.count - 1].entry == 0;
      return fmt::format("not mapped{}: {}\n", where,
                         empty
                             ? "the entry is empty"
                             : "the entry is not present, and what else is in it is the kernel's own (a page "
                               "in swap or on its way, or one without access)");
    }
    case Why::kReserved:
      return fmt::format("not mapped{}: a bit is set that has to be zero\n", where);
    case Why::kMemoryMissing:
      return fmt::format("not mapped{}: there is no memory where the table should be\n", where);
    case Why::kNonCanonical:
      break;
  }
  return "no address of this mode: the upper bits do not repeat the highest that counts\n";
}

}  // namespace

x86::PagingState paging_of(const x86::RegisterFile& registers) {
  return {.cr0 = registers.u64(Reg::kCr0),
          .cr3 = registers.u64(Reg::kCr3),
          .cr4 = registers.u64(Reg::kCr4),
          .efer = registers.u64(Reg::kEfer)};
}

std::string page_table_text(const x86::PagingState& paging, Gva at, const PhysicalMemory& memory) {
  const PagingMode mode = x86::paging_mode(paging);
  if (mode == PagingMode::kNone) return fmt::format("paging is off: {0:#x} is {0:#x}\n", at.value);
  const x86::WalkLevels walk = x86::walk_levels(paging, at, memory);
  std::string text = fmt::format("{}, CR3 {:#x}\n", x86::to_text(mode), paging.cr3);
  for (const x86::WalkLevel& level : walk.levels()) text += level_line(mode, level, at);
  if (!walk.result) return text + fmt::format("{:#x} is ", at.value) + fault_text(walk, mode);
  const x86::Leaf& leaf = *walk.result;
  return text + fmt::format("{:#x} is {:#x}, in a page of {}: read{}{}, {}\n", at.value, leaf.gpa.value,
                            size_text(leaf.page_size), leaf.writable ? " write" : "",
                            leaf.executable ? " execute" : "", leaf.user ? "user too" : "kernel only");
}

namespace {

bool in_long_mode(const x86::RegisterFile& registers) {
  return (registers.u64(Reg::kEfer) & x86::efer::kLma) != 0;
}
bool in_real_mode(const x86::RegisterFile& registers) {
  return (registers.u64(Reg::kCr0) & x86::cr0::kPe) == 0;
}

// SDM 3A table 6-1.
constexpr std::array<std::string_view, 32> kExceptions = {"#DE divide",
                                                          "#DB debug",
                                                          "NMI",
                                                          "#BP breakpoint",
                                                          "#OF overflow",
                                                          "#BR bound",
                                                          "#UD invalid opcode",
                                                          "#NM no FPU",
                                                          "#DF double fault",
                                                          "FPU overrun",
                                                          "#TS invalid TSS",
                                                          "#NP not present",
                                                          "#SS stack",
                                                          "#GP protection",
                                                          "#PF page fault",
                                                          "",
                                                          "#MF FPU",
                                                          "#AC alignment",
                                                          "#MC machine check",
                                                          "#XM SIMD",
                                                          "#VE virtualization",
                                                          "#CP control",
                                                          "",
                                                          "",
                                                          "",
                                                          "",
                                                          "",
                                                          "",
                                                          "#HV hypervisor",
                                                          "#VC VMM communication",
                                                          "#SX security",
                                                          ""};

std::string vector_name(unsigned vector) {
  return vector < kExceptions.size() ? std::string(kExceptions[vector]) : std::string();
}

const char* gate_type(unsigned type) {
  if (type == 5) return "task gate";
  if (type == 6 || type == 7) return type == 6 ? "16-bit interrupt gate" : "16-bit trap gate";
  return type == 0xe ? "interrupt gate" : type == 0xf ? "trap gate" : "no gate of a known type";
}

struct Gate {
  bool readable = false, present = false;
  unsigned selector = 0, ist = 0, type = 0, dpl = 0;
  Gva target;
};

// SDM 3A figures 6-2 (32-bit) and 6-8 (64-bit); in real mode a far pointer (SDM 3B 20.1.4).
Gate read_gate(const x86::RegisterFile& registers, const VirtualMemory& memory, unsigned vector) {
  const bool is_long = in_long_mode(registers), real = in_real_mode(registers);
  const unsigned size = is_long ? 16 : real ? 4 : 8;
  std::array<std::uint8_t, 16> raw{};
  Gate gate;
  if (size * vector + size - 1 > registers.u64(Reg::kIdtrLimit)) return gate;
  const Gva at{registers.u64(Reg::kIdtrBase) + std::uint64_t{size} * vector};
  gate.readable = memory.read(at, MutableByteView(raw).first(size));
  if (!gate.readable) return gate;
  if (real) {
    gate.present = true;
    gate.selector = load<std::uint16_t>(raw.data() + 2);
    gate.target = Gva{load<std::uint16_t>(raw.data())};
    return gate;
  }
  const unsigned kind = raw[5];
  gate.present = (kind & 0x80u) != 0;
  gate.dpl = kind >> 5 & 3u;
  gate.type = kind & 0x1fu;
  gate.selector = load<std::uint16_t>(raw.data() + 2);
  gate.ist = is_long ? raw[4] & 7u : 0;
  gate.target =
      Gva{load<std::uint16_t>(raw.data()) | std::uint64_t{load<std::uint16_t>(raw.data() + 6)} << 16};
  if (is_long) gate.target.value |= std::uint64_t{load<std::uint32_t>(raw.data() + 8)} << 32;
  return gate;
}

std::string gate_line(const Gate& gate, unsigned vector, bool real, const NameOf& name) {
  if (real) return fmt::format("{:#04x} {:04x}:{:04x}\n", vector, gate.selector, gate.target.value);
  const std::string what = vector_name(vector), symbol = name(gate.target);
  return fmt::format("{:#04x}{}{}: {} to {:#x}:{:#x}{}{} dpl {}{}\n", vector, what.empty() ? "" : " ", what,
                     gate_type(gate.type), gate.selector, gate.target.value, symbol.empty() ? "" : " ",
                     symbol, gate.dpl, gate.ist == 0 ? std::string() : fmt::format(" ist {}", gate.ist));
}

}  // namespace

std::string idt_text(const x86::RegisterFile& registers, const VirtualMemory& memory,
                     std::optional<unsigned> vector, const NameOf& name) {
  const bool real = in_real_mode(registers);
  if (vector) {
    const Gate gate = read_gate(registers, memory, *vector);
    if (gate.present) return gate_line(gate, *vector, real, name);
    return fmt::format("{:#04x}: {}\n", *vector,
                       gate.readable ? "the gate is not present" : "beyond the table's limit, or not mapped");
  }
  std::string text = fmt::format("IDT at {:#x} limit {:#x}{}\n", registers.u64(Reg::kIdtrBase),
                                 registers.u64(Reg::kIdtrLimit), real ? ", real mode" : "");
  bool any = false;
  for (unsigned i = 0; i < 256; ++i) {
    const Gate gate = read_gate(registers, memory, i);
    if (gate.present) text += gate_line(gate, i, real, name);
    any = any || gate.readable;
  }
  return any ? text : text + "nothing of it can be read: any interrupt or exception is a triple fault\n";
}

namespace {

// SDM 3A tables 3-1 and 3-2.
std::string descriptor_type(std::uint64_t raw, bool is_long) {
  const auto type = static_cast<unsigned>(raw >> 40 & 0xfu);
  const bool is_system = (raw >> 44 & 1u) == 0;
  if (is_system) {
    if (type == 2) return "LDT";
    if (type == 9 || type == 0xb) return type == 9 ? "TSS, free" : "TSS, busy";
    if (type == 1 || type == 3) return type == 1 ? "16-bit TSS, free" : "16-bit TSS, busy";
    return fmt::format("system, type {:#x}", type);
  }
  const bool l = (raw >> 53 & 1u) != 0, d = (raw >> 54 & 1u) != 0;
  const char* size = is_long && l ? "64-bit" : d ? "32-bit" : "16-bit";
  if ((type & 8u) != 0)
    return fmt::format("{} code{}{}", size, (type & 2u) != 0 ? ", readable" : "",
                       (type & 4u) != 0 ? ", conforming" : "");
  return fmt::format("data{}{}", (type & 2u) != 0 ? ", writable" : "",
                     (type & 4u) != 0 ? ", grows down" : "");
}

}  // namespace

// SDM 3A figure 3-8; system descriptors take two entries in long mode (7.2.3).
std::string gdt_text(const x86::RegisterFile& registers, const VirtualMemory& memory) {
  const bool is_long = in_long_mode(registers);
  const std::uint64_t base = registers.u64(Reg::kGdtrBase), limit = registers.u64(Reg::kGdtrLimit);
  std::string text = fmt::format("GDT at {:#x} limit {:#x}\n", base, limit);
  for (std::uint64_t at = 0; at + 7 <= limit; at += 8) {
    const auto raw = memory.load_at<std::uint64_t>(Gva{base + at});
    if (!raw) return text + fmt::format("{:#04x}: cannot be read\n", at);
    if (*raw == 0) continue;
    std::uint64_t begin = (*raw >> 16 & 0xffffff) | (*raw >> 56 << 24);
    std::uint64_t size = (*raw & 0xffff) | (*raw >> 32 & 0xf0000);
    if ((*raw >> 55 & 1u) != 0) size = size << 12 | 0xfff;
    const std::uint64_t shown = at;
    if (is_long && (*raw >> 44 & 1u) == 0) {
      at += 8;
      begin |= std::uint64_t{memory.load_at<std::uint32_t>(Gva{base + at}).value_or(0)} << 32;
    }
    text += fmt::format("{:#04x}: {:016x} {} dpl {}{} base {:#x} limit {:#x}\n", shown, *raw,
                        descriptor_type(*raw, is_long), *raw >> 45 & 3u,
                        (*raw >> 47 & 1u) != 0 ? "" : " not present", begin, size);
  }
  return text;
}

}  // namespace ringside::session
