// /dev/kvm: opening it, what it can do, and the CPUID it offers.  Thread: any, before the VM exists.
#pragma once

#include <memory>
#include <vector>

#include <linux/kvm.h>

#include "arch/result.hpp"
#include "vmm/kvm/fd.hpp"

namespace ringside::kvm {

// What a debugger needs of KVM beyond the basics; optional ones are used where present.
struct Capabilities {
  bool step_blocks_irq = false;  // KVM_GUESTDBG_BLOCKIRQ
  bool sync_regs = false;        // KVM_CAP_SYNC_REGS with registers, system registers
  bool readonly_mem = false;     // KVM_CAP_READONLY_MEM
  bool xsave2 = false;           // KVM_CAP_XSAVE2, with its size
  std::size_t xsave_bytes = 4096;
  bool tsc_deadline = false;
  bool triple_fault_event = false;
  bool exit_on_emulation_failure = false;
  bool msr_filter = false;  // KVM_CAP_X86_MSR_FILTER, with exits to us (KVM_CAP_X86_USER_SPACE_MSR)
};

class System {
 public:
  // The error says what to do: no /dev/kvm, no permission, an API that is not version 12, a capability
  // missing.
  static Result<System> open();

  const Fd& fd() const { return fd_; }
  const Capabilities& capabilities() const { return capabilities_; }
  std::size_t run_page_bytes() const { return run_page_bytes_; }
  Result<std::vector<kvm_cpuid_entry2>> supported_cpuid() const;
  // Numbers of the MSRs that can be read and written (KVM api 4.3); ascending.
  Result<std::vector<std::uint32_t>> msr_numbers() const;

 private:
  System(Fd fd, Capabilities capabilities, std::size_t run_page_bytes)
      : fd_(std::move(fd)), capabilities_(capabilities), run_page_bytes_(run_page_bytes) {}

  Fd fd_;
  Capabilities capabilities_;
  std::size_t run_page_bytes_;
};

}  // namespace ringside::kvm
