// What tells the monitor where the guest is: EFER, and marks.  The guest gets what a CPU alone would give it.
#include <future>
#include <mutex>

#include "tests/kvm/guest_testing.hpp"
#include "tests/kvm/tiny_machine.hpp"

namespace ringside::test {
namespace {

using api::GuestEvent;
using api::StopCause;
using Kind = GuestEvent::Kind;

constexpr std::uint64_t kNxe = 0x800, kLme = 0x100;

// mov $0xc0000080, %ecx; rdmsr; xor $CHANGE, %eax; wrmsr; rdmsr; hlt
Code change_efer(std::uint64_t change) {
  Code code = {0xb9, 0x80, 0x00, 0x00, 0xc0, 0x0f, 0x32, 0x35, 0, 0, 0, 0, 0x0f, 0x30, 0x0f, 0x32, kHlt};
  for (unsigned i = 0; i < 4; ++i) code[8 + i] = static_cast<std::uint8_t>(change >> (8 * i));
  return code;
}
constexpr std::uint64_t kWrite = 12;

class Efer : public GuestTest {
 protected:
  void boot_watched(const Code& code) {
    boot(code);
    ASSERT_TRUE(guest().vm().watch_msrs());
    constexpr std::uint8_t kGeneralProtection = 13;
    guest().handle(kGeneralProtection, Code{0xbb, 0x0d, 0x00, 0x00, 0x00, kHlt});  // mov $13, %ebx; hlt
  }
  // The next exit is for EFER, and is served; what serve() says.
  std::optional<std::uint64_t> serve(kvm::Direction direction) {
    const kvm::Exit exit = vcpu().run();
    const auto* access = std::get_if<kvm::MsrAccess>(&exit);
    EXPECT_TRUE(access != nullptr && access->direction == direction && access->index == 0xc0000080)
        << to_text(exit);
    return access != nullptr ? vcpu().serve(*access) : std::nullopt;
  }
};

TEST_F(Efer, AReadGivesWhatIsThereAndAWriteIsDone) {
  boot_watched(change_efer(kNxe));
  const std::uint64_t before = vcpu().context().paging.efer;
  EXPECT_EQ(serve(kvm::Direction::kIn), before);
  EXPECT_EQ(serve(kvm::Direction::kOut), before ^ kNxe);
  EXPECT_EQ(serve(kvm::Direction::kIn), before ^ kNxe);
  expect_hlt();
  EXPECT_EQ(gpr(x86::kRax), before ^ kNxe);
  EXPECT_EQ(vcpu().context().paging.efer, before ^ kNxe);
}

TEST_F(Efer, LongModeCannotBeSwitchedOffWhilePagingIsOn) {
  boot_watched(change_efer(kLme));
  const std::uint64_t before = vcpu().context().paging.efer;
  serve(kvm::Direction::kIn);
  EXPECT_FALSE(serve(kvm::Direction::kOut).has_value());
  expect_hlt();
  EXPECT_EQ(gpr(x86::kRbx), 13u);
  EXPECT_EQ(vcpu().context().paging.efer, before);
}

TEST_F(Efer, ReservedBitsEndInAGeneralProtectionFault) {
  boot_watched(change_efer(1u << 9));
  serve(kvm::Direction::kIn);
  EXPECT_FALSE(serve(kvm::Direction::kOut).has_value());
  expect_hlt();
  EXPECT_EQ(gpr(x86::kRbx), 13u);
}

TEST_F(Efer, AStepOverTheWriteEndsBehindIt) {
  boot_watched(change_efer(kNxe));
  serve(kvm::Direction::kIn);
  x86::CoreRegs core = vcpu().core();
  vcpu().run_page().immediate_exit = 1;
  static_cast<void>(vcpu().run());
  vcpu().run_page().immediate_exit = 0;
  core = vcpu().core();
  core.rip = kCode + kWrite;
  vcpu().set_core(core);
  vcpu().set_debug(step_wish());
  serve(kvm::Direction::kOut);
  expect_trap();
  EXPECT_EQ(offset(), kWrite + 2);
}

// Writes down what it is told, and stops at what the test says.
class EventPolicy final : public api::DebugPolicy {
 public:
  api::Verdict before_run(api::VcpuAccess&, api::DebugExit&) noexcept override {
    return api::Verdict::kResume;
  }
  api::Verdict on_debug_exit(api::VcpuAccess&, api::DebugExit&) noexcept override {
    return api::Verdict::kStop;
  }
  bool on_event(api::VcpuAccess& vcpu, const GuestEvent& event) noexcept override {
    const std::lock_guard lock(mutex_);
    told_.emplace_back(event, vcpu.core().rip - kCode);
    return event.kind == stop_at;
  }
  std::vector<std::pair<GuestEvent, std::uint64_t>> told() {
    const std::lock_guard lock(mutex_);
    return told_;
  }
  Kind stop_at = Kind::kMark;

 private:
  std::mutex mutex_;
  std::vector<std::pair<GuestEvent, std::uint64_t>> told_;
};

TEST(GuestEvents, AMarkIsToldBehindItsInstructionAndParksTheVcpuThere) {
  kvm::System system = must(kvm::System::open());
  EventPolicy policy;
  Reports reports;
  TinyMachine machine(system, {0xb0, 0x42, 0xe6, 0xe9, kNop, 0xeb, 0xfe},
                      {});  // mov $0x42, %al; out %al, $0xe9
  ASSERT_TRUE(machine.start(policy, reports));
  machine.vcpu(VcpuId{0}).run();
  const auto report = reports.next();
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->cause, StopCause::kPaused);
  EXPECT_EQ(report->context.core.rip, kCode + 4);
  const auto told = policy.told();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].first.value, 0x42u);
  EXPECT_EQ(told[0].second, 4u);
}

TEST(GuestEvents, APulseTellsACpuThatIsDeafFromOneThatTakesInterrupts) {
  kvm::System system = must(kvm::System::open());
  EventPolicy policy;
  Reports reports;
  TinyMachine machine(system, {0xeb, 0xfe}, {});
  ASSERT_TRUE(machine.start(policy, reports));
  machine.vcpu(VcpuId{0}).run();
  const auto pulse = [&] {
    std::promise<std::optional<api::Pulse>> answer;
    auto future = answer.get_future();
    machine.vcpu(VcpuId{0}).post([&](api::VcpuAccess& access) { answer.set_value(access.pulse()); });
    return future.get();
  };
  const auto first = pulse();
  ASSERT_TRUE(first.has_value());
  EXPECT_FALSE(first->interrupts_on);
  EXPECT_FALSE(first->asleep);
  EXPECT_EQ(pulse(), first);
  machine.vcpu(VcpuId{0}).pause();
  EXPECT_TRUE(reports.next().has_value());
}

}  // namespace
}  // namespace ringside::test
