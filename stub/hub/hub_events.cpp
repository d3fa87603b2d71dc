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
    stop_everyone(seen.vcpu, seen.context, fmt::format("the guest's mark {:#04x}", seen.event.value));
  }
  if (seen.event.kind == Kind::kWroteEfer && wishes.has(Occasion::kMode)) {
    stop_everyone(seen.vcpu, seen.context,
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
    stop_everyone(seen.vcpu, seen.context, "the kernel runs at its final address: " + where);
  arm_symbols();
}

// What has been set by the addresses of an image elsewhere is meant in the running one.
void Hub::carry_over(const KernelPlace& place) {
  take_back();
  std::set<TracerId> before;
  for (const auto& [who, tracer] : tracers_) before.insert(who);
  link_map_.relocated(place, before);
  std::vector<LinkMap::Move> moves;
  for (const auto& [spec, claims] : points_.points()) {
    for (const auto& [owner, claim] : claims) {
      if (const auto there = link_map_.meant(owner, spec)) moves.push_back({owner, spec, *there});
    }
  }
  if (moves.empty()) return;
  move_points(moves);
  for (const LinkMap::Move& one : moves) {
    link_map_.moved(one.who, one.asked, one.there);
    const auto tracer = tracers_.find(one.who);
    if (tracer != tracers_.end())
      tracer->second.events->on_message(
          fmt::format("{} has moved with the kernel to {:#x}", to_text(one.asked), one.there.at.value));
  }
  replan_all();
}

// The other way round: a new life begins with the addresses that the tracers have given.
void Hub::take_back() {
  std::vector<LinkMap::Move> moves = link_map_.all_moved();
  for (LinkMap::Move& one : moves) std::swap(one.asked, one.there);
  move_points(moves);
  link_map_.forget();
}

// All at once: where one goes another may come from.
void Hub::move_points(const std::vector<LinkMap::Move>& moves) {
  std::vector<std::tuple<TracerId, PointSpec, std::shared_ptr<const PointActions>>> moving;
  for (const LinkMap::Move& one : moves) {
    const Claim* claim = points_.claim(one.who, one.asked);
    if (claim != nullptr) moving.emplace_back(one.who, one.there, claim->actions);
  }
  for (const LinkMap::Move& one : moves) points_.remove(one.who, one.asked);
  for (const auto& [owner, spec, actions] : moving) points_.add(owner, spec, actions);
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
void Hub::stop_everyone(VcpuId id, const x86::CpuContext& context, const std::string& text) {
  events_.last = text;
  at(id).event = text;
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

// The monitor's own interest comes first.
void Hub::tell_of_trouble(Occasion occasion, const std::string& text) {
  if (!events_.noticed.has(occasion) || !callbacks_.on_trouble) return;
  exclusively([this, text] { callbacks_.on_trouble(text); });
}

void Hub::trouble(Occasion occasion, VcpuId id, const x86::CpuContext& context, const std::string& text) {
  tell_of_trouble(occasion, text);
  if (events_.wishes.has(occasion)) stop_everyone(id, context, text);
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

Result<void> Hub::notice(std::string_view names) {
  StopWishes wishes;
  RS_TRY(wishes.add(names, true));
  RS_TRY(can_be_seen(wishes));
  events_.noticed = std::move(wishes);
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
  if (kernel && kernel->unpacker && !events_.place) arm_entries(Gva{kernel->unpacker->value});
  const bool placed = kernel && kernel->slide;
  if (events_.wants(Occasion::kHang)) look_for_hangs();
  if (events_.need_symbols() && (placed || events_.place || kernel_.known())) arm_symbols();
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
  if (point.occasion == Occasion::kModule) {
    replan_points();
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
    stop_everyone(id, context, fmt::format("{}: {}", info->name, info->meaning));
    return;
  }
  const auto kernel = kernel_.known();
  const auto memory = kernel_.memory(snapshot_);
  trouble(point.occasion, id, context,
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
  stop_everyone(id, context, "init: the first instruction of process 1 in user mode");
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
    stop_everyone(VcpuId{0}, vcpus_[0].context, "reset: the first instruction");
  });
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
