#include "vmm/run/vcpu_thread.hpp"

#include <fmt/format.h>
#include <time.h>

#include "vmm/mem/bios.hpp"
#include "vmm/mem/ports.hpp"
#include "vmm/run/kick.hpp"

namespace ringside::run {
namespace {

// On AMD, KVM has reset the vCPU by the time it says so (Linux arch/x86/kvm/svm/svm.c,
// shutdown_interception), and KVM_CAP_X86_TRIPLE_FAULT_EVENT changes nothing about that.  What is shown
// instead must not look like the fault's own.
std::string triple_fault_text(kvm::VcpuFd& fd) {
  constexpr std::uint64_t kResetVector = 0xfff0;  // SDM 3A table 9-1
  const x86::CpuContext& context = fd.context();
  if (context.core.rip != kResetVector || context.cs.base != 0xffff0000) return "triple fault";
  const auto seen = fd.show_last_seen();
  if (!seen)
    return "triple fault (this host's KVM has reset the CPU's registers already: they are not those of the "
           "fault)";
  return fmt::format(
      "triple fault (this host's KVM has reset the CPU: its registers are those of when it last left the "
      "guest, "
      "{} ms before, its control and segment registers {} ms)",
      seen->core_ns / 1'000'000u, seen->system_ns / 1'000'000u);
}

api::StopCause cause_of(api::Verdict verdict) {
  switch (verdict) {
    case api::Verdict::kStepAlone:
      return api::StopCause::kStepAlone;
    case api::Verdict::kStepUnwatched:
      return api::StopCause::kStepUnwatched;
    case api::Verdict::kReview:
      return api::StopCause::kReview;
    case api::Verdict::kResume:
    case api::Verdict::kStop:
      break;
  }
  return api::StopCause::kDebug;
}

}  // namespace

VcpuThread::VcpuThread(std::unique_ptr<kvm::VcpuFd> fd, const dev::Bus& bus, api::DebugPolicy& policy,
                       api::MachineListener& listener, Surroundings surroundings)
    : fd_(std::move(fd)),
      bus_(&bus),
      policy_(policy),
      listener_(listener),
      time_(surroundings.time),
      firmware_(std::move(surroundings.firmware)),
      thread_([this] { body(); }) {
  ::pthread_setname_np(thread_.native_handle(), fmt::format("vcpu{}", fd_->id().number).c_str());
}

VcpuThread::~VcpuThread() {
  {
    std::lock_guard lock(mutex_);
    order_ = Order::kQuit;
  }
  attract();
  thread_.join();
}

void VcpuThread::run() {
  if (time_ != nullptr) time_->before_run();
  {
    std::lock_guard lock(mutex_);
    RS_CHECK(order_ == Order::kPark);
    if (retired_) return;
    order_ = Order::kRun;
    fresh_run_ = true;
    pause_wanted_ = false;
  }
  changed_.notify_one();
}

void VcpuThread::pause() {
  {
    std::lock_guard lock(mutex_);
    if (order_ != Order::kRun) return;
    pause_wanted_ = true;
  }
  attract();
}

void VcpuThread::post(Work work) {
  {
    std::lock_guard lock(mutex_);
    inbox_.push_back(std::move(work));
  }
  attract();
}

void VcpuThread::replace(std::unique_ptr<kvm::VcpuFd> fd, const dev::Bus& bus) {
  post([this, bus = &bus, fresh = std::move(fd)](api::VcpuAccess&) mutable {
    fresh->bind_thread();
    set_kick_target(
        &fresh->run_page());  // first: a kick may come at any time, and the old page goes with the old fd
    fd_ = std::move(fresh);
    bus_ = bus;
    write_to_tell_ = false;
  });
}

void VcpuThread::retire() {
  retired_ = true;
  attract();
}

// Wakes the thread from its sleep, or out of the guest.
void VcpuThread::attract() {
  attention_.store(true);
  changed_.notify_one();
  kick(thread_.native_handle());
}

std::uint64_t VcpuThread::cpu_time() const {
  clockid_t clock{};
  timespec now{};
  if (::pthread_getcpuclockid(const_cast<std::thread&>(thread_).native_handle(), &clock) != 0) return 0;
  if (::clock_gettime(clock, &now) != 0) return 0;
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(now.tv_nsec);
}

void VcpuThread::body() {
  fd_->bind_thread();
  set_kick_target(&fd_->run_page());
  for (;;) {
    attend();
    if (!running_) return;
    enter_guest();
  }
}

// Works off the inbox, sleeps while parked, and takes the next order.  No I/O instruction is half done here:
// enter_guest() sees to that.  Returns to enter the guest, or, with running_ false, to end the thread.
void VcpuThread::attend() {
  std::unique_lock lock(mutex_);
  for (;;) {
    attention_.store(false);
    if (order_ == Order::kQuit) {
      running_ = false;
      return;
    }
    if (!inbox_.empty()) {
      Work work = std::move(inbox_.front());
      inbox_.pop_front();
      lock.unlock();
      work(*fd_);
      lock.lock();
      continue;
    }
    if (order_ == Order::kRun && !retired_) {
      running_ = true;
      if (fresh_run_) {
        fresh_run_ = false;
        lock.unlock();
        api::DebugExit exit;
        const api::Verdict verdict = policy_.before_run(*fd_, exit);
        follow(verdict, exit);
        lock.lock();
        continue;
      }
      if (pause_wanted_) {
        lock.unlock();
        park(api::StopCause::kPaused, {}, {});
        lock.lock();
        continue;
      }
      return;
    }
    sleep(lock);
    if (retired_ && order_ == Order::kRun) order_ = Order::kPark;
  }
}

// Parked, until there is something to do.
void VcpuThread::sleep(std::unique_lock<std::mutex>& lock) {
  const auto wanted = [this] { return attention_.load() || order_ == Order::kRun || order_ == Order::kQuit; };
  if (!stand_still_at_) {
    changed_.wait(lock, wanted);
    return;
  }
  if (changed_.wait_until(lock, *stand_still_at_, wanted)) return;
  stand_still_at_.reset();
  lock.unlock();
  time_->stand_still();
  lock.lock();
}

void VcpuThread::enter_guest() {
  kvm_run& page = fd_->run_page();
  for (;;) {
    page.immediate_exit = 0;
    if (write_to_tell_ && !fd_->io_pending() && !tell_write()) return;
    const bool attention = attention_.load();
    if (fd_->io_pending()) {
      if (attention || event_ || write_to_tell_) page.immediate_exit = 1;  // only finish the I/O instruction
    } else if (attention && !policy_.unfinished(*fd_)) {
      return;
    }
    kvm::Exit exit = fd_->run();
    exits_.fetch_add(1, std::memory_order_relaxed);
    if (event_ && !fd_->io_pending()) tell_of_event();
    if (!handle(exit)) return;
  }
}

bool VcpuThread::follow(api::Verdict verdict, const api::DebugExit& exit) {
  if (verdict == api::Verdict::kResume) return true;
  park(cause_of(verdict), exit, {});
  return false;
}

// The instruction whose write the policy has done is through.
bool VcpuThread::tell_write() {
  write_to_tell_ = false;
  api::DebugExit exit;
  const api::Verdict verdict = policy_.after_guest_write(*fd_, exit);
  return follow(verdict, exit);
}

// False when the vCPU has been parked.
bool VcpuThread::handle(kvm::Exit& exit) {
  if (auto* io = std::get_if<kvm::PortIo>(&exit)) {
    const bool for_firmware =
        firmware_ && io->port == mem::kBiosCall && io->direction == kvm::Direction::kOut;
    handle_port(*io);
    return !for_firmware || call_firmware();
  }
  if (auto* access = std::get_if<kvm::Mmio>(&exit)) {
    handle_mmio(*access);
    return true;
  }
  if (std::holds_alternative<kvm::Interrupted>(exit)) return true;
  if (auto* access = std::get_if<kvm::MsrAccess>(&exit)) {
    handle_msr(*access);
    return true;
  }
  if (auto* debug = std::get_if<api::DebugExit>(&exit)) {
    const api::Verdict verdict = policy_.on_debug_exit(*fd_, *debug);
    return follow(verdict, *debug);
  }
  if (std::holds_alternative<kvm::Shutdown>(exit)) {
    park(api::StopCause::kTripleFault, {}, triple_fault_text(*fd_));
    return false;
  }
  if (auto* event = std::get_if<kvm::SystemEvent>(&exit)) {
    park(api::StopCause::kFailure, {}, fmt::format("KVM system event {}", event->type));
    return false;
  }
  if (auto* failure = std::get_if<kvm::Failure>(&exit)) {
    const auto verdict = failure->emulation ? policy_.on_unemulated(*fd_) : api::Verdict::kStop;
    if (verdict != api::Verdict::kStop) return follow(verdict, {});
    park(api::StopCause::kFailure, {}, failure->text);
    return false;
  }
  park(api::StopCause::kFailure, {}, "hlt without an interrupt controller");
  return false;
}

void VcpuThread::handle_port(const kvm::PortIo& io) {
  for (std::uint32_t i = 0; i < io.count; ++i) {
    const MutableByteView element = io.data.subspan(std::size_t{i} * io.size, io.size);
    if (io.direction == kvm::Direction::kOut) {
      if (io.port == mem::kMark) {
        event_ = {.kind = api::GuestEvent::Kind::kMark, .value = element[0], .before = 0};
        continue;
      }
      bus_->write_port(io.port, element);
    } else {
      bus_->read_port(io.port, element);
    }
  }
}

// The instruction is finished first (KVM api 5): that may be the end of a single step, which then has the
// call's results in its registers.  Further I/O of the same instruction is a string's, and no call.
bool VcpuThread::call_firmware() {
  fd_->run_page().immediate_exit = 1;
  kvm::Exit exit = fd_->run();
  fd_->run_page().immediate_exit = 0;
  if (const auto* more = std::get_if<kvm::PortIo>(&exit)) {
    handle_port(*more);
    return true;
  }
  firmware_(*fd_);
  return handle(exit);
}

void VcpuThread::handle_msr(const kvm::MsrAccess& access) {
  using Kind = api::GuestEvent::Kind;
  const bool write = access.direction == kvm::Direction::kOut;
  const std::uint64_t before = fd_->context().paging.efer;
  const auto value = fd_->serve(access);
  if (!value) return;
  event_ = {.kind = write ? Kind::kWroteEfer : Kind::kReadEfer, .value = *value, .before = before};
}

// A stop is made a pause: that comes when the vCPU can take it.
void VcpuThread::tell_of_event() {
  const api::GuestEvent event = *std::exchange(event_, std::nullopt);
  if (policy_.on_event(*fd_, event)) pause();
}

void VcpuThread::handle_mmio(const kvm::Mmio& access) {
  if (access.direction == kvm::Direction::kOut) {
    const auto verdict = policy_.on_guest_write(*fd_, access.at, access.data);
    if (verdict == api::WriteVerdict::kTell) write_to_tell_ = true;
    if (verdict != api::WriteVerdict::kNotWatched) return;
    bus_->write_mmio(access.at, access.data);
  } else {
    bus_->read_mmio(access.at, access.data);
  }
}

void VcpuThread::park(api::StopCause cause, api::DebugExit debug, std::string detail) {
  api::StopReport report{.vcpu = fd_->id(),
                         .cause = cause,
                         .debug = debug,
                         .context = fd_->context(),
                         .detail = std::move(detail)};
  {
    std::lock_guard lock(mutex_);
    if (order_ == Order::kRun) order_ = Order::kPark;
    pause_wanted_ = false;
  }
  stand_still_at_.reset();
  if (time_ != nullptr && time_->parked())
    stand_still_at_ = std::chrono::steady_clock::now() + TimeKeeper::kPatience;
  listener_.on_stop(std::move(report));
}

}  // namespace ringside::run
