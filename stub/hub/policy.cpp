#include "stub/hub/policy.hpp"

#include "arch/x86/control.hpp"
#include "arch/x86/paging.hpp"
#include "stub/agent/machine.hpp"
#include "stub/hub/tick_clock.hpp"

namespace ringside::hub {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

// Adds what a hit takes to the cost of its points.
class Meter {
 public:
  explicit Meter(const Place& place) : place_(place), began_(TickClock::now()) {}
  ~Meter() {
    const std::uint64_t ticks = TickClock::now() - began_;
    for (const Place::Wish& wish : place_.wishes) wish.claim.counters->cost.fetch_add(ticks, kRelaxed);
  }
  Meter(const Meter&) = delete;
  Meter& operator=(const Meter&) = delete;

 private:
  const Place& place_;
  std::uint64_t began_;
};

api::DebugWish wish_of(const RunContext& run) {
  api::DebugWish wish;
  wish.trap_int3 = !run.points->int3.empty();
  wish.slots = run.points->slots;
  wish.step = run.step;
  wish.hold_interrupts = run.step && run.hold_interrupts;
  return wish;
}

struct Judgement {
  bool stops = false;
  std::string problem;
};

Judgement failed(const Place::Wish& wish, const agent::Outcome& outcome, const agent::Program& program,
                 std::string_view what) {
  wish.claim.counters->failures.fetch_add(1, kRelaxed);
  return {true, std::string(what) + agent::describe(outcome, program)};
}

// One tracer's opinion of a hit.  What cannot be evaluated stops, and says why (gdb manual, "Conditions").
Judgement judge(const Place::Wish& wish, VcpuEnvironment& environment) {
  wish.claim.counters->hits.fetch_add(1, kRelaxed);
  const PointActions* actions = wish.claim.actions.get();
  if (actions == nullptr) return {true, {}};
  environment.serve(wish);
  bool holds = actions->conditions.empty();
  for (const agent::Program& condition : actions->conditions) {
    const agent::Outcome outcome = agent::run_condition(condition, environment);
    if (!outcome.ok()) return failed(wish, outcome, condition, "the condition cannot be evaluated: ");
    holds = holds || outcome.stops();
    if (holds) break;
  }
  if (!holds || actions->commands.empty()) return {holds, {}};
  for (const agent::Program& command : actions->commands) {
    const agent::Outcome outcome = agent::run(command, environment);
    if (!outcome.ok()) return failed(wish, outcome, command, "the command cannot be executed: ");
  }
  return {false, {}};
}

}  // namespace

Policy::Policy(std::size_t vcpus, PhysicalMemory& memory, PrintSink print)
    : memory_(memory), print_(std::move(print)) {
  vcpus_.reserve(vcpus);
  for (std::size_t i = 0; i < vcpus; ++i) vcpus_.emplace_back(memory);
}

api::Verdict Policy::before_run(api::VcpuAccess& vcpu, api::DebugExit& exit) noexcept {
  PerVcpu& state = vcpus_.at(vcpu.id().number);
  const RunContext& run = state.run;
  state.run.wanted.clear();
  vcpu.set_debug(wish_of(run));
  if (!run.pass_breakpoint) return api::Verdict::kResume;
  const Site* site = run.alone ? nullptr : site_here(vcpu, run);
  if (site != nullptr) return pass_int3(vcpu, state, site->place(vcpu.context().linear_rip()), exit);
  pass_slot(vcpu);
  return api::Verdict::kResume;
}

// The int3 of ours that the vCPU stands at.
const Site* Policy::site_here(api::VcpuAccess& vcpu, const RunContext& run) const {
  const x86::CpuContext context = vcpu.context();
  const x86::WalkResult leaf = x86::walk(context.paging, context.linear_rip(), memory_);
  return leaf ? run.points->site(leaf->gpa) : nullptr;
}

api::Verdict Policy::on_debug_exit(api::VcpuAccess& vcpu, api::DebugExit& exit) noexcept {
  PerVcpu& state = vcpus_.at(vcpu.id().number);
  const bool stepped = !exit.int3 && (exit.dr6 & x86::dr6::kBs) != 0;
  if (state.stepper.copying() && stepped && state.stepper.finish(vcpu)) return finish_copy(vcpu, state, exit);
  return exit.int3 ? on_int3(vcpu, state, exit) : on_trap(vcpu, state, exit.dr6);
}

