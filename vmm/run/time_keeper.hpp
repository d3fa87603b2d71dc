// Time stands still in the guest while all of its vCPUs are parked for longer than a moment.
//
//   the last vCPU parks --- kPatience --> stand_still(): what counts in the host is noted, by that vCPU's
//   thread |                                | |                                v
//     +------- before_run() <-------  before_run() of the first one: all of it goes back to what was noted
//
// Shorter stops (a breakpoint that steps on, an exclusive operation) cost a look at the clock and no more.
// What goes back: the time stamp counters, all by the same; kvmclock; the timers of local APICs and PIT; and
// guest_time(), by which our own devices count.  The RTC goes on: it is the host's wall clock.
//
// Thread: before_run() and follow() on the hub's, parked() and stand_still() on those of vCPUs, guest_time()
// on any.  The mutex is never waited for on a vCPU's thread: while the hub has it, it may be waiting for that
// thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include "vmm/kvm/vcpu_fd.hpp"
#include "vmm/kvm/vm.hpp"

namespace ringside::run {

class TimeKeeper {
 public:
  // Longer than whatever stops all vCPUs and goes on by itself, shorter than what a guest could mind.
  static constexpr std::chrono::milliseconds kPatience{1};
  using Work = std::move_only_function<void(kvm::VcpuFd&)>;
  // Leaves work for that vCPU's thread, in order with what run() orders.
  using Post = std::function<void(std::size_t vcpu, Work work)>;

  TimeKeeper(std::size_t vcpus, Post post) : post_(std::move(post)), timers_(vcpus) {}

  // A machine as after power-on, none of whose vCPUs runs: there is nothing to go back to.
  void follow(const kvm::Vm& vm);
  // Nothing is left for any thread any more: before they end.
  void leave();

  void before_run();
  // True for the last one: stand_still() is due kPatience later, unless something runs by then.
  bool parked() { return running_.fetch_sub(1) == 1; }
  void stand_still();

  std::chrono::nanoseconds guest_time() const;

 private:
  struct Standing {
    std::chrono::nanoseconds since{};  // of the host's monotonic clock
    std::uint64_t host_tsc = 0;
    std::uint64_t clock_ns = 0;
    kvm_pit_state2 pit{};
  };
  Result<Standing> note_time() const;
  void go_on(const Standing& standing);
  Result<void> set_pit_back(const Standing& standing, std::chrono::nanoseconds stood) const;
  Result<void> turn_vcpus_back(std::uint64_t ticks);

  const Post post_;
  std::atomic<std::size_t> running_{0};
  std::atomic<std::int64_t> stood_ns_{0};  // all in all

  std::mutex mutex_;
  const kvm::Vm* vm_ = nullptr;                         // guarded by mutex_
  std::optional<Standing> standing_;                    // guarded by mutex_
  std::vector<std::optional<kvm::TimerState>> timers_;  // each its vCPU's thread's
};

}  // namespace ringside::run
