// TimeKeeper: what a guest counts by stands while it is stopped, and goes on from there.
#include <future>
#include <thread>

#include <gtest/gtest.h>

#include "tests/kvm/tiny_machine.hpp"

namespace ringside::test {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kMillisecond = 1'000'000;  // in ns
constexpr auto kStop = 3s;
// Of a stop: a busy machine takes its time until all stands.
constexpr std::uint64_t kUnnoticed = 1000 * kMillisecond;

class Stopwatch {
 public:
  std::uint64_t ns() const {
    return static_cast<std::uint64_t>((std::chrono::steady_clock::now() - began_).count());
  }

 private:
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

class Silent final : public api::DebugPolicy {
 public:
  api::Verdict before_run(api::VcpuAccess&, api::DebugExit&) noexcept override {
    return api::Verdict::kResume;
  }
  api::Verdict on_debug_exit(api::VcpuAccess&, api::DebugExit&) noexcept override {
    return api::Verdict::kStop;
  }
};

class TimeOnKvm : public testing::Test {
 protected:
  void boot() {
    machine_.emplace(
        system_, Code{0xeb, 0xfe},
        TinyGuest::Shape{.mode = TinyGuest::Mode::kLong, .chips = TinyGuest::Chips::kIrqchip, .vcpus = 1});
    machine_->keep_time();
    ASSERT_TRUE(machine_->start(policy_, reports_));
  }
  run::VcpuThread& vcpu() { return machine_->vcpu(VcpuId{0}); }
  void pause() {
    vcpu().pause();
    ASSERT_TRUE(reports_.next().has_value());
  }
  template <typename F>
  auto ask(F question) {
    std::promise<std::invoke_result_t<F, kvm::VcpuFd&>> answer;
    auto future = answer.get_future();
    vcpu().post(
        [&](api::VcpuAccess& access) { answer.set_value(question(static_cast<kvm::VcpuFd&>(access))); });
    return future.get();
  }
  std::uint64_t time() {
    return ask([](kvm::VcpuFd& fd) { return fd.time_ns().value(); });
  }

  kvm::System system_ = must(kvm::System::open());
  Silent policy_;
  Reports reports_;
  std::optional<TinyMachine> machine_;
};

// What is read of a clock while the vCPU runs is before what it stood at, and what the guest may have seen pass
// between two such looks is the time between them but for the stop: so it holds however slow the machine is.

TEST_F(TimeOnKvm, TheCountersGoOnFromWhereTheyStoodAfterALongStop) {
  boot();
  const auto clock = [this] { return must(machine_->guest().vm().clock_ns()); };
  vcpu().run();
  std::this_thread::sleep_for(5ms);
  const Stopwatch all;
  const std::uint64_t tsc = time();
  const std::uint64_t kvmclock = clock();
  pause();
  const Stopwatch stop;
  const std::uint64_t stood = time();
  std::this_thread::sleep_for(kStop);
  EXPECT_GT(time(), stood + 2800 * kMillisecond);  // in the host it goes on meanwhile
  const std::uint64_t stopped = stop.ns();
  vcpu().run();
  const std::uint64_t tsc_after = time();
  const std::uint64_t kvmclock_after = clock();
  const std::uint64_t may_pass = all.ns() - stopped + kUnnoticed;
  EXPECT_GE(tsc_after, tsc);
  EXPECT_LE(tsc_after, tsc + may_pass);
  EXPECT_GE(kvmclock_after, kvmclock);
  EXPECT_LE(kvmclock_after, kvmclock + may_pass);
  pause();
}

TEST_F(TimeOnKvm, ACountingLocalTimerGoesOnFromWhereItStood) {
  boot();
  constexpr std::size_t kLvtTimer = 0x320, kInitialCount = 0x380, kCurrentCount = 0x390, kDivide = 0x3e0;
  constexpr std::uint32_t kCount = 0xf0000000;  // by 16 in ns: about a minute
  constexpr std::uint64_t kTick = 16;           // in ns
  const auto put = [](kvm_lapic_state& apic, std::size_t at, std::uint32_t value) {
    std::memcpy(apic.regs + at, &value, sizeof value);
  };
  const auto current = [this] {
    return ask([](kvm::VcpuFd& fd) { return must(fd.local_apic()).at(kCurrentCount); });
  };
  vcpu().run();
  std::this_thread::sleep_for(2ms);
  pause();
  kvm_lapic_state apic = ask([](kvm::VcpuFd& fd) { return must(fd.timers()); }).apic;
  put(apic, kLvtTimer, 1u << 16 | 0x40);  // one-shot, masked
  put(apic, kDivide, 3);                  // by 16
  put(apic, kInitialCount, kCount);
  put(apic, kCurrentCount, kCount);
  ASSERT_TRUE(ask([&](kvm::VcpuFd& fd) { return fd.set_timers({.apic = apic, .deadline = 0}); }));
  vcpu().run();
  std::this_thread::sleep_for(2ms);
  const Stopwatch all;
  const std::uint32_t before = current();
  ASSERT_GT(before, 0u);
  ASSERT_LT(before, kCount);
  pause();
  const Stopwatch stop;
  const std::uint32_t stood = current();
  std::this_thread::sleep_for(kStop);
  EXPECT_LT(current(), stood - 150'000'000u);  // 3 s are 187,500,000
  const std::uint64_t stopped = stop.ns();
  vcpu().run();
  const std::uint32_t after = current();
  const std::uint64_t may_pass = all.ns() - stopped + kUnnoticed;
  EXPECT_LE(after, before);
  EXPECT_GE(after + may_pass / kTick, before);
  pause();
}

}  // namespace
}  // namespace ringside::test
