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

}  // namespace

void enter_long_mode(const boot::EntryState& entry, kvm_sregs& sregs) {
  constexpr std::uint8_t kCodeReadAccessed = 0xb;
  constexpr std::uint8_t kDataWriteAccessed = 0x3;
  constexpr std::uint8_t kBusyTss = 0xb;
  sregs.cs = flat(entry.cs, kCodeReadAccessed);
  sregs.cs.l = 1;
  kvm_segment data = flat(entry.ds, kDataWriteAccessed);
  data.db = 1;
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
  sregs.tr = {};
  sregs.tr.selector = entry.tr;
  sregs.tr.limit = 0x67;  // a TSS without I/O map (SDM 3A 7.7)
  sregs.tr.type = kBusyTss;
  sregs.tr.present = 1;
  sregs.gdt.base = entry.gdt_base;
  sregs.gdt.limit = entry.gdt_limit;
  sregs.idt.base = 0;
  sregs.idt.limit = 0;
  sregs.cr0 = entry.cr0;
  sregs.cr3 = entry.cr3;
  sregs.cr4 = entry.cr4;
  sregs.efer = entry.efer;
}

}  // namespace ringside::run
