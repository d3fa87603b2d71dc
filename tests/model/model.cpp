#include "tests/model/model.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "arch/result.hpp"

namespace ringside::model {
namespace {

bool is_break(StopReason reason) {
  return reason == StopReason::kSoftwareBreak || reason == StopReason::kHardwareBreak;
}

}  // namespace

StopReason reason_of(PointKind kind) {
  switch (kind) {
    case PointKind::kSoftware:
      return StopReason::kSoftwareBreak;
    case PointKind::kProbe:
      return StopReason::kProbe;
    case PointKind::kHardware:
      return StopReason::kHardwareBreak;
    case PointKind::kWrite:
      return StopReason::kWriteWatch;
    case PointKind::kRead:
      return StopReason::kReadWatch;
    case PointKind::kAccess:
      break;
  }
  return StopReason::kAccessWatch;
}

bool stops(When when, VcpuId vcpu) {
  switch (when) {
    case When::kAlways:
    case When::kHolds:
    case When::kFaults:
      return true;
    case When::kSecondCpu:
      return vcpu == VcpuId{1};
    case When::kNever:
    case When::kPrints:
      break;
  }
  return false;
}

Model::Model(fakes::FakeMachine& machine, BareGuest& guest, bool held)
    : machine_(machine), guest_(guest), cpus_(machine.vcpu_count()), waiting_(held) {}

void Model::complain(const std::string& what) {
  if (wrong_.empty()) wrong_ = what;
}

std::vector<VcpuId> Model::vcpus() const {
  std::vector<VcpuId> all;
  for (std::uint32_t n = 0; n < cpus_.size(); ++n) all.push_back(VcpuId{n});
  return all;
}

void Model::attached(TracerId who, bool non_stop, bool observer) {
  const std::vector<bool> none(cpus_.size(), false);
  seats_[who] = {.non_stop = non_stop,
                 .observer = observer,
                 .stopped = none,
                 .asked = none,
                 .holds = none,
                 .held_since = std::vector<int>(cpus_.size()),
                 .orders = {},
                 .points = {}};
}

// Nothing is due to it any more.
void Model::excuse(TracerId who) {
  for (Cpu& one : cpus_) one.due.erase(who);
}

void Model::drop_claims(TracerId who, Seat& seat) {
  excuse(who);
  seat.points.clear();
  seat.orders.clear();
  seat.holds.assign(cpus_.size(), false);
}

void Model::left(TracerId who) {
  drop_claims(who, seats_.at(who));
  seats_.erase(who);
}

void Model::became_observer(TracerId who) {
  Seat& seat = seats_.at(who);
  drop_claims(who, seat);
  seat.observer = true;
  seat.non_stop = false;
  seat.asked.assign(cpus_.size(), false);
}

void Model::hold(Seat& seat, VcpuId vcpu) {
  if (seat.holds[vcpu.number]) return;
  seat.holds[vcpu.number] = true;
  seat.held_since[vcpu.number] = machine_.vcpu(vcpu).runs;
}

void Model::hold_all(Seat& seat) {
  for (const VcpuId vcpu : vcpus()) hold(seat, vcpu);
}

void Model::stop_all(TracerId who) {
  Seat& seat = seats_.at(who);
  seat.asked.assign(cpus_.size(), true);
  if (seat.observer || over_) return;
  seat.stopped.assign(cpus_.size(), false);
  hold_all(seat);
  waiting_ = false;
}

void Model::interrupt(TracerId who) {
  Seat& seat = seats_.at(who);
  if (seat.observer) seat.asked.assign(cpus_.size(), true);
  if (seat.observer || over_ || seat.stopped[0]) return;
  seat.asked.assign(cpus_.size(), true);
  hold_all(seat);
}

void Model::stop(TracerId who, VcpuId vcpu) {
  Seat& seat = seats_.at(who);
  if (seat.observer) seat.asked[vcpu.number] = true;
  if (seat.observer || over_ || seat.stopped[vcpu.number]) return;
  seat.asked[vcpu.number] = true;
  hold(seat, vcpu);
}

bool Model::may_stop_all(TracerId who) const {
  const Seat& seat = seats_.at(who);
  return seat.observer || std::ranges::none_of(seat.asked, std::identity{});
}

bool Model::may_resume(TracerId who) const {
  const Seat& seat = seats_.at(who);
  return !over_ && (seat.non_stop || std::ranges::all_of(seat.stopped, std::identity{}));
}

bool Model::anyone_at(Gva at) const {
  return std::ranges::any_of(seats_, [at](const auto& entry) {
    return std::ranges::any_of(entry.second.points, [at](const auto& point) {
      return is_breakpoint(point.first.kind) && point.first.at == at;
    });
  });
}

// A hit that it has not been told of when it goes on is void if the point has gone, or the vCPU has been
// moved.
void Model::void_hits(TracerId who, const Seat& seat) {
  if (seat.released) return;  // there may be hits that the hub has not heard of
  for (const VcpuId vcpu : vcpus()) {
    Cpu& one = cpu(vcpu);
    const auto due = one.due.find(who);
    if (due == one.due.end()) continue;
    const Gva here = guest_.rip(vcpu);
    const std::size_t gone = std::erase_if(due->second, [&](const Due& each) {
      const auto is_its_own = [&](const auto& point) {
        return reason_of(point.first.kind) == each.reason && point.first.at == each.at;
      };
      return is_break(each.reason) && (each.at != here || std::ranges::none_of(seat.points, is_its_own));
    });
    if (gone > 0 && !anyone_at(here)) one.judged = false;
  }
}

void Model::resume(TracerId who, const std::vector<ResumeAction>& actions) {
  Seat& seat = seats_.at(who);
  const std::vector<bool> was_stopped = seat.stopped;
  const auto dead = [this](const ResumeAction& action) { return cpu(action.vcpu).dead; };
  // Its hold had been taken away: it will be shown where the vCPU is by now.
  const auto has_run_on = [this](const ResumeAction& action) {
    return action.kind != ResumeAction::Kind::kContinue && machine_.vcpu(action.vcpu).running();
  };
  if (!seat.non_stop) {
    void_hits(who, seat);
    seat.stopped.assign(cpus_.size(), false);
    if (std::ranges::any_of(actions, dead)) return;  // it will be told of that again
    if (std::ranges::any_of(actions, has_run_on)) {
      seat.asked.assign(cpus_.size(), true);
      hold_all(seat);
      return;
    }
  }
  for (const ResumeAction& action : actions) {
    const std::size_t n = action.vcpu.number;
    if (!was_stopped[n]) continue;
    seat.stopped[n] = false;
    if (cpus_[n].dead) continue;
    if (has_run_on(action)) {
      seat.asked[n] = true;
      hold(seat, action.vcpu);
      continue;
    }
    // The hub may not know yet that it is out of the guest.
    seat.excused = seat.excused || !seat.holds[n];
    seat.holds[n] = false;
    seat.orders.erase(action.vcpu);
    if (action.kind == ResumeAction::Kind::kContinue) continue;
    const bool ranged = action.kind == ResumeAction::Kind::kStepRange;
    seat.orders[action.vcpu] = ranged ? Order(action.range) : Order();
  }
}

unsigned Model::insert(TracerId who, const PointSpec& spec, When when) {
  Seat& seat = seats_.at(who);
  Point& point = seat.points[spec];
  const bool same = point.inserted && point.settled && point.when == When::kAlways && when == When::kAlways;
  point.settled = same;
  point.number = ++insertions_;
  return point.number;
}

void Model::inserted(TracerId who, const PointSpec& spec, When when, unsigned number,
                     const Result<void>& result) {
  follow();
  const auto seat = seats_.find(who);
  if (seat == seats_.end()) return;
  const auto point = seat->second.points.find(spec);
  if (point == seat->second.points.end() || point->second.number != number) return;
  if (result) {
    point->second = {.when = when, .settled = true, .inserted = true, .number = number};
    return;
  }
  const bool in_memory = spec.kind == PointKind::kSoftware && BareGuest::physical(spec.at).has_value();
  if (in_memory || slots_reach())
    complain("refused for no reason: " + hub::to_text(spec) + result.error().text);
  seat->second.points.erase(point);
}

// A hit that has been judged and not been told is void.
void Model::remove(TracerId who, const PointSpec& spec) {
  ++removals_;
  Seat& seat = seats_.at(who);
  seat.points.erase(spec);
  for (Cpu& one : cpus_) {
    const auto due = one.due.find(who);
    if (due == one.due.end()) continue;
    for (Due& each : due->second) {
      if (each.reason == reason_of(spec.kind) && each.at == spec.at) each.required = false;
    }
  }
}

void Model::moved(VcpuId vcpu, Gva to) {
  if (guest_.rip(vcpu) == to) return;
  guest_.move(vcpu, to);
  Cpu& one = cpu(vcpu);
  one.judged = false;
  one.told.clear();
  for (auto& [who, due] : one.due) {
    for (Due& each : due) each.required = each.required && !is_break(each.reason);
  }
}

void Model::released(TracerId other) {
  Seat& seat = seats_.at(other);
  seat.released = true;
  for (const VcpuId vcpu : vcpus()) {
    const std::size_t n = vcpu.number;
    if (!seat.holds[n] || seat.asked[n]) continue;
    seat.holds[n] = false;
    seat.orders.erase(vcpu);
    cpu(vcpu).due.erase(other);
  }
}

void Model::reset() {
  guest_.reset();
  for (Cpu& one : cpus_) one = {};
  for (auto& [who, seat] : seats_) seat.excused = true;
}

void Model::died(VcpuId vcpu) {
  sync(vcpu);
  cpu(vcpu).dead = true;
  cpu(vcpu).due.clear();
  for (auto& [who, seat] : seats_) {
    if (seat.observer) continue;
    if (seat.non_stop) {
      for (const VcpuId each : vcpus()) {
        if (!seat.stopped[each.number]) seat.asked[each.number] = true;
      }
      hold_all(seat);
    } else {
      take(seat, vcpu);
    }
    cpu(vcpu).due[who].push_back({.reason = StopReason::kTripleFault, .at = {}});
  }
}

bool Model::holds_any(TracerId who) const {
  return std::ranges::any_of(seats_.at(who).holds, std::identity{});
}

std::vector<PointSpec> Model::points_of(TracerId who) const {
  std::vector<PointSpec> all;
  for (const auto& [spec, point] : seats_.at(who).points) all.push_back(spec);
  return all;
}

// A tracer that sees a vCPU as stopped, which has run on without it (monitor release), gets its hold back;
// any other when it is told.
void Model::take(Seat& seat, VcpuId vcpu) {
  if (!seat.stopped[vcpu.number]) return;
  if (seat.non_stop) {
    hold(seat, vcpu);
  } else {
    hold_all(seat);
  }
}

void Model::will_hear(TracerId who, VcpuId vcpu, Due due) {
  take(seats_.at(who), vcpu);
  cpu(vcpu).due[who].push_back(due);
}

void Model::told(TracerId who, const StopEvent& event) {
  follow();
  const auto seat = seats_.find(who);
  if (seat == seats_.end()) return complain("one who has left is told of a stop");
  if (over_) return complain("a stop is told after the guest's end");
  hears(who, seat->second, event);
}

void Model::hears(TracerId who, Seat& seat, const StopEvent& event) {
  const VcpuId vcpu = event.vcpu;
  const std::size_t n = vcpu.number;
  const std::string what = fmt::format("tracer {}, CPU {}, reason {}, at {:#x}", who.number, n,
                                       static_cast<int>(event.reason), event.at.value);
  if (seat.observer) {
    if (!seat.asked[n] || event.reason != StopReason::kNone) complain("an observer is told: " + what);
    return;
  }
  if (seat.stopped[n] && !seat.asked[n]) complain("told twice without a resume: " + what);
  for (const VcpuId each : vcpus()) {
    const bool concerned = !seat.non_stop || each == vcpu;
    if (concerned && machine_.vcpu(each).running()) complain("told of a stop while a CPU runs: " + what);
  }
  if (event.reason == StopReason::kNone) {
    if (!seat.asked[n] && !seat.excused) complain("a stop for nobody's wish: " + what);
  } else if (event.reason == StopReason::kTripleFault) {
    if (!cpu(vcpu).dead) complain("a CPU that lives is said to be dead: " + what);
  } else {
    const auto due = cpu(vcpu).due.find(who);
    const bool expected =
        due != cpu(vcpu).due.end() && std::ranges::any_of(due->second, [&](const Due& each) {
          return each.reason == event.reason && (each.at == event.at || event.reason == StopReason::kStep);
        });
    // A step, anyone's, meets the breakpoint that it comes to: debug registers may be elsewhere meanwhile.
    const bool met_by_step =
        event.at.value == machine_.vcpu(vcpu).rip() &&
        (event.reason == StopReason::kSoftwareBreak || event.reason == StopReason::kHardwareBreak);
    if (!expected && !met_by_step) complain("told of what has not happened: " + what);
    if (met_by_step) cpu(vcpu).judged = true;
    // A point that has been removed since it was hit may be told of: clients expect that (RSP "swbreak").
    if (is_break(event.reason)) {
      seat.orders.erase(vcpu);
      cpu(vcpu).told.insert(who);
    }
    cpu(vcpu).due.erase(who);
  }
  seat.released = false;
  for (const VcpuId each : vcpus()) {
    if (seat.non_stop && each != vcpu) continue;
    seat.stopped[each.number] = true;
    seat.asked[each.number] = false;
    hold(seat, each);
  }
}

void Model::told_end(TracerId who) {
  if (!seats_.contains(who)) complain("one who has left is told of the end");
  over_ = true;
}

bool Model::slots_reach() const {
  if (removals_ > 0) return false;
  std::vector<x86::DebugSlot> needed;
  for (const auto& [who, seat] : seats_) {
    for (const auto& [spec, point] : seat.points) {
      if (spec.kind == PointKind::kSoftware && BareGuest::physical(spec.at)) continue;
      const auto pieces = hub::slots_needed(spec);
      if (!pieces) return false;
      for (const x86::DebugSlot& piece : *pieces) {
        if (std::ranges::find(needed, piece) == needed.end()) needed.push_back(piece);
      }
    }
  }
  return needed.size() <= x86::kDebugSlotCount;
}

bool Model::held(VcpuId vcpu) const {
  return waiting_ || std::ranges::any_of(seats_, [vcpu](const auto& entry) {
           return !entry.second.observer && entry.second.holds[vcpu.number];
         });
}

bool Model::traced() const {
  return std::ranges::any_of(seats_, [](const auto& entry) { return !entry.second.observer; });
}

}  // namespace ringside::model
