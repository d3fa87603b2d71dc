#include "stub/hub/points.hpp"

#include <algorithm>
#include <bit>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace ringside::hub {
namespace {

bool is_breakpoint(PointKind kind) { return may_be_int3(kind) || kind == PointKind::kHardware; }

std::string owners_text(const PointTable::Claims& claims) {
  std::string text;
  for (const auto& [owner, claim] : claims)
    text += fmt::format("{}{}", text.empty() ? "" : ",", owner.number);
  return text;
}

Unexpected<Error> no_slot_left(const PointTable& table) {
  std::string text = "all 4 debug registers are in use:";
  for (const auto& [spec, claims] : table.points()) {
    if (!may_be_int3(spec.kind)) text += fmt::format(" {} (tracer {}),", to_text(spec), owners_text(claims));
  }
  text.back() = ';';
  text += " delete one of them first";
  return fail(Errc::kExhausted, std::move(text));
}

bool in_slots(const x86::DebugSlots& slots, const x86::DebugSlot& wanted) {
  return std::ranges::any_of(slots, [&](const auto& slot) { return slot == wanted; });
}

// Puts `wanted` where it was before if that is free, else into the first free slot; false when none is.
bool put(x86::DebugSlots& slots, const x86::DebugSlots& before, const x86::DebugSlot& wanted) {
  if (in_slots(slots, wanted)) return true;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    if (!slots[i] && before[i] == wanted) {
      slots[i] = wanted;
      return true;
    }
  }
  // A slot that nobody had before is better than one whose old user may still come.
  for (const bool take_used : {false, true}) {
    for (std::size_t i = 0; i < slots.size(); ++i) {
      if (slots[i] || (before[i].has_value() && !take_used)) continue;
      slots[i] = wanted;
      return true;
    }
  }
  return false;
}

constexpr int kCannotBeInt3 = -1;
constexpr int kMostBusy = 64;

// How often a breakpoint has been hit, in steps wide enough that two of the same kind do not change places.
int busyness(const PointTable& table, Gva at) {
  std::uint64_t hits = 0;
  for (const PointKind kind : kInt3Kinds) {
    const auto point = table.points().find({.kind = kind, .at = at, .length = 1});
    if (point == table.points().end()) continue;
    for (const auto& [owner, claim] : point->second)
      hits += claim.counters->hits.load(std::memory_order_relaxed);
  }
  return static_cast<int>(std::bit_width(hits / kBusyHits));
}

x86::DebugSlot execute_slot(Gva at) { return {.at = at, .length = 1, .kind = x86::WatchKind::kExecute}; }

}  // namespace

bool PointTable::add(TracerId owner, const PointSpec& spec, std::shared_ptr<const PointActions> actions) {
  const auto [point, fresh] = points_.try_emplace(spec);
  auto& counters = counters_[{owner, spec}];
  if (!counters) counters = std::make_shared<PointCounters>();
  const auto [claim, new_owner] = point->second.insert_or_assign(owner, Claim{std::move(actions), counters});
  if (new_owner) ++owned_[owner];
  return fresh;
}

bool PointTable::remove(TracerId owner, const PointSpec& spec) {
  constexpr std::size_t kMostRemembered = 100'000;
  const auto found = points_.find(spec);
  if (found == points_.end() || found->second.erase(owner) == 0) return false;
  --owned_[owner];
  if (counters_.size() > kMostRemembered) counters_.erase({owner, spec});
  if (!found->second.empty()) return false;
  points_.erase(found);
  return true;
}

bool PointTable::remove_all(TracerId owner) {
  const std::size_t before = points_.size();
  for (auto point = points_.begin(); point != points_.end();) {
    point->second.erase(owner);
    point = point->second.empty() ? points_.erase(point) : std::next(point);
  }
  owned_.erase(owner);
  std::erase_if(counters_, [owner](const auto& entry) { return entry.first.first == owner; });
  return points_.size() != before;
}

