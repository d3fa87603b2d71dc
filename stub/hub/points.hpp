// The points of all tracers: what each wants to stop at (claims), and by which mechanism that is done.
//
// A point's meaning (owners, kind) is kept apart from its mechanism: a debug register, which the guest cannot
// see, or an int3 in its memory.  Debug registers are used first; software breakpoints move to int3 when
// watchpoints and hardware breakpoints need the registers, or when they run out.
// Thread: hub.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "arch/addr.hpp"
#include "arch/ids.hpp"
#include "arch/result.hpp"
#include "arch/x86/debug_regs.hpp"
#include "stub/tracer/port.hpp"

namespace ringside::hub {

using tracer::PointKind;
using tracer::PointSpec;

class PointTable {
 public:
  using Owners = std::set<TracerId>;

  // Both are idempotent, and say whether the set of distinct points changed.
  bool add(TracerId owner, const PointSpec& spec);
  bool remove(TracerId owner, const PointSpec& spec);
  bool remove_all(TracerId owner);

  const std::map<PointSpec, Owners>& points() const { return points_; }
  std::size_t owned_by(TracerId owner) const;
  // Owners of breakpoints (kSoftware, kHardware) at exactly this address.
  Owners breakpoint_owners(Gva at) const;

 private:
  std::map<PointSpec, Owners> points_;
};

// Which mechanism carries each point.
struct Mechanisms {
  x86::DebugSlots slots;
  std::set<Gva> int3;  // software breakpoints that have no slot
  bool operator==(const Mechanisms&) const = default;
};

// Pure.  `current` keeps assignments stable; `mapped` says whether an address has memory to put an int3 in.
// Refused, with who has what, when the debug registers do not reach.
Result<Mechanisms> plan_mechanisms(const PointTable& table, const Mechanisms& current,
                                   const std::function<bool(Gva)>& mapped);

// The piece of a debug register that a point needs: one for a breakpoint, up to four for a watched range.
Result<x86::WatchSlots> slots_needed(const PointSpec& spec);

std::string to_text(const PointSpec& spec);

}  // namespace ringside::hub
