// Stops that the monitor finds itself: places of the boot, and trouble.
//
//   on a vCPU's thread   EFER, a mark            -> Sighting, the vCPU parks
//   a point of kEvents   start_kernel, panic …   -> a breakpoint hit like any other, whose owner is the hub
//   the hub's own look   hang
// Each ends in stop_everyone().
#include <algorithm>
#include <array>
#include <chrono>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "arch/x86/control.hpp"
#include "stub/guestos/kernel.hpp"
#include "stub/hub/hub.hpp"
#include "stub/hub/vcpu_environment.hpp"

namespace ringside::hub {

using tracer::StopReason;

// Thread: the vCPU's own.
bool Hub::happened(api::VcpuAccess& access, const api::GuestEvent& event) {
  using Kind = api::GuestEvent::Kind;
  Sighting seen{.vcpu = access.id(), .event = event, .context = {}, .kernel = spotter_.look(access, event)};
  const bool wanted = seen.kernel || (event.kind == Kind::kMark && marks_wanted_.load()) ||
                      (event.kind == Kind::kWroteEfer && modes_wanted_.load());
  if (!wanted) return false;
  seen.context = access.context();
  post([this, seen] { sighted(seen); });
  return true;
}

void Hub::sighted(const Sighting& seen) {
  using Kind = api::GuestEvent::Kind;
  if (ended_) return;
  if (seen.kernel) kernel_came(seen);
  const StopWishes& wishes = events_.wishes;
  if (seen.event.kind == Kind::kMark && wishes.has(Occasion::kMark) &&
      wishes.mark.value_or(static_cast<std::uint8_t>(seen.event.value)) == seen.event.value) {
    stop_everyone(Occasion::kMark, seen.vcpu, seen.context,
                  fmt::format("the guest's mark {:#04x}", seen.event.value));
  }
  if (seen.event.kind == Kind::kWroteEfer && wishes.has(Occasion::kMode)) {
    stop_everyone(Occasion::kMode, seen.vcpu, seen.context,
                  fmt::format("EFER from {:#x} to {:#x}", seen.event.before, seen.event.value));
  }
  settle();
}

void Hub::kernel_came(const Sighting& seen) {
  const KernelPlace& place = *seen.kernel;
  events_.place = place;
  kernel_.found_at({place.text, place.at, place.bytes});
  carry_over(place);
  const std::string where =
      fmt::format("_text {:#x} offset {:#x} physical {:#x}{}", place.text.value, place.slide(),
                  place.at.value, place.as_loaded ? "" : ", another kernel than the one loaded");
  spdlog::info("CPU {}: the kernel is in its place: {}", seen.vcpu.number, where);
  drop_event_points();
  if (events_.wishes.has(Occasion::kRelocated))
    stop_everyone(Occasion::kRelocated, seen.vcpu, seen.context,
                  "the kernel runs at its final address: " + where);
  arm_symbols();
}

// What has been set by the addresses of the unrelocated image is meant in the running one.
void Hub::carry_over(const KernelPlace& place) {
  take_back();
  std::set<TracerId> before;
  for (const auto& [who, tracer] : tracers_) before.insert(who);
  link_map_.relocated(place, before);
  struct Moving {
    TracerId owner;
    PointSpec spec;
    std::shared_ptr<const PointActions> actions;
  };
  std::vector<Moving> moving;
  for (const auto& [spec, claims] : points_.points()) {
    if (!link_map_.is_linked(spec.at)) continue;
    for (const auto& [owner, claim] : claims) {
      if (owner != kEvents) moving.push_back({owner, spec, claim.actions});
    }
  }
  if (moving.empty()) return;
  for (const Moving& one : moving) points_.remove(one.owner, one.spec);
  for (const Moving& one : moving) {
    points_.add(one.owner, link_map_.moved(one.owner, one.spec), one.actions);
    const auto tracer = tracers_.find(one.owner);
    if (tracer != tracers_.end())
      tracer->second.events->on_message(fmt::format("{} has moved with the kernel to {:#x}",
                                                    to_text(one.spec), one.spec.at.value + place.slide()));
  }
  replan_all();
}

// The other way round: a new life begins with the addresses that the tracers have given.
void Hub::take_back() {
  std::vector<std::tuple<TracerId, PointSpec, std::shared_ptr<const PointActions>>> moving;
  for (const auto& [owner, specs] : link_map_.all_moved()) {
    for (const PointSpec& spec : specs) {
      const Claim* claim = points_.claim(owner, spec);
      if (claim != nullptr) moving.emplace_back(owner, spec, claim->actions);
    }
  }
  for (const auto& [owner, spec, actions] : moving) points_.remove(owner, spec);
  for (const auto& [owner, spec, actions] : moving) {
    PointSpec linked = spec;
    linked.at = spec.at - link_map_.slide();
    points_.add(owner, linked, actions);
  }
  link_map_.forget();
}

void Hub::replan_all() {
  exclusively([this] {
    sites_.clear();
    points_dirty_ = true;
    if (const auto applied = apply(VcpuId{0}); !applied)
      spdlog::warn("breakpoints that moved with the kernel: {}", applied.error().text);
  });
}

bool Hub::wants_stops(const Tracer& tracer) { return !tracer.read_only && tracer.events->wants_stops(); }

bool Hub::is_watched() const {
  return std::ranges::any_of(tracers_, [](const auto& one) { return wants_stops(one.second); });
}

// Every vCPU stops, and every tracer is told why.  Is nobody there who could do something about it, the guest
// waits for the first who comes.
void Hub::stop_everyone(Occasion occasion, VcpuId id, const x86::CpuContext& context,
                        const std::string& text) {
  events_.last = text;
  at(id).event = text;
  if (callbacks_.on_occasion)
    exclusively([this, occasion, text] { callbacks_.on_occasion(name_of(occasion), text); });
  const std::string line = fmt::format("CPU {}: stopped: {}", id.number, text);
  if (!is_watched()) {
    spdlog::warn("{}; waiting for a gdb", line);
    events_.untold = GuestEvents::Untold{id, StopReason::kEvent, context, line};
    waiting_for_first_ = true;
    holds_.take_all(kMonitor);
    return;
  }
  spdlog::info("{}", line);
  for (auto& [who, tracer] : tracers_) {
    if (!wants_stops(tracer)) continue;
    at(id).steps.erase(who);
    tracer.resumed.insert(id);
    concern(who, {.vcpu = id, .reason = StopReason::kEvent, .at = {}, .context = context, .detail = line});
    if (!tracer.non_stop) continue;
    holds_.take_all(who);
    std::ranges::replace(tracer.cpus, View::kRunning, View::kStopping);
  }
}

// The first tracer hears of what the guest has waited for it with.
void Hub::tell_untold(TracerId who) {
  const auto untold = std::exchange(events_.untold, std::nullopt);
  if (!untold) return;
  tracers_.at(who).pending.push_back({.vcpu = untold->vcpu,
                                      .reason = untold->reason,
                                      .at = {},
                                      .context = untold->context,
                                      .detail = untold->text});
}

Result<void> Hub::stop_at(std::string_view names, bool trouble) {
  StopWishes wishes = events_.wishes;
  RS_TRY(wishes.add(names, trouble));
  RS_TRY(can_be_seen(wishes));
  events_.wishes = std::move(wishes);
  marks_wanted_ = events_.wishes.has(Occasion::kMark);
  modes_wanted_ = events_.wishes.has(Occasion::kMode);
  if (!started_) return {};
  drop_event_points();
  arm_events();
  settle();
  return {};
}

Result<void> Hub::can_be_seen(const StopWishes& wishes) const {
  const auto& kernel = machine_.info().kernel;
  const bool unpacks_itself = kernel && kernel->unpacker;
  if (!unpacks_itself && (wishes.has(Occasion::kEntry32) || wishes.has(Occasion::kDecompressor))) {
    return fail(
        Errc::kUnsupported,
        "here the monitor unpacks the kernel: entry32 and decompressor need a boot by the kernel's own "
        "decompressor");
  }
  const bool needs_efer = wishes.has(Occasion::kRelocated) || wishes.has(Occasion::kMode) ||
                          (unpacks_itself && wishes.need_symbols());
  if (needs_efer && !machine_.info().tells_of_efer) {
    return fail(Errc::kUnsupported,
                "this host's KVM does not tell of writes to EFER (Linux 5.10 or newer does)");
  }
  return {};
}

// At the beginning of a life, and when wishes have changed.
void Hub::arm_events() {
  const auto& kernel = machine_.info().kernel;
  const StopWishes& wishes = events_.wishes;
  if (kernel && kernel->unpacker && !events_.place) arm_entries(Gva{kernel->unpacker->value});
  const bool placed = kernel && kernel->slide;
  if (wishes.has(Occasion::kHang)) look_for_hangs();
  if (wishes.need_symbols() && (placed || events_.place || kernel_.known())) arm_symbols();
}

// Before the kernel has tables of its own, linear addresses are physical ones.
void Hub::arm_entries(Gva unpacker) {
  constexpr std::uint64_t kEntry64 = 0x200;  // boot.rst "64-bit boot protocol"
  const StopWishes& wishes = events_.wishes;
  const auto hidden = [](Occasion occasion) { return EventPoint{occasion, PointKind::kHardware, true, {}}; };
  if (wishes.has(Occasion::kEntry32)) watch_for(unpacker, hidden(Occasion::kEntry32));
  if (wishes.has(Occasion::kEntry64)) watch_for(unpacker + kEntry64, hidden(Occasion::kEntry64));
  if (!wishes.has(Occasion::kDecompressor)) return;
  const auto jump = find_jump_to_copy(unpacker + kEntry64);
  if (!jump) {
    spdlog::warn("stop at decompressor: its jump to its copy is not found in this kernel");
    return;
  }
  EventPoint first = hidden(Occasion::kDecompressor);
  first.last_stage = false;
  watch_for(*jump, first);
}

// startup_64 copies the decompressor to the end of its buffer and goes on there: rep movsq; cld; …;
// lea .Lrelocated(%rbx), %rax; jmp *%rax (Linux arch/x86/boot/compressed/head_64.S, the same from 5.x to 7.x).
std::optional<Gva> Hub::find_jump_to_copy(Gva entry) const {
  constexpr std::size_t kCode = 0x1000;
  constexpr std::array<std::uint8_t, 4> kCopy = {0xf3, 0x48, 0xa5, 0xfc};
  constexpr std::array<std::uint8_t, 3> kLea = {0x48, 0x8d, 0x83};
  constexpr std::array<std::uint8_t, 2> kJump = {0xff, 0xe0};
  constexpr std::size_t kLeaBytes = 7;
  const Bytes code = memory_.read_physical(Gpa{entry.value}, kCode);
  const auto copy = std::search(code.begin(), code.end(), kCopy.begin(), kCopy.end());
  for (auto lea = copy; lea != code.end(); ++lea) {
    lea = std::search(lea, code.end(), kLea.begin(), kLea.end());
    if (static_cast<std::size_t>(code.end() - lea) < kLeaBytes + kJump.size()) break;
    const auto jump = lea + kLeaBytes;
    if (std::equal(kJump.begin(), kJump.end(), jump))
      return entry + static_cast<std::uint64_t>(jump - code.begin());
  }
  return std::nullopt;
}

// The guest waits while its symbols are looked for: what is to be caught may come at once.
void Hub::arm_symbols() {
  if (!events_.wishes.need_symbols() || std::exchange(events_.arming, true)) return;
  holds_.take_all(kMonitor);
  ask_symbols(2);
}

// A search that began before the kernel was in its place fails: one more then finds it.
void Hub::ask_symbols(int tries) {
  kernel_.ask(snapshot_, [this, tries, life = life_](const auto& kernel) {
    if (life != life_ || ended_) return;
    if (!kernel && tries > 1) {
      post([this, tries, life] {
        if (life == life_ && !ended_) ask_symbols(tries - 1);
      });
      return;
    }
    events_.arming = false;
    if (kernel) {
      set_symbol_points(**kernel);
    } else {
      spdlog::warn("the kernel's functions are not known, and nothing stops there: {}", kernel.error().text);
    }
    release_monitor();
    settle();
  });
}

// The function's first instruction of its own.  Before it the kernel patches, and complains about bytes that it does
// not know: endbr64 (arch/x86/kernel/alternative.c, apply_seal_endbr) and the call of __fentry__ (kernel/trace/ftrace.c).
Gva Hub::body_of(Gva function, const guestos::Kernel& kernel, const VirtualMemory& memory) {
  constexpr std::uint32_t kEndbr64 = 0xfa1e0ff3;
  constexpr std::uint32_t kNop5 = 0x00441f0f;  // and one more zero
  constexpr std::uint8_t kCall = 0xe8;
  constexpr std::uint64_t kFentryBytes = 5;
  Gva where = function;
  if (memory.load_at<std::uint32_t>(where) == kEndbr64) where = where + 4;
  if (memory.load_at<std::uint32_t>(where) == kNop5) return where + kFentryBytes;
  const auto target = memory.load_at<std::int32_t>(where + 1);
  if (memory.load_at<std::uint8_t>(where) != kCall || !target) return where;
  const Gva called = where + kFentryBytes + static_cast<std::uint64_t>(std::int64_t{*target});
  return called == kernel.symbol("__fentry__") ? where + kFentryBytes : where;
}

void Hub::set_symbol_points(const guestos::Kernel& kernel) {
  const auto memory = kernel_.memory(snapshot_);
  const auto state_at = kernel.symbol("system_state");
  const auto state = state_at && memory ? memory->load_at<std::uint32_t>(*state_at) : std::nullopt;
  // Its memory is given to others when it has run (Linux init/main.c, free_initmem).
  const bool begins = state.value_or(0) == 0;
  struct Row {
    Occasion occasion;
    std::array<const char*, 2> symbols;  // the first that there is; or both
    bool both = false;
  };
  static constexpr Row kRows[] = {{Occasion::kStartKernel, {"start_kernel", nullptr}},
                                  {Occasion::kInit, {"start_thread", "compat_start_thread"}, true},
                                  {Occasion::kPanic, {"vpanic", "panic"}},
                                  {Occasion::kOops, {"__die", "oops_enter"}},
                                  {Occasion::kWarn, {"__warn", nullptr}}};
  for (const Row& row : kRows) {
    if (!events_.wishes.has(row.occasion) || (row.occasion == Occasion::kStartKernel && !begins)) continue;
    bool any = false;
    for (const char* symbol : row.symbols) {
      const auto where = symbol != nullptr && (row.both || !any) ? kernel.symbol(symbol) : std::nullopt;
      if (!where) continue;
      any = true;
      const Gva body = memory ? body_of(*where, kernel, *memory) : *where;
      watch_for(body, {row.occasion, PointKind::kProbe, row.occasion != Occasion::kInit, symbol});
    }
    if (!any) spdlog::warn("stop at {}: this kernel has no {}", name_of(row.occasion), row.symbols[0]);
  }
}

void Hub::watch_for(Gva where, EventPoint point) {
  const PointSpec spec{.kind = point.kind, .at = where, .length = 1};
  const Occasion occasion = point.occasion;
  if (!events_.points.try_emplace(where, std::move(point)).second) return;
  exclusively([this, spec, occasion] {
    if (!events_.points.contains(spec.at)) return;
    points_.add(kEvents, spec);
    if (const auto placed = place(VcpuId{0}, spec); !placed) {
      points_.remove(kEvents, spec);
      events_.points.erase(spec.at);
      spdlog::warn("stop at {}: {}", name_of(occasion), placed.error().text);
    }
    points_changed(spec.at);
  });
}

void Hub::unwatch(Gva where) {
  const auto found = events_.points.find(where);
  if (found == events_.points.end()) return;
  const PointSpec spec{.kind = found->second.kind, .at = where, .length = 1};
  events_.points.erase(found);
  if (!points_.remove(kEvents, spec)) {
    points_changed(where);
    return;
  }
  exclusively([this, spec] {
    points_changed(spec.at);
    if (!points_.points().contains(spec)) static_cast<void>(unplace(spec));
  });
}

void Hub::drop_event_points() {
  while (!events_.points.empty()) unwatch(events_.points.begin()->first);
}

// A vCPU stands at one of the monitor's own points.
void Hub::event_hit(VcpuId id, Gva where) {
  const auto found = events_.points.find(where);
  if (found == events_.points.end()) return;
  const EventPoint point = found->second;
  const x86::CpuContext context = at(id).context;
  if (point.occasion == Occasion::kInit) {
    init_hit(id, point);
    return;
  }
  if (!point.last_stage) {  // the jump to the decompressor's copy
    unwatch(where);
    watch_for(Gva{context.core.gpr[x86::kRax]}, {point.occasion, PointKind::kHardware, true, {}});
    return;
  }
  const auto* info = &*std::ranges::find(occasions(), point.occasion, &OccasionInfo::occasion);
  if (!info->trouble) {
    unwatch(where);
    stop_everyone(info->occasion, id, context, fmt::format("{}: {}", info->name, info->meaning));
    return;
  }
  const auto kernel = kernel_.known();
  const auto memory = kernel_.memory(snapshot_);
  stop_everyone(info->occasion, id, context,
                kernel && memory ? trouble_text(point.occasion, point, context.core, *kernel->kernel, *memory)
                                 : std::string(info->name));
}

// start_thread() is given the address where the process begins in user mode; that of process 1 is waited for.
void Hub::init_hit(VcpuId id, const EventPoint& point) {
  const auto known = kernel_.known();
  const auto memory = kernel_.memory(snapshot_);
  const x86::CpuContext context = at(id).context;
  const auto task = known && memory ? task_on(id, *known, *memory) : std::nullopt;
  if (!task || task->tgid != 1) return;
  if (!point.last_stage) {
    watch_for(Gva{context.core.gpr[x86::kRsi]}, {Occasion::kInit, PointKind::kHardware, true, {}});
    return;
  }
  if (context.cs.cpl != 3) return;
  std::vector<Gva> done;
  for (const auto& [where, other] : events_.points) {
    if (other.occasion == Occasion::kInit) done.push_back(where);
  }
  for (const Gva where : done) unwatch(where);
  stop_everyone(Occasion::kInit, id, context, "init: the first instruction of process 1 in user mode");
}

// The machine is at its first instruction.
void Hub::begin_life() {
  ++life_;
  events_.place.reset();
  events_.points.clear();
  events_.arming = false;
  events_.untold.reset();
  events_.last.clear();
  points_.remove_all(kEvents);
  spotter_.forget();
  hangs_.forget_all();
  arm_events();
  if (!events_.wishes.has(Occasion::kReset)) return;
  exclusively([this] {  // then it is known where the vCPUs stand
    stop_everyone(Occasion::kReset, VcpuId{0}, vcpus_[0].context, "reset: the first instruction");
  });
}

// Once a second while somebody wants to know.
void Hub::look_for_hangs() {
  if (!events_.wishes.has(Occasion::kHang) || ended_ || std::exchange(hang_timer_runs_, true)) return;
  hang_timer_.expires_after(std::chrono::seconds(1));
  hang_timer_.async_wait([this, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
    if (error || alive.expired()) return;
    hang_timer_runs_ = false;
    for (std::uint32_t i = 0; i < vcpus_.size(); ++i) {
      if (vcpus_[i].parked) {
        hangs_.forget(VcpuId{i});
        continue;
      }
      machine_.vcpu(VcpuId{i}).post([this, i](api::VcpuAccess& access) {
        const auto pulse = access.pulse();
        if (pulse)
          post([this, i, pulse = *pulse, context = access.context()] { felt(VcpuId{i}, pulse, context); });
      });
    }
    look_for_hangs();
  });
}

void Hub::felt(VcpuId id, const api::Pulse& pulse, const x86::CpuContext& context) {
  if (ended_ || at(id).parked || !events_.wishes.has(Occasion::kHang)) {
    hangs_.forget(id);
    return;
  }
  const std::chrono::seconds limit(events_.wishes.hang_seconds);
  if (!hangs_.look(id, pulse, HangWatch::Clock::now(), limit)) return;
  guest_kernel([this, id, context, limit](const auto&) {  // for the name of the place; it need not be known
    if (ended_) return;
    stop_everyone(Occasion::kHang, id, context,
                  fmt::format("hang: CPU {} has taken no interrupt for {} s, and is at {}", id.number,
                              limit.count(), place_text(context.linear_rip())));
    settle();
  });
}

std::string Hub::place_text(Gva where) const {
  const auto known = kernel_.known();
  const auto near = known ? known->kernel->nearest(where) : std::nullopt;
  return near ? fmt::format("{}+{:#x}", near->name, near->offset) : fmt::format("{:#x}", where.value);
}

std::string Hub::describe_stops() const {
  std::string text;
  for (const OccasionInfo& one : occasions()) {
    std::string name(one.name);
    if (one.occasion == Occasion::kMark && events_.wishes.mark)
      name += fmt::format(":{:#x}", *events_.wishes.mark);
    if (one.occasion == Occasion::kHang && events_.wishes.hang_seconds != StopWishes::kUsualHangSeconds)
      name += fmt::format(":{}", events_.wishes.hang_seconds);
    const bool set = events_.wishes.has(one.occasion);
    text += fmt::format("{} {:<9} {:<13} {}\n", set ? "*" : " ", one.trouble ? "stop-on" : "stop-at", name,
                        one.meaning);
  }
  if (!events_.last.empty()) text += fmt::format("stopped last for: {}\n", events_.last);
  return text;
}

}  // namespace ringside::hub
