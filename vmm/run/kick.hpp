// Getting a thread out of KVM_RUN: a real-time signal whose handler sets immediate_exit and nothing else.
//
// The order that loses no kick: clear immediate_exit, look at the flags, KVM_RUN.  A signal that comes after
// the look finds immediate_exit set, and KVM_RUN returns at once (KVM api 5, "immediate_exit").
#pragma once

#include <linux/kvm.h>
#include <pthread.h>

namespace ringside::run {

// Once a process, before the first vCPU thread.
void install_kick_handler();

// This thread's kicks go to this run page; null for none.
void set_kick_target(kvm_run* page);

void kick(pthread_t thread);

}  // namespace ringside::run
