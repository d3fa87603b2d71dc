#include "stub/hub/hang_watch.hpp"

namespace ringside::hub {

bool HangWatch::look(VcpuId vcpu, const api::Pulse& pulse, Clock::time_point now,
                     std::chrono::seconds limit) {
  if (pulse.asleep || pulse.interrupts_on) {
    seen_.erase(vcpu);
    return false;
  }
  const auto [entry, fresh] = seen_.try_emplace(vcpu, Deaf{pulse, now});
  if (fresh || entry->second.pulse != pulse) {
    entry->second = {pulse, now};
    return false;
  }
  if (now - entry->second.since < limit) return false;
  seen_.erase(entry);
  return true;
}

}  // namespace ringside::hub
