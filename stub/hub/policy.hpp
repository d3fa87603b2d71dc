// The hub's code on vCPU threads: what the debug hardware does, and which debug exits travel to the hub.
//
// A breakpoint hit is decided here: conditions are evaluated and commands run on the vCPU's own thread, and a
// hit that nobody wants is passed without anyone being asked.  Each vCPU has a RunContext that the hub fills
// while the vCPU is parked and the vCPU's thread reads and answers in while it runs; run() and on_stop()
// order the two, so no lock is needed.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "arch/guest_view.hpp"
#include "stub/hub/guest_writes.hpp"
#include "stub/hub/kernel_memory.hpp"
#include "stub/hub/single_step.hpp"
#include "stub/hub/snapshot.hpp"
#include "stub/hub/stepper.hpp"
#include "stub/hub/text_guard.hpp"
#include "stub/hub/vcpu_environment.hpp"
#include "vmm/api/machine.hpp"

namespace ringside::hub {

// A tracer that a hit is for.
struct Wanted {
  TracerId who;
  PointKind kind = PointKind::kSoftware;
  std::string problem;     // its condition or command could not be evaluated: why
  std::uint64_t mark = 0;  // of a probe: what its watcher said
  PointSpec watch;         // of a watch: which
};

struct RunContext {
  // Orders, from the hub.
  std::shared_ptr<const PointSnapshot> points = std::make_shared<PointSnapshot>();
  std::shared_ptr<const KnownKernel> kernel;  // null while it is not known
  bool step = false;
  bool hold_interrupts = true;
  std::optional<GvaRange> range;  // with step: go on while RIP is inside, without asking the hub
  bool pass_breakpoint = false;   // the vCPU stands on a breakpoint that has been reported
  bool alone = false;             // nobody else runs, and this int3 is lifted, or all of them are
  bool all_lifted = false;
  Gpa lifted;

  // Answers, with a stop.
  std::vector<Wanted> wanted;  // by the breakpoint at RIP, or watches of what it has written
  bool review = false;         // what is inserted has to be looked at before it goes on
  std::optional<Gva> compare;  // a cmpxchg here has met an int3 of ours, and would again
};

class Policy final : public api::DebugPolicy {
 public:
  struct Notices {                    // called on vCPU threads
    std::function<void()> busy;       // an int3 has become worth a debug register
    std::function<void()> rewritten;  // an instruction under an int3 may have changed
  };
  Policy(std::size_t vcpus, PhysicalMemory& memory, PrintSink print, Notices notices);

  // Thread: hub, the vCPU parked.
  RunContext& context(VcpuId vcpu) { return vcpus_.at(vcpu.number).run; }

  api::Verdict before_run(api::VcpuAccess& vcpu, api::DebugExit& exit) noexcept override;
  bool unfinished(api::VcpuAccess& vcpu) noexcept override;
  api::Verdict on_debug_exit(api::VcpuAccess& vcpu, api::DebugExit& exit) noexcept override;
  api::WriteVerdict on_guest_write(api::VcpuAccess& vcpu, Gpa at, ByteView data) noexcept override;
  api::Verdict after_guest_write(api::VcpuAccess& vcpu, api::DebugExit& exit) noexcept override;
  api::Verdict on_unemulated(api::VcpuAccess& vcpu) noexcept override;
  bool on_event(api::VcpuAccess& vcpu, const api::GuestEvent& event) noexcept override {
    return events_ && events_(vcpu, event);
  }
  // Before the machine starts.  `events` is called on the vCPUs' threads; true: the vCPU parks.
  using EventSink = std::function<bool(api::VcpuAccess&, const api::GuestEvent&)>;
  void listen(EventSink events) { events_ = std::move(events); }

 private:
  struct PerVcpu {
    explicit PerVcpu(PhysicalMemory& memory) : stepper(memory), step(memory) {}
    RunContext run;
    Stepper stepper;
    SingleStep step;
    GuestWrite write;
    bool guests_int3 = false;  // the step is of an int3 that the guest gets
    bool armed = false;        // the debug hardware does what `run` wants, and nothing else
    std::unique_ptr<x86::RegisterFile> registers = std::make_unique<x86::RegisterFile>();
  };

  api::Verdict pass_reported(api::VcpuAccess& vcpu, PerVcpu& state, api::DebugExit& exit);
  api::Verdict decide(api::VcpuAccess& vcpu, PerVcpu& state, api::DebugExit& exit);
  api::Verdict enter(api::VcpuAccess& vcpu, PerVcpu& state, api::Verdict verdict);
  api::Verdict on_int3(api::VcpuAccess& vcpu, PerVcpu& state, api::DebugExit& exit);
  api::Verdict let_guest_have_int3(api::VcpuAccess& vcpu, PerVcpu& state);
  api::Verdict on_trap(api::VcpuAccess& vcpu, PerVcpu& state, api::DebugExit& exit);
  bool wanted(api::VcpuAccess& vcpu, PerVcpu& state, const Place& place);
  void watched(api::VcpuAccess& vcpu, PerVcpu& state);
  api::Verdict run_again(api::VcpuAccess& vcpu, PerVcpu& state);
  static api::Verdict run_unwatched(api::VcpuAccess& vcpu, PerVcpu& state);
  api::Verdict pass_int3(api::VcpuAccess& vcpu, PerVcpu& state, const Place* place, api::DebugExit& exit);
  api::Verdict finish_ours(api::VcpuAccess& vcpu, PerVcpu& state, api::DebugExit& exit);
  api::Verdict passed(api::VcpuAccess& vcpu, PerVcpu& state, api::DebugExit& exit);
  bool serve(api::VcpuAccess& vcpu, PerVcpu& state, const Place& place);
  static const Place* guarded_slot_here(const RunContext& run, Gva here);
  const Site* site_here(api::VcpuAccess& vcpu, const RunContext& run) const;
  static void pass_slot(api::VcpuAccess& vcpu);

  std::vector<PerVcpu> vcpus_;
  PhysicalMemory& memory_;
  PrintSink print_;
  Notices notices_;
  GuestWrites writes_;
  EventSink events_;
};

}  // namespace ringside::hub
