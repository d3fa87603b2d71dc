// A kernel's 16-bit entry and its calls of the BIOS, on KVM.
#include <fstream>
#include <latch>

#include <unistd.h>

#include <gtest/gtest.h>

#include "tests/kvm/tiny_machine.hpp"
#include "tests/unit/vmm/images.hpp"
#include "vmm/mem/layout.hpp"
#include "vmm/run/kvm_machine.hpp"

namespace ringside::test {
namespace {

class WishPolicy final : public api::DebugPolicy {
 public:
  api::Verdict before_run(api::VcpuAccess& vcpu, api::DebugExit&) noexcept override {
    vcpu.set_debug(wish);
    return api::Verdict::kResume;
  }
  api::Verdict on_debug_exit(api::VcpuAccess&, api::DebugExit&) noexcept override {
    return api::Verdict::kStop;
  }
  api::DebugWish wish;  // changed only while the vCPU is parked
};

class BiosCall : public testing::Test {
 protected:
  static constexpr std::uint64_t kSetup = mem::kSetupCode.value;
  static constexpr std::uint64_t kInt15 = 0xfe000 + 4 * 0x15;  // its stub
  static constexpr std::uint32_t kSmap = 0x534d4150;

  ~BiosCall() override {
    machine_.reset();
    std::filesystem::remove(file_);
  }

  // A bzImage whose setup code is this, right behind its header.
  void boot(const Code& code) {
    constexpr std::size_t kEntry = 0x200, kCodeInSetup = 0x26c;
    Bytes image = kernel();
    image[kEntry] = 0xeb;  // jmp; its operand is part of the header
    std::ranges::copy(code, image.begin() + kCodeInSetup);
    std::ofstream(file_, std::ios::binary)
        .write(reinterpret_cast<const char*>(image.data()), static_cast<std::streamsize>(image.size()));
    run::MachineConfig config;
    config.boot.kernel = file_;
    config.boot.mode = boot::BootMode::kReal;
    config.ram_bytes = 64u << 20;
    config.console = [this](std::string_view text) { console_ += text; };
    machine_ = must(run::KvmMachine::create(std::move(config)));
    ASSERT_TRUE(machine_->start(policy_, reports_));
  }
  api::StopReport run_to_stop() {
    machine_->vcpu(VcpuId{0}).run();
    const auto report = reports_.next();
    EXPECT_TRUE(report.has_value()) << "no stop came";
    return report.value_or(api::StopReport{});
  }
  api::StopReport run_to(std::uint64_t linear) {
    policy_.wish = slot_wish(0, linear, x86::WatchKind::kExecute);
    return run_to_stop();
  }
  api::StopReport step() {
    policy_.wish = step_wish();
    return run_to_stop();
  }
  template <typename T>
  T at(std::uint64_t where) {
    return machine_->memory().load_at<T>(Gpa{where}).value();
  }

