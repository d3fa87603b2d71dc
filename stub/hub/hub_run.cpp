// From holds to running vCPUs, and the operations that need every vCPU parked.
#include <algorithm>

#include <fmt/format.h>

#include "stub/hub/hub.hpp"

namespace ringside::hub {

bool Hub::all_parked() const { return std::ranges::all_of(vcpus_, &Vcpu::settled); }

// Brings what runs into line with who holds what, and tells whoever has waited for it.  Callbacks may call
// back into the hub; the outermost call does the work.
void Hub::settle() {
  if (std::exchange(settling_, true)) return;
  while (settle_once()) {
  }
  settling_ = false;
}

// True when something changed that may allow more.
bool Hub::settle_once() {
  for (std::size_t i = 0; i < vcpus_.size(); ++i) {
    Vcpu& vcpu = vcpus_[i];
    const VcpuId id{static_cast<std::uint32_t>(i)};
    if (!vcpu.parked && !vcpu.pausing && !holds_.may_run(id) && stepping_over_ != id) {
      vcpu.pausing = true;
      machine_.vcpu(id).pause();
    }
  }
  if (run_exclusive()) return true;
  if (ended_) return false;
  for (auto& [who, tracer] : tracers_) {
    if (deliver_to(who, tracer)) return true;  // tracers_ may have changed
  }
  for (std::size_t i = 0; i < vcpus_.size(); ++i) {
    const VcpuId id{static_cast<std::uint32_t>(i)};
    Vcpu& vcpu = vcpus_[i];
    if (!vcpu.settled() || !holds_.may_run(id)) continue;
    if (vcpu.dead) {
      if (!is_traced()) end_untraced(id);
      continue;
    }
    start_vcpu(id);
    return true;
  }
  return false;
}

// Does this vCPU stand on an int3 of ours whose hit has been dealt with?
bool Hub::passes_int3(const Vcpu& vcpu) const {
  if (vcpu.hit != vcpu.context.linear_rip() || !vcpu.hit) return false;
  const auto where = memory_.translate(vcpu.context.paging, *vcpu.hit);
  return where && memory_.site_at(*where) != nullptr;
}

void Hub::start_vcpu(VcpuId id) {
  Vcpu& vcpu = at(id);
  if (pending_is_due() && all_parked()) points_dirty_ = true;
  if (points_dirty_) {
    publish_all();
    return;
  }
  if (vcpu.needs_alone && passes_int3(vcpu)) {
    exclusively([this, id] { step_over(id); });
    return;
  }
  if (vcpu.needs_unwatched) {
    exclusively([this, id] { step_unwatched(id); });
    return;
  }
  vcpu.needs_alone = false;
  RunContext& run = policy_.context(id);
  run.alone = false;
  run.points = snapshot_;
  run.kernel = kernel_.known();
  run.step = !vcpu.steps.empty();
  run.range.reset();
  run.hold_interrupts = true;
  for (const auto& [who, range] : vcpu.steps) {
    if (vcpu.steps.size() == 1) run.range = range;
    run.hold_interrupts = run.hold_interrupts && tracers_.at(who).hold_interrupts;
  }
  run.pass_breakpoint = vcpu.hit.has_value() && vcpu.hit == vcpu.context.linear_rip();
  enter(id);
}

void Hub::enter(VcpuId id) {
  Vcpu& vcpu = at(id);
  vcpu.parked = false;
  vcpu.context_known = false;
  vcpu.registers.reset();
  vcpu.event.clear();
  machine_.vcpu(id).run();
}

void Hub::release_monitor() {
  const bool needed = waiting_for_first_ || waiting_for_kernel_ || events_.arming;
  if (exclusive_.empty() && !stepping_over_ && !needed) holds_.release_all(kMonitor);
}

// Queues work that needs every vCPU parked.  The hub itself holds them until the queue is empty.
void Hub::exclusively(Work work) {
  exclusive_.push_back(std::move(work));
  holds_.take_all(kMonitor);
}

bool Hub::run_exclusive() {
  if (exclusive_.empty() || stepping_over_ || !all_parked()) return false;
  Work work = std::move(exclusive_.front());
  exclusive_.pop_front();
  work();
  release_monitor();
  return true;
}

// One instruction with the original byte back, while nobody else runs: the last resort of stepping over an
// int3, right on any number of vCPUs.
void Hub::step_over(VcpuId id) {
  Vcpu& vcpu = at(id);
  if (ended_ || vcpu.dead || !passes_int3(vcpu)) return;  // removed while this waited for its turn
  // Whoever took a hold meanwhile comes first; when it lets go, start_vcpu() will be here again.
  if (holds_.holders(id).size() > 1) return;
  all_lifted_ = false;
  lifted_ = *memory_.translate(vcpu.context.paging, *vcpu.hit);
  lifted_at_ = *vcpu.hit;
  memory_.lift(lifted_);
  step_alone(id);
}

// What is in the way of it has been put aside.
void Hub::step_alone(VcpuId id) {
  stepping_over_ = id;
  RunContext& run = policy_.context(id);
  if (points_dirty_) publish();
  run.points = snapshot_;
  run.kernel = kernel_.known();
  run.step = true;
  run.range.reset();
  run.hold_interrupts = true;
  run.pass_breakpoint = true;
  run.alone = true;
  run.all_lifted = all_lifted_;
  run.lifted = lifted_;
  enter(id);
}

void Hub::finish_step_over(VcpuId id) {
  if (all_lifted_) return finish_step_unwatched(id);
  memory_.lower(lifted_);
  points_dirty_ = memory_.take_changed() || points_dirty_;
  stepping_over_.reset();
  release_monitor();
}

void Hub::say_who_is_waited_for(TracerId who, const std::vector<tracer::ResumeAction>& actions) {
  const auto found = tracers_.find(who);
  if (found == tracers_.end()) return;
  Tracer& tracer = found->second;
  std::string text;
  for (const tracer::ResumeAction& action : actions) {
    for (const TracerId other : holds_.holders(action.vcpu)) {
      if (other == kMonitor || other == who) continue;
      text += fmt::format("{}CPU {} by tracer {} ({})", text.empty() ? "" : ", ", action.vcpu.number,
                          other.number, tracers_.contains(other) ? tracers_.at(other).label : "gone");
    }
  }
  if (text.empty()) return;
  tracer.events->on_message("waiting: held " + text);
}

}  // namespace ringside::hub
