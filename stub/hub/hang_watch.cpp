#include "stub/hub/hang_watch.hpp"

#include <algorithm>
#include <utility>

namespace ringside::hub {

bool HangWatch::look(VcpuId vcpu, const api::Pulse& pulse, Clock::time_point now,
                     std::chrono::seconds limit) {
  if (pulse.asleep || pulse.interrupts_on) {
    seen_.erase(vcpu);
    return false;
  }
  constexpr Clock::duration kMostAtOnce = std::chrono::seconds(2);
  const auto [entry, fresh] = seen_.try_emplace(vcpu, Deaf{pulse, now});
  Deaf& cpu = entry->second;
  if (fresh || cpu.pulse != pulse) {
    cpu = {pulse, now};
    return false;
  }
  cpu.deaf += std::min(now - std::exchange(cpu.looked, now), kMostAtOnce);
  if (cpu.deaf < limit) return false;
  seen_.erase(entry);
  return true;
}

}  // namespace ringside::hub
