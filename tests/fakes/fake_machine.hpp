// A machine without KVM: memory is an array, and a vCPU executes a handful of instructions when it is told
// to.
//
// Everything happens in the test's thread, one call at a time, so that any interleaving can be written down:
//   advance() executes one instruction of a running vCPU, with the debug hardware that the policy asked for;
//   pause() and post() are answered at once, or, with `prompt` off, when the test says so.
// Known instructions: nop (90), int3 (cc), jmp rel8 (eb), inc byte [disp32] (fe 04 25), hlt (f4: stays), ud2
// (0f 0b: triple fault).  RAM is mapped at 0 and at kKernel, in 4-level tables.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "tests/fakes/array_memory.hpp"
#include "vmm/api/machine.hpp"

namespace ringside::fakes {

inline constexpr std::uint64_t kKernel = 0xffffffff80000000;  // the same RAM as at 0
inline constexpr std::uint64_t kRamBytes = 0x20000;           // tables in 0x1000 to 0x4fff
inline constexpr std::uint64_t kCode = 0x8000;                // where vCPU 0 begins; vCPU n at + n * 0x100
inline constexpr std::uint64_t kData = 0xa000;

class FakeMachine;

class FakeVcpu final : public api::Vcpu, public api::VcpuAccess {
 public:
  FakeVcpu(FakeMachine& machine, VcpuId id);

  // api::Vcpu
  void run() override;
  void pause() override;
  void post(Work work) override;
  std::uint64_t exits() const override { return left_guest; }

  // api::VcpuAccess
  VcpuId id() const override { return id_; }
  const x86::CoreRegs& core() override { return context_.core; }
  void set_core(const x86::CoreRegs& core) override { context_.core = core; }
  const x86::CpuContext& context() override;
  std::optional<std::uint64_t> time_ns() override { return 1'000'000; }
  std::optional<api::Pulse> pulse() override { return heartbeat; }
  Result<void> read(x86::RegGroups groups, x86::RegisterFile& into) override;
  Result<void> write(x86::Reg reg, ByteView value) override;
  Result<std::uint64_t> msr(std::uint32_t number) override {
    const auto found = msrs.find(number);
    if (found == msrs.end()) return fail(Errc::kNotFound, "no such MSR");
    return found->second;
  }
  Result<x86::LocalApic> local_apic() override { return apic; }
  void set_debug(const api::DebugWish& wish) override { wish_ = wish; }
  Result<void> reinject_int3() override;
  Result<void> reinject_debug_trap(std::uint64_t dr6) override;

  // Executes one instruction; false when the vCPU is parked or has been by this.
  bool advance();
  // With `prompt` off: what pause() asked for, and the oldest of what was posted; false when there is none.
  bool answer_pause();
  bool answer_post();
  // Comes out of the guest for a reason of the test's.
  void stop(api::StopCause cause, std::string detail = {});
  // A debug exit as KVM would bring it; false when the policy wants it reported.
  bool debug_exit(api::DebugExit exit);
  // Behind an instruction that tells where the guest is.
  void event(const api::GuestEvent& event);
  bool follow(api::Verdict verdict, const api::DebugExit& exit);

  bool running() const { return running_; }
  bool pause_asked() const { return pause_asked_; }
  std::size_t posted() const { return inbox_.size(); }
  const api::DebugWish& wish() const { return wish_; }
  std::uint64_t rip() const { return context_.core.rip; }
  void set_rip(std::uint64_t rip) { context_.core.rip = rip; }
  void reset();

  int runs = 0;                          // how often run() came
  std::uint64_t left_guest = 0;          // what exits() says
  int pauses = 0;                        // how often pause() came while it ran
  int own_int3 = 0;                      // int3 that went to the guest
  std::vector<std::uint64_t> own_traps;  // DR6 of #DB that went to the guest
  std::set<x86::Reg> refused;            // writes to these fail
  std::map<std::uint32_t, std::uint64_t> msrs;
  x86::LocalApic apic;
  x86::RegisterFile registers;  // all but the core ones
  bool long_mode = true;
  api::Pulse heartbeat{.asleep = false, .interrupts_on = true, .taken = 0, .timer = 0};

 private:
  std::optional<std::uint8_t> fetch(std::uint64_t offset);
  bool int3_exits();
  bool execute(std::uint64_t& dr6);
  bool increment(std::uint64_t& dr6);
  std::uint64_t slots_hit(Gva at, bool execution) const;
  void park(api::StopCause cause, api::DebugExit debug, std::string detail);

  FakeMachine& machine_;
  VcpuId id_;
  x86::CpuContext context_;
  api::DebugWish wish_;
  std::deque<Work> inbox_;
  bool running_ = false;
  bool pause_asked_ = false;
  bool tell_write_ = false;
};

class FakeMachine final : public api::Machine {
 public:
  explicit FakeMachine(std::size_t vcpus = 1);

  std::size_t vcpu_count() const override { return vcpus_.size(); }
  FakeVcpu& vcpu(VcpuId id) override { return *vcpus_.at(id.number); }
  FakeVcpu& vcpu(std::uint32_t number) { return *vcpus_.at(number); }
  ArrayMemory& memory() override { return memory_; }
  const api::MachineInfo& info() const override { return info_; }
  Result<x86::IoApic> io_apic() const override { return chip; }
  Result<void> start(api::DebugPolicy& policy, api::MachineListener& listener) override;
  // RAM as it was at start().
  Result<void> reset() override;
  Result<void> watch_writes(std::span<const GpaRange> pages) override;

  void end(api::GuestEnd how, std::string detail = {}) { listener_->on_end(how, std::move(detail)); }
  void put(std::uint64_t at, const Bytes& bytes);
  std::uint8_t byte(std::uint64_t at) const { return memory_.load_at<std::uint8_t>(Gpa{at}).value(); }

  bool prompt = true;  // pause() and post() are answered at once
  x86::IoApic chip;
  int resets = 0;
  std::optional<Error> reset_fails;
  std::vector<GpaRange> watched;  // whose writes go to the policy
  api::MachineInfo info_;

 private:
  friend class FakeVcpu;
  void write_tables();

  ArrayMemory memory_{kRamBytes};
  std::optional<ArrayMemory> loaded_;
  std::vector<std::unique_ptr<FakeVcpu>> vcpus_;
  api::DebugPolicy* policy_ = nullptr;
  api::MachineListener* listener_ = nullptr;
};

}  // namespace ringside::fakes
