#include "vmm/kvm/registers.hpp"

#include <algorithm>
#include <array>

#include "vmm/kvm/cpuid.hpp"

namespace ringside::kvm {
namespace {

using x86::Reg;
using x86::RegGroup;
using x86::RegisterFile;

Reg nth(Reg first, std::size_t n) { return static_cast<Reg>(static_cast<std::size_t>(first) + n); }
std::size_t distance(Reg first, Reg reg) {
  return static_cast<std::size_t>(reg) - static_cast<std::size_t>(first);
}
bool within(Reg first, Reg last, Reg reg) { return first <= reg && reg <= last; }

struct MsrRow {
  Reg reg;
  std::uint32_t index;  // SDM 4 table 2-2
};
constexpr std::array kMsrs = {
    MsrRow{Reg::kKGsBase, 0xc0000102},   MsrRow{Reg::kMsrStar, 0xc0000081},
    MsrRow{Reg::kMsrLstar, 0xc0000082},  MsrRow{Reg::kMsrCstar, 0xc0000083},
    MsrRow{Reg::kMsrSfmask, 0xc0000084}, MsrRow{Reg::kMsrSysenterCs, 0x174},
    MsrRow{Reg::kMsrSysenterEsp, 0x175}, MsrRow{Reg::kMsrSysenterEip, 0x176},
    MsrRow{Reg::kMsrPat, 0x277},         MsrRow{Reg::kMsrTsc, 0x10},
    MsrRow{Reg::kMsrTscAux, 0xc0000103},
};
constexpr auto kMsrRegisters = [] {
  std::array<Reg, kMsrs.size()> regs{};
  for (std::size_t i = 0; i < kMsrs.size(); ++i) regs[i] = kMsrs[i].reg;
  return regs;
}();

// Offsets in the legacy FXSAVE region (SDM 1 table 10-2, 64-bit form).
constexpr std::size_t kFcw = 0, kFsw = 2, kFtw = 4, kFop = 6, kFip = 8, kFipHigh = 12, kFdp = 16,
                      kFdpHigh = 20, kMxcsr = 24, kSt0 = 32, kXmm0 = 160, kXstateBv = 512;

// The tag word as two bits a register out of FXSAVE's one bit (SDM 1 8.1.7, 10.5.1.1).
std::uint16_t full_tag_word(const std::uint8_t* area) {
  const unsigned top = load<std::uint16_t>(area + kFsw) >> 11 & 7u;
  unsigned tags = 0;
  for (unsigned physical = 0; physical < 8; ++physical) {
    unsigned tag = 3;  // empty
    if ((area[kFtw] >> physical & 1u) != 0) {
      const std::uint8_t* value = area + kSt0 + 16 * ((physical + 8 - top) & 7u);
      const auto mantissa = load<std::uint64_t>(value);
      const unsigned exponent = load<std::uint16_t>(value + 8) & 0x7fffu;
      if (exponent == 0 && mantissa == 0) {
        tag = 1;  // zero
      } else {
        tag = exponent != 0x7fff && exponent != 0 && (mantissa >> 63) != 0 ? 0 : 2;  // valid or special
      }
    }
    tags |= tag << (2 * physical);
  }
  return static_cast<std::uint16_t>(tags);
}

std::uint8_t abridged_tag_word(std::uint64_t tags) {
  unsigned bits = 0;
  for (unsigned physical = 0; physical < 8; ++physical) {
    if ((tags >> (2 * physical) & 3u) != 3) bits |= 1u << physical;
  }
  return static_cast<std::uint8_t>(bits);
}

void pack_legacy(const std::uint8_t* area, RegisterFile& into) {
  for (std::size_t i = 0; i < 8; ++i) into.set_raw(nth(Reg::kSt0, i), {area + kSt0 + 16 * i, 10});
  for (std::size_t i = 0; i < 16; ++i) into.set_raw(nth(Reg::kXmm0, i), {area + kXmm0 + 16 * i, 16});
  into.set_u64(Reg::kFctrl, load<std::uint16_t>(area + kFcw));
  into.set_u64(Reg::kFstat, load<std::uint16_t>(area + kFsw));
  into.set_u64(Reg::kFtag, full_tag_word(area));
  into.set_u64(Reg::kFiseg, load<std::uint16_t>(area + kFipHigh));
  into.set_u64(Reg::kFioff, load<std::uint32_t>(area + kFip));
  into.set_u64(Reg::kFoseg, load<std::uint16_t>(area + kFdpHigh));
  into.set_u64(Reg::kFooff, load<std::uint32_t>(area + kFdp));
  into.set_u64(Reg::kFop, load<std::uint16_t>(area + kFop) & 0x7ffu);
  into.set_u64(Reg::kMxcsr, load<std::uint32_t>(area + kMxcsr));
  into.set_available(RegGroup::kFpu, true);
}

bool unpack_legacy(Reg reg, ByteView value, std::uint8_t* area) {
  const auto put = [&](std::size_t at, std::size_t size) { std::copy_n(value.data(), size, area + at); };
  if (within(Reg::kSt0, Reg::kSt7, reg)) {
    put(kSt0 + 16 * distance(Reg::kSt0, reg), 10);
  } else if (within(Reg::kXmm0, Reg::kXmm15, reg)) {
    put(kXmm0 + 16 * distance(Reg::kXmm0, reg), 16);
  } else {
    switch (reg) {
      case Reg::kFctrl:
        put(kFcw, 2);
        break;
      case Reg::kFstat:
        put(kFsw, 2);
        break;
      case Reg::kFtag:
        area[kFtw] = abridged_tag_word(load<std::uint32_t>(value.data()));
        break;
      case Reg::kFiseg:
        put(kFipHigh, 2);
        break;
      case Reg::kFioff:
        put(kFip, 4);
        break;
      case Reg::kFoseg:
        put(kFdpHigh, 2);
        break;
      case Reg::kFooff:
        put(kFdp, 4);
        break;
      case Reg::kFop:
        put(kFop, 2);
        break;
      case Reg::kMxcsr:
        put(kMxcsr, 4);
        break;
      default:
        return false;
    }
  }
  return true;
}

// One run of equal registers inside an extended component.
struct VectorRun {
  Reg first;
  Reg last;
  std::optional<std::size_t> XsaveLayout::*component;
  unsigned component_number;
  std::size_t stride;
  std::size_t skip;  // bytes before the part that is this register
  RegGroup group;
};
constexpr std::array kVectorRuns = {
    VectorRun{Reg::kYmm0h, Reg::kYmm15h, &XsaveLayout::avx, 2, 16, 0, RegGroup::kAvx},
    VectorRun{Reg::kMask0, Reg::kMask7, &XsaveLayout::opmask, 5, 8, 0, RegGroup::kAvx512},
    VectorRun{Reg::kZmm0h, Reg::kZmm15h, &XsaveLayout::zmm_hi256, 6, 32, 0, RegGroup::kAvx512},
    VectorRun{Reg::kXmm16, Reg::kXmm31, &XsaveLayout::hi16_zmm, 7, 64, 0, RegGroup::kAvx512},
    VectorRun{Reg::kYmm16h, Reg::kYmm31h, &XsaveLayout::hi16_zmm, 7, 64, 16, RegGroup::kAvx512},
    VectorRun{Reg::kZmm16h, Reg::kZmm31h, &XsaveLayout::hi16_zmm, 7, 64, 32, RegGroup::kAvx512},
    VectorRun{Reg::kPkru, Reg::kPkru, &XsaveLayout::pkru, 9, 8, 0, RegGroup::kPkru},
};

void set_xstate_bv(MutableByteView area, std::uint64_t bits) {
  store(area.data() + kXstateBv, load<std::uint64_t>(area.data() + kXstateBv) | bits);
}

const kvm_segment* segment_of(Reg reg, const kvm_sregs& sregs) {
  switch (reg) {
    case Reg::kCs:
    case Reg::kCsBase:
      return &sregs.cs;
    case Reg::kSs:
    case Reg::kSsBase:
      return &sregs.ss;
    case Reg::kDs:
    case Reg::kDsBase:
      return &sregs.ds;
    case Reg::kEs:
    case Reg::kEsBase:
      return &sregs.es;
    case Reg::kFs:
    case Reg::kFsBase:
      return &sregs.fs;
    case Reg::kGs:
    case Reg::kGsBase:
      return &sregs.gs;
    case Reg::kTr:
    case Reg::kTrBase:
      return &sregs.tr;
    case Reg::kLdtr:
    case Reg::kLdtrBase:
      return &sregs.ldt;
    default:
      return nullptr;
  }
}

constexpr std::array kSelectors = {Reg::kCs, Reg::kSs, Reg::kDs, Reg::kEs,
                                   Reg::kFs, Reg::kGs, Reg::kTr, Reg::kLdtr};
constexpr std::array kBases = {Reg::kCsBase, Reg::kSsBase, Reg::kDsBase, Reg::kEsBase,
                               Reg::kFsBase, Reg::kGsBase, Reg::kTrBase, Reg::kLdtrBase};

}  // namespace

x86::CoreRegs from_kvm(const kvm_regs& r) {
  return {.gpr = {r.rax, r.rcx, r.rdx, r.rbx, r.rsp, r.rbp, r.rsi, r.rdi, r.r8, r.r9, r.r10, r.r11, r.r12,
                  r.r13, r.r14, r.r15},
          .rip = r.rip,
          .rflags = r.rflags};
}

kvm_regs to_kvm(const x86::CoreRegs& core) {
  const auto& g = core.gpr;
  kvm_regs r{};
  r.rax = g[x86::kRax], r.rcx = g[x86::kRcx], r.rdx = g[x86::kRdx], r.rbx = g[x86::kRbx];
  r.rsp = g[x86::kRsp], r.rbp = g[x86::kRbp], r.rsi = g[x86::kRsi], r.rdi = g[x86::kRdi];
  r.r8 = g[8], r.r9 = g[9], r.r10 = g[10], r.r11 = g[11];
  r.r12 = g[12], r.r13 = g[13], r.r14 = g[14], r.r15 = g[15];
  r.rip = core.rip;
  r.rflags = core.rflags;
  return r;
}

void put_system(const kvm_sregs& s, x86::CpuContext& into) {
  into.paging = {.cr0 = s.cr0, .cr3 = s.cr3, .cr4 = s.cr4, .efer = s.efer};
  into.cs = {.base = s.cs.base,
             .selector = s.cs.selector,
             .long_mode = s.cs.l != 0,
             .default_big = s.cs.db != 0,
             .cpl = static_cast<std::uint8_t>(s.ss.dpl)};  // SS.DPL is the CPL (SDM 3C 24.4.1)
  into.gs_base = s.gs.base;
}

void pack_system(const kvm_sregs& s, RegisterFile& into) {
  for (const Reg reg : kSelectors) into.set_u64(reg, segment_of(reg, s)->selector);
  for (const Reg reg : kBases) into.set_u64(reg, segment_of(reg, s)->base);
  into.set_u64(Reg::kFsBase, s.fs.base);
  into.set_u64(Reg::kGsBase, s.gs.base);
  into.set_u64(Reg::kCr0, s.cr0);
  into.set_u64(Reg::kCr2, s.cr2);
  into.set_u64(Reg::kCr3, s.cr3);
  into.set_u64(Reg::kCr4, s.cr4);
  into.set_u64(Reg::kCr8, s.cr8);
  into.set_u64(Reg::kEfer, s.efer);
  into.set_u64(Reg::kGdtrBase, s.gdt.base);
  into.set_u64(Reg::kGdtrLimit, s.gdt.limit);
  into.set_u64(Reg::kIdtrBase, s.idt.base);
  into.set_u64(Reg::kIdtrLimit, s.idt.limit);
  into.set_u64(Reg::kMsrApicBase, s.apic_base);
  into.set_available(RegGroup::kSystem, true);
}

bool unpack_system(Reg reg, std::uint64_t value, kvm_sregs& s) {
  if (const kvm_segment* found = segment_of(reg, s); found != nullptr) {
    auto* segment = const_cast<kvm_segment*>(found);
    if (std::ranges::find(kSelectors, reg) != kSelectors.end()) {
      segment->selector = static_cast<std::uint16_t>(value);
    } else {
      segment->base = value;
    }
    return true;
  }
  switch (reg) {
    case Reg::kCr0:
      s.cr0 = value;
      break;
    case Reg::kCr2:
      s.cr2 = value;
      break;
    case Reg::kCr3:
      s.cr3 = value;
      break;
    case Reg::kCr4:
      s.cr4 = value;
      break;
    case Reg::kCr8:
      s.cr8 = value;
      break;
    case Reg::kEfer:
      s.efer = value;
      break;
    case Reg::kGdtrBase:
      s.gdt.base = value;
      break;
    case Reg::kGdtrLimit:
      s.gdt.limit = static_cast<std::uint16_t>(value);
      break;
    case Reg::kIdtrBase:
      s.idt.base = value;
      break;
    case Reg::kIdtrLimit:
      s.idt.limit = static_cast<std::uint16_t>(value);
      break;
    case Reg::kMsrApicBase:
      s.apic_base = value;
      break;
    default:
      return false;
  }
  return true;
}

std::optional<std::uint32_t> msr_index(Reg reg) {
  const auto* row = std::ranges::find(kMsrs, reg, &MsrRow::reg);
  if (row == kMsrs.end()) return std::nullopt;
  return row->index;
}

std::span<const Reg> msr_registers() { return kMsrRegisters; }

XsaveLayout XsaveLayout::of(const std::vector<kvm_cpuid_entry2>& cpuid) {
  return {.avx = xsave_offset(cpuid, 2),
          .opmask = xsave_offset(cpuid, 5),
          .zmm_hi256 = xsave_offset(cpuid, 6),
          .hi16_zmm = xsave_offset(cpuid, 7),
          .pkru = xsave_offset(cpuid, 9)};
}

void pack_xsave(ByteView area, const XsaveLayout& layout, x86::RegGroups groups, RegisterFile& into) {
  if (groups.contains(RegGroup::kFpu)) pack_legacy(area.data(), into);
  const auto in_use = load<std::uint64_t>(area.data() + kXstateBv);
  for (const VectorRun& run : kVectorRuns) {
    const auto offset = layout.*run.component;
    if (!offset || !groups.contains(run.group)) continue;
    // A component that is not in use has its initial value, zero, whatever lies in the area (SDM 1 13.6).
    const bool initial = (in_use >> run.component_number & 1u) == 0;
    for (std::size_t i = 0; i <= distance(run.first, run.last); ++i) {
      const Reg reg = nth(run.first, i);
      const std::size_t at = *offset + run.stride * i + run.skip;
      const std::size_t size = x86::info(reg).bytes;
      if (at + size > area.size()) continue;
      if (initial) {
        into.set_u64(reg, 0);
      } else {
        into.set_raw(reg, area.subspan(at, size));
      }
    }
    into.set_available(run.group, true);
  }
}

bool unpack_xsave(Reg reg, ByteView value, const XsaveLayout& layout, MutableByteView area) {
  if (unpack_legacy(reg, value, area.data())) {
    set_xstate_bv(area, 3);  // x87 and SSE
    return true;
  }
  for (const VectorRun& run : kVectorRuns) {
    const auto offset = layout.*run.component;
    if (!within(run.first, run.last, reg) || !offset) continue;
    const std::size_t at = *offset + run.stride * distance(run.first, reg) + run.skip;
    if (at + value.size() > area.size()) return false;
    std::ranges::copy(value, area.begin() + static_cast<std::ptrdiff_t>(at));
    set_xstate_bv(area, std::uint64_t{1} << run.component_number);
    return true;
  }
  return false;
}

}  // namespace ringside::kvm
