// How the guest kernel comes to its own text: an int3 of ours must not be in the way.
//
// Before Linux patches a place it looks whether what is there is what it expects, and after it has patched it
// reads back what it has written (ftrace_verify_code, __text_poke: BUG if it differs); and it makes trampolines of its own
// text (create_trampoline).  That an int3 stands there cannot be hidden from a load.  But these loads are made in two
// functions, and what they do is simple: at their entry, and only where an int3 is concerned, it is done here instead.
//
// kprobes decode a function from its beginning: they ask a third function for each instruction of it, which does
// likewise.  (A jump over several instructions is not made where one of them has an int3 of ours.)
//
// Some places are read in other ways (static keys and calls, by memcmp): no int3 goes there.  And others are taken
// apart, instruction by instruction, once in the kernel's boot (alternatives, calls and returns through thunks,
// endbr64): none before that.
// Owner: the hub.  Immutable, shared with the vCPU threads.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

#include "arch/guest_view.hpp"
#include "stub/hub/guest_writes.hpp"
#include "stub/hub/kernel_memory.hpp"
#include "stub/hub/module_sites.hpp"
#include "vmm/api/vcpu.hpp"

namespace ringside::hub {

class TextGuard {
 public:
  // Reads the kernel's tables of what it will patch.
  TextGuard(const KnownKernel& known, const VirtualMemory& memory);

  // Where the functions begin; empty when this kernel has other ones.
  std::vector<Gva> entries() const;
  bool is_entry(Gva at) const { return at == copies_ || at == pokes_ || at == recovers_; }
  // Why no int3 may stand here now; null: it may.  `kernel` is the kernel's memory, if that can be read.
  const char* forbids(Gva at, const PhysicalMemory& memory, const VirtualMemory* kernel) const;
  // Where modules are, or might come to be.
  bool is_in_module(Gva at) const { return at >= image_.text + image_.bytes; }
  // Whether that will ever change.
  bool forbids_for_good(Gva at) const;

  // At such an entry: does all of it and returns to the caller, if the place has to do with an int3 of ours.
  // Thread: the vCPU's.
  bool serve(api::VcpuAccess& vcpu, Gva entry, const PointSnapshot& points, PhysicalMemory& memory,
             GuestWrites& writes) const;

 private:
  bool copy_from_kernel(const x86::CpuContext& cpu, const PointSnapshot& points, PhysicalMemory& memory,
                        std::uint64_t& result) const;
  bool recover(const x86::CpuContext& cpu, Gva back, const PointSnapshot& points, PhysicalMemory& memory,
               std::uint64_t& result) const;
  bool poke(api::VcpuAccess& vcpu, const x86::CpuContext& cpu, const PointSnapshot& points,
            PhysicalMemory& memory, GuestWrites& writes, std::uint64_t& result) const;

  ImagePlace image_;
  ModuleSites modules_;
  Gva copies_;    // copy_from_kernel_nofault(dst, src, size)
  Gva pokes_;     // __text_poke(how, addr, src, len)
  Gva recovers_;  // recover_probed_instruction(buf, addr)
  std::vector<GvaRange>
      joins_;               // functions that ask that one in order to put a jump over several instructions
  Gva by_copy_, by_fill_;   // how: text_poke_memcpy, text_poke_memset
  std::vector<Gva> sites_;  // sorted
  std::optional<GvaRange> copied_;
  std::vector<Gva> once_;       // sorted: instructions that are patched in the kernel's boot
  std::optional<Gpa> patched_;  // a word that says that they have been
};

}  // namespace ringside::hub
