// DebugWish to KVM_SET_GUEST_DEBUG's argument (KVM api 4.87).
#pragma once

#include <linux/kvm.h>

#include "vmm/api/vcpu.hpp"
#include "vmm/kvm/system.hpp"

namespace ringside::kvm {

// The control word; 0 when nothing is wished for.  Unknown bits are accepted silently by KVM, so BLOCKIRQ is
// asked for only where the capability says it is there.
std::uint32_t debug_control(const api::DebugWish& wish, const Capabilities& capabilities);

kvm_guest_debug guest_debug(const api::DebugWish& wish, const Capabilities& capabilities);

}  // namespace ringside::kvm
