// Finds the CPU that no interrupt reaches any more: `cli` and a loop, a lock that is never given back.
//
// It is looked about once a second.  A CPU that has interrupts off at each look, does not sleep, and has taken none
// and set no timer in between, is deaf.  Of the time between two looks no more than two seconds count: when the host
// has not let the monitor run, it need not have let the guest.  Pure; thread: the hub's.
#pragma once

#include <chrono>
#include <map>
#include <optional>

#include "vmm/api/vcpu.hpp"

namespace ringside::hub {

class HangWatch {
 public:
  using Clock = std::chrono::steady_clock;

  // True when the vCPU has been deaf for `limit`; then it counts anew.
  bool look(VcpuId vcpu, const api::Pulse& pulse, Clock::time_point now, std::chrono::seconds limit);
  // The vCPU has been stopped: what it does is not its own doing.
  void forget(VcpuId vcpu) { seen_.erase(vcpu); }
  void forget_all() { seen_.clear(); }

 private:
  struct Deaf {
    api::Pulse pulse;
    Clock::time_point looked;
    Clock::duration deaf{};
  };
  std::map<VcpuId, Deaf> seen_;
};

}  // namespace ringside::hub
