// The loader's EntryState as KVM's system registers.
#pragma once

#include <linux/kvm.h>

#include "vmm/boot/entry.hpp"

namespace ringside::run {

// `sregs` as KVM_GET_SREGS gave them for a fresh vCPU; what EntryState does not name stays.
void enter(const boot::EntryState& entry, kvm_sregs& sregs);

}  // namespace ringside::run
