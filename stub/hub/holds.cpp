#include "stub/hub/holds.hpp"

#include <algorithm>

namespace ringside::hub {

bool HoldLedger::take(VcpuId vcpu, TracerId who) { return holders_.at(vcpu.number).insert(who).second; }

bool HoldLedger::release(VcpuId vcpu, TracerId who) { return holders_.at(vcpu.number).erase(who) != 0; }

void HoldLedger::take_all(TracerId who) {
  for (auto& holders : holders_) holders.insert(who);
}

void HoldLedger::release_all(TracerId who) {
  for (auto& holders : holders_) holders.erase(who);
}

bool HoldLedger::holds_any(TracerId who) const {
  return std::ranges::any_of(holders_, [who](const auto& holders) { return holders.contains(who); });
}

}  // namespace ringside::hub
