#include "stub/hub/policy.hpp"

#include "arch/x86/control.hpp"
#include "arch/x86/paging.hpp"

namespace ringside::hub {

void Policy::before_run(api::VcpuAccess& vcpu) noexcept {
  const RunContext& run = context(vcpu.id());
  api::DebugWish wish;
  wish.trap_int3 = !run.points->int3.empty();
  wish.slots = run.points->slots;
  wish.step = run.step;
  wish.hold_interrupts = run.hold_interrupts;
  vcpu.set_debug(wish);
  if (run.pass_breakpoint) {
    // RF lets one instruction pass its own execute breakpoint (SDM 3B 17.3.1.1); the CPU clears it after.
    x86::CoreRegs core = vcpu.core();
    core.rflags |= x86::rflags::kRf;
    vcpu.set_core(core);
  }
}

api::Verdict Policy::on_debug_exit(api::VcpuAccess& vcpu, const api::DebugExit& exit) noexcept {
  const RunContext& run = context(vcpu.id());
  return exit.int3 ? on_int3(vcpu, run) : on_trap(vcpu, run, exit.dr6);
}

// An int3 that is not ours is the guest's: kprobes, ftrace, static keys, a debugger inside.
api::Verdict Policy::on_int3(api::VcpuAccess& vcpu, const RunContext& run) const {
  const x86::CpuContext context = vcpu.context();
  const x86::WalkResult leaf = x86::walk(context.paging, context.linear_rip(), memory_);
  if (leaf && run.points->int3.contains(leaf->gpa)) return api::Verdict::kStop;
  return vcpu.reinject_int3() ? api::Verdict::kResume : api::Verdict::kStop;
}

api::Verdict Policy::on_trap(api::VcpuAccess& vcpu, const RunContext& run, std::uint64_t dr6) const {
  const std::uint8_t slots = x86::hits(dr6, x86::encode_dr7(run.points->slots));
  if (slots != 0) return api::Verdict::kStop;
  if (!run.step) {
    // Not ours: the guest single-steps one of its own processes, or executed int1.
    return vcpu.reinject_debug_trap(dr6) ? api::Verdict::kResume : api::Verdict::kStop;
  }
  if (run.range && run.range->contains(vcpu.context().linear_rip())) return api::Verdict::kResume;
  return api::Verdict::kStop;
}

}  // namespace ringside::hub
