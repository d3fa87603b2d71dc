// What the KVM tests share: a tiny guest, and words for what comes out of it.
#pragma once

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "arch/x86/control.hpp"
#include "vmm/run/tiny_guest.hpp"

namespace ringside::test {

using run::TinyGuest;
using Code = std::vector<std::uint8_t>;

inline constexpr std::uint64_t kCode = TinyGuest::kCode;
inline constexpr std::uint64_t kData = TinyGuest::kData;
inline constexpr std::uint8_t kNop = 0x90;
inline constexpr std::uint8_t kInt3 = 0xcc;
inline constexpr std::uint8_t kHlt = 0xf4;

// The value, or a failure of the test and the end of the program: without a VM nothing can be tested.
template <typename T>
T must(Result<T> result) {
  if (!result) {
    ADD_FAILURE() << result.error().text;
    std::abort();
  }
  return std::move(*result);
}

inline std::string to_text(const kvm::Exit& exit) {
  if (const auto* debug = std::get_if<api::DebugExit>(&exit)) {
    return debug->int3 ? "int3" : "debug, DR6 " + std::to_string(debug->dr6 & 0xffff);
  }
  if (const auto* io = std::get_if<kvm::PortIo>(&exit)) {
    return (io->direction == kvm::Direction::kIn ? "in " : "out ") + std::to_string(io->port);
  }
  if (std::holds_alternative<kvm::Mmio>(exit)) return "mmio";
  if (std::holds_alternative<kvm::Interrupted>(exit)) return "interrupted";
  if (std::holds_alternative<kvm::Shutdown>(exit)) return "shutdown";
  if (std::holds_alternative<kvm::Halted>(exit)) return "hlt";
  if (const auto* failure = std::get_if<kvm::Failure>(&exit)) return failure->text;
  return "system event";
}

inline api::DebugWish step_wish(bool hold_interrupts = true) {
  api::DebugWish wish;
  wish.step = true;
  wish.hold_interrupts = hold_interrupts;
  return wish;
}

inline api::DebugWish int3_wish() {
  api::DebugWish wish;
  wish.trap_int3 = true;
  return wish;
}

inline api::DebugWish slot_wish(std::size_t slot, std::uint64_t at, x86::WatchKind kind,
                                std::uint8_t length = 1) {
  api::DebugWish wish;
  wish.slots[slot] = x86::DebugSlot{.at = Gva{at}, .length = length, .kind = kind};
  return wish;
}

class GuestTest : public testing::Test {
 protected:
  void boot(const Code& code, const TinyGuest::Shape& shape) {
    guest_ = must(TinyGuest::create(system_, shape));
    guest_->load(code);
  }
  void boot(const Code& code) { boot(code, {}); }

  TinyGuest& guest() { return *guest_; }
  kvm::VcpuFd& vcpu() { return guest_->vcpu(); }
  std::uint64_t rip() { return vcpu().core().rip; }
  std::uint64_t offset() { return rip() - kCode; }
  std::uint64_t gpr(x86::Gpr which) { return vcpu().core().gpr[which]; }
  std::uint64_t qword(std::uint64_t at) { return guest_->load_at<std::uint64_t>(Gpa{at}).value_or(~0ull); }
  void put(std::uint64_t at, const Code& bytes) { ASSERT_TRUE(guest_->write(Gpa{at}, bytes)); }

  // Makes KVM take what has been written, and forget what has been read, without running the guest.
  void pass_through_kvm() {
    vcpu().run_page().immediate_exit = 1;
    const kvm::Exit exit = vcpu().run();
    vcpu().run_page().immediate_exit = 0;
    EXPECT_TRUE(std::holds_alternative<kvm::Interrupted>(exit)) << to_text(exit);
  }

  // One exit, which has to be a debug exit; DR6's low word.
  std::uint64_t expect_trap() {
    const kvm::Exit exit = vcpu().run();
    const auto* debug = std::get_if<api::DebugExit>(&exit);
    EXPECT_TRUE(debug != nullptr && !debug->int3) << to_text(exit);
    return debug != nullptr ? debug->dr6 & 0xffff : 0;
  }
  void expect_int3() {
    const kvm::Exit exit = vcpu().run();
    const auto* debug = std::get_if<api::DebugExit>(&exit);
    EXPECT_TRUE(debug != nullptr && debug->int3) << to_text(exit);
  }
  void expect_hlt() {
    const kvm::Exit exit = vcpu().run();
    EXPECT_TRUE(std::holds_alternative<kvm::Halted>(exit)) << to_text(exit) << " at " << std::hex << rip();
  }

  kvm::System system_ = must(kvm::System::open());
  std::unique_ptr<TinyGuest> guest_;
};

}  // namespace ringside::test
