#include "stub/hub/policy.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include <fmt/format.h>

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

// The slots whose breakpoint is here, as DR6 has them.
std::uint64_t slots_here(const PointSnapshot& points, Gva here) {
  std::uint64_t bits = 0;
  for (unsigned i = 0; i < points.slots.size(); ++i) {
    const auto& slot = points.slots[i];
    if (slot && slot->kind == x86::WatchKind::kExecute && slot->at == here) bits |= x86::bit(i);
  }
  return bits;
}

struct Judgement {
  bool stops = false;
  std::string problem;
  std::uint64_t mark = 0;
};

Judgement failed(const Place::Wish& wish, const agent::Outcome& outcome, const agent::Program& program,
                 std::string_view what) {
  wish.claim.counters->failures.fetch_add(1, kRelaxed);
  return {.stops = true, .problem = std::string(what) + agent::describe(outcome, program)};
}

// One tracer's opinion of a hit.  What cannot be evaluated stops, and says why (gdb manual, "Conditions").
Judgement judge(const Place::Wish& wish, VcpuEnvironment& environment, const tracer::Hit& hit) {
  wish.claim.counters->hits.fetch_add(1, kRelaxed);
  const PointActions* actions = wish.claim.actions.get();
  if (actions == nullptr) return {.stops = true, .problem = {}};
  if (actions->watcher) {
    const auto mark = actions->watcher->on_hit(hit);
    return {.stops = mark.has_value(), .problem = {}, .mark = mark.value_or(0)};
  }
  environment.serve(wish);
  bool holds = actions->conditions.empty();
  for (const agent::Program& condition : actions->conditions) {
    const agent::Outcome outcome = agent::run_condition(condition, environment);
    if (!outcome.ok()) return failed(wish, outcome, condition, "the condition cannot be evaluated: ");
    holds = holds || outcome.stops();
    if (holds) break;
  }
  if (!holds || actions->commands.empty()) return {.stops = holds, .problem = {}};
  for (const agent::Program& command : actions->commands) {
    const agent::Outcome outcome = agent::run(command, environment);
    if (!outcome.ok()) return failed(wish, outcome, command, "the command cannot be executed: ");
  }
  return {};
}

std::string to_text(const GuestWrite::Hit& hit) {
  return fmt::format("{} byte{} at {:#x} written: {:#x} was there, {:#x} is now", hit.bytes,
                     hit.bytes == 1 ? "" : "s", hit.at.value, hit.before, hit.after);
}

bool has_become_busy(const Place& place) {
  return std::ranges::any_of(place.wishes, [](const Place::Wish& wish) {
    const std::uint64_t hits = wish.claim.counters->hits.load(kRelaxed);
    return hits >= kBusyHits && std::has_single_bit(hits);
  });
}

}  // namespace

Policy::Policy(std::size_t vcpus, PhysicalMemory& memory, PrintSink print, Notices notices)
    : memory_(memory),
      print_(std::move(print)),
      notices_(std::move(notices)),
      writes_(memory, notices_.rewritten) {
  vcpus_.reserve(vcpus);
  for (std::size_t i = 0; i < vcpus; ++i) vcpus_.emplace_back(memory);
}

api::Verdict Policy::before_run(api::VcpuAccess& vcpu, api::DebugExit& exit) noexcept {
  PerVcpu& state = vcpus_.at(vcpu.id().number);
  state.run.wanted.clear();
  state.run.review = false;
  state.run.compare.reset();
  state.step.cancel();
  state.guests_int3 = state.armed = false;
  return enter(vcpu, state, pass_reported(vcpu, state, exit));
}

api::Verdict Policy::pass_reported(api::VcpuAccess& vcpu, PerVcpu& state, api::DebugExit& exit) {
  const RunContext& run = state.run;
  if (!run.pass_breakpoint) return api::Verdict::kResume;
  const Site* site = site_here(vcpu, run);
  if (site != nullptr) return pass_int3(vcpu, state, site->place(vcpu.linear_rip()), exit);
  const Place* guarded = guarded_slot_here(run, vcpu.linear_rip());
  if (guarded != nullptr && serve(vcpu, state, *guarded)) return passed(vcpu, state, exit);
  pass_slot(vcpu);
  return api::Verdict::kResume;
}

