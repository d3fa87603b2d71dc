// Who holds which vCPU.  A vCPU may run if and only if its hold set is empty.  Thread: hub.
//
// gdbserver keeps a bare count (lwp->suspended); with several tracers we must be able to say who, and a
// tracer's end must release exactly its own.
#pragma once

#include <cstddef>
#include <set>
#include <vector>

#include "arch/ids.hpp"

namespace ringside::hub {

// The hub itself, while it changes what is inserted or steps a vCPU over a breakpoint.
inline constexpr TracerId kMonitor{0};
inline constexpr TracerId kEvents{UINT32_MAX};     // owns the points by which the monitor finds events itself
inline constexpr TracerId kGuard{UINT32_MAX - 1};  // owns those that TextGuard needs

class HoldLedger {
 public:
  explicit HoldLedger(std::size_t vcpus) : holders_(vcpus) {}

  std::size_t vcpus() const { return holders_.size(); }
  // Both are idempotent, and say whether they changed anything.
  bool take(VcpuId vcpu, TracerId who);
  bool release(VcpuId vcpu, TracerId who);
  void take_all(TracerId who);
  void release_all(TracerId who);

  bool may_run(VcpuId vcpu) const { return holders_.at(vcpu.number).empty(); }
  bool holds(VcpuId vcpu, TracerId who) const { return holders_.at(vcpu.number).contains(who); }
  bool holds_any(TracerId who) const;
  const std::set<TracerId>& holders(VcpuId vcpu) const { return holders_.at(vcpu.number); }

 private:
  std::vector<std::set<TracerId>> holders_;
};

}  // namespace ringside::hub
