#include "vmm/run/entry_registers.hpp"

namespace ringside::run {
namespace {

// A flat segment as a descriptor would load it (SDM 3A 3.4.5): present, 4 KiB granular.
kvm_segment flat(std::uint16_t selector, std::uint8_t type) {
  kvm_segment segment{};
  segment.selector = selector;
  segment.limit = 0xffffffff;
  segment.type = type;
  segment.present = 1;
  segment.s = 1;
  segment.g = 1;
  return segment;
}

constexpr std::uint8_t kCodeReadAccessed = 0xb;
constexpr std::uint8_t kDataWriteAccessed = 0x3;

// A segment of real mode (SDM 3A 20.1.1).
kvm_segment paragraph(std::uint16_t selector, std::uint8_t type) {
  kvm_segment segment = flat(selector, type);
  segment.base = std::uint64_t{selector} << 4;
  segment.limit = 0xffff;
  segment.g = 0;
  return segment;
}

void set_segments(const boot::EntryState& entry, kvm_sregs& sregs) {
  if (entry.mode == boot::EntryMode::kReal) {
    sregs.cs = paragraph(entry.cs, kCodeReadAccessed);
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = paragraph(entry.ds, kDataWriteAccessed);
    return;
  }
  const bool wide = entry.mode == boot::EntryMode::kLong;
  sregs.cs = flat(entry.cs, kCodeReadAccessed);
  sregs.cs.l = wide ? 1 : 0;
  sregs.cs.db = wide ? 0 : 1;
  kvm_segment data = flat(entry.ds, kDataWriteAccessed);
  data.db = 1;
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
}

}  // namespace

void enter(const boot::EntryState& entry, kvm_sregs& sregs) {
  constexpr std::uint8_t kBusyTss = 0xb;
  constexpr std::uint16_t kInterruptTableLimit = 0x3ff;
  set_segments(entry, sregs);
  sregs.tr = {};
  sregs.tr.selector = entry.tr;
  sregs.tr.limit = 0x67;  // a TSS without I/O map (SDM 3A 7.7)
  sregs.tr.type = kBusyTss;
  sregs.tr.present = 1;
  sregs.gdt.base = entry.gdt_base;
  sregs.gdt.limit = entry.gdt_limit;
  sregs.idt.base = 0;
  sregs.idt.limit = entry.mode == boot::EntryMode::kReal ? kInterruptTableLimit : 0;
  sregs.cr0 = entry.cr0;
  sregs.cr3 = entry.cr3;
  sregs.cr4 = entry.cr4;
  sregs.efer = entry.efer;
}

}  // namespace ringside::run
