// The half of VcpuFd that guest time is made of: the time stamp counter and the local APIC's timer.
#include <cerrno>
#include <cstring>

#include "vmm/kvm/flexible.hpp"
#include "vmm/kvm/vcpu_fd.hpp"

namespace ringside::kvm {
namespace {

constexpr std::uint32_t kTscDeadline = 0x6e0;  // SDM 4 table 2-2, IA32_TSC_DEADLINE

// Registers of the local APIC, by their offset in its page (SDM 3A table 11-1).
constexpr std::size_t kIrr = 0x200, kLvtTimer = 0x320, kInitialCount = 0x380, kCurrentCount = 0x390;

std::uint32_t load(const kvm_lapic_state& apic, std::size_t at) {
  std::uint32_t value;
  std::memcpy(&value, apic.regs + at, sizeof value);
  return value;
}

void store(kvm_lapic_state& apic, std::size_t at, std::uint32_t value) {
  std::memcpy(apic.regs + at, &value, sizeof value);
}

enum class TimerMode : std::uint8_t { kOneShot, kPeriodic, kDeadline };

// SDM 3A 11.5.4, figure 11-8.
TimerMode mode_of(const kvm_lapic_state& apic) {
  const std::uint32_t mode = load(apic, kLvtTimer) >> 17 & 3u;
  return mode == 0 ? TimerMode::kOneShot : mode == 1 ? TimerMode::kPeriodic : TimerMode::kDeadline;
}

// An expired one-shot timer must not be set again: KVM would let it fire a second time.
bool counts(const kvm_lapic_state& apic) {
  const TimerMode mode = mode_of(apic);
  if (mode == TimerMode::kDeadline || load(apic, kInitialCount) == 0) return false;
  return mode == TimerMode::kPeriodic || load(apic, kCurrentCount) != 0;
}

// The interrupt that the timer has asked for meanwhile, if it had not before: a tick that was not due.
bool take_back_tick(const kvm_lapic_state& before, kvm_lapic_state& now) {
  const std::uint32_t vector = load(before, kLvtTimer) & 0xffu;
  const std::size_t word = kIrr + vector / 32 * 0x10;
  const std::uint32_t bit = 1u << vector % 32;
  if ((load(before, word) & bit) != 0 || (load(now, word) & bit) == 0) return false;
  store(now, word, load(now, word) & ~bit);
  return true;
}

}  // namespace

Result<kvm_lapic_state> VcpuFd::lapic() {
  kvm_lapic_state apic{};
  RS_TRY(call("KVM_GET_LAPIC", KVM_GET_LAPIC, &apic));
  return apic;
}

Result<x86::LocalApic> VcpuFd::local_apic() {
  const kvm_lapic_state state = RS_TRY(lapic());
  x86::LocalApic apic;
  static_assert(sizeof state.regs == sizeof apic.page);
  std::memcpy(apic.page.data(), state.regs, sizeof state.regs);
  return apic;
}

Result<std::uint64_t> VcpuFd::msr(std::uint32_t number) {
  CountedArray<kvm_msr_entry> one(1);
  one.entries()->index = number;
  const int done = RS_TRY(call("KVM_GET_MSRS", kGetMsrs, one.header()));
  if (done != 1) return fail(Errc::kNotFound, "this CPU has no such MSR, or KVM does not tell");
  return std::uint64_t{one.entries()->data};
}

Result<TimerState> VcpuFd::timers() {
  TimerState state;
  state.apic = RS_TRY(lapic());
  if (mode_of(state.apic) == TimerMode::kDeadline) state.deadline = RS_TRY(msr(kTscDeadline));
  return state;
}

// What else has happened to the APIC meanwhile stays: a device's interrupt must not be lost.
Result<void> VcpuFd::set_timers(const TimerState& state) {
  if (state.deadline == 0 && !counts(state.apic)) return {};
  kvm_lapic_state now = RS_TRY(lapic());
  bool changed = take_back_tick(state.apic, now);
  if (counts(state.apic)) {
    store(now, kInitialCount, load(state.apic, kInitialCount));
    store(now, kCurrentCount, load(state.apic, kCurrentCount));
    changed = true;
  }
  if (changed) RS_TRY(call("KVM_SET_LAPIC", KVM_SET_LAPIC, &now));
  return state.deadline == 0 ? Result<void>{} : write_msr(kTscDeadline, state.deadline);
}

Result<void> VcpuFd::turn_tsc_back(std::uint64_t ticks) {
  std::uint64_t offset = 0;
  kvm_device_attr attribute{.flags = 0,
                            .group = KVM_VCPU_TSC_CTRL,
                            .attr = KVM_VCPU_TSC_OFFSET,
                            .addr = reinterpret_cast<std::uintptr_t>(&offset)};
  RS_TRY(call("KVM_GET_DEVICE_ATTR(KVM_VCPU_TSC_OFFSET)", KVM_GET_DEVICE_ATTR, &attribute));
  offset -= ticks;
  RS_TRY(call("KVM_SET_DEVICE_ATTR(KVM_VCPU_TSC_OFFSET)", KVM_SET_DEVICE_ATTR, &attribute));
  return {};
}

// KVM refuses while the guest has no kvmclock: then there is nobody to tell (KVM api 4.70).
void VcpuFd::tell_of_pause() { static_cast<void>(call("KVM_KVMCLOCK_CTRL", KVM_KVMCLOCK_CTRL, 0)); }

}  // namespace ringside::kvm
