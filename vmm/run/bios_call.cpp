#include "vmm/run/bios_call.hpp"

#include "arch/x86/control.hpp"
#include "vmm/mem/bios.hpp"

namespace ringside::run {
namespace {

using x86::Reg;

// Which stub's `out` has just been executed.
std::optional<std::uint8_t> vector_at(const x86::CpuContext& cpu) {
  if ((cpu.paging.cr0 & x86::cr0::kPe) != 0 || cpu.cs.selector != mem::kBiosSegment) return std::nullopt;
  const std::uint64_t at = cpu.core.rip - mem::kBiosStubs - mem::kBiosOutBytes;
  if (at % mem::kBiosStubBytes != 0 || at / mem::kBiosStubBytes >= mem::kVectors) return std::nullopt;
  return static_cast<std::uint8_t>(at / mem::kBiosStubBytes);
}

std::uint32_t low(const x86::CoreRegs& core, x86::Gpr gpr) {
  return static_cast<std::uint32_t>(core.gpr[gpr]);
}

void set_flag(std::uint16_t& flags, std::uint16_t flag, bool on) {
  flags = static_cast<std::uint16_t>(on ? flags | flag : flags & ~flag);
}

// The caller's flags lie on the stack: | IP | CS | FLAGS |, two bytes each (SDM 3A 20.1.4).
void return_flags(const dev::BiosRegs& regs, Gpa frame, PhysicalMemory& memory) {
  constexpr std::uint64_t kFlagsAt = 4;
  constexpr std::uint16_t kCarry = 1u << 0, kZero = 1u << 6;
  auto flags = memory.load_at<std::uint16_t>(frame + kFlagsAt);
  if (!flags) return;
  set_flag(*flags, kCarry, regs.carry);
  if (regs.zero) set_flag(*flags, kZero, *regs.zero);
  static_cast<void>(memory.write(frame + kFlagsAt, bytes_of(*flags)));  // it has been read from RAM
}

void return_registers(const dev::BiosRegs& regs, api::VcpuAccess& vcpu) {
  x86::CoreRegs core = vcpu.core();
  core.gpr[x86::kRax] = regs.eax;
  core.gpr[x86::kRbx] = regs.ebx;
  core.gpr[x86::kRcx] = regs.ecx;
  core.gpr[x86::kRdx] = regs.edx;
  core.gpr[x86::kRsi] = regs.esi;
  core.gpr[x86::kRdi] = regs.edi;
  core.gpr[x86::kRbp] = regs.ebp;
  vcpu.set_core(core);
}

}  // namespace

void serve_bios_call(dev::Bios& bios, api::VcpuAccess& vcpu, PhysicalMemory& memory) {
  const auto vector = vector_at(vcpu.context());
  x86::RegisterFile file;
  if (!vector || !vcpu.read(x86::RegGroup::kSystem, file)) return;
  const x86::CoreRegs& core = vcpu.core();
  const auto es = static_cast<std::uint16_t>(file.u64(Reg::kEs));
  dev::BiosRegs regs{.eax = low(core, x86::kRax),
                     .ebx = low(core, x86::kRbx),
                     .ecx = low(core, x86::kRcx),
                     .edx = low(core, x86::kRdx),
                     .esi = low(core, x86::kRsi),
                     .edi = low(core, x86::kRdi),
                     .ebp = low(core, x86::kRbp),
                     .es = es,
                     .carry = false,
                     .zero = {}};
  const Gpa frame{file.u64(Reg::kSsBase) + (core.gpr[x86::kRsp] & 0xffff)};
  bios.call(*vector, regs, memory);
  return_registers(regs, vcpu);
  return_flags(regs, frame, memory);
  if (regs.es == es) return;
  const std::uint32_t selector = regs.es;
  const std::uint64_t base = std::uint64_t{selector} << 4;
  static_cast<void>(vcpu.write(Reg::kEs, bytes_of(selector)));  // plain values: KVM takes them
  static_cast<void>(vcpu.write(Reg::kEsBase, bytes_of(base)));
}

}  // namespace ringside::run