// A function of the kernel's that looks at, or changes, a byte that an int3 of ours stands in for.
bool Policy::serve(api::VcpuAccess& vcpu, PerVcpu& state, const Place& place) {
  const PointSnapshot& points = *state.run.points;
  return place.guarded && points.guard && points.guard->serve(vcpu, place.at, points, memory_, writes_);
}

const Place* Policy::guarded_slot_here(const RunContext& run, Gva here) {
  for (const auto& place : run.points->slot_places) {
    if (place && place->guarded && place->at == here) return place.get();
  }
  return nullptr;
}

// Before the guest goes on: what the debug hardware does meanwhile.
api::Verdict Policy::enter(api::VcpuAccess& vcpu, PerVcpu& state, api::Verdict verdict) {
  if (state.step.active()) state.armed = false;
  if (verdict != api::Verdict::kResume || state.step.active()) return verdict;
  if (state.run.step) {
    state.step.begin(vcpu, *state.run.points, wish_of(state.run), *state.registers);
    state.armed = false;
  } else if (!std::exchange(state.armed, true)) {
    vcpu.set_debug(wish_of(state.run));
  }
  return verdict;
}

// A copy must not be seen; and where a debug register waits for it, a step is as good as over.
bool Policy::unfinished(api::VcpuAccess& vcpu) noexcept {
  const PerVcpu& state = vcpus_[vcpu.id().number];
  return state.stepper.copying() || state.step.about_to_end(vcpu);
}

// The int3 of ours that the vCPU stands at, unless it is lifted.  One that steps alone may come to others: in a handler
// that runs unseen.
const Site* Policy::site_here(api::VcpuAccess& vcpu, const RunContext& run) const {
  if (run.alone && run.all_lifted) return nullptr;
  const x86::CpuContext& context = vcpu.context();
  const x86::WalkResult leaf = x86::walk(context.paging, context.linear_rip(), memory_);
  if (!leaf || (run.alone && leaf->gpa == run.lifted)) return nullptr;
  return run.points->site(leaf->gpa);
}

api::Verdict Policy::on_debug_exit(api::VcpuAccess& vcpu, api::DebugExit& exit) noexcept {
  PerVcpu& state = vcpus_.at(vcpu.id().number);
  return enter(vcpu, state, decide(vcpu, state, exit));
}

api::Verdict Policy::decide(api::VcpuAccess& vcpu, PerVcpu& state, api::DebugExit& exit) {
  const bool over = state.step.active() && !exit.int3 && state.step.finish(vcpu, exit, *state.registers);
  if (exit.int3) state.step.cancel();
  if (state.stepper.copying()) {
    const bool ran = over || exit.int3;  // an int3 of the slot's: behind the copy
    if (ran && state.stepper.finish(vcpu, state.step.frame())) return finish_ours(vcpu, state, exit);
  } else if (over && std::exchange(state.guests_int3, false)) {
    return finish_ours(vcpu, state, exit);
  }
  return exit.int3 ? on_int3(vcpu, state, exit) : on_trap(vcpu, state, exit);
}

// Asks everyone who has a breakpoint here; true when somebody wants the vCPU to stop.
bool Policy::wanted(api::VcpuAccess& vcpu, PerVcpu& state, const Place& place) {
  const Meter meter(place);
  const KnownKernel* kernel = state.run.kernel.get();
  VcpuEnvironment environment(vcpu, memory_, *state.run.points, *state.registers, print_, kernel);
  const VcpuHit hit(vcpu, place.at, memory_, *state.run.points, kernel);
  bool any = false;
  for (const Place::Wish& wish : place.wishes) {
    Judgement judgement = judge(wish, environment, hit);
    if (!judgement.stops) continue;
    any = true;
    wish.claim.counters->stops.fetch_add(1, kRelaxed);
    state.run.wanted.push_back({wish.owner, wish.kind, std::move(judgement.problem), judgement.mark, {}});
  }
  return any;
}

// An int3 that is not ours is the guest's: kprobes, ftrace, static keys, a debugger inside.  So is one where
// ours has been lifted.
api::Verdict Policy::on_int3(api::VcpuAccess& vcpu, PerVcpu& state, api::DebugExit& exit) {
  const Site* site = site_here(vcpu, state.run);
  if (site == nullptr) return let_guest_have_int3(vcpu, state);
  const Place* place = site->place(vcpu.linear_rip());
  if (place != nullptr) {
    const bool stops = wanted(vcpu, state, *place);
    if (has_become_busy(*place)) notices_.busy();
    if (stops) return api::Verdict::kStop;
  }
  return pass_int3(vcpu, state, place, exit);
}

