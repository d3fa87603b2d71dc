// How the guest kernel comes to its own text: an int3 of ours must not be in the way.
//
// Before Linux patches a place it looks whether what is there is what it expects, and after it has patched it
// reads back what it has written (ftrace_verify_code, __text_poke: BUG if it differs).  That an int3 stands there
// cannot be hidden from a load.  But these loads are made in two functions, and what they do is simple: at their
// entry, and only where an int3 is concerned, it is done here instead.
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
#include "vmm/api/vcpu.hpp"

namespace ringside::hub {

class TextGuard {
 public:
  // Reads the kernel's tables of what it will patch.
  TextGuard(const KnownKernel& known, const VirtualMemory& memory);

  // Where the functions begin; empty when this kernel has other ones.
  std::vector<Gva> entries() const;
  bool is_entry(Gva at) const { return at == copies_ || at == pokes_; }
  // Why no int3 may stand here now; null: it may.
  const char* forbids(Gva at, const PhysicalMemory& memory) const;
  // Whether that will ever change.
  bool forbids_for_good(Gva at) const { return std::ranges::binary_search(sites_, at); }

  // At such an entry: does all of it and returns to the caller, if the place has to do with an int3 of ours.
  // Thread: the vCPU's.
  bool serve(api::VcpuAccess& vcpu, Gva entry, const PointSnapshot& points, PhysicalMemory& memory,
             GuestWrites& writes) const;

 private:
  bool copy_from_kernel(const x86::CpuContext& cpu, const PointSnapshot& points, PhysicalMemory& memory,
                        std::uint64_t& result) const;
  bool poke(api::VcpuAccess& vcpu, const x86::CpuContext& cpu, const PointSnapshot& points,
            PhysicalMemory& memory, GuestWrites& writes, std::uint64_t& result) const;

  Gva copies_;                  // copy_from_kernel_nofault(dst, src, size)
  Gva pokes_;                   // __text_poke(how, addr, src, len)
  Gva by_copy_, by_fill_;       // how: text_poke_memcpy, text_poke_memset
  std::vector<Gva> sites_;      // sorted
  std::vector<Gva> once_;       // sorted: instructions that are patched in the kernel's boot
  std::optional<Gpa> patched_;  // a word that says that they have been
};

}  // namespace ringside::hub
