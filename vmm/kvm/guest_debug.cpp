#include "vmm/kvm/guest_debug.hpp"

#include <algorithm>

namespace ringside::kvm {

std::uint32_t debug_control(const api::DebugWish& wish, const Capabilities& capabilities) {
  std::uint32_t control = 0;
  if (wish.trap_int3) control |= KVM_GUESTDBG_USE_SW_BP;
  if (std::ranges::any_of(wish.slots, [](const auto& slot) { return slot.has_value(); })) {
    control |= KVM_GUESTDBG_USE_HW_BP;
  }
  if (wish.step) control |= KVM_GUESTDBG_SINGLESTEP;
  if (wish.hold_interrupts && capabilities.step_blocks_irq) control |= KVM_GUESTDBG_BLOCKIRQ;
  return control == 0 ? 0 : control | KVM_GUESTDBG_ENABLE;
}

kvm_guest_debug guest_debug(const api::DebugWish& wish, const Capabilities& capabilities) {
  kvm_guest_debug debug{};
  debug.control = debug_control(wish, capabilities);
  for (std::size_t i = 0; i < wish.slots.size(); ++i) {
    if (wish.slots[i]) debug.arch.debugreg[i] = wish.slots[i]->at.value;
  }
  debug.arch.debugreg[7] = x86::encode_dr7(wish.slots);
  return debug;
}

}  // namespace ringside::kvm
