// A TinyGuest behind waist 1: its vCPUs on VcpuThreads, and a device that counts on ports 0x10 to 0x1f.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "tests/kvm/guest_testing.hpp"
#include "vmm/dev/bus.hpp"
#include "vmm/run/kick.hpp"
#include "vmm/run/vcpu_thread.hpp"

namespace ringside::test {

// For what is certain to come: the machine may be an emulated one, with sanitizers, and shared.
inline constexpr std::chrono::seconds kPatience{200};

// Reads answer with `answer`'s low byte; accesses are counted.
class CountingPort final : public dev::BytePortDevice {
 public:
  std::atomic<std::uint64_t> reads{0};
  std::atomic<std::uint64_t> writes{0};
  std::atomic<std::uint8_t> answer{0x5a};

 protected:
  std::uint8_t read_byte(std::uint16_t) override {
    ++reads;
    return answer;
  }
  void write_byte(std::uint16_t, std::uint8_t) override { ++writes; }
};

class TinyMachine final : public api::Machine {
 public:
  TinyMachine(const kvm::System& system, const Code& code, const TinyGuest::Shape& shape)
      : guest_(must(TinyGuest::create(system, shape))), vcpus_(shape.vcpus) {
    guest_->load(code);
    must_add();
    info_.engine = "KVM, tiny";
    info_.watches_writes = system.capabilities().readonly_mem;
    info_.ram_bytes = TinyGuest::kBytes;
  }
  ~TinyMachine() override {
    if (time_) time_->leave();
    threads_.clear();
  }

  std::size_t vcpu_count() const override { return vcpus_; }
  run::VcpuThread& vcpu(VcpuId id) override { return *threads_.at(id.number); }
  PhysicalMemory& memory() override { return *guest_; }
  const api::MachineInfo& info() const override { return info_; }
  Result<x86::IoApic> io_apic() const override {
    return fail(Errc::kUnsupported, "nobody asks a tiny guest for it");
  }
  Result<void> start(api::DebugPolicy& policy, api::MachineListener& listener) override {
    run::install_kick_handler();
    for (std::size_t i = 0; i < vcpus_; ++i) {
      threads_.push_back(std::make_unique<run::VcpuThread>(
          guest_->take_vcpu(i), bus_, policy, listener,
          run::Surroundings{.time = time_ ? &*time_ : nullptr, .firmware = {}}));
    }
    if (time_) time_->follow(guest_->vm());
    return {};
  }
  // Before start(), with the interrupt chips: time stands still with the guest.
  void keep_time() {
    time_.emplace(vcpus_, [this](std::size_t vcpu, run::TimeKeeper::Work work) {
      threads_.at(vcpu)->post([work = std::move(work)](api::VcpuAccess& access) mutable {
        work(static_cast<kvm::VcpuFd&>(access));
      });
    });
  }
  Result<void> reset() override { return fail(Errc::kUnsupported, "a tiny guest is not reset"); }
  Result<void> watch_writes(std::span<const GpaRange> pages) override { return guest_->watch_writes(pages); }

  TinyGuest& guest() { return *guest_; }
  CountingPort& port() { return port_; }
  std::uint64_t qword(std::uint64_t at) const {
    return guest_->load_at<std::uint64_t>(Gpa{at}).value_or(~0ull);
  }

 private:
  void must_add() { EXPECT_TRUE(bus_.add_ports(0x10, 0x10, port_)); }

  std::unique_ptr<TinyGuest> guest_;
  std::size_t vcpus_;
  CountingPort port_;
  dev::Bus bus_;
  api::MachineInfo info_;
  std::optional<run::TimeKeeper> time_;
  std::vector<std::unique_ptr<run::VcpuThread>> threads_;
};

// Everything a machine tells, kept until it is asked for.
class Reports final : public api::MachineListener {
 public:
  void on_stop(api::StopReport report) noexcept override {
    std::lock_guard lock(mutex_);
    stops_.push_back(std::move(report));
    changed_.notify_all();
  }
  void on_end(api::GuestEnd end, std::string) noexcept override {
    std::lock_guard lock(mutex_);
    end_ = end;
    changed_.notify_all();
  }

  // The next stop; nothing when none comes in time.
  std::optional<api::StopReport> next(std::chrono::milliseconds patience = kPatience) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, patience, [this] { return !stops_.empty(); })) return std::nullopt;
    api::StopReport report = std::move(stops_.front());
    stops_.pop_front();
    return report;
  }
  std::optional<api::GuestEnd> wait_end() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kPatience, [this] { return end_.has_value(); });
    return end_;
  }
  std::size_t waiting() {
    std::lock_guard lock(mutex_);
    return stops_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<api::StopReport> stops_;
  std::optional<api::GuestEnd> end_;
};

}  // namespace ringside::test
