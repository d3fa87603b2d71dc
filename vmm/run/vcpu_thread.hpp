// One vCPU's thread: parked, or in and out of the guest; the only one that touches the vCPU's descriptor.
//
//            run()                  a stop (pause, debug exit wanted, triple fault, failure)
//   parked ---------> running ----------------------------------------------------------> parked
//
// The mutex guards the inbox and the orders.  An inbox alone will not do: a parked thread has to sleep on
// something, and run() must not be lost between its last look and its sleep.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "vmm/api/machine.hpp"
#include "vmm/dev/bus.hpp"
#include "vmm/kvm/vcpu_fd.hpp"
#include "vmm/run/time_keeper.hpp"

namespace ringside::run {

// Answers an `out` to the firmware's port once the instruction is done (bios.hpp).  Thread: the vCPU's.
using FirmwareCall = std::function<void(api::VcpuAccess&)>;

struct Surroundings {
  TimeKeeper* time = nullptr;  // null: time goes on whatever stops
  FirmwareCall firmware = {};  // empty: there is none
};

class VcpuThread final : public api::Vcpu {
 public:
  VcpuThread(std::unique_ptr<kvm::VcpuFd> fd, const dev::Bus& bus, api::DebugPolicy& policy,
             api::MachineListener& listener, Surroundings surroundings = {});
  ~VcpuThread() override;  // ends the thread, wherever it is

  void run() override;
  void pause() override;
  void post(Work work) override;
  std::uint64_t exits() const override { return exits_.load(std::memory_order_relaxed); }

  // A fresh descriptor and bus, for a reset.  Thread: hub, vCPU parked.
  void replace(std::unique_ptr<kvm::VcpuFd> fd, const dev::Bus& bus);
  // The guest has ended: the vCPU parks without a report.  Any thread.
  void retire();

  // CPU time of the thread in nanoseconds: a vCPU that sleeps in hlt uses none.
  std::uint64_t cpu_time() const;

 private:
  enum class Order : std::uint8_t { kPark, kRun, kQuit };

  void body();
  void attend();
  void sleep(std::unique_lock<std::mutex>& lock);
  void enter_guest();
  bool handle(kvm::Exit& exit);
  bool follow(api::Verdict verdict, const api::DebugExit& exit);
  bool tell_write();
  void handle_port(const kvm::PortIo& io);
  bool call_firmware();
  void handle_msr(const kvm::MsrAccess& access);
  void tell_of_event();
  void handle_mmio(const kvm::Mmio& access);
  void park(api::StopCause cause, api::DebugExit debug, std::string detail);
  void attract();

  std::unique_ptr<kvm::VcpuFd> fd_;
  const dev::Bus* bus_;
  api::DebugPolicy& policy_;
  api::MachineListener& listener_;
  TimeKeeper* const time_;       // null: time goes on whatever stops
  const FirmwareCall firmware_;  // empty: there is none

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Work> inbox_;              // guarded by mutex_
  Order order_ = Order::kPark;          // guarded by mutex_
  bool pause_wanted_ = false;           // guarded by mutex_
  bool fresh_run_ = false;              // guarded by mutex_: run() came, before_run() is due
  std::atomic<bool> attention_{false};  // one of the above has changed: look before the next entry
  std::atomic<bool> retired_{false};
  std::atomic<std::uint64_t> exits_{0};
  bool write_to_tell_ = false;  // the policy waits for the end of the instruction under way
  std::optional<std::chrono::steady_clock::time_point> stand_still_at_;  // this thread's: time_ is to be told
  bool running_ = false;                  // this thread's own copy of order_ == kRun
  std::optional<api::GuestEvent> event_;  // the policy is told when the instruction is complete

  std::thread thread_;
};

}  // namespace ringside::run
