// What is going on, in words, for `monitor tracers` and the like.
#include <fmt/format.h>

#include "stub/hub/hub.hpp"

namespace ringside::hub {
namespace {

std::string numbers(const std::set<TracerId>& tracers) {
  std::string text;
  for (const TracerId who : tracers) {
    if (who == kMonitor) continue;
    text += fmt::format("{}{}", text.empty() ? "" : ", ", who.number);
  }
  return text;
}

// gdb's own syntax.
std::string script_line(const PointSpec& spec) {
  switch (spec.kind) {
    case PointKind::kSoftware:
      return fmt::format("break *{:#x}\n", spec.at.value);
    case PointKind::kProbe:
      return {};
    case PointKind::kHardware:
      return fmt::format("hbreak *{:#x}\n", spec.at.value);
    case PointKind::kWrite:
      return fmt::format("watch *(char(*)[{}]){:#x}\n", spec.length, spec.at.value);
    case PointKind::kRead:
      return fmt::format("rwatch *(char(*)[{}]){:#x}\n", spec.length, spec.at.value);
    case PointKind::kAccess:
      return fmt::format("awatch *(char(*)[{}]){:#x}\n", spec.length, spec.at.value);
  }
  return {};
}

}  // namespace

std::string Hub::describe_tracers() const {
  std::string text;
  for (const auto& [who, tracer] : tracers_) {
    std::string held;
    for (std::size_t i = 0; i < vcpus_.size(); ++i) {
      if (!holds_.holds(VcpuId{static_cast<std::uint32_t>(i)}, who)) continue;
      held += fmt::format("{}{}", held.empty() ? "" : ",", i);
    }
    text += fmt::format("{} {} points {} holds {}\n", who.number, tracer.label, points_.owned_by(who),
                        tracer.read_only ? "nothing, only looks on"
                        : held.empty()   ? "nothing"
                                         : "CPU " + held);
  }
  return text;
}

std::string Hub::mechanism_of(const PointSpec& spec) const {
  if (mechanisms_.trapped.contains(spec)) return "by trapped writes";
  if (!may_be_int3(spec.kind)) return "by debug register";
  const auto int3 = mechanisms_.int3.find(spec.at);
  if (int3 != mechanisms_.int3.end())
    return memory_.stands_at(int3->second) ? "by int3" : "by int3, jumped over by the kernel for now";
  const auto since = pending_since_.find(spec.at);
  if (since == pending_since_.end()) return "by debug register";
  const std::chrono::duration<double> waited = std::chrono::steady_clock::now() - since->second;
  const char* forbidden = this->forbidden(spec.at);
  return fmt::format("pending for {:.1f} s: {}", waited.count(),
                     forbidden != nullptr ? forbidden : "nothing is mapped there");
}

std::string Hub::owner_text(TracerId who, Gva where) const {
  if (who == kMonitor) return "left behind";
  if (who == kGuard) return "the monitor's own, to hide int3 from the kernel";
  if (who != kEvents) return fmt::format("tracer {}", who.number);
  const auto point = events_.points.find(where);
  if (point == events_.points.end()) return "monitor";
  if (point->second.occasion == Occasion::kModule) return "the monitor's own, for what is pending in modules";
  return fmt::format("monitor: stop at {}", name_of(point->second.occasion));
}

// One probe a line, and under it what it does: numbers are what users compare.
std::string Hub::describe_points() const {
  std::string text;
  for (const auto& [spec, claims] : points_.points()) {
    const std::string mechanism = mechanism_of(spec);
    for (const auto& [who, claim] : claims) {
      const PointCounters& counters = *claim.counters;
      const std::uint64_t hits = counters.hits.load(std::memory_order_relaxed);
      const std::uint64_t stops = counters.stops.load(std::memory_order_relaxed);
      const std::uint64_t failures = counters.failures.load(std::memory_order_relaxed);
      text += fmt::format("{}, {}, {}: {} hits, {} stops", to_text(spec), owner_text(who, spec.at), mechanism,
                          hits, stops);
      if (const auto set_at = link_map_.set_at(who, spec))
        text += fmt::format(", set at {:#x} before the kernel moved", set_at->value);
      if (failures > 0) text += fmt::format(", {} failures", failures);
      const double spent = clock_.microseconds(counters.cost.load(std::memory_order_relaxed));
      if (hits > 0) text += fmt::format(", {:.1f} us a hit", spent / static_cast<double>(hits));
      text += '\n';
      if (!claim.actions) continue;
      for (const auto& condition : claim.actions->conditions) {
        text += fmt::format("  if {}\n", condition.listing());
      }
      for (const auto& command : claim.actions->commands) text += fmt::format("  do {}\n", command.listing());
    }
  }
  return text.empty() ? "no points are set\n" : text;
}

// What the tracer has set, in commands that gdb reads back.  A condition came as bytecode: it stands beside.
std::string Hub::points_as_script(TracerId who) const {
  std::string text;
  for (const auto& [spec, claims] : points_.points()) {
    const auto mine = claims.find(who);
    if (mine == claims.end() || spec.kind == PointKind::kProbe) continue;
    text += script_line(spec);
    if (!mine->second.actions) continue;
    for (const auto& condition : mine->second.actions->conditions) {
      text += fmt::format("#   if {}\n", condition.listing());
    }
    for (const auto& command : mine->second.actions->commands) {
      text += fmt::format("#   do {}\n", command.listing());
    }
  }
  return text.empty() ? "# no points are set\n" : text;
}

std::string Hub::describe_exits() const {
  std::string text;
  for (std::uint32_t i = 0; i < vcpus_.size(); ++i) {
    text += fmt::format("CPU {} exits {}\n", i, machine_.vcpu(VcpuId{i}).exits());
  }
  return text;
}

std::string Hub::describe_machine() const {
  std::string text;
  for (std::size_t i = 0; i < vcpus_.size(); ++i) {
    const Vcpu& vcpu = vcpus_[i];
    if (!vcpu.settled()) {
      text += fmt::format("CPU {}: running\n", i);
      continue;
    }
    const auto& c = vcpu.context.core;
    const auto& g = c.gpr;
    const auto& p = vcpu.context.paging;
    text += fmt::format(
        "CPU {}: rip {:016x} rflags {:08x} cs {:04x} cpl {}\n"
        "  rax {:016x} rbx {:016x} rcx {:016x} rdx {:016x}\n"
        "  rsi {:016x} rdi {:016x} rbp {:016x} rsp {:016x}\n"
        "  r8  {:016x} r9  {:016x} r10 {:016x} r11 {:016x}\n"
        "  r12 {:016x} r13 {:016x} r14 {:016x} r15 {:016x}\n"
        "  cr0 {:08x} cr3 {:016x} cr4 {:08x} efer {:x}\n",
        i, c.rip, c.rflags, vcpu.context.cs.selector, vcpu.context.cs.cpl, g[x86::kRax], g[x86::kRbx],
        g[x86::kRcx], g[x86::kRdx], g[x86::kRsi], g[x86::kRdi], g[x86::kRbp], g[x86::kRsp], g[8], g[9], g[10],
        g[11], g[12], g[13], g[14], g[15], p.cr0, p.cr3, p.cr4, p.efer);
  }
  return text;
}

std::string Hub::vcpu_note(VcpuId id) const {
  const Vcpu& vcpu = vcpus_.at(id.number);
  if (vcpu.dead) return vcpu.detail;
  const std::string holders = numbers(holds_.holders(id));
  const std::string why = vcpu.event.empty() ? "" : "stopped: " + vcpu.event + "; ";
  if (holders.empty()) return why + "running";
  return why + "held by tracer " + holders;
}

}  // namespace ringside::hub
