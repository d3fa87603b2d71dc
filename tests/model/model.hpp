// What must be true of the hub, seen from outside: a reference in plain sets and flags, for tests that do
// anything in any order.
//
// The driver says what it asks of the hub and what it hears; the model says what is wrong with that:
//   * who holds which vCPU, and so which vCPUs run;
//   * no vCPU passes a point without its owner having been told, and nobody is told of anything else;
//   * an all-stop tracer hears of one stop for each resume, with everything parked;
//   * the guest goes its own way (BareGuest), and its RAM differs from that by int3 of live points alone.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "stub/hub/points.hpp"
#include "stub/tracer/port.hpp"
#include "tests/model/bare_guest.hpp"

namespace ringside::model {

using hub::PointKind;
using hub::PointSpec;
using tracer::ResumeAction;
using tracer::StopEvent;
using tracer::StopReason;

// The actions of a breakpoint, by what they come to.
enum class When : std::uint8_t { kAlways, kHolds, kNever, kFaults, kSecondCpu, kPrints };
bool stops(When when, VcpuId vcpu);
inline bool is_breakpoint(PointKind kind) {
  return kind == PointKind::kSoftware || kind == PointKind::kHardware;
}
StopReason reason_of(PointKind kind);

class Model {
 public:
  Model(fakes::FakeMachine& machine, BareGuest& guest, bool held);

  // What tracers ask.  Said before the hub is asked, as it may call back at once.
  void attached(TracerId who, bool non_stop, bool observer);
  void left(TracerId who);
  void became_observer(TracerId who);
  void stop_all(TracerId who);
  void interrupt(TracerId who);
  void stop(TracerId who, VcpuId vcpu);
  void resume(TracerId who, const std::vector<ResumeAction>& actions);
  unsigned insert(TracerId who, const PointSpec& spec, When when);  // a number for inserted()
  void remove(TracerId who, const PointSpec& spec);
  // What they are answered and told.
  void inserted(TracerId who, const PointSpec& spec, When when, unsigned number, const Result<void>& result);
  void removed() { --removals_; }
  void moved(VcpuId vcpu, Gva to);  // follow() having been called before
  void released(TracerId other);
  void reset();
  void told(TracerId who, const StopEvent& event);
  void told_end(TracerId who);

  // What the guest does: an instruction, or less, on a vCPU that stood there before and may have come out.
  enum class Then : std::uint8_t { kGoesOn, kComesOut };
  void advanced(VcpuId vcpu, Gva before, Then then);
  void died(VcpuId vcpu);
  void follow();  // what parked vCPUs have done
  void end() { over_ = true; }

  bool may_stop_all(TracerId who) const;
  bool may_resume(TracerId who) const;
  bool holds_any(TracerId who) const;
  bool over() const { return over_; }
  // Its holds were taken away since its last stop: whether it has got them back only the hub knows at once.
  bool was_released(TracerId who) const { return seats_.at(who).released; }
  std::vector<PointSpec> points_of(TracerId who) const;
  // One vCPU runs by itself, for one step: the hub takes it over an int3, perhaps.
  std::optional<VcpuId> alone() const;

  // At any time; and when nothing is under way any more, `listing` being the hub's own of its tracers.
  void check();
  void check_settled(const std::string& listing, bool ended);

  // The first thing that was wrong; empty when nothing was.
  const std::string& wrong() const { return wrong_; }
  void complain(const std::string& what);

 private:
  using Order = std::optional<GvaRange>;  // a step, and over which range
  struct Point {
    When when = When::kAlways;
    bool settled = false;   // what `when` says holds
    bool inserted = false;  // it has been answered once
    unsigned number = 0;    // of the last insertion
  };
  struct Seat {
    bool non_stop = false;
    bool observer = false;
    bool released = false;
    bool excused = false;            // a reset took away what it was to be told: it may be told nothing
    std::vector<bool> stopped;       // each vCPU, as it has been told
    std::vector<bool> asked;         // to stop
    std::vector<bool> holds;         // as far as can be known: the hub is ahead until it has told
    std::vector<int> held_since;     // the vCPU's run() that was the last before
    std::map<VcpuId, Order> orders;  // steps
    std::map<PointSpec, Point> points;
  };
  // What a tracer is to be told of a vCPU before that goes on.
  struct Due {
    StopReason reason = StopReason::kNone;
    Gva at;
    bool required = true;
  };
  struct Cpu {
    bool judged = false;  // the breakpoints here have been asked: the next step passes them
    bool dead = false;
    unsigned advanced = 0;
    std::map<TracerId, std::vector<Due>> due;
    std::set<TracerId> told;  // of a breakpoint here
  };

  std::vector<VcpuId> vcpus() const;
  Cpu& cpu(VcpuId vcpu) { return cpus_.at(vcpu.number); }
  void sync(VcpuId vcpu);
  void one_step(VcpuId vcpu);
  void leave(VcpuId vcpu);
  void watched(VcpuId vcpu, Gpa written);
  void count_steps(VcpuId vcpu);
  void judge(VcpuId vcpu, Then then);
  void void_hits(TracerId who, const Seat& seat);
  bool anyone_at(Gva at) const;
  void hold(Seat& seat, VcpuId vcpu);
  void hold_all(Seat& seat);
  void take(Seat& seat, VcpuId vcpu);
  void will_hear(TracerId who, VcpuId vcpu, Due due);
  void excuse(TracerId who);
  void drop_claims(TracerId who, Seat& seat);
  void hears(TracerId who, Seat& seat, const StopEvent& event);
  bool slots_reach() const;
  bool held(VcpuId vcpu) const;
  bool traced() const;
  bool has_int3(Gpa at) const;
  std::string listed(TracerId who, const Seat& seat) const;
  void check_running(VcpuId vcpu);
  void check_slots(VcpuId vcpu);
  void check_ram();

  fakes::FakeMachine& machine_;
  BareGuest& guest_;
  std::vector<Cpu> cpus_;
  std::map<TracerId, Seat> seats_;
  bool waiting_;  // --wait
  bool over_ = false;
  unsigned insertions_ = 0;
  unsigned removals_ = 0;  // under way: what they remove may still be in place
  std::string wrong_;
};

}  // namespace ringside::model
