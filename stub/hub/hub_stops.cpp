// Stop reports in, events out.
#include <algorithm>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "arch/x86/control.hpp"
#include "arch/x86/debug_regs.hpp"
#include "stub/hub/hub.hpp"

namespace ringside::hub {

using tracer::StopEvent;
using tracer::StopReason;

namespace {

// Breakpoints only.
StopReason reason_of(PointKind kind) {
  if (kind == PointKind::kProbe) return StopReason::kProbe;
  return kind == PointKind::kSoftware ? StopReason::kSoftwareBreak : StopReason::kHardwareBreak;
}

std::optional<PointKind> breakpoint_of(StopReason reason) {
  for (const PointKind kind : {PointKind::kSoftware, PointKind::kProbe, PointKind::kHardware}) {
    if (reason_of(kind) == reason) return kind;
  }
  return std::nullopt;
}

// gdb would take a breakpoint that it does not know here for an old one, and go on without a word.
std::string moved_text(Gva set_at, Gva where, std::uint64_t slide) {
  const std::uint64_t up = where - set_at, down = set_at - where;
  return fmt::format(
      "breakpoint {:#x} is met at {:#x}: the kernel has moved by {}{:#x} since it was set\n"
      "to move the symbols: rs-kaslr (of gdbinit/ringside.gdb), or symbol-file -o {:#x} VMLINUX",
      set_at.value, where.value, where < set_at ? "-" : "", std::min(up, down), slide);
}

}  // namespace

void Hub::on_stop(api::StopReport report) noexcept {
  post([this, report = std::move(report)]() mutable { handle_stop(std::move(report)); });
}

void Hub::on_end(api::GuestEnd end, std::string detail) noexcept {
  post([this, end, detail = std::move(detail)] { handle_end(end, detail); });
}

void Hub::handle_stop(api::StopReport report) {
  const VcpuId id = report.vcpu;
  Vcpu& vcpu = at(id);
  vcpu.parked = true;
  vcpu.pausing = false;
  vcpu.context = report.context;
  vcpu.context_known = true;
  vcpu.registers.reset();
  // RF is still set, by which it was to pass the breakpoint here: it has not moved since that was told.
  const bool not_begun =
      report.cause == api::StopCause::kPaused && (vcpu.context.core.rflags & x86::rflags::kRf) != 0;
  if (!not_begun || vcpu.hit != vcpu.context.linear_rip()) vcpu.hit.reset();
  vcpu.needs_alone = vcpu.needs_unwatched = false;
  if (std::exchange(policy_.context(id).review, false)) {
    exclusively([this] { points_dirty_ = reviewing_ = true; });
  }
  bool unwatched = false;
  if (stepping_over_ == id) {
    unwatched = all_lifted_;
    finish_step_over(id);
    // One iteration of a repeated instruction: the rest of it is no new hit.
    if (!unwatched && vcpu.context.linear_rip() == lifted_at_ && !report.debug.int3 &&
        repeats(lifted_, lifted_at_)) {
      vcpu.hit = lifted_at_;
      vcpu.needs_alone = true;
    }
  }
  if (!ended_) classify(id, report);
  see_to_compare(id, unwatched);
  settle();
}

// Is the instruction under this int3 one of which a step is one iteration?
bool Hub::repeats(Gpa where, Gva at) const {
  const Site* site = snapshot_->site(where);
  const Place* place = site != nullptr ? site->place(at) : nullptr;
  const auto* copy = place != nullptr ? std::get_if<disasm::RunInScratch>(&place->plan.how) : nullptr;
  return copy != nullptr && copy->repeats;
}

void Hub::classify(VcpuId id, const api::StopReport& report) {
  Vcpu& vcpu = at(id);
  switch (report.cause) {
    case api::StopCause::kPaused:
      return;
    case api::StopCause::kStepAlone:
      vcpu.hit = vcpu.context.linear_rip();
      vcpu.needs_alone = true;
      return;
    case api::StopCause::kStepUnwatched:
      vcpu.needs_unwatched = true;
      return;
    case api::StopCause::kReview:
      return;  // handle_stop() has seen to it
    case api::StopCause::kTripleFault:
    case api::StopCause::kFailure:
      vcpu.dead = true;
      vcpu.cause = report.cause;
      vcpu.detail = report.detail;
      vcpu_died(id);
      return;
    case api::StopCause::kDebug:
      break;
  }
  if (report.debug.int3) {
    breakpoint_hit(id);
    return;
  }
  if (report.debug.write) write_hits(id);
  const std::uint8_t slots = x86::hits(report.debug.dr6, x86::encode_dr7(snapshot_->slots));
  bool stepped = !vcpu.steps.empty();
  for (std::size_t i = 0; i < snapshot_->slots.size(); ++i) {
    if ((slots >> i & 1u) == 0) continue;
    if (snapshot_->slots[i]->kind == x86::WatchKind::kExecute) {
      // A fault, before the instruction: nothing has been stepped (SDM 3B 17.3.1.1).
      stepped = (report.debug.dr6 & (1u << 14)) != 0 && stepped;
      breakpoint_hit(id);
    }
  }
  watch_hits(id, slots);
  if (stepped) step_done(id);
}

// The vCPU stands at an address where somebody wants to stop: who, its own thread has found out.  A point may
// have been removed meanwhile; when nobody is left, the vCPU just passes.
void Hub::breakpoint_hit(VcpuId id) {
  Vcpu& vcpu = at(id);
  const Gva pc = vcpu.context.linear_rip();
  vcpu.hit = pc;
  for (Wanted& wanted : std::exchange(policy_.context(id).wanted, {})) {
    if (points_.claim(wanted.who, {.kind = wanted.kind, .at = pc, .length = 1}) == nullptr) continue;
    if (wanted.who == kEvents) {
      event_hit(id, pc);
      continue;
    }
    vcpu.steps.erase(wanted.who);
    const auto set_at = link_map_.set_at(wanted.who, {.kind = wanted.kind, .at = pc, .length = 1});
    if (set_at) wanted.problem += moved_text(*set_at, pc, link_map_.slide());
    concern(wanted.who, {.vcpu = id,
                         .reason = set_at ? StopReason::kEvent : reason_of(wanted.kind),
                         .at = pc,
                         .context = vcpu.context,
                         .mark = wanted.mark,
                         .detail = std::move(wanted.problem)});
  }
}

void Hub::watch_hits(VcpuId id, std::uint8_t slots) {
  const PointSpec first_watch{.kind = PointKind::kWrite, .at = Gva{0}, .length = 0};
  for (auto point = points_.points().lower_bound(first_watch); point != points_.points().end(); ++point) {
    const auto& [spec, claims] = *point;
    const auto pieces = slots_needed(spec);
    if (!pieces || mechanisms_.trapped.contains(spec)) continue;
    bool hit = false;
    for (const x86::DebugSlot& piece : *pieces) {
      for (std::size_t i = 0; i < snapshot_->slots.size(); ++i) {
        hit = hit || ((slots >> i & 1u) != 0 && snapshot_->slots[i] == piece);
      }
    }
    if (!hit) continue;
    const auto reason = spec.kind == PointKind::kWrite  ? StopReason::kWriteWatch
                        : spec.kind == PointKind::kRead ? StopReason::kReadWatch
                                                        : StopReason::kAccessWatch;
    for (const auto& [who, claim] : claims) {
      claim.counters->hits.fetch_add(1, std::memory_order_relaxed);
      claim.counters->stops.fetch_add(1, std::memory_order_relaxed);
      concern(who, {.vcpu = id, .reason = reason, .at = spec.at, .context = at(id).context, .detail = {}});
    }
  }
}

void Hub::step_done(VcpuId id) {
  Vcpu& vcpu = at(id);
  const Gva pc = vcpu.context.linear_rip();
  for (auto step = vcpu.steps.begin(); step != vcpu.steps.end();) {
    if (step->second && step->second->contains(pc)) {
      ++step;  // still inside its range: goes on stepping
      continue;
    }
    const TracerId who = step->first;
    step = vcpu.steps.erase(step);
    concern(who, {.vcpu = id, .reason = StopReason::kStep, .at = {}, .context = vcpu.context, .detail = {}});
  }
}

// Every vCPU stops and every tracer is told, observers aside, who hold nothing; a guest that nobody traces is
// over (settle() sees to that).
void Hub::vcpu_died(VcpuId id) {
  const Vcpu& vcpu = at(id);
  spdlog::error("CPU {}: {} at rip {:#x}", id.number, vcpu.detail, vcpu.context.core.rip);
  const auto occasion =
      vcpu.cause == api::StopCause::kTripleFault ? Occasion::kTripleFault : Occasion::kFailure;
  tell_of_trouble(occasion, vcpu.detail);
  if (events_.wishes.has(occasion)) keep_dead(id);
  for (auto& [who, tracer] : tracers_) {
    if (tracer.read_only) continue;
    report_death(id, who);
    if (!tracer.non_stop) continue;
    holds_.take_all(who);
    std::ranges::replace(tracer.cpus, View::kRunning, View::kStopping);
  }
}

// The guest waits for somebody who looks at it.
void Hub::keep_dead(VcpuId id) {
  const Vcpu& vcpu = at(id);
  if (is_watched()) return;
  const auto reason =
      vcpu.cause == api::StopCause::kTripleFault ? StopReason::kTripleFault : StopReason::kFailure;
  events_.untold = GuestEvents::Untold{id, reason, vcpu.context, vcpu.detail};
  waiting_for_first_ = true;
  holds_.take_all(kMonitor);
}

void Hub::report_death(VcpuId id, TracerId who) {
  const Vcpu& vcpu = at(id);
  const auto reason =
      vcpu.cause == api::StopCause::kTripleFault ? StopReason::kTripleFault : StopReason::kFailure;
  tracers_.at(who).resumed.insert(id);
  concern(who, {.vcpu = id, .reason = reason, .at = {}, .context = vcpu.context, .detail = vcpu.detail});
}

// This event is for this tracer: it takes its holds, and is told once all that it holds is parked.
void Hub::concern(TracerId who, StopEvent event) {
  const auto found = tracers_.find(who);
  if (found == tracers_.end()) return;
  Tracer& tracer = found->second;
  if (tracer.non_stop) {
    holds_.take(event.vcpu, who);
    View& view = tracer.cpus.at(event.vcpu.number);
    if (view == View::kRunning) view = View::kStopping;
  } else {
    holds_.take_all(who);
    if (tracer.view == View::kRunning) tracer.view = View::kStopping;
  }
  // One event a vCPU: of two at one instruction the first counts, except that a step's end says the least.
  for (StopEvent& pending : tracer.pending) {
    if (pending.vcpu != event.vcpu) continue;
    if (pending.reason == StopReason::kStep) pending = std::move(event);
    return;
  }
  tracer.pending.push_back(std::move(event));
}

// Tells the tracer of a stop for which all is ready; false when there is none.
bool Hub::deliver_to(TracerId who, Tracer& tracer) {
  if (stepping_over_) return false;
  if (tracer.non_stop) return deliver_each(who, tracer);
  if (tracer.view != View::kStopping) return false;
  for (std::size_t i = 0; i < vcpus_.size(); ++i) {
    if (!vcpus_[i].settled() || !holds_.holds(VcpuId{static_cast<std::uint32_t>(i)}, who)) return false;
  }
  deliver(tracer);
  return true;
}

// Non-stop: one vCPU, as soon as it is parked.  stop_all() waits for all of them, and its answer is the one
// with an event, if any.
bool Hub::deliver_each(TracerId who, Tracer& tracer) {
  std::optional<VcpuId> chosen;
  bool has_event = false;
  for (std::size_t i = 0; i < vcpus_.size(); ++i) {
    const VcpuId id{static_cast<std::uint32_t>(i)};
    if (tracer.cpus[i] != View::kStopping) continue;
    if (!vcpus_[i].settled() || !holds_.holds(id, who)) {
      if (tracer.stop_done) return false;
      continue;
    }
    const bool event = std::ranges::any_of(tracer.pending, [id](const auto& one) { return one.vcpu == id; });
    if (!chosen || (event && !has_event)) chosen = id;
    has_event = has_event || event;
  }
  if (!chosen) return false;
  StopEvent event{
      .vcpu = *chosen, .reason = StopReason::kNone, .at = {}, .context = at(*chosen).context, .detail = {}};
  const auto waiting = std::ranges::find(tracer.pending, *chosen, &StopEvent::vcpu);
  if (waiting != tracer.pending.end()) {
    event = std::move(*waiting);
    tracer.pending.erase(waiting);
  }
  tracer.cpus[chosen->number] = View::kStopped;
  hand_over(tracer, std::move(event));
  return true;
}

void Hub::hand_over(Tracer& tracer, StopEvent event) {
  if (tracer.stop_done) {
    auto done = std::move(tracer.stop_done);
    tracer.stop_done = nullptr;
    done(std::move(event));
  } else {
    tracer.events->on_stop(event);
  }
}

void Hub::deliver(Tracer& tracer) {
  StopEvent event{
      .vcpu = VcpuId{0}, .reason = StopReason::kNone, .at = {}, .context = vcpus_[0].context, .detail = {}};
  // Events of vCPUs that this tracer has not resumed since its last stop wait until it does.
  const auto first = std::ranges::find_if(
      tracer.pending, [&](const StopEvent& pending) { return tracer.resumed.contains(pending.vcpu); });
  if (first != tracer.pending.end()) {
    event = std::move(*first);
    tracer.pending.erase(first);
  }
  tracer.view = View::kStopped;
  tracer.resumed.clear();
  hand_over(tracer, std::move(event));
}

// A breakpoint event that waited is void when its point has gone or its vCPU has been moved.  Where nobody
// else has a point the vCPU then counts as not yet having hit it: put back in place it hits again, and
// nothing is lost.
void Hub::drop_stale_events(TracerId who, Tracer& tracer) {
  std::erase_if(tracer.pending, [&](const StopEvent& event) {
    const auto kind = breakpoint_of(event.reason);
    if (!kind) return false;
    Vcpu& vcpu = at(event.vcpu);
    const bool stands = vcpu.context.linear_rip() == event.at;
    if (stands && points_.claim(who, {.kind = *kind, .at = event.at, .length = 1}) != nullptr) return false;
    if (stands && !points_.has_at(event.at)) vcpu.hit.reset();
    return true;
  });
}

void Hub::handle_end(api::GuestEnd end, const std::string& detail) {
  if (ended_) return;
  ended_ = end;
  // A tracer may leave when it hears of it.
  std::vector<TracerId> listeners;
  for (const auto& [who, tracer] : tracers_) listeners.push_back(who);
  for (const TracerId who : listeners) {
    const auto found = tracers_.find(who);
    if (found == tracers_.end() || !found->second.stop_done) continue;
    auto done = std::move(found->second.stop_done);
    found->second.stop_done = nullptr;
    done(fail(Errc::kGone, "the guest has ended"));
  }
  for (const TracerId who : listeners) {
    if (const auto found = tracers_.find(who); found != tracers_.end())
      found->second.events->on_guest_end(detail);
  }
  callbacks_.on_end(end, detail);
}

// Nobody looks at the guest and one of its CPUs cannot go on: say what is known, and end.
void Hub::end_untraced(VcpuId id) {
  const Vcpu& vcpu = at(id);
  const auto end =
      vcpu.cause == api::StopCause::kTripleFault ? api::GuestEnd::kTripleFault : api::GuestEnd::kFailure;
  handle_end(end, fmt::format("CPU {}: {}\n{}", id.number, vcpu.detail, describe_machine()));
}

}  // namespace ringside::hub
