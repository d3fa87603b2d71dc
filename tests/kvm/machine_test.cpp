// KvmMachine with a made-up kernel: boot, and back to the first instruction.
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <latch>
#include <thread>

#include <gtest/gtest.h>

#include "tests/kvm/tiny_machine.hpp"
#include "tests/unit/vmm/images.hpp"
#include "vmm/run/kvm_machine.hpp"

namespace ringside::test {
namespace {

using namespace std::chrono_literals;

class Quiet final : public api::DebugPolicy {
 public:
  api::Verdict before_run(api::VcpuAccess&, api::DebugExit&) noexcept override {
    return api::Verdict::kResume;
  }
  api::Verdict on_debug_exit(api::VcpuAccess&, api::DebugExit&) noexcept override {
    return api::Verdict::kStop;
  }
};

class KvmMachine : public testing::Test {
 protected:
  static constexpr std::uint64_t kEntry = kLinked + 0x40;

  ~KvmMachine() override {
    machine_.reset();
    std::filesystem::remove(file_);
  }

  // A vmlinux whose entry is this code.
  void boot(const Code& code) {
    Bytes image = elf_file();
    std::ranges::copy(code, image.begin() + kTextInFile + 0x40);
    std::ofstream(file_, std::ios::binary)
        .write(reinterpret_cast<const char*>(image.data()), static_cast<std::streamsize>(image.size()));
    run::MachineConfig config;
    config.boot.kernel = file_;
    config.ram_bytes = 64u << 20;
    config.console = [](std::string_view) {};
    machine_ = must(run::KvmMachine::create(std::move(config)));
    ASSERT_TRUE(machine_->start(policy_, reports_));
  }
  x86::CoreRegs registers() {
    x86::CoreRegs core;
    std::latch answered(1);
    machine_->vcpu(VcpuId{0}).post([&](api::VcpuAccess& access) {
      core = access.core();
      answered.count_down();
    });
    answered.wait();
    return core;
  }
  std::uint64_t qword(std::uint64_t at) {
    return machine_->memory().load_at<std::uint64_t>(Gpa{at}).value_or(~0ull);
  }

  Quiet policy_;
  Reports reports_;
  std::filesystem::path file_ =
      std::filesystem::temp_directory_path() / ("ringside-kernel-" + std::to_string(::getpid()));
  std::unique_ptr<run::KvmMachine> machine_;
};

TEST_F(KvmMachine, ResetReturnsToTheFirstInstructionWithRamAsAfterLoading) {
  // l: inc qword [0x1800000]; mov dword [_text+0x100],7; jmp l
  boot(
      {0x48, 0xff, 0x04, 0x25, 0, 0, 0x80, 0x01, 0xc7, 0x04, 0x25, 0, 0x01, 0, 0x01, 7, 0, 0, 0, 0xeb, 0xeb});
  const x86::CoreRegs first = registers();
  EXPECT_EQ(first.rip, kEntry);
  for (int round = 0; round < 3; ++round) {
    machine_->vcpu(VcpuId{0}).run();
    for (int i = 0; i < 1000 && qword(kLinked + 0x100) != 0x1111111100000007u; ++i)
      std::this_thread::sleep_for(10ms);
    machine_->vcpu(VcpuId{0}).pause();
    const auto stop = reports_.next();
    ASSERT_TRUE(stop.has_value());
    EXPECT_EQ(stop->cause, api::StopCause::kPaused) << stop->detail;
    EXPECT_GT(qword(0x1800000), 0u);
    EXPECT_EQ(qword(kLinked + 0x100) & 0xffffffff, 7u);
    ASSERT_TRUE(machine_->reset());
    EXPECT_EQ(registers(), first);
    EXPECT_EQ(qword(0x1800000), 0u);
    EXPECT_EQ(qword(kLinked + 0x100), 0x1111111111111111u);
  }
}

TEST_F(KvmMachine, WorkPostedAllTheTimeDoesNotDisturbAReset) {
  boot({0xeb, 0xfe});
  std::atomic<bool> over{false};
  std::thread other([&] {
    while (!over) machine_->vcpu(VcpuId{0}).post([](api::VcpuAccess&) {});
  });
  for (int round = 0; round < 30; ++round) {
    EXPECT_TRUE(machine_->reset());
    EXPECT_EQ(registers().rip, kEntry);
  }
  over = true;
  other.join();
}

TEST_F(KvmMachine, AGuestThatSwitchesItselfOffEndsAndItsVcpusStay) {
  // mov edx,0xcf9; mov al,6; out dx,al; jmp $
  boot({0xba, 0xf9, 0x0c, 0, 0, 0xb0, 6, 0xee, 0xeb, 0xfe});
  machine_->vcpu(VcpuId{0}).run();
  EXPECT_EQ(reports_.wait_end(), api::GuestEnd::kReboot);
  EXPECT_EQ(reports_.waiting(), 0u);
  EXPECT_EQ(registers().gpr[x86::kRdx], 0xcf9u);
}

}  // namespace
}  // namespace ringside::test