// It is executed as if no debugger were there: for this one step our own int3 go unseen, but it ends at the
// handler's first instruction, or, where the int3 has been patched away meanwhile, behind what is there now.
// Injecting #BP is the second choice: while the kernel patches itself, one in a thousand gets lost (KVM 6.1).
api::Verdict Policy::let_guest_have_int3(api::VcpuAccess& vcpu, PerVcpu& state) {
  api::DebugWish wish = wish_of(state.run);
  wish.trap_int3 = false;
  wish.hold_interrupts = true;
  state.guests_int3 = state.step.begin(vcpu, *state.run.points, wish, *state.registers);
  if (state.guests_int3) return api::Verdict::kResume;
  state.step.cancel();
  state.armed = false;
  return vcpu.reinject_int3() ? api::Verdict::kResume : api::Verdict::kStop;
}

// One exit where the instruction can be executed here, two where a copy of it has to run.
api::Verdict Policy::pass_int3(api::VcpuAccess& vcpu, PerVcpu& state, const Place* place,
                               api::DebugExit& exit) {
  if (place == nullptr || state.stepper.copying()) return api::Verdict::kStepAlone;
  if (serve(vcpu, state, *place)) return passed(vcpu, state, exit);
  switch (state.stepper.pass(vcpu, *state.run.points, *place, *state.registers)) {
    case Stepper::Passed::kDone:
      return passed(vcpu, state, exit);
    case Stepper::Passed::kStarted: {
      api::DebugWish wish = wish_of(state.run);
      wish.hold_interrupts = true;
      state.step.begin(vcpu, *state.run.points, wish, *state.registers);
      return api::Verdict::kResume;
    }
    case Stepper::Passed::kNo:
      break;
  }
  return api::Verdict::kStepAlone;
}

// A step of ours, of which the tracers need not know.  It may have hit a watchpoint, as the instruction
// itself would have.
api::Verdict Policy::finish_ours(api::VcpuAccess& vcpu, PerVcpu& state, api::DebugExit& exit) {
  if (exit.int3 || x86::hits(exit.dr6) == 0) return passed(vcpu, state, exit);
  if (!state.run.step) exit.dr6 &= ~x86::dr6::kBs;
  return on_trap(vcpu, state, exit);
}

// The instruction here is done: for a tracer that steps, that was its step.
api::Verdict Policy::passed(api::VcpuAccess& vcpu, PerVcpu& state, api::DebugExit& exit) {
  if (!state.run.step) return api::Verdict::kResume;
  exit = {.int3 = false, .dr6 = x86::dr6::kBs};
  return on_trap(vcpu, state, exit);
}

// RF lets one instruction pass its own execute breakpoint (SDM 3B 17.3.1.1); the CPU clears it after.
void Policy::pass_slot(api::VcpuAccess& vcpu) {
  x86::CoreRegs core = vcpu.core();
  core.rflags |= x86::rflags::kRf;
  vcpu.set_core(core);
}

api::Verdict Policy::on_trap(api::VcpuAccess& vcpu, PerVcpu& state, api::DebugExit& exit) {
  RunContext& run = state.run;
  const bool stepped = run.step && (exit.dr6 & x86::dr6::kBs) != 0;
  // A breakpoint that a step comes to is met by it, whatever the CPU says: some report both at once.
  if (stepped) exit.dr6 |= slots_here(*run.points, vcpu.linear_rip());
  const std::uint8_t slots = x86::hits(exit.dr6);
  bool data = false;
  bool execution = false;
  for (std::size_t i = 0; i < run.points->slots.size(); ++i) {
    if ((slots >> i & 1u) == 0 || !run.points->slots[i]) continue;
    const Place* place = run.points->slot_places[i].get();
    if (place == nullptr) {
      data = true;
      continue;
    }
    execution = true;
    wanted(vcpu, state, *place);
  }
  if (data || !run.wanted.empty()) return api::Verdict::kStop;
  if (!run.step && !execution) {
    // Not ours: the guest single-steps one of its own processes, or executed int1.
    return vcpu.reinject_debug_trap(exit.dr6) ? api::Verdict::kResume : api::Verdict::kStop;
  }
  const bool goes_on = run.range && run.range->contains(vcpu.linear_rip());
  if (run.step && (stepped || !execution) && !goes_on) return api::Verdict::kStop;
  const Place* guarded = execution ? guarded_slot_here(run, vcpu.linear_rip()) : nullptr;
  if (guarded != nullptr && serve(vcpu, state, *guarded))
    return run.step ? api::Verdict::kStop : api::Verdict::kResume;
  if (execution) pass_slot(vcpu);  // a fault, before the instruction (SDM 3B 17.3.1.1)
  return api::Verdict::kResume;
}

