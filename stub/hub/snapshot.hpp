// What is inserted at the moment, for the vCPU threads: an immutable value that the hub publishes while no
// vCPU runs.  A hit is decided on it alone.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
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

class TextGuard;

inline constexpr std::uint8_t kInt3 = 0xcc;

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
  bool guarded = false;   // the entry of a function that PointSnapshot::guard may have to do the work of
};

// The guest's own byte under an int3 of ours, which the guest may write at any time.  Copies are the same byte.
class OwnByte {
 public:
  OwnByte& operator=(std::uint8_t value) noexcept {
    exchange(value);
    return *this;
  }
  operator std::uint8_t() const noexcept { return bytes_->now.load(std::memory_order_relaxed); }
  std::uint8_t exchange(std::uint8_t value) noexcept {
    const std::uint8_t old = bytes_->now.exchange(value, std::memory_order_relaxed);
    bytes_->before.store(old, std::memory_order_relaxed);
    return old;
  }
  // What it was before it was last written.
  std::uint8_t before() const noexcept { return bytes_->before.load(std::memory_order_relaxed); }

 private:
  struct Bytes {
    std::atomic<std::uint8_t> now{0}, before{0};
  };
  std::shared_ptr<Bytes> bytes_ = std::make_shared<Bytes>();
};

// An int3 of ours.  Several virtual addresses may lead to it.
struct Site {
  OwnByte original;
  std::vector<Place> places;

  const Place* place(Gva at) const {
    const auto found = std::ranges::find(places, at, &Place::at);
    return found == places.end() ? nullptr : &*found;
  }
};

// A range whose writes somebody wants to know of.
struct Watch {
  PointSpec spec;
  std::vector<Place::Wish> wishes;
};

// As much of one as lies in one page.
struct WatchPiece {
  GpaRange where;
  Gva at;
  std::shared_ptr<const Watch> watch;
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
  std::shared_ptr<const TextGuard> guard;                   // null while there is none
  std::vector<WatchPiece> watches;                          // by address
  std::vector<GpaRange> watched_pages;  // of these and the int3; others may be watched for a while
  bool watching = false;                // some of what the guest writes comes to us

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