void PointTable::leave(TracerId owner, TracerId heir) {
  std::vector<std::pair<PointSpec, std::shared_ptr<const PointActions>>> kept;
  for (const auto& [spec, claims] : points_) {
    const auto mine = claims.find(owner);
    if (mine == claims.end() || !mine->second.actions) continue;
    const PointActions& actions = *mine->second.actions;
    if (actions.persist && !actions.commands.empty()) kept.emplace_back(spec, mine->second.actions);
  }
  for (auto& [spec, actions] : kept) add(heir, spec, std::move(actions));
  remove_all(owner);
}

const Claim* PointTable::claim(TracerId owner, const PointSpec& spec) const {
  const auto point = points_.find(spec);
  if (point == points_.end()) return nullptr;
  const auto mine = point->second.find(owner);
  return mine == point->second.end() ? nullptr : &mine->second;
}

std::size_t PointTable::owned_by(TracerId owner) const {
  const auto found = owned_.find(owner);
  return found == owned_.end() ? 0 : found->second;
}

Result<x86::WatchSlots> slots_needed(const PointSpec& spec) {
  if (is_breakpoint(spec.kind)) return x86::split_watch(spec.at, 1, x86::WatchKind::kExecute);
  const auto kind = spec.kind == PointKind::kWrite ? x86::WatchKind::kWrite : x86::WatchKind::kReadWrite;
  return x86::split_watch(spec.at, spec.length, kind);
}

namespace {

// Hardware breakpoints and reads can be nothing else; watched writes can, if they must.
Result<void> plan_watches(const PointTable& table, const Mechanisms& current, Mechanisms& next) {
  for (const bool writes : {false, true}) {
    for (const auto& [spec, claims] : table.points()) {
      if (may_be_int3(spec.kind) || (spec.kind == PointKind::kWrite) != writes) continue;
      const auto pieces = slots_needed(spec);
      if (!pieces && !writes) return unexpected(pieces.error());
      const x86::DebugSlots before = next.slots;
      const bool fits = pieces && std::ranges::all_of(*pieces, [&](const x86::DebugSlot& piece) {
                          return put(next.slots, current.slots, piece);
                        });
      if (fits) continue;
      if (!writes) return no_slot_left(table);
      next.slots = before;
      next.trapped.insert(spec);
    }
  }
  return {};
}

}  // namespace

Result<Mechanisms> plan_mechanisms(const PointTable& table, const Mechanisms& current,
                                   const std::function<std::optional<Gpa>(Gva)>& where) {
  Mechanisms next;
  RS_TRY(plan_watches(table, current, next));
  std::map<Gva, std::optional<Gpa>> software;
  for (const auto& [spec, claims] : table.points()) {
    if (may_be_int3(spec.kind)) software.try_emplace(spec.at, where(spec.at));
  }
  // Who needs a slot most comes first: no memory for an int3, then who is hit most, then who has one already.
  const auto rank = [&](const auto& point) {
    if (!point.second) return kCannotBeInt3;
    return 2 * (kMostBusy - busyness(table, point.first)) -
           (in_slots(current.slots, execute_slot(point.first)) ? 1 : 0);
  };
  std::vector<std::pair<int, Gva>> ranked;
  for (const auto& point : software) ranked.emplace_back(rank(point), point.first);
  std::ranges::stable_sort(ranked, {}, &std::pair<int, Gva>::first);
  for (const auto& [order, at] : ranked) {
    if (put(next.slots, current.slots, execute_slot(at))) continue;
    if (order == kCannotBeInt3) {
      next.pending.insert(at);
    } else {
      next.int3.emplace(at, *software.at(at));
    }
  }
  return next;
}

std::string to_text(const PointSpec& spec) {
  switch (spec.kind) {
    case PointKind::kSoftware:
      return fmt::format("break {:#x}", spec.at.value);
    case PointKind::kProbe:
      return fmt::format("probe {:#x}", spec.at.value);
    case PointKind::kHardware:
      return fmt::format("hbreak {:#x}", spec.at.value);
    case PointKind::kWrite:
      return fmt::format("watch {:#x}+{}", spec.at.value, spec.length);
    case PointKind::kRead:
      return fmt::format("rwatch {:#x}+{}", spec.at.value, spec.length);
    case PointKind::kAccess:
      return fmt::format("awatch {:#x}+{}", spec.at.value, spec.length);
  }
  return {};
}

}  // namespace ringside::hub
