// Finds out where the guest's kernel has got to, at the first moment that this can be known: a CPU runs in the
// kernel's half of the address space and reads or writes EFER, as the startup code of every kernel does right after
// it has put its own page tables into force (Linux arch/x86/kernel/head_64.S, secondary_startup_64).
//
// Thread: the vCPUs', several at once; forget() while all are parked.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>

#include "vmm/api/machine.hpp"

namespace ringside::hub {

// Where a kernel runs.  It may not be the one that was loaded: kexec starts others.
struct KernelPlace {
  Gva text;                 // _text
  Gpa at;                   // its physical address
  std::uint64_t bytes = 0;  // mapped from there on, in one piece
  Gva link_text;            // _text in the unrelocated vmlinux
  bool as_loaded = false;   // it is the kernel that was loaded: its banner is where it should be

  std::uint64_t slide() const { return text - link_text; }
  bool operator==(const KernelPlace&) const = default;
};

// The kernel's mapping is what __startup_64 has left present of the first GiB below the modules: from _text to
// _end in pages of 2 MiB (Linux arch/x86/boot/startup/map_kernel.c, before 6.15 kernel/head64.c).
std::optional<KernelPlace> find_kernel(const x86::PagingState& paging, const PhysicalMemory& memory,
                                       const api::MachineInfo& info);

class KernelSpotter {
 public:
  KernelSpotter(const PhysicalMemory& memory, const api::MachineInfo& info) : memory_(memory), info_(info) {}

  // A kernel that has just come to its place; once for each that starts.
  std::optional<KernelPlace> look(api::VcpuAccess& vcpu, const api::GuestEvent& event);
  void forget();

 private:
  const PhysicalMemory& memory_;
  const api::MachineInfo& info_;
  std::mutex mutex_;
  std::optional<KernelPlace> last_;  // guarded by mutex_
  std::uint64_t startup_ = 0;        // where in it EFER was read first; likewise
};

}  // namespace ringside::hub
