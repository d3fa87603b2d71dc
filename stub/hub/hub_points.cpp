// Inserting and removing points, and what the vCPU threads are given of them.
#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "arch/x86/paging.hpp"
#include "stub/hub/hub.hpp"
#include "stub/tracer/variables.hpp"

namespace ringside::hub {

namespace {

constexpr std::uint64_t kKernelHalf = std::uint64_t{1} << 63;

std::optional<Gpa> executable_at(const x86::PagingState& paging, Gva at, const PhysicalMemory& memory) {
  const x86::WalkResult leaf = x86::walk(paging, at, memory);
  if (!leaf || !leaf->executable || !memory.load_at<std::uint8_t>(leaf->gpa)) return std::nullopt;
  return leaf->gpa;
}

}  // namespace

// Where the guest would fetch an instruction at this address from, if it could.
std::optional<Gpa> Hub::find_memory(Gva at, VcpuId preferred) const {
  const PhysicalMemory& memory = machine_.memory();
  if (const auto where = executable_at(vcpus_.at(preferred.number).context.paging, at, memory)) return where;
  for (const Vcpu& vcpu : vcpus_) {
    if (const auto where = executable_at(vcpu.context.paging, at, memory)) return where;
  }
  if (at.value < kKernelHalf) return std::nullopt;
  if (const auto paging = kernel_paging()) return executable_at(*paging, at, memory);
  return find_in_placed_image(at);
}

// While a process runs with page table isolation, its tables have next to nothing of the kernel, and the kernel's
// own are taken.  Not before there are processes: in its boot the kernel has yet to fill them in.
std::optional<x86::PagingState> Hub::kernel_paging() const {
  const auto known = kernel_.known();
  const bool in_process =
      std::ranges::any_of(vcpus_, [](const Vcpu& vcpu) { return vcpu.context.cs.cpl == 3; });
  if (!in_process || !known || !known->page_table) return std::nullopt;
  return known->paging(machine_.memory());
}

// A kernel that the monitor has placed is there before it has tables of its own.
std::optional<Gpa> Hub::find_in_placed_image(Gva at) const {
  const auto& image = machine_.info().kernel;
  if (!image || !image->at || !image->slide) return std::nullopt;
  const Gva text = image->link_text + *image->slide;
  if (at < text || at - text >= image->bytes) return std::nullopt;
  const bool has_run = std::ranges::any_of(vcpus_, [&](const Vcpu& vcpu) {
    return vcpu.context.cs.cpl == 3 || memory_.translate(vcpu.context.paging, text).has_value();
  });
  if (has_run) return std::nullopt;
  return *image->at + (at - text);
}

// Why no int3 may stand here at the moment; null: it may.
const char* Hub::forbidden(Gva at) const {
  const auto kernel = guard_ && guard_->is_in_module(at) ? kernel_.memory(snapshot_) : nullptr;
  const char* why = guard_ ? guard_->forbids(at, machine_.memory(), kernel.get()) : nullptr;
  if (why != nullptr) return why;
  return is_jumped_over(at) ? "a jump of the kernel's goes over this place (a kprobe's)" : nullptr;
}

// Whether a five-byte jump lies over this address that begins before it.  Decoded from the function's beginning, where
// the bytes look like one.  An int3 that has been there before stays, and GuestWrites sees to it; one that was set when
// the kernel was not known is looked at once.
bool Hub::is_jumped_over(Gva at) const {
  const auto int3 = mechanisms_.int3.find(at);
  if (int3 != mechanisms_.int3.end() && !(guard_is_fresh_ && memory_.stands_at(int3->second))) return false;
  constexpr std::uint8_t kJump = 0xe9;
  constexpr std::uint64_t kJumpBytes = 5, kLongestFunction = 64 * 1024;
  const auto known = kernel_.known();
  const auto memory = kernel_.memory(snapshot_);
  std::array<std::uint8_t, kJumpBytes - 1> before{};
  if (!memory || !memory->read(at - before.size(), before)) return false;
  if (std::ranges::find(before, kJump) == before.end()) return false;
  const auto near = known->kernel->nearest(at);
  if (!near || near->offset > kLongestFunction) return false;
  Bytes code(static_cast<std::size_t>(near->offset) + kJumpBytes);
  const Gva function = at - near->offset;
  if (!memory->read(function, code)) return false;
  std::size_t done = 0;
  std::uint8_t opcode = 0;
  while (done < near->offset) {
    opcode = code[done];
    const std::size_t length = planner_.plan(ByteView(code).subspan(done), function + done).original.length;
    if (length == 0) return false;
    done += length;
  }
  return done > near->offset && opcode == kJump;
}

// For one that is inserted already, in a process that need not be running now: it stays unless it has to be
// looked at.
std::optional<Gpa> Hub::find_point(Gva at, VcpuId preferred) const {
  const auto known = mechanisms_.int3.find(at);
  const bool is_in = known != mechanisms_.int3.end();
  if (forbidden(at) != nullptr) return std::nullopt;
  if (is_in && at.value < kKernelHalf && !reviewing_) return known->second;
  const auto where = find_memory(at, preferred);
  // While no CPU uses the kernel's tables nothing can be told of its half: on the way to another kernel, say.
  const bool known_better = where || kernel_paging() || std::ranges::any_of(vcpus_, [](const Vcpu& vcpu) {
                              return vcpu.context.cs.cpl == 0 && vcpu.context.core.rip >= kKernelHalf;
                            });
  return is_in && !known_better ? known->second : where;
}

Result<void> Hub::may_own(TracerId who, const PointSpec& spec) const {
  constexpr std::size_t kMostPoints = 20'000;
  const auto tracer = tracers_.find(who);
  if (tracer == tracers_.end() || tracer->second.read_only) return fail(Errc::kGone, "the tracer has gone");
  if (points_.claim(who, spec) == nullptr && points_.owned_by(who) >= kMostPoints) {
    return fail(Errc::kExhausted, fmt::format("a tracer may set {} points", kMostPoints));
  }
  return {};
}

namespace {

bool asks_for_task(const PointActions& actions) {
  const auto asks = [](const agent::Program& program) {
    return std::ranges::any_of(program.facts().variables_read, tracer::is_of_task);
  };
  return std::ranges::any_of(actions.conditions, asks) || std::ranges::any_of(actions.commands, asks);
}

bool asks_for_task(const PointTable& points) {
  return std::ranges::any_of(points.points(), [](const auto& point) {
    return std::ranges::any_of(point.second, [](const auto& claim) {
      return claim.second.actions && asks_for_task(*claim.second.actions);
    });
  });
}

}  // namespace

// A point that asks who runs waits until that can be told; too early in the guest's boot it is set all the
// same, and the kernel is looked for until it is there.
void Hub::insert(TracerId who, VcpuId vcpu, const PointSpec& asked,
                 std::shared_ptr<const PointActions> actions, tracer::Done<void> done) {
  const PointSpec spec = link_map_.inserted(who, asked);
  if (actions == nullptr || kernel_.known() || !asks_for_task(*actions)) {
    insert_now(who, vcpu, spec, std::move(actions), std::move(done));
    return;
  }
  guest_kernel(
      [this, who, vcpu, spec, actions = std::move(actions), done = std::move(done)](auto kernel) mutable {
        if (!kernel) look_for_kernel();
        insert_now(who, vcpu, spec, std::move(actions), std::move(done));
      });
}

// Once it is there, every vCPU takes it along.
void Hub::look_for_kernel() {
  kernel_.ask_until_known([this] { return ended_ ? nullptr : snapshot_; }, [this] { hand_out_kernel(); });
}

void Hub::hand_out_kernel() {
  exclusively([this] { points_dirty_ = true; });
  settle();
}

// The points are still there, and what they ask for is not.
void Hub::look_again_after_reset() {
  if (!asks_for_task(points_)) return;
  guest_kernel([this](const auto& kernel) {
    if (kernel) {
      hand_out_kernel();
    } else {
      look_for_kernel();
    }
  });
}

void Hub::insert_now(TracerId who, VcpuId vcpu, const PointSpec& spec,
                     std::shared_ptr<const PointActions> actions, tracer::Done<void> done) {
  const bool known = points_.claim(who, spec) != nullptr;
  if (Result<void> may = may_own(who, spec); !may) return done(std::move(may));
  if (Result<void> possible = may_be_set(spec); !possible) return done(std::move(possible));
  if (known && points_.claim(who, spec)->actions == actions) {  // both always stop
    done({});
    return;
  }
  // What is planned meanwhile does not have to bear with a point that may be refused: it is added only then.
  exclusively([this, who, vcpu, spec, actions = std::move(actions), done = std::move(done)]() mutable {
    if (Result<void> may = may_own(who, spec); !may) return done(std::move(may));
    const bool fresh = points_.add(who, spec, actions);
    Result<void> inserted = fresh ? place(vcpu, spec) : Result<void>{};
    if (!inserted) points_.remove(who, spec);
    if (inserted) adopt_left(spec, actions.get());
    points_changed(spec.at);
    done(std::move(inserted));
  });
  settle();
}

void Hub::remove(TracerId who, const PointSpec& asked, tracer::Done<void> done) {
  const PointSpec spec = link_map_.removed(who, asked);
  // An insertion of the same may be on its way.
  if (points_.claim(who, spec) == nullptr && exclusive_.empty()) {
    done({});
    return;
  }
  points_.remove(who, spec);  // at once: hits under way are void
  exclusively([this, who, spec, done = std::move(done)]() mutable {
    points_.remove(who, spec);
    points_changed(spec.at);
    done(points_.points().contains(spec) ? Result<void>{} : unplace(spec));
  });
  settle();
}

// A tracer that inserts once more what one before it has left behind takes that over.
void Hub::adopt_left(const PointSpec& spec, const PointActions* actions) {
  const Claim* left = points_.claim(kMonitor, spec);
  if (left == nullptr || actions == nullptr) return;
  const auto same = [](const agent::Program& a, const agent::Program& b) {
    return std::ranges::equal(a.bytes(), b.bytes());
  };
  if (std::ranges::equal(left->actions->commands, actions->commands, same)) points_.remove(kMonitor, spec);
}

std::size_t Hub::drop_left_points() {
  const std::size_t count = points_.owned_by(kMonitor);
  if (count == 0) return 0;
  points_.remove_all(kMonitor);
  exclusively([this] {
    sites_.clear();
    static_cast<void>(apply(VcpuId{0}));
  });
  settle();
  return count;
}

// Every vCPU is parked.  An int3 more or less is a small change however many there are; all else is planned
// anew.
Result<void> Hub::place(VcpuId vcpu, const PointSpec& spec) {
  const auto& slots = mechanisms_.slots;
  const bool slot_left = std::ranges::any_of(slots, [](const auto& slot) { return !slot; });
  const auto where = find_point(spec.at, vcpu);
  const bool elsewhere = points_.has(PointKind::kHardware, spec.at);
  if (!may_be_int3(spec.kind) || slot_left || !where || elsewhere) return apply(vcpu);
  RS_TRY(memory_.insert(spec.at, *where));
  mechanisms_.int3.emplace(spec.at, *where);
  return {};
}

// A breakpoint's debug register is only set free: who moves there is planned once, when something is to run.
Result<void> Hub::unplace(const PointSpec& spec) {
  if (!may_be_int3(spec.kind)) return apply(VcpuId{0});
  if (std::ranges::any_of(kInt3Kinds, [&](PointKind kind) { return points_.has(kind, spec.at); })) return {};
  if (mechanisms_.int3.erase(spec.at) > 0) {
    memory_.remove(spec.at);
  } else if (mechanisms_.pending.erase(spec.at) > 0) {
    pending_since_.erase(spec.at);
  } else if (!points_.has(PointKind::kHardware, spec.at)) {
    const x86::DebugSlot slot{.at = spec.at, .length = 1, .kind = x86::WatchKind::kExecute};
    std::ranges::replace(mechanisms_.slots, std::optional(slot), std::optional<x86::DebugSlot>());
  }
  return {};
}

// Every vCPU is parked.  On failure everything stays as it was.
Result<void> Hub::apply(VcpuId vcpu) {
  const auto where = [&](Gva at) { return find_point(at, vcpu); };
  const Mechanisms next = RS_TRY(plan_mechanisms(points_, mechanisms_, where));
  for (const PointSpec& spec : next.trapped) {
    if (!mechanisms_.trapped.contains(spec)) RS_TRY(may_be_watched(spec));
  }
  switch_to(next);
  return {};
}

void Hub::switch_to(const Mechanisms& next) {
  const auto stays = [](const auto& point, const Mechanisms& there) {
    const auto same = there.int3.find(point.first);
    return same != there.int3.end() && same->second == point.second;
  };
  for (const auto& point : mechanisms_.int3) {
    if (!stays(point, next)) memory_.remove(point.first);
  }
  for (const auto& point : next.int3) {
    if (stays(point, mechanisms_)) continue;
    const Result<void> inserted = memory_.insert(point.first, point.second);
    RS_CHECK(inserted.has_value());  // find_memory() has read there
  }
  std::erase_if(pending_since_, [&](const auto& one) { return !next.pending.contains(one.first); });
  for (const Gva at : next.pending) pending_since_.try_emplace(at, std::chrono::steady_clock::now());
  mechanisms_ = next;
  points_dirty_ = true;
}

void Hub::points_changed(Gva at) {
  changed_.insert(at);
  points_dirty_ = true;
}

// Null when nobody wants to stop at this address.
std::shared_ptr<const Place> Hub::place_at(Gva at, bool in_memory) const {
  auto place = std::make_shared<Place>();
  place->at = at;
  place->guarded = guard_ && guard_->is_entry(at) && points_.owned_by(kGuard) > 0;
  for (const PointKind kind : {PointKind::kSoftware, PointKind::kProbe, PointKind::kHardware}) {
    if (in_memory && kind == PointKind::kHardware) continue;
    const auto point = points_.points().find({.kind = kind, .at = at, .length = 1});
    if (point == points_.points().end()) continue;
    for (const auto& [owner, claim] : point->second) place->wishes.push_back({owner, kind, claim});
  }
  return place;
}

std::shared_ptr<const Site> Hub::site_at(Gpa where, const Int3Site& site) const {
  const Bytes code =
      memory_.read_physical(where, std::min(disasm::kLongestInstruction, bytes_to_page_end(where)));
  const auto found = sites_.find(where);
  if (found != sites_.end()) {
    const Site& known = *found->second;
    const bool same =
        std::ranges::equal(known.places, site.at, {}, &Place::at) &&
        std::ranges::all_of(known.places, [&](const Place& place) { return place.plan.is_of(code); });
    if (same && std::ranges::none_of(site.at, [this](Gva at) { return changed_.contains(at); }))
      return found->second;
  }
  auto fresh = std::make_shared<Site>();
  fresh->original = site.original;
  for (const Gva at : site.at) {
    fresh->places.push_back(*place_at(at, true));
    fresh->places.back().plan = planner_.plan(code, at);
  }
  return fresh;
}

bool Hub::needs_guard() const {
  const auto in_kernel = [this](Gva at) {
    return at.value >= kKernelHalf && !(guard_ && guard_->is_entry(at));
  };
  return std::ranges::any_of(mechanisms_.int3, [&](const auto& point) { return in_kernel(point.first); });
}

// An int3 in the kernel's text has to be kept out of the kernel's own way, as soon as the kernel is known.  True
// when the mechanisms are to be planned once more.
bool Hub::set_guard() {
  struct Silent final : tracer::Watcher {
    std::optional<std::uint64_t> on_hit(const tracer::Hit&) noexcept override { return std::nullopt; }
  };
  const bool needed = needs_guard();
  const auto known = kernel_.known();
  if (needed && !known) wait_for_kernel();
  if (known != guard_of_) {
    guard_of_ = known;
    guard_.reset();
    points_.remove_all(kGuard);  // of the kernel before, if it has started another
  }
  if (!needed || !known) return points_.remove_all(kGuard);
  if (!guard_) {
    if (const auto memory = kernel_.memory(snapshot_)) guard_ = std::make_shared<TextGuard>(*known, *memory);
    guard_is_fresh_ = guard_ != nullptr;
  }
  if (!guard_ || points_.owned_by(kGuard) > 0) return guard_is_fresh_;
  const auto actions = std::make_shared<PointActions>();
  actions->watcher = std::make_shared<Silent>();
  for (const Gva at : guard_->entries()) points_.add(kGuard, {.kind = PointKind::kProbe, .at = at}, actions);
  return true;
}

// A kernel that the monitor has placed will be found, at once: it does not run before.
void Hub::wait_for_kernel() {
  const auto& image = machine_.info().kernel;
  if (!image || !image->at || kernel_missing_) return look_for_kernel();
  if (std::exchange(waiting_for_kernel_, true)) return;
  holds_.take_all(kMonitor);
  guest_kernel([this](const auto& kernel) {
    waiting_for_kernel_ = false;
    kernel_missing_ = !kernel;
    points_dirty_ = true;
    release_monitor();
    settle();
  });
}

// Before anything runs again, once, however much has changed.  A debug register that has become free is
// better used than an int3.
void Hub::publish_all() {
  RS_CHECK(all_parked());
  static_cast<void>(apply(VcpuId{0}));  // what is in place stays there when it fails
  const bool guarded = set_guard();
  if (look_at_new_modules() || guarded) static_cast<void>(apply(VcpuId{0}));
  publish();
}

// The page for copies is mapped into the guest while an int3 stands that may need it, and no longer.
std::optional<ScratchPage> Hub::reach_scratch(const PointSnapshot& points) {
  const auto is_copied = [](const Place& place) {
    return ScratchMap::covers(place.at) && std::holds_alternative<disasm::RunInScratch>(place.plan.how);
  };
  const bool needed = std::ranges::any_of(
      points.int3, [&](const auto& entry) { return std::ranges::any_of(entry.second->places, is_copied); });
  if (!needed) {
    scratch_.withdraw();
    return std::nullopt;
  }
  for (const Vcpu& vcpu : vcpus_) {
    if (const auto page = scratch_.reach(vcpu.context.paging)) return page;
  }
  return std::nullopt;
}

// What is below an int3 may have changed: conditions are to see it.
void Hub::memory_written() {
  if (memory_.take_changed()) replan_points();
}

void Hub::replan_points() {
  exclusively([this] { points_dirty_ = true; });
  settle();
}

// Every vCPU is parked.
void Hub::publish() {
  auto snapshot = std::make_shared<PointSnapshot>();
  snapshot->slots = mechanisms_.slots;
  for (std::size_t i = 0; i < snapshot->slots.size(); ++i) {
    const auto& slot = snapshot->slots[i];
    if (slot && slot->kind == x86::WatchKind::kExecute) snapshot->slot_places[i] = place_at(slot->at, false);
  }
  snapshot->int3.reserve(memory_.sites().size());
  for (const auto& [where, site] : memory_.sites()) snapshot->int3.emplace_back(where, site_at(where, site));
  snapshot->scratch = reach_scratch(*snapshot);
  snapshot->guard = guard_;
  snapshot->watches = watch_pieces();
  watch_pages(*snapshot);
  sites_ = {snapshot->int3.begin(), snapshot->int3.end()};
  changed_.clear();
  snapshot_ = std::move(snapshot);
  points_dirty_ = reviewing_ = guard_is_fresh_ = false;
  look_for_pending();
}

}  // namespace ringside::hub
