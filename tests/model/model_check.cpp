// How the model follows the guest, and what it checks.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "arch/result.hpp"
#include "tests/model/model.hpp"

namespace ringside::model {
// Lets the bare guest do what the real one has done: at each step everyone who had to be told must have been.
void Model::sync(VcpuId vcpu) {
  const Gva now{machine_.vcpu(vcpu).rip()};
  Cpu& one = cpu(vcpu);
  const unsigned most = one.advanced + 1;
  for (unsigned i = 0; guest_.rip(vcpu) != now; ++i) {
    if (i == most) return complain(fmt::format("CPU {} is at {:#x}", vcpu.number, now.value));
    one_step(vcpu);
  }
  one.advanced = 0;
}

void Model::follow() {
  for (const VcpuId vcpu : vcpus()) {
    if (!machine_.vcpu(vcpu).running()) sync(vcpu);
  }
}

void Model::one_step(VcpuId vcpu) {
  leave(vcpu);
  if (const auto written = guest_.step(vcpu)) watched(vcpu, *written);
  count_steps(vcpu);
}

void Model::leave(VcpuId vcpu) {
  Cpu& one = cpu(vcpu);
  const Gva here = guest_.rip(vcpu);
  const auto where = [&] { return fmt::format("CPU {} at {:#x}", vcpu.number, here.value); };
  for (const auto& [who, seat] : seats_) {
    for (const auto& [spec, point] : seat.points) {
      const bool counts = point.settled && is_breakpoint(spec.kind) && spec.at == here;
      if (one.judged || !counts || !stops(point.when, vcpu)) continue;
      complain(fmt::format("{} passes the point of tracer {}", where(), who.number));
    }
  }
  for (const auto& [who, due] : one.due) {
    for (const Due& each : due) {
      if (!each.required) continue;
      complain(fmt::format("{} goes on, and tracer {} has not been told: reason {}, at {:#x}", where(),
                           who.number, static_cast<int>(each.reason), each.at.value));
    }
  }
  one.due.clear();
  one.told.clear();
  one.judged = false;
}

void Model::watched(VcpuId vcpu, Gpa written) {
  for (auto& [who, seat] : seats_) {
    for (const auto& [spec, point] : seat.points) {
      if (is_breakpoint(spec.kind) || written.value - spec.at.value >= spec.length) continue;
      const bool required = point.settled;
      if (required || point.inserted) {
        will_hear(who, vcpu, {.reason = reason_of(spec.kind), .at = spec.at, .required = required});
      }
    }
  }
}

void Model::count_steps(VcpuId vcpu) {
  for (auto& [who, seat] : seats_) {
    const auto order = seat.orders.find(vcpu);
    if (order == seat.orders.end()) continue;
    if (order->second && order->second->contains(guest_.rip(vcpu))) continue;
    seat.orders.erase(order);
    will_hear(who, vcpu, {.reason = StopReason::kStep, .at = {}});
  }
}

void Model::advanced(VcpuId vcpu, Gva before, Then then) {
  ++cpu(vcpu).advanced;
  sync(vcpu);
  if (guest_.rip(vcpu) == before) judge(vcpu, then);
}

// The breakpoints here are asked, with the conditions of those who set them.  Asked once more at the same
// arrival, they may have changed: nobody has to be told then, and nobody may be told twice.
void Model::judge(VcpuId vcpu, Then then) {
  const Gva here = guest_.rip(vcpu);
  const bool first = !std::exchange(cpu(vcpu).judged, true);
  for (auto& [who, seat] : seats_) {
    for (const auto& [spec, point] : seat.points) {
      if (!is_breakpoint(spec.kind) || spec.at != here || !point.inserted) continue;
      if (cpu(vcpu).told.contains(who) || (point.settled && !stops(point.when, vcpu))) continue;
      if (!point.settled && then == Then::kGoesOn) continue;
      will_hear(who, vcpu, {.reason = reason_of(spec.kind), .at = here, .required = first && point.settled});
    }
  }
}

std::optional<VcpuId> Model::alone() const {
  std::optional<VcpuId> found;
  for (const VcpuId vcpu : vcpus()) {
    const fakes::FakeVcpu& one = machine_.vcpu(vcpu);
    if (!one.running()) continue;
    if (found || !one.wish().step) return std::nullopt;
    found = vcpu;
  }
  return found;
}

void Model::check() {
  if (over_) return;
  for (const VcpuId vcpu : vcpus()) {
    const fakes::FakeVcpu& one = machine_.vcpu(vcpu);
    const bool may = !held(vcpu) || one.pause_asked() || alone() == vcpu;
    if (one.running() && !may) complain(fmt::format("CPU {} runs while it is held", vcpu.number));
    for (const auto& [who, seat] : seats_) {
      const std::size_t n = vcpu.number;
      if (seat.holds[n] && one.runs > seat.held_since[n]) {
        complain(fmt::format("CPU {} has been set going while tracer {} holds it", n, who.number));
      }
    }
    if (!one.own_traps.empty()) complain("a debug exception of ours went to the guest");
  }
}

void Model::check_settled(const std::string& listing, bool ended) {
  check();
  if (ended != over_) return complain("the guest's end and what tracers know of it differ");
  if (over_) return;
  for (const VcpuId vcpu : vcpus()) {
    sync(vcpu);
    if (guest_.own_int3(vcpu) != machine_.vcpu(vcpu).own_int3) complain("an int3 of the guest's is amiss");
    check_running(vcpu);
    check_slots(vcpu);
  }
  check_ram();
  std::string wanted;
  for (auto& [who, seat] : seats_) {
    wanted += listed(who, seat);
    if (!seat.observer && std::ranges::any_of(seat.asked, std::identity{})) {
      complain(fmt::format("tracer {} has asked for a stop and hears nothing", who.number));
    }
    seat.excused = false;
  }
  if (!seats_.empty() && listing != wanted) complain("holds: " + listing + "instead of: " + wanted);
}

std::string Model::listed(TracerId who, const Seat& seat) const {
  std::string held_cpus;
  for (std::size_t n = 0; n < seat.holds.size(); ++n) {
    if (seat.holds[n]) held_cpus += fmt::format("{}{}", held_cpus.empty() ? "" : ",", n);
  }
  return fmt::format("{} tracer points {} holds {}\n", who.number, seat.points.size(),
                     seat.observer       ? "nothing, only looks on"
                     : held_cpus.empty() ? "nothing"
                                         : "CPU " + held_cpus);
}

// The rule of rules: a vCPU runs if and only if nobody holds it.
void Model::check_running(VcpuId vcpu) {
  const bool runs = machine_.vcpu(vcpu).running();
  const bool may = !held(vcpu) && !cpu(vcpu).dead;
  if (cpu(vcpu).dead && !held(vcpu) && !traced()) complain("a dead guest that nobody traces is not over");
  if (runs != may) complain(fmt::format("CPU {} {}", vcpu.number, may ? "should run" : "should stand"));
}

void Model::check_slots(VcpuId vcpu) {
  const fakes::FakeVcpu& one = machine_.vcpu(vcpu);
  if (!one.running()) return;
  bool any_software = false;
  std::vector<x86::DebugSlot> known;
  for (const auto& [who, seat] : seats_) {
    for (const auto& [spec, point] : seat.points) {
      any_software = any_software || spec.kind == PointKind::kSoftware;
      const x86::WatchSlots pieces = hub::slots_needed(spec).value();
      known.insert(known.end(), pieces.begin(), pieces.end());
    }
  }
  for (const auto& slot : one.wish().slots) {
    if (slot && std::ranges::find(known, *slot) == known.end()) complain("a debug register for nobody");
  }
  if (one.wish().trap_int3 && !any_software) complain("int3 is trapped for nobody");
}

bool Model::has_int3(Gpa at) const {
  return std::ranges::any_of(seats_, [at](const auto& entry) {
    return std::ranges::any_of(entry.second.points, [at](const auto& point) {
      const PointSpec& spec = point.first;
      return spec.kind == PointKind::kSoftware && BareGuest::physical(spec.at) == at;
    });
  });
}

void Model::check_ram() {
  const Bytes& own = guest_.ram();
  Bytes there(own.size());
  RS_CHECK(machine_.memory().read(Gpa{0}, there));
  if (there == own) return;
  for (std::size_t at = 0; at < own.size(); ++at) {
    if (there[at] == own[at] || (there[at] == 0xcc && has_int3(Gpa{at}))) continue;
    return complain(fmt::format("RAM at {:#x} is {:#x}, not {:#x}", at, there[at], own[at]));
  }
}

}  // namespace ringside::model
