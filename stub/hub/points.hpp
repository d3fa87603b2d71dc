// The points of all tracers: what each wants to stop at (claims), and by which mechanism that is done.
//
// A point's meaning (owners, kind) is kept apart from its mechanism: a debug register, which the guest cannot
// see, an int3 in its memory, or a trap on what it writes.  Debug registers are used first; software breakpoints
// move to int3, and write watchpoints to the trap, when others need the registers, or when they run out.  Those
// breakpoints that are hit most have them.  One that has no memory yet is pending until it has.
// Thread: hub.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "arch/addr.hpp"
#include "arch/ids.hpp"
#include "arch/result.hpp"
#include "arch/x86/debug_regs.hpp"
#include "stub/tracer/port.hpp"

namespace ringside::hub {

using tracer::PointActions;
using tracer::PointKind;
using tracer::PointSpec;

inline constexpr std::array kInt3Kinds = {PointKind::kSoftware, PointKind::kProbe};
constexpr bool may_be_int3(PointKind kind) {
  return kind == PointKind::kSoftware || kind == PointKind::kProbe;
}

// Counted by the vCPU threads, read by anyone: relaxed.
struct PointCounters {
  std::atomic<std::uint64_t> hits{0};
  std::atomic<std::uint64_t> stops{0};     // hits that somebody was told of
  std::atomic<std::uint64_t> failures{0};  // conditions and commands that could not be evaluated
  std::atomic<std::uint64_t> cost{
      0};  // time stamp counter ticks of the host, conditions and commands included
};

// One tracer's interest in a point.
struct Claim {
  std::shared_ptr<const PointActions> actions;  // null: it always stops
  std::shared_ptr<PointCounters> counters;
};

class PointTable {
 public:
  using Claims = std::map<TracerId, Claim>;

  // Both are idempotent, and say whether the set of distinct points changed.
  bool add(TracerId owner, const PointSpec& spec, std::shared_ptr<const PointActions> actions = nullptr);
  bool remove(TracerId owner, const PointSpec& spec);
  bool remove_all(TracerId owner);
  // The owner has gone: what is to persist becomes `heir`'s, the rest goes.
  void leave(TracerId owner, TracerId heir);

  const std::map<PointSpec, Claims>& points() const { return points_; }
  // Null when `owner` has no such point.
  const Claim* claim(TracerId owner, const PointSpec& spec) const;
  std::size_t owned_by(TracerId owner) const;
  // Does anyone want to stop at exactly this address, by a point of this kind?
  bool has(PointKind kind, Gva at) const { return points_.contains({.kind = kind, .at = at, .length = 1}); }
  bool has_at(Gva at) const {  // by one of any kind
    return has(PointKind::kSoftware, at) || has(PointKind::kHardware, at) || has(PointKind::kProbe, at);
  }

 private:
  std::map<PointSpec, Claims> points_;
  std::map<TracerId, std::size_t> owned_;
  // Counting goes on when a point is removed and inserted again, as gdb does at every stop.
  std::map<std::pair<TracerId, PointSpec>, std::shared_ptr<PointCounters>> counters_;
};

// From so many hits on, and again at each doubling, it is looked whether a point deserves a debug register:
// a hit there costs a sixth less.
inline constexpr std::uint64_t kBusyHits = 1024;

// Which mechanism carries each point.
struct Mechanisms {
  x86::DebugSlots slots;
  std::map<Gva, Gpa> int3;      // software breakpoints that have no slot, and where they lie
  std::set<Gva> pending;        // software breakpoints that have nothing to stand on yet
  std::set<PointSpec> trapped;  // write watchpoints that have no slot: the guest's writes are watched
  bool operator==(const Mechanisms&) const = default;
};

// Pure.  `current` keeps assignments stable; `where` says in which memory the guest would execute at an address,
// if any.  Refused, with who has what, when the debug registers do not reach.
Result<Mechanisms> plan_mechanisms(const PointTable& table, const Mechanisms& current,
                                   const std::function<std::optional<Gpa>(Gva)>& where);

// The piece of a debug register that a point needs: one for a breakpoint, up to four for a watched range.
Result<x86::WatchSlots> slots_needed(const PointSpec& spec);

std::string to_text(const PointSpec& spec);

}  // namespace ringside::hub
