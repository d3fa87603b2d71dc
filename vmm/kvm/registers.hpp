// KVM's register structures to ours and back.  Pure; the ioctls are VcpuFd's.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include <linux/kvm.h>

#include "arch/bytes.hpp"
#include "arch/x86/cpu.hpp"
#include "arch/x86/regs.hpp"

namespace ringside::kvm {

x86::CoreRegs from_kvm(const kvm_regs& regs);
kvm_regs to_kvm(const x86::CoreRegs& core);
// All of a context but its core.
void put_system(const kvm_sregs& sregs, x86::CpuContext& into);

void pack_system(const kvm_sregs& sregs, x86::RegisterFile& into);
// False when `reg` is not one of KVM_SET_SREGS'.
bool unpack_system(x86::Reg reg, std::uint64_t value, kvm_sregs& into);

// MSR index of a register that is one; none for others.
std::optional<std::uint32_t> msr_index(x86::Reg reg);
std::span<const x86::Reg> msr_registers();

// Where the state components lie in the XSAVE area (SDM 1 13.4); none when the CPU has them not.
struct XsaveLayout {
  std::optional<std::size_t> avx, opmask, zmm_hi256, hi16_zmm, pkru;
  static XsaveLayout of(const std::vector<kvm_cpuid_entry2>& cpuid);
};

void pack_xsave(ByteView area, const XsaveLayout& layout, x86::RegGroups groups, x86::RegisterFile& into);
// False when this CPU lacks the register.  Marks the component as in use (XSTATE_BV).
bool unpack_xsave(x86::Reg reg, ByteView value, const XsaveLayout& layout, MutableByteView area);

}  // namespace ringside::kvm
