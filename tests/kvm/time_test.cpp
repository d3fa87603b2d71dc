// TimeKeeper: what a guest counts by stands while it is stopped, and goes on from there.
#include <future>
#include <thread>

#include <gtest/gtest.h>

#include "tests/kvm/tiny_machine.hpp"

namespace ringside::test {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kMillisecond = 1'000'000;  // in ns

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
  void run_for(std::chrono::milliseconds time) {
    vcpu().run();
    std::this_thread::sleep_for(time);
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

TEST_F(TimeOnKvm, TheCountersGoOnFromWhereTheyStoodAfterALongStop) {
  boot();
  run_for(5ms);
  const std::uint64_t tsc = time();
  const std::uint64_t clock = must(machine_->guest().vm().clock_ns());
  std::this_thread::sleep_for(2s);
  EXPECT_GT(time(), tsc + 1900 * kMillisecond);  // in the host it goes on meanwhile
  run_for(1ms);
  const std::uint64_t tsc_after = time();
  const std::uint64_t clock_after = must(machine_->guest().vm().clock_ns());
  EXPECT_GE(tsc_after, tsc);
  EXPECT_LT(tsc_after, tsc + 1000 * kMillisecond);
  EXPECT_GE(clock_after, clock);
  EXPECT_LT(clock_after, clock + 1000 * kMillisecond);
}

TEST_F(TimeOnKvm, ACountingLocalTimerGoesOnFromWhereItStood) {
  boot();
  run_for(2ms);
  constexpr std::size_t kLvtTimer = 0x320, kInitialCount = 0x380, kCurrentCount = 0x390, kDivide = 0x3e0;
  constexpr std::uint32_t kCount = 0xf0000000;  // by 16 in ns: about a minute
  const auto put = [](kvm_lapic_state& apic, std::size_t at, std::uint32_t value) {
    std::memcpy(apic.regs + at, &value, sizeof value);
  };
  const auto current = [this] {
    return ask([](kvm::VcpuFd& fd) { return must(fd.local_apic()).at(kCurrentCount); });
  };
  kvm_lapic_state apic = ask([](kvm::VcpuFd& fd) { return must(fd.timers()); }).apic;
  put(apic, kLvtTimer, 1u << 16 | 0x40);  // one-shot, masked
  put(apic, kDivide, 3);                  // by 16
  put(apic, kInitialCount, kCount);
  put(apic, kCurrentCount, kCount);
  ASSERT_TRUE(ask([&](kvm::VcpuFd& fd) { return fd.set_timers({.apic = apic, .deadline = 0}); }));
  run_for(2ms);
  const std::uint32_t before = current();
  ASSERT_GT(before, 0u);
  ASSERT_LT(before, kCount);
  std::this_thread::sleep_for(2s);
  EXPECT_LT(current(), before - 100'000'000u);  // 2 s are 125,000,000
  run_for(1ms);
  EXPECT_LE(current(), before);
  EXPECT_GT(current(), before - 62'000'000u);
}

}  // namespace
}  // namespace ringside::test
