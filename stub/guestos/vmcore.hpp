// What makes a dump of guest memory a vmcore, which `crash` and `drgn` open: an ELF core whose segments are
// the guest's RAM by physical address, with the registers of every CPU and the kernel's own vmcoreinfo.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "arch/bytes.hpp"
#include "arch/x86/regs.hpp"
#include "stub/guestos/kernel.hpp"

namespace ringside::guestos {

// The kernel's text for those who read its dumps ("OSRELEASE=…"): where its page table is, its slide, its
// structures.  It writes it early in its boot (Linux kernel/crash_core.c).  Allocates.
Result<std::string> read_vmcoreinfo(const Kernel& kernel, const VirtualMemory& memory);

// Where the kernel has mapped physical memory in one piece (Linux Documentation/arch/x86/x86_64/mm.rst).
struct KernelMaps {
  Gva direct;  // all of it, from physical address 0
  Gva text;    // the kernel's image
  Gpa text_at;
  std::uint64_t text_bytes = 0;
};
Result<KernelMaps> find_kernel_maps(const Kernel& kernel, const VirtualMemory& memory);

struct DumpedCpu {
  x86::RegisterFile registers;  // with the groups of the `g` packet
  std::uint32_t pid = 0;        // of the task it runs: drgn takes the registers for that task's alone
};

// RAM of the guest, and where its bytes are to be in the file.
struct DumpedRam {
  Gpa begin;
  std::uint64_t bytes = 0;
  std::uint64_t file_offset = 0;
};

// All of the file up to the first byte of RAM, for which file_offset is set, on page borders.  An empty
// `vmcoreinfo` is left out.  With `maps` segments have the addresses
// that the kernel uses, as in a vmcore of kdump; drgn cannot find the page tables without.
Bytes make_vmcore_head(std::span<const DumpedCpu> cpus, std::string_view vmcoreinfo,
                       const std::optional<KernelMaps>& maps, std::span<DumpedRam> ram);

}  // namespace ringside::guestos
