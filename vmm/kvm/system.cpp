#include "vmm/kvm/system.hpp"

#include <algorithm>
#include <array>

#include <fcntl.h>

#include "vmm/kvm/flexible.hpp"

namespace ringside::kvm {
namespace {

constexpr int kApiVersion = 12;  // KVM api 4.1: "Applications should refuse to run if … any other value"

struct Needed {
  int capability;
  const char* name;
};

// Without these ringside cannot work at all; each has been in Linux since 4.x or earlier.
constexpr std::array kNeeded = {
    Needed{KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
    Needed{KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},
    Needed{KVM_CAP_PIT2, "KVM_CAP_PIT2"},
    Needed{KVM_CAP_SET_GUEST_DEBUG, "KVM_CAP_SET_GUEST_DEBUG"},
    Needed{KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
    Needed{KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
    Needed{KVM_CAP_XSAVE, "KVM_CAP_XSAVE"},
    Needed{KVM_CAP_DEBUGREGS, "KVM_CAP_DEBUGREGS"},
};

Unexpected<Error> open_error(int error_number) {
  auto error = fail_errno("cannot open /dev/kvm", error_number);
  std::string& text = error.error().text;
  if (error_number == ENOENT) {
    text += "; load kvm_intel or kvm_amd, or switch on virtualisation in the firmware";
  } else if (error_number == EACCES || error_number == EPERM) {
    text += "; add yourself to the group that owns it (usually: adduser $USER kvm) and log in again";
  }
  return error;
}

Capabilities query(const Fd& fd) {
  const auto check = [&](int capability) {
    const int answer = ::ioctl(fd.number(), KVM_CHECK_EXTENSION, capability);
    return answer > 0 ? static_cast<unsigned>(answer) : 0u;
  };
  Capabilities found;
  found.step_blocks_irq = (check(KVM_CAP_SET_GUEST_DEBUG2) & KVM_GUESTDBG_BLOCKIRQ) != 0;
  constexpr unsigned kWanted = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
  found.sync_regs = (check(KVM_CAP_SYNC_REGS) & kWanted) == kWanted;
  found.readonly_mem = check(KVM_CAP_READONLY_MEM) != 0;
  if (const unsigned bytes = check(KVM_CAP_XSAVE2); bytes != 0) {
    found.xsave2 = true;
    found.xsave_bytes = std::max<std::size_t>(bytes, 4096);
  }
  found.tsc_deadline = check(KVM_CAP_TSC_DEADLINE_TIMER) != 0;
  found.triple_fault_event = check(KVM_CAP_X86_TRIPLE_FAULT_EVENT) != 0;
  // The second answers 1 on older kernels, and newer ones with the reasons there are.
  found.msr_filter = check(KVM_CAP_X86_MSR_FILTER) != 0 && check(KVM_CAP_X86_USER_SPACE_MSR) != 0;
  found.exit_on_emulation_failure = check(KVM_CAP_EXIT_ON_EMULATION_FAILURE) != 0;
  return found;
}

}  // namespace

Result<System> System::open() {
  Fd fd(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (!fd.open()) return open_error(errno);
  const int version = RS_TRY(fd.call("KVM_GET_API_VERSION", KVM_GET_API_VERSION, 0));
  if (version != kApiVersion) {
    return fail(Errc::kUnsupported, "this kernel's KVM has API version " + std::to_string(version) +
                                        ", ringside needs 12; update the host's kernel");
  }
  for (const Needed& needed : kNeeded) {
    if (::ioctl(fd.number(), KVM_CHECK_EXTENSION, needed.capability) <= 0) {
      return fail(Errc::kUnsupported, std::string("this host's KVM lacks ") + needed.name +
                                          "; see what it can do with: ringside doctor");
    }
  }
  const int run_page = RS_TRY(fd.call("KVM_GET_VCPU_MMAP_SIZE", KVM_GET_VCPU_MMAP_SIZE, 0));
  const Capabilities capabilities = query(fd);
  return System(std::move(fd), capabilities, static_cast<std::size_t>(run_page));
}

Result<std::vector<kvm_cpuid_entry2>> System::supported_cpuid() const {
  constexpr std::size_t kMostEntries = 256;
  CountedArray<kvm_cpuid_entry2> cpuid(kMostEntries);
  RS_TRY(fd_.call("KVM_GET_SUPPORTED_CPUID", kGetSupportedCpuid, cpuid.header()));
  return std::vector<kvm_cpuid_entry2>(cpuid.entries(), cpuid.entries() + cpuid.header()->count);
}

Result<std::vector<std::uint32_t>> System::msr_numbers() const {
  constexpr std::uint32_t kMost = 4096;
  std::vector<std::uint32_t> list(1 + kMost);
  list[0] = kMost;
  RS_TRY(fd_.call("KVM_GET_MSR_INDEX_LIST", kGetMsrIndexList, list.data()));
  list.resize(1 + std::min(list[0], kMost));
  list.erase(list.begin());
  std::ranges::sort(list);
  return list;
}

}  // namespace ringside::kvm
