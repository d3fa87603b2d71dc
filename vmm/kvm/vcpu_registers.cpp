// The slow half of VcpuFd: registers beyond the general ones, for a debugger at a stop.
#include <fmt/format.h>

#include "arch/x86/control.hpp"
#include "vmm/kvm/flexible.hpp"
#include "vmm/kvm/registers.hpp"
#include "vmm/kvm/vcpu_fd.hpp"

namespace ringside::kvm {
namespace {

using x86::Reg;
using x86::RegGroup;
using x86::RegisterFile;

constexpr x86::RegGroups xsave_groups() {
  return RegGroup::kFpu | RegGroup::kAvx | RegGroup::kAvx512 | RegGroup::kPkru;
}

// kvm_msrs with one entry.
struct OneMsr {
  CountHeader header{.count = 1};
  kvm_msr_entry entry{};
};

}  // namespace

Result<void> VcpuFd::read(x86::RegGroups groups, RegisterFile& into) {
  if (groups.contains(RegGroup::kCore)) x86::pack_core(core(), into);
  if (groups.contains(RegGroup::kSystem)) pack_system(sregs(), into);
  if (!(groups & xsave_groups()).empty()) {
    const std::vector<std::uint8_t> area = RS_TRY(get_xsave());
    pack_xsave(area, XsaveLayout::of(cpuid_), groups, into);
  }
  if (groups.contains(RegGroup::kMsr)) RS_TRY(read_msrs(into));
  if (groups.contains(RegGroup::kDebug)) {
    kvm_debugregs debug{};
    RS_TRY(call("KVM_GET_DEBUGREGS", KVM_GET_DEBUGREGS, &debug));
    constexpr std::array kDb = {Reg::kDr0, Reg::kDr1, Reg::kDr2, Reg::kDr3};
    for (std::size_t i = 0; i < kDb.size(); ++i) into.set_u64(kDb[i], debug.db[i]);
    into.set_u64(Reg::kDr6, debug.dr6);
    into.set_u64(Reg::kDr7, debug.dr7);
    into.set_available(RegGroup::kDebug, true);
  }
  return {};
}

Result<void> VcpuFd::write(Reg reg, ByteView value) {
  const x86::RegInfo& info = x86::info(reg);
  if (value.size() != info.bytes) {
    return fail(Errc::kMalformed,
                fmt::format("{} has {} bytes, not {}", info.name, info.bytes, value.size()));
  }
  RegisterFile file;
  file.set_raw(reg, value);
  switch (info.group) {
    case RegGroup::kCore: {
      RegisterFile all;
      x86::pack_core(core(), all);
      all.set_raw(reg, value);
      set_core(x86::unpack_core(all));
      return {};
    }
    case RegGroup::kSystem:
      return write_system(reg, file.u64(reg));
    case RegGroup::kFpu:
    case RegGroup::kAvx:
    case RegGroup::kAvx512:
    case RegGroup::kPkru:
      return write_vector(reg, value);
    case RegGroup::kMsr:
      return write_msr(*msr_index(reg), file.u64(reg));
    case RegGroup::kDebug:
      return write_debugreg(reg, file.u64(reg));
    case RegGroup::kSynthetic:
      return {};
  }
  return {};
}

// At once, not at the next entry: KVM refuses impossible combinations, and the client must hear of it.
Result<void> VcpuFd::write_system(Reg reg, std::uint64_t value) {
  kvm_sregs changed = sregs();
  unpack_system(reg, value, changed);
  if (auto done = call("KVM_SET_SREGS", KVM_SET_SREGS, &changed); !done) {
    return fail(Errc::kRefused, fmt::format("the CPU does not take {:#x} in {}", value, x86::info(reg).name));
  }
  sregs_valid_ = context_valid_ = false;
  return {};
}

Result<void> VcpuFd::write_vector(Reg reg, ByteView value) {
  std::vector<std::uint8_t> area = RS_TRY(get_xsave());
  if (!unpack_xsave(reg, value, XsaveLayout::of(cpuid_), area)) {
    return fail(Errc::kUnsupported, fmt::format("this CPU has no {}", x86::info(reg).name));
  }
  return set_xsave(area);
}

Result<std::vector<std::uint8_t>> VcpuFd::get_xsave() {
  std::vector<std::uint8_t> area(capabilities_.xsave_bytes);
  if (capabilities_.xsave2) {
    RS_TRY(call("KVM_GET_XSAVE2", kGetXsave2, area.data()));
  } else {
    RS_TRY(call("KVM_GET_XSAVE", kGetXsave, area.data()));
  }
  return area;
}

Result<void> VcpuFd::set_xsave(std::vector<std::uint8_t>& area) {
  RS_TRY(call("KVM_SET_XSAVE", kSetXsave, area.data()));
  return {};
}

// One MSR a call: KVM stops at the first it does not know, and one missing must not hide the others.
Result<void> VcpuFd::read_msrs(RegisterFile& into) {
  for (const Reg reg : msr_registers()) {
    OneMsr buffer;
    buffer.entry.index = *msr_index(reg);
    const int done = RS_TRY(call("KVM_GET_MSRS", kGetMsrs, &buffer));
    into.set_u64(reg, done == 1 ? static_cast<std::uint64_t>(buffer.entry.data) : 0);
  }
  into.set_available(RegGroup::kMsr, true);
  return {};
}

Result<std::uint64_t> VcpuFd::read_msr(std::uint32_t index) {
  OneMsr buffer;
  buffer.entry.index = index;
  if (RS_TRY(call("KVM_GET_MSRS", kGetMsrs, &buffer)) != 1)
    return fail(Errc::kNotFound, fmt::format("the CPU has no MSR {:#x}", index));
  return std::uint64_t{buffer.entry.data};
}

Result<void> VcpuFd::write_msr(std::uint32_t index, std::uint64_t value) {
  OneMsr buffer;
  buffer.entry.index = index;
  buffer.entry.data = value;
  const int done = RS_TRY(call("KVM_SET_MSRS", kSetMsrs, &buffer));
  if (done != 1)
    return fail(Errc::kRefused, fmt::format("the CPU does not take {:#x} in MSR {:#x}", value, index));
  return {};
}

Result<void> VcpuFd::set_power_on_msrs() {
  constexpr std::uint32_t kMiscEnable = 0x1a0;       // SDM 4 table 2-2: bit 0, fast-strings
  constexpr std::uint32_t kMtrrDefaultType = 0x2ff;  // SDM 3A 11.11.2.1: bit 11 enable, type 6 write-back
  RS_TRY(write_msr(kMiscEnable, 1));
  return write_msr(kMtrrDefaultType, 1u << 11 | 6u);
}

Result<void> VcpuFd::write_debugreg(Reg reg, std::uint64_t value) {
  kvm_debugregs debug{};
  RS_TRY(call("KVM_GET_DEBUGREGS", KVM_GET_DEBUGREGS, &debug));
  switch (reg) {
    case Reg::kDr6:
      debug.dr6 = value;
      break;
    case Reg::kDr7:
      debug.dr7 = value;
      break;
    default:
      debug.db[static_cast<std::size_t>(reg) - static_cast<std::size_t>(Reg::kDr0)] = value;
      break;
  }
  RS_TRY(call("KVM_SET_DEBUGREGS", KVM_SET_DEBUGREGS, &debug));
  return {};
}

}  // namespace ringside::kvm