// Asks everyone who has a breakpoint here; true when somebody wants the vCPU to stop.
bool Policy::wanted(api::VcpuAccess& vcpu, PerVcpu& state, const Place& place) {
  const Meter meter(place);
  const x86::CpuContext context = vcpu.context();
  VcpuEnvironment environment(vcpu, context, memory_, *state.run.points, *state.registers, print_);
  bool any = false;
  for (const Place::Wish& wish : place.wishes) {
    Judgement judgement = judge(wish, environment);
    if (!judgement.stops) continue;
    any = true;
    wish.claim.counters->stops.fetch_add(1, kRelaxed);
    state.run.wanted.push_back({wish.owner, wish.kind, std::move(judgement.problem)});
  }
  return any;
}

// An int3 that is not ours is the guest's: kprobes, ftrace, static keys, a debugger inside.  So is one where
// ours has been lifted.
api::Verdict Policy::on_int3(api::VcpuAccess& vcpu, PerVcpu& state, api::DebugExit& exit) {
  const Site* site = state.run.alone ? nullptr : site_here(vcpu, state.run);
  if (site == nullptr) return vcpu.reinject_int3() ? api::Verdict::kResume : api::Verdict::kStop;
  const Place* place = site->place(vcpu.context().linear_rip());
  if (place != nullptr && wanted(vcpu, state, *place)) return api::Verdict::kStop;
  return pass_int3(vcpu, state, place, exit);
}

// One exit where the instruction can be executed here, two where a copy of it has to run.
api::Verdict Policy::pass_int3(api::VcpuAccess& vcpu, PerVcpu& state, const Place* place,
                               api::DebugExit& exit) {
  if (place == nullptr || state.stepper.copying()) return api::Verdict::kStepAlone;
  switch (state.stepper.pass(vcpu, *state.run.points, *place, *state.registers)) {
    case Stepper::Passed::kDone:
      return passed(vcpu, state.run, exit);
    case Stepper::Passed::kStarted:
      vcpu.set_debug(Stepper::copy_wish(wish_of(state.run)));
      return api::Verdict::kResume;
    case Stepper::Passed::kNo:
      break;
  }
  return api::Verdict::kStepAlone;
}

// The copy's one step may have hit a watchpoint, as the instruction itself would have.
api::Verdict Policy::finish_copy(api::VcpuAccess& vcpu, PerVcpu& state, api::DebugExit& exit) {
  const RunContext& run = state.run;
  vcpu.set_debug(wish_of(run));
  if (x86::hits(exit.dr6, x86::encode_dr7(run.points->slots)) == 0) return passed(vcpu, run, exit);
  if (!run.step) exit.dr6 &= ~x86::dr6::kBs;
  return api::Verdict::kStop;
}

// The instruction under the int3 is done: for a tracer that steps, that was its step.
api::Verdict Policy::passed(api::VcpuAccess& vcpu, const RunContext& run, api::DebugExit& exit) {
  if (!run.step) return api::Verdict::kResume;
  if (run.range && run.range->contains(vcpu.context().linear_rip())) return api::Verdict::kResume;
  exit = {.int3 = false, .dr6 = x86::dr6::kBs};
  return api::Verdict::kStop;
}

// RF lets one instruction pass its own execute breakpoint (SDM 3B 17.3.1.1); the CPU clears it after.
void Policy::pass_slot(api::VcpuAccess& vcpu) {
  x86::CoreRegs core = vcpu.core();
  core.rflags |= x86::rflags::kRf;
  vcpu.set_core(core);
}

api::Verdict Policy::on_trap(api::VcpuAccess& vcpu, PerVcpu& state, std::uint64_t dr6) {
  RunContext& run = state.run;
  const std::uint8_t slots = x86::hits(dr6, x86::encode_dr7(run.points->slots));
  bool data = false;
  bool execution = false;
  for (std::size_t i = 0; i < run.points->slots.size(); ++i) {
    if ((slots >> i & 1u) == 0) continue;
    const Place* place = run.points->slot_places[i].get();
    if (place == nullptr) {
      data = true;
      continue;
    }
    execution = true;
    wanted(vcpu, state, *place);
  }
  if (data || !run.wanted.empty()) return api::Verdict::kStop;
  const bool stepped = run.step && (dr6 & x86::dr6::kBs) != 0;
  if (execution) {
    // A fault, before the instruction (SDM 3B 17.3.1.1); with BS it is the next one's, and the step is done.
    pass_slot(vcpu);
    if (!stepped) return api::Verdict::kResume;
  }
  if (!run.step) {
    // Not ours: the guest single-steps one of its own processes, or executed int1.
    return vcpu.reinject_debug_trap(dr6) ? api::Verdict::kResume : api::Verdict::kStop;
  }
  if (run.range && run.range->contains(vcpu.context().linear_rip())) return api::Verdict::kResume;
  return api::Verdict::kStop;
}

}  // namespace ringside::hub
