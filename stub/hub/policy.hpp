// The hub's code on vCPU threads: what the debug hardware does, and which debug exits travel to the hub.
//
// Each vCPU has a RunContext that the hub fills while the vCPU is parked and the vCPU's thread reads while it
// runs; run() and on_stop() order the two, so no lock is needed.  The points are an immutable snapshot.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "arch/guest_view.hpp"
#include "vmm/api/machine.hpp"

namespace ringside::hub {

// What is inserted at the moment; published by the hub when no vCPU runs.
struct PointSnapshot {
  x86::DebugSlots slots;
  std::set<Gpa> int3;  // where our int3 are
};

struct RunContext {
  std::shared_ptr<const PointSnapshot> points = std::make_shared<PointSnapshot>();
  bool step = false;
  bool hold_interrupts = true;
  std::optional<GvaRange> range;  // with step: go on while RIP is inside, without asking the hub
  bool pass_breakpoint = false;   // the vCPU stands on a hardware breakpoint that has been reported
};

class Policy final : public api::DebugPolicy {
 public:
  Policy(std::size_t vcpus, const PhysicalMemory& memory) : contexts_(vcpus), memory_(memory) {}

  // Thread: hub, the vCPU parked.
  RunContext& context(VcpuId vcpu) { return contexts_.at(vcpu.number); }

  void before_run(api::VcpuAccess& vcpu) noexcept override;
  api::Verdict on_debug_exit(api::VcpuAccess& vcpu, const api::DebugExit& exit) noexcept override;

 private:
  api::Verdict on_int3(api::VcpuAccess& vcpu, const RunContext& run) const;
  api::Verdict on_trap(api::VcpuAccess& vcpu, const RunContext& run, std::uint64_t dr6) const;

  std::vector<RunContext> contexts_;
  const PhysicalMemory& memory_;
};

}  // namespace ringside::hub
