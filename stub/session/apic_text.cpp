// The half of cpu_text.hpp that is about interrupt controllers and MSRs.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "arch/x86/control.hpp"
#include "stub/session/cpu_text.hpp"

namespace ringside::session {
namespace {

constexpr std::array<std::string_view, 8> kDelivery = {"fixed", "lowest", "SMI",     "remote read",
                                                       "NMI",   "INIT",   "startup", "ExtINT"};

// SDM 3A figure 11-8.
std::string lvt_line(const x86::LocalApic& apic, std::string_view name, std::size_t at) {
  const std::uint32_t entry = apic.at(at);
  std::string text = fmt::format("LVT {:<8} {:08x} vector {:#04x}", name, entry, entry & 0xffu);
  if (name == "timer") {
    constexpr std::array<std::string_view, 4> kModes = {"one-shot", "periodic", "TSC deadline", "mode 3"};
    text += fmt::format(", {}", kModes[entry >> 17 & 3u]);
  } else if (name != "error") {
    text += fmt::format(", {}", kDelivery[entry >> 8 & 7u]);
  }
  if (name.starts_with("LINT"))
    text += fmt::format(", {} {}", (entry >> 13 & 1u) != 0 ? "low" : "high",
                        (entry >> 15 & 1u) != 0 ? "level" : "edge");
  if ((entry >> 12 & 1u) != 0) text += ", pending";
  return text + ((entry >> 16 & 1u) != 0 ? ", masked\n" : "\n");
}

// 256 bits in eight registers.
std::string vectors_line(const x86::LocalApic& apic, std::string_view name, std::size_t at) {
  std::string text;
  for (unsigned vector = 0; vector < 256; ++vector) {
    if ((apic.at(at + vector / 32 * 0x10) >> vector % 32 & 1u) != 0) text += fmt::format(" {:#04x}", vector);
  }
  return fmt::format("{}{}\n", name, text.empty() ? " none" : text);
}

// 0 to 6, and 7 for "by 1" (SDM 3A figure 11-10).
unsigned timer_divisor(std::uint32_t divide) {
  const unsigned code = (divide & 3u) | (divide >> 1 & 4u);
  return code == 7 ? 1 : 2u << code;
}

}  // namespace

std::string local_apic_text(const x86::LocalApic& apic, std::uint64_t base) {
  const bool enabled = (base & x86::bit(11)) != 0, x2 = (base & x86::bit(10)) != 0;
  const std::uint32_t version = apic.at(0x30), spurious = apic.at(0xf0);
  // KVM puts the id into the upper byte in both modes, unless asked for more than 8 bits.
  std::string text = fmt::format(
      "APIC {} {}{}{} version {:#x} with {} LVT entries, base {:#x}\n", apic.at(0x20) >> 24,
      !enabled ? "disabled"
      : x2     ? "x2APIC"
               : "xAPIC",
      (base & x86::bit(8)) != 0 ? ", boot CPU," : ",", (spurious & 0x100u) != 0 ? "" : " software-disabled,",
      version & 0xffu, (version >> 16 & 0xffu) + 1, base & ~std::uint64_t{0xfff});
  text += fmt::format("TPR {:#x} PPR {:#x} LDR {:#x} DFR {:#x} SVR {:#x} ESR {:#x} ICR {:#x}\n",
                      apic.at(0x80), apic.at(0xa0), apic.at(0xd0), apic.at(0xe0), spurious, apic.at(0x280),
                      std::uint64_t{apic.at(0x310)} << 32 | apic.at(0x300));
  constexpr std::array<std::pair<std::string_view, std::size_t>, 6> kLvts = {{{"timer", 0x320},
                                                                              {"thermal", 0x330},
                                                                              {"counters", 0x340},
                                                                              {"LINT0", 0x350},
                                                                              {"LINT1", 0x360},
                                                                              {"error", 0x370}}};
  for (const auto& [name, at] : kLvts) text += lvt_line(apic, name, at);
  text += fmt::format("timer counts {} of {}, each {} cycles of the bus\n", apic.at(0x390), apic.at(0x380),
                      timer_divisor(apic.at(0x3e0)));
  text += vectors_line(apic, "ISR", 0x100);
  text += vectors_line(apic, "TMR", 0x180);
  return text + vectors_line(apic, "IRR", 0x200);
}

// 82093AA 3.2.4.
std::string io_apic_text(const x86::IoApic& chip) {
  std::string text = fmt::format("I/O APIC {} at {:#x}, inputs {:#x}\n", chip.id, chip.base, chip.lines);
  for (std::size_t pin = 0; pin < chip.redirection.size(); ++pin) {
    const std::uint64_t entry = chip.redirection[pin];
    const auto on = [entry](unsigned number) { return (entry >> number & 1u) != 0; };
    text += fmt::format("{:>2} {:016x} vector {:#04x}, {} to {} {:#x}, {} {}{}{}{}\n", pin, entry,
                        entry & 0xffu, kDelivery[entry >> 8 & 7u], on(11) ? "logical" : "APIC", entry >> 56,
                        on(13) ? "low" : "high", on(15) ? "level" : "edge", on(12) ? ", pending" : "",
                        on(14) ? ", not acknowledged" : "", on(16) ? ", masked" : "");
  }
  return text;
}

namespace {

struct NamedMsr {
  std::uint32_t number;
  std::string_view name;
};

// SDM 4 table 2-2 without IA32_, AMD APM 2 appendix A, and KVM's own (Linux Documentation/virt/kvm/x86/msr.rst).
constexpr std::array kMsrNames = {
    NamedMsr{0x10, "TSC"},
    NamedMsr{0x1b, "APIC_BASE"},
    NamedMsr{0x3a, "FEATURE_CONTROL"},
    NamedMsr{0x3b, "TSC_ADJUST"},
    NamedMsr{0x48, "SPEC_CTRL"},
    NamedMsr{0x49, "PRED_CMD"},
    NamedMsr{0x8b, "BIOS_SIGN_ID"},
    NamedMsr{0x9e, "SMBASE"},
    NamedMsr{0xcd, "FSB_FREQ"},
    NamedMsr{0xce, "PLATFORM_INFO"},
    NamedMsr{0xfe, "MTRRCAP"},
    NamedMsr{0x10a, "ARCH_CAPABILITIES"},
    NamedMsr{0x10b, "FLUSH_CMD"},
    NamedMsr{0x122, "TSX_CTRL"},
    NamedMsr{0x140, "MISC_FEATURES_ENABLES"},
    NamedMsr{0x174, "SYSENTER_CS"},
    NamedMsr{0x175, "SYSENTER_ESP"},
    NamedMsr{0x176, "SYSENTER_EIP"},
    NamedMsr{0x179, "MCG_CAP"},
    NamedMsr{0x17a, "MCG_STATUS"},
    NamedMsr{0x17b, "MCG_CTL"},
    NamedMsr{0x1a0, "MISC_ENABLE"},
    NamedMsr{0x1d9, "DEBUGCTL"},
    NamedMsr{0x1db, "LASTBRANCHFROMIP"},
    NamedMsr{0x1dc, "LASTBRANCHTOIP"},
    NamedMsr{0x1dd, "LASTINTFROMIP"},
    NamedMsr{0x1de, "LASTINTTOIP"},
    NamedMsr{0x277, "PAT"},
    NamedMsr{0x2ff, "MTRR_DEF_TYPE"},
    NamedMsr{0x345, "PERF_CAPABILITIES"},
    NamedMsr{0x38d, "FIXED_CTR_CTRL"},
    NamedMsr{0x38e, "PERF_GLOBAL_STATUS"},
    NamedMsr{0x38f, "PERF_GLOBAL_CTRL"},
    NamedMsr{0x390, "PERF_GLOBAL_OVF_CTRL"},
    NamedMsr{0x4d0, "MCG_EXT_CTL"},
    NamedMsr{0x6a0, "U_CET"},
    NamedMsr{0x6a2, "S_CET"},
    NamedMsr{0x6a4, "PL0_SSP"},
    NamedMsr{0x6a7, "PL3_SSP"},
    NamedMsr{0x6a8, "INT_SSP_TAB"},
    NamedMsr{0x6e0, "TSC_DEADLINE"},
    NamedMsr{0xd90, "BNDCFGS"},
    NamedMsr{0xda0, "XSS"},
    NamedMsr{0x11, "KVM_WALL_CLOCK"},
    NamedMsr{0x12, "KVM_SYSTEM_TIME"},
    NamedMsr{0x4b564d00, "KVM_WALL_CLOCK_NEW"},
    NamedMsr{0x4b564d01, "KVM_SYSTEM_TIME_NEW"},
    NamedMsr{0x4b564d02, "KVM_ASYNC_PF_EN"},
    NamedMsr{0x4b564d03, "KVM_STEAL_TIME"},
    NamedMsr{0x4b564d04, "KVM_PV_EOI_EN"},
    NamedMsr{0x4b564d05, "KVM_POLL_CONTROL"},
    NamedMsr{0x4b564d06, "KVM_ASYNC_PF_INT"},
    NamedMsr{0x4b564d07, "KVM_ASYNC_PF_ACK"},
    NamedMsr{0x4b564d08, "KVM_MIGRATION_CONTROL"},
    NamedMsr{0xc0000080, "EFER"},
    NamedMsr{0xc0000081, "STAR"},
    NamedMsr{0xc0000082, "LSTAR"},
    NamedMsr{0xc0000083, "CSTAR"},
    NamedMsr{0xc0000084, "SFMASK"},
    NamedMsr{0xc0000100, "FS_BASE"},
    NamedMsr{0xc0000101, "GS_BASE"},
    NamedMsr{0xc0000102, "KERNEL_GS_BASE"},
    NamedMsr{0xc0000103, "TSC_AUX"},
    NamedMsr{0xc0000104, "TSC_RATIO"},
    NamedMsr{0xc0010010, "SYSCFG"},
    NamedMsr{0xc0010015, "HWCR"},
    NamedMsr{0xc001001f, "NB_CFG"},
    NamedMsr{0xc0010055, "INT_PENDING"},
    NamedMsr{0xc0010114, "VM_CR"},
    NamedMsr{0xc0010117, "VM_HSAVE_PA"},
    NamedMsr{0xc0011029, "DE_CFG"},
    NamedMsr{0xc001011f, "VIRT_SPEC_CTRL"},
};

bool same_name(std::string_view a, std::string_view b) {
  const auto upper = [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; };
  return std::ranges::equal(a, b, {}, upper, upper);
}

}  // namespace

std::string_view msr_name(std::uint32_t number) {
  const auto found = std::ranges::find(kMsrNames, number, &NamedMsr::number);
  return found == kMsrNames.end() ? std::string_view() : found->name;
}

std::optional<std::uint32_t> msr_number(std::string_view name) {
  for (const std::string_view prefix : {"IA32_", "MSR_"}) {
    if (name.size() > prefix.size() && same_name(name.substr(0, prefix.size()), prefix))
      name.remove_prefix(prefix.size());
  }
  const auto found =
      std::ranges::find_if(kMsrNames, [name](const NamedMsr& msr) { return same_name(msr.name, name); });
  if (found == kMsrNames.end()) return std::nullopt;
  return found->number;
}

}  // namespace ringside::session