api::WriteVerdict Policy::on_guest_write(api::VcpuAccess& vcpu, Gpa at, ByteView data) noexcept {
  PerVcpu& state = vcpus_.at(vcpu.id().number);
  state.write.stepped = state.step.active();
  return writes_.write(vcpu, *state.run.points, *state.registers, state.write, at, data);
}

// KVM takes an instruction whose write it has handed to us for no step, and debug registers have not seen it.
api::Verdict Policy::after_guest_write(api::VcpuAccess& vcpu, api::DebugExit& exit) noexcept {
  PerVcpu& state = vcpus_.at(vcpu.id().number);
  if (state.write.again) {
    const bool once_more = GuestWrites::run_again(vcpu, state.write);
    const disasm::ReadModifyWrite& insn = *state.write.again;
    if (insn.compares && state.write.beside_int3)
      state.run.compare = vcpu.linear_rip() - (once_more ? 0 : insn.length);
    if (once_more) return run_again(vcpu, state);
  }
  watched(vcpu, state);
  state.run.review = state.run.review || state.write.review;
  exit = {.int3 = false, .dr6 = state.write.slots, .write = !state.run.wanted.empty()};
  if (state.write.stepped) exit.dr6 |= x86::dr6::kBs;
  writes_.begin_next(state.write);
  const bool trap = exit.dr6 != 0;
  api::Verdict verdict = trap ? enter(vcpu, state, decide(vcpu, state, exit)) : api::Verdict::kResume;
  if (exit.write) verdict = api::Verdict::kStop;
  const bool look = state.run.review || state.run.compare;
  if (verdict == api::Verdict::kResume && look) return api::Verdict::kReview;
  return verdict;
}

api::Verdict Policy::run_again(api::VcpuAccess& vcpu, PerVcpu& state) {
  const bool beside_int3 = state.write.beside_int3;
  writes_.begin_next(state.write);
  return beside_int3 ? run_unwatched(vcpu, state) : api::Verdict::kResume;
}

api::Verdict Policy::run_unwatched(api::VcpuAccess& vcpu, PerVcpu& state) {
  state.stepper.abandon(vcpu);
  state.step.cancel();
  return api::Verdict::kStepUnwatched;
}

// What the instruction that is through has written, to those who watch it.
void Policy::watched(api::VcpuAccess& vcpu, PerVcpu& state) {
  if (state.write.hits.empty()) return;
  VcpuEnvironment environment(vcpu, memory_, *state.run.points, *state.registers, print_,
                              state.run.kernel.get());
  for (const GuestWrite::Hit& hit : state.write.hits) {
    const VcpuHit seen(vcpu, hit.at, memory_, *state.run.points, state.run.kernel.get());
    for (const Place::Wish& wish : hit.watch->wishes) {
      Judgement judgement = judge(wish, environment, seen);
      if (!judgement.stops) continue;
      wish.claim.counters->stops.fetch_add(1, kRelaxed);
      if (judgement.problem.empty()) judgement.problem = to_text(hit);
      state.run.wanted.push_back(
          {wish.owner, wish.kind, std::move(judgement.problem), judgement.mark, hit.watch->spec});
    }
  }
}

// A vector store, say, to a watched page.
api::Verdict Policy::on_unemulated(api::VcpuAccess& vcpu) noexcept {
  PerVcpu& state = vcpus_.at(vcpu.id().number);
  if (!state.run.points->watching || (state.run.alone && state.run.all_lifted)) return api::Verdict::kStop;
  return run_unwatched(vcpu, state);
}

}  // namespace ringside::hub
