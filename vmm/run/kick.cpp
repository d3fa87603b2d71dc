#include "vmm/run/kick.hpp"

#include <atomic>

#include <signal.h>

#include "arch/result.hpp"

namespace ringside::run {
namespace {

thread_local std::atomic<kvm_run*> kick_target{nullptr};

extern "C" void on_kick(int) {
  if (kvm_run* page = kick_target.load(std::memory_order_relaxed)) page->immediate_exit = 1;
}

int kick_signal() { return SIGRTMIN; }

}  // namespace

void install_kick_handler() {
  struct sigaction action {};
  action.sa_handler = on_kick;
  sigemptyset(&action.sa_mask);
  RS_CHECK(::sigaction(kick_signal(), &action, nullptr) == 0);
}

void set_kick_target(kvm_run* page) { kick_target.store(page, std::memory_order_relaxed); }

void kick(pthread_t thread) { ::pthread_kill(thread, kick_signal()); }

}  // namespace ringside::run
