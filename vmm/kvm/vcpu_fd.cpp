#include "vmm/kvm/vcpu_fd.hpp"

#include <algorithm>

#include <sys/mman.h>

#include <x86intrin.h>

#include "vmm/kvm/cpuid.hpp"
#include "vmm/kvm/flexible.hpp"
#include "vmm/kvm/guest_debug.hpp"
#include "vmm/kvm/registers.hpp"

namespace ringside::kvm {
namespace {

// A few milliseconds on any CPU of today.
constexpr std::uint64_t kRememberedTicks = 1u << 24;

Result<void> set_cpuid(const Fd& fd, const std::vector<kvm_cpuid_entry2>& entries) {
  CountedArray<kvm_cpuid_entry2> cpuid(entries.size());
  std::ranges::copy(entries, cpuid.entries());
  RS_TRY(fd.call("KVM_SET_CPUID2", kSetCpuid2, cpuid.header()));
  return {};
}

}  // namespace

VcpuFd::VcpuFd(VcpuId id, Fd fd, kvm_run* run, const System& system, std::vector<kvm_cpuid_entry2> cpuid)
    : id_(id),
      fd_(std::move(fd)),
      run_(run),
      run_bytes_(system.run_page_bytes()),
      capabilities_(system.capabilities()),
      cpuid_(std::move(cpuid)),
      owner_(std::this_thread::get_id()) {}

VcpuFd::~VcpuFd() { ::munmap(run_, run_bytes_); }

Result<std::unique_ptr<VcpuFd>> VcpuFd::create(const System& system, const Vm& vm, VcpuId id, unsigned vcpus,
                                               std::vector<kvm_cpuid_entry2> cpuid) {
  Fd fd = RS_TRY(vm.create_vcpu(id));
  shape_cpuid(cpuid, {.vcpu = id, .vcpus = vcpus, .tsc_deadline = system.capabilities().tsc_deadline});
  RS_TRY(set_cpuid(fd, cpuid));
  void* page = ::mmap(nullptr, system.run_page_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, fd.number(), 0);
  if (page == MAP_FAILED) return fail_errno("mmap of the vCPU's run page", errno);
  return std::unique_ptr<VcpuFd>(
      new VcpuFd(id, std::move(fd), static_cast<kvm_run*>(page), system, std::move(cpuid)));
}

Exit VcpuFd::run() {
  write_back(wish_.step || wish_changed_ ? WriteBack::kNow : WriteBack::kAtEntry);
  if (wish_.step && wish_.hold_interrupts) wake_from_hlt();
  arm_debug();
  // The system's registers come along only while they are asked for, and now and then to be remembered.
  const bool want_sregs = sregs_come_ > 0 || __rdtsc() - last_.sregs_at > kRememberedTicks;
  run_->kvm_valid_regs =
      capabilities_.sync_regs ? KVM_SYNC_X86_REGS | (want_sregs ? KVM_SYNC_X86_SREGS : 0) : 0;
  if (sregs_come_ > 0) --sregs_come_;
  RS_CHECK(std::this_thread::get_id() == owner_);
  const int answer = ::ioctl(fd_.number(), KVM_RUN, 0);
  const int error_number = errno;
  core_valid_ = sregs_valid_ = context_valid_ = false;
  collect_synced();
  io_pending_ = false;
  if (answer < 0 || run_->exit_reason != KVM_EXIT_SHUTDOWN) remember();
  if (answer < 0) {
    if (error_number == EINTR || error_number == EAGAIN) return Interrupted{};
    return Failure{fail_errno("KVM_RUN", error_number).error().text};
  }
  Exit exit = decode_exit(*run_);
  io_pending_ = std::holds_alternative<PortIo>(exit) || std::holds_alternative<Mmio>(exit) ||
                std::holds_alternative<MsrAccess>(exit);
  return exit;
}

void VcpuFd::collect_synced() {
  if ((run_->kvm_valid_regs & KVM_SYNC_X86_REGS) != 0) {
    context_.core = from_kvm(run_->s.regs.regs);
    core_valid_ = true;
  }
  if ((run_->kvm_valid_regs & KVM_SYNC_X86_SREGS) != 0) {
    sregs_ = run_->s.regs.sregs;
    sregs_valid_ = true;
  }
}

void VcpuFd::remember() {
  if (!core_valid_) return;
  last_.core = context_.core;
  last_.core_at = __rdtsc();
  if (!sregs_valid_) return;
  last_.sregs = sregs_;
  last_.sregs_at = last_.core_at;
}

std::optional<VcpuFd::LastSeen> VcpuFd::show_last_seen() {
  if (last_.core_at == 0 || last_.sregs_at == 0) return std::nullopt;
  const auto khz = call("KVM_GET_TSC_KHZ", KVM_GET_TSC_KHZ, 0);
  if (!khz || *khz <= 0) return std::nullopt;
  set_sregs(last_.sregs);
  set_core(last_.core);
  if (!write_back_now()) return std::nullopt;
  const std::uint64_t now = __rdtsc();
  const auto ns_since = [&](std::uint64_t then) {
    return (now - then) / static_cast<unsigned>(*khz) * 1'000'000u;  // to the millisecond is enough
  };
  return LastSeen{.core_ns = ns_since(last_.core_at), .system_ns = ns_since(last_.sregs_at)};
}

// By ioctl where order matters: what goes through kvm_dirty_regs is applied inside KVM_RUN, after
// KVM_SET_GUEST_DEBUG has noted the RIP to step at, and it cancels an injected exception.
void VcpuFd::write_back(WriteBack how) {
  if (sregs_dirty_) {
    const auto done = call("KVM_SET_SREGS", KVM_SET_SREGS, &sregs_);
    RS_CHECK(done.has_value());
    sregs_dirty_ = false;
  }
  if (!core_dirty_) return;
  core_dirty_ = false;
  kvm_regs regs = to_kvm(context_.core);
  if (capabilities_.sync_regs && how == WriteBack::kAtEntry) {
    run_->s.regs.regs = regs;
    run_->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
    return;
  }
  const auto done = call("KVM_SET_REGS", KVM_SET_REGS, &regs);
  RS_CHECK(done.has_value());
}

// KVM.md 2: TF lives in the guest's RFLAGS, where iret, popf and KVM_SET_REGS drop it: arm every step anew.
void VcpuFd::arm_debug() {
  if (!wish_changed_ && !wish_.step) return;
  kvm_guest_debug debug = guest_debug(wish_, capabilities_);
  const auto done = call("KVM_SET_GUEST_DEBUG", KVM_SET_GUEST_DEBUG, &debug);
  RS_CHECK(done.has_value());
  wish_changed_ = false;
}

// A hlt has been executed, and the step is of what follows it: with interrupts held back nothing would end
// the sleep.  hlt may end early (SDM 2A HLT), so nobody can tell.
void VcpuFd::wake_from_hlt() {
  auto state = mp_state();
  if (!state || state->mp_state != KVM_MP_STATE_HALTED) return;
  state->mp_state = KVM_MP_STATE_RUNNABLE;
  const auto done = call("KVM_SET_MP_STATE", KVM_SET_MP_STATE, &*state);
  RS_CHECK(done.has_value());
}

void VcpuFd::set_debug(const api::DebugWish& wish) {
  if (wish == wish_) return;
  wish_ = wish;
  wish_changed_ = true;
}

Result<void> VcpuFd::write_back_now() {
  if (sregs_dirty_) RS_TRY(call("KVM_SET_SREGS", KVM_SET_SREGS, &sregs_));
  sregs_dirty_ = false;
  write_back(WriteBack::kNow);
  return {};
}

const x86::CoreRegs& VcpuFd::core() {
  if (!core_valid_) {
    kvm_regs regs{};
    const auto done = call("KVM_GET_REGS", KVM_GET_REGS, &regs);
    RS_CHECK(done.has_value());
    context_.core = from_kvm(regs);
    core_valid_ = true;
  }
  return context_.core;
}

void VcpuFd::set_core(const x86::CoreRegs& core) {
  context_.core = core;
  core_valid_ = core_dirty_ = true;
}

const kvm_sregs& VcpuFd::sregs() {
  sregs_come_ = kSregsPatience;
  if (!sregs_valid_) {
    const auto done = call("KVM_GET_SREGS", KVM_GET_SREGS, &sregs_);
    RS_CHECK(done.has_value());
    sregs_valid_ = true;
  }
  return sregs_;
}

void VcpuFd::set_sregs(const kvm_sregs& sregs) {
  sregs_ = sregs;
  sregs_valid_ = sregs_dirty_ = true;
  context_valid_ = false;
}

const x86::CpuContext& VcpuFd::context() {
  static_cast<void>(core());
  if (!context_valid_) {
    put_system(sregs(), context_);
    context_valid_ = true;
  }
  return context_;
}

std::optional<std::uint64_t> VcpuFd::time_ns() {
  constexpr std::uint32_t kTimeStampCounter = 0x10;  // SDM 4 table 2-2
  CountedArray<kvm_msr_entry> msr(1);
  msr.entries()->index = kTimeStampCounter;
  const auto read = call("KVM_GET_MSRS", kGetMsrs, msr.header());
  const auto khz = call("KVM_GET_TSC_KHZ", KVM_GET_TSC_KHZ, 0);
  if (!read || *read != 1 || !khz || *khz <= 0) return std::nullopt;
  __extension__ using Wide = unsigned __int128;
  return static_cast<std::uint64_t>(Wide{msr.entries()->data} * 1'000'000u / static_cast<unsigned>(*khz));
}

Result<kvm_mp_state> VcpuFd::mp_state() {
  kvm_mp_state state{};
  RS_TRY(call("KVM_GET_MP_STATE", KVM_GET_MP_STATE, &state));
  return state;
}

// KVM queues the exception itself (KVM api 4.87, KVM_GUESTDBG_INJECT_BP and _DB).  Registers go first: a
// later KVM_SET_REGS would cancel what is queued.
Result<void> VcpuFd::inject(std::uint32_t control) {
  write_back(WriteBack::kNow);
  kvm_guest_debug debug = guest_debug(wish_, capabilities_);
  debug.control |= KVM_GUESTDBG_ENABLE | control;
  RS_TRY(call("KVM_SET_GUEST_DEBUG", KVM_SET_GUEST_DEBUG, &debug));
  wish_changed_ = false;
  return {};
}

Result<void> VcpuFd::reinject_int3() { return inject(KVM_GUESTDBG_INJECT_BP); }

Result<void> VcpuFd::reinject_debug_trap(std::uint64_t dr6) {
  kvm_debugregs debug{};
  RS_TRY(call("KVM_GET_DEBUGREGS", KVM_GET_DEBUGREGS, &debug));
  debug.dr6 = dr6;
  RS_TRY(call("KVM_SET_DEBUGREGS", KVM_SET_DEBUGREGS, &debug));
  return inject(KVM_GUESTDBG_INJECT_DB);
}

}  // namespace ringside::kvm