  WishPolicy policy_;
  Reports reports_;
  std::string console_;
  std::filesystem::path file_ =
      std::filesystem::temp_directory_path() / ("ringside-bios-" + std::to_string(::getpid()));
  std::unique_ptr<run::KvmMachine> machine_;
};

// mov $0xe820,%eax; xor %ebx,%ebx; mov $20,%ecx; mov $SMAP,%edx; mov $0x4000,%di; stc; int $0x15
const Code kAskForMap{0x66, 0xb8, 0x20, 0xe8, 0,    0,    0x66, 0x31, 0xdb, 0x66, 0xb9, 20,   0,   0,
                      0,    0x66, 0xba, 0x50, 0x41, 0x4d, 0x53, 0xbf, 0,    0x40, 0xf9, 0xcd, 0x15};

TEST_F(BiosCall, ThroughTheInterruptTableAndBackWithRegistersMemoryAndCarry) {
  Code code = kAskForMap;
  // here: nop; jmp here
  code.insert(code.end(), {0x90, 0xeb, 0xfd});
  boot(code);
  const api::StopReport report = run_to(kSetup + 0x26c + kAskForMap.size());
  EXPECT_EQ(report.context.core.gpr[x86::kRax], kSmap);
  EXPECT_EQ(report.context.core.gpr[x86::kRbx], 1u);
  EXPECT_EQ(report.context.core.rflags & 1, 0u);  // it was set before the call
  EXPECT_EQ(report.context.code_size(), x86::CodeSize::k16);
  EXPECT_EQ(report.context.linear_rip(), Gva{kSetup + 0x26c + kAskForMap.size()});
  EXPECT_EQ(at<std::uint64_t>(kSetup + 0x4000 + 8), mem::kEbda.value);
}

TEST_F(BiosCall, IsDoneWhenAStepOverItsOutIsDone) {
  Code code = kAskForMap;
  code.insert(code.end(), {0xeb, 0xfe});
  boot(code);
  const api::StopReport before = run_to(kInt15);
  EXPECT_EQ(before.context.core.rip, 0xe054u);
  EXPECT_EQ(before.context.core.gpr[x86::kRax], 0xe820u);
  const api::StopReport after = step();
  EXPECT_EQ(after.context.core.rip, 0xe056u);
  EXPECT_EQ(after.context.core.gpr[x86::kRax], kSmap);
  const std::uint64_t frame = kSetup + after.context.core.gpr[x86::kRsp];
  EXPECT_EQ(at<std::uint16_t>(frame + 4) & 1, 0);
}

TEST_F(BiosCall, OfWhatIsUnknownComesBackWithCarry) {
  // clc; int $0x17; nop; jmp to the nop
  boot({0xf8, 0xcd, 0x17, 0x90, 0xeb, 0xfd});
  EXPECT_EQ(run_to(kSetup + 0x26c + 3).context.core.rflags & 1, 1u);
}

TEST_F(BiosCall, ChangesEsWhereTheServiceSaysSo) {
  // mov $0xc000,%ax; int $0x15; mov %es:(%bx),%cx; nop; jmp to the nop
  boot({0xb8, 0, 0xc0, 0xcd, 0x15, 0x26, 0x8b, 0x0f, 0x90, 0xeb, 0xfd});
  EXPECT_EQ(run_to(kSetup + 0x26c + 8).context.core.gpr[x86::kRcx], 8u);  // the table's length
}

TEST_F(BiosCall, AnOutToItsPortFromElsewhereIsNoCall) {
  // mov $0xe820,%ax; out %al,$0xb2; nop; jmp to the nop
  boot({0xb8, 0x20, 0xe8, 0xe6, 0xb2, 0x90, 0xeb, 0xfd});
  EXPECT_EQ(run_to(kSetup + 0x26c + 5).context.core.gpr[x86::kRax], 0xe820u);
}

TEST_F(BiosCall, AStringToItsPortIsNoCall) {
  // mov $0xb2,%dx; mov $1000,%cx; rep outsb; nop; jmp to the nop
  boot({0xba, 0xb2, 0, 0xb9, 0xe8, 0x03, 0xf3, 0x6e, 0x90, 0xeb, 0xfd});
  EXPECT_EQ(run_to(kSetup + 0x26c + 8).context.core.gpr[x86::kRcx] & 0xffff, 0u);
}

TEST_F(BiosCall, TextIsOnTheConsole) {
  // mov $0x0e48,%ax; int $0x10; mov $0x0e0a,%ax; int $0x10; nop; jmp to the nop
  boot({0xb8, 0x48, 0x0e, 0xcd, 0x10, 0xb8, 0x0a, 0x0e, 0xcd, 0x10, 0x90, 0xeb, 0xfd});
  run_to(kSetup + 0x26c + 10);
  EXPECT_EQ(console_, "H\r\n");
}

}  // namespace
}  // namespace ringside::test
