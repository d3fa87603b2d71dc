#include "vmm/run/time_keeper.hpp"

#include <latch>

#include <spdlog/spdlog.h>
#include <x86intrin.h>

namespace ringside::run {
namespace {

std::chrono::nanoseconds host_time() { return std::chrono::steady_clock::now().time_since_epoch(); }

// Channel 0's timer is under way: in a periodic mode, or not yet at the end of its only period (KVM's
// count_load_time is of the host's monotonic clock; Linux arch/x86/kvm/i8254.c).
bool pit_counts(const kvm_pit_state2& pit, std::chrono::nanoseconds now) {
  constexpr std::int64_t kHz = 1'193'182;
  const kvm_pit_channel_state& timer = pit.channels[0];
  if (timer.count == 0) return false;
  if (timer.mode == 2 || timer.mode == 3) return true;
  return timer.count_load_time + std::int64_t{timer.count} * 1'000'000'000 / kHz > now.count();
}

}  // namespace

void TimeKeeper::follow(const kvm::Vm& vm) {
  const std::lock_guard lock(mutex_);
  vm_ = &vm;
  standing_.reset();
}

void TimeKeeper::leave() {
  const std::lock_guard lock(mutex_);
  vm_ = nullptr;
  standing_.reset();
}

void TimeKeeper::before_run() {
  if (running_.fetch_add(1) != 0) return;
  const std::lock_guard lock(mutex_);
  if (!standing_) return;
  go_on(*standing_);
  standing_.reset();
}

void TimeKeeper::stand_still() {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  // Whoever has the lock lets something run, begins anew, or is doing just this.
  if (!lock.owns_lock() || running_ != 0 || standing_ || vm_ == nullptr) return;
  Result<Standing> now = note_time();
  if (!now) {
    spdlog::warn("guest time cannot be stopped: {}", now.error().text);
    return;
  }
  standing_ = *now;
  for (std::size_t i = 0; i < timers_.size(); ++i) {
    post_(i, [saved = &timers_[i]](kvm::VcpuFd& vcpu) {
      Result<kvm::TimerState> timers = vcpu.timers();
      *saved = timers ? std::optional(*timers) : std::nullopt;
    });
  }
}

Result<TimeKeeper::Standing> TimeKeeper::note_time() const {
  Standing now;
  now.pit = RS_TRY(vm_->pit());
  now.clock_ns = RS_TRY(vm_->clock_ns());
  now.host_tsc = __rdtsc();
  now.since = host_time();
  return now;
}

// Waits for the vCPUs' threads, which are parked and answer at once.
void TimeKeeper::go_on(const Standing& standing) {
  const std::chrono::nanoseconds stood = host_time() - standing.since;
  const std::uint64_t host_tsc = __rdtsc();
  // A host that has slept meanwhile may count from the beginning.
  Result<void> done = host_tsc < standing.host_tsc ? fail(Errc::kUnsupported, "the host's counter went back")
                                                   : turn_vcpus_back(host_tsc - standing.host_tsc);
  if (done) done = vm_->set_clock_ns(standing.clock_ns);
  if (done) done = set_pit_back(standing, stood);
  if (done) {
    stood_ns_ += stood.count();
  } else {
    spdlog::warn("the guest's time has gone on while it was stopped: {}", done.error().text);
  }
}

Result<void> TimeKeeper::turn_vcpus_back(std::uint64_t ticks) {
  std::latch done(static_cast<std::ptrdiff_t>(timers_.size()));
  std::vector<Result<void>> results(timers_.size());
  for (std::size_t i = 0; i < timers_.size(); ++i) {
    post_(i, [&done, &result = results[i], ticks, saved = &timers_[i]](kvm::VcpuFd& vcpu) {
      result = vcpu.turn_tsc_back(ticks);
      if (result && *saved) result = vcpu.set_timers(**saved);
      vcpu.tell_of_pause();
      saved->reset();
      done.count_down();
    });
  }
  done.wait();
  for (Result<void>& result : results) RS_TRY(std::move(result));
  return {};
}

// A periodic channel 0 begins its period anew: KVM does not say how far it is.
Result<void> TimeKeeper::set_pit_back(const Standing& standing, std::chrono::nanoseconds stood) const {
  if (!pit_counts(standing.pit, standing.since) && standing.pit.channels[2].gate == 0) return {};
  kvm_pit_state2 pit = standing.pit;
  for (kvm_pit_channel_state& channel : pit.channels) channel.count_load_time += stood.count();
  return vm_->set_pit(pit);
}

std::chrono::nanoseconds TimeKeeper::guest_time() const {
  return host_time() - std::chrono::nanoseconds(stood_ns_.load(std::memory_order_relaxed));
}

}  // namespace ringside::run
