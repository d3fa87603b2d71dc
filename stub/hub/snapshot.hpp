// What is inserted at the moment, for the vCPU threads: an immutable value that the hub publishes while no
// vCPU runs.  A hit is decided on it alone.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "arch/addr.hpp"
#include "arch/ids.hpp"
#include "arch/x86/debug_regs.hpp"
#include "disasm/step_plan.hpp"
#include "stub/hub/points.hpp"

namespace ringside::hub {

// A breakpoint's address, with everyone who wants to stop there.
struct Place {
  struct Wish {
    TracerId owner;
    PointKind kind = PointKind::kSoftware;
    Claim claim;
  };
  Gva at;
  std::vector<Wish> wishes;
  disasm::StepPlan plan;  // of an int3: how to pass it
};

// An int3 of ours.  Several virtual addresses may lead to it.
struct Site {
  std::uint8_t original = 0;  // the guest's own byte
  std::vector<Place> places;

  const Place* place(Gva at) const {
    const auto found = std::ranges::find(places, at, &Place::at);
    return found == places.end() ? nullptr : &*found;
  }
};

// A page of ours that the guest kernel's tables lead to: one slot for each vCPU's copy of an instruction.
struct ScratchPage {
  static constexpr std::uint64_t kSlotBytes = 64;
  Gva at;
  Gpa where;
  bool operator==(const ScratchPage&) const = default;
};

struct PointSnapshot {
  using Int3 = std::pair<Gpa, std::shared_ptr<const Site>>;

  x86::DebugSlots slots;
  std::array<std::shared_ptr<const Place>, 4> slot_places;  // of slots that watch for execution
  std::vector<Int3> int3;                                   // by address
  std::optional<ScratchPage> scratch;                       // where copies of instructions can run

  // The first at `where` or behind it.
  std::vector<Int3>::const_iterator from(Gpa where) const {
    return std::ranges::lower_bound(int3, where, {}, &Int3::first);
  }
  const Site* site(Gpa where) const {
    const auto found = from(where);
    return found == int3.end() || found->first != where ? nullptr : found->second.get();
  }
};

}  // namespace ringside::hub
