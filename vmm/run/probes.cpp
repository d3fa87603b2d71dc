#include "vmm/run/probes.hpp"

#include <array>

#include <fmt/format.h>

#include "arch/x86/control.hpp"
#include "vmm/run/tiny_guest.hpp"

namespace ringside::run {
namespace {

using Mode = TinyGuest::Mode;
using Chips = TinyGuest::Chips;
using Code = std::vector<std::uint8_t>;

constexpr std::uint64_t kCode = TinyGuest::kCode;

// What came instead of what was expected: "the guest ran on to hlt".
std::string describe(const kvm::Exit& exit) {
  if (const auto* debug = std::get_if<api::DebugExit>(&exit)) {
    return debug->int3 ? "came out at an int3" : fmt::format("came out with DR6 {:#x}", debug->dr6);
  }
  if (const auto* io = std::get_if<kvm::PortIo>(&exit))
    return fmt::format("came to I/O on port {:#x}", io->port);
  if (const auto* access = std::get_if<kvm::Mmio>(&exit)) {
    return fmt::format("touched {:#x}, where no memory is", access->at.value);
  }
  if (const auto* failure = std::get_if<kvm::Failure>(&exit)) return "failed: " + failure->text;
  if (std::holds_alternative<kvm::Shutdown>(exit)) return "ended in a triple fault";
  if (std::holds_alternative<kvm::Halted>(exit)) return "ran on to its hlt unnoticed";
  return "was interrupted";
}

Unexpected<Error> wrong(const kvm::Exit& exit) {
  return fail(Errc::kUnsupported, "the guest " + describe(exit));
}

api::DebugWish step_wish(bool hold_interrupts) {
  api::DebugWish wish;
  wish.step = true;
  wish.hold_interrupts = hold_interrupts;
  return wish;
}

Result<void> expect_rip(kvm::VcpuFd& vcpu, std::uint64_t expected) {
  const std::uint64_t rip = vcpu.core().rip;
  if (rip == expected) return {};
  return fail(Errc::kUnsupported, fmt::format("the guest stands at {:#x} instead of {:#x}", rip, expected));
}

Result<std::unique_ptr<TinyGuest>> long_mode_guest(const kvm::System& system, const Code& code) {
  auto guest = RS_TRY(TinyGuest::create(system, {.mode = Mode::kLong, .chips = Chips::kNone}));
  guest->load(code);
  return guest;
}

// Runs to a #DB with `bit` in DR6 at `rip`.
Result<void> expect_trap(kvm::VcpuFd& vcpu, std::uint64_t bit, std::uint64_t rip) {
  const kvm::Exit exit = vcpu.run();
  const auto* debug = std::get_if<api::DebugExit>(&exit);
  if (debug == nullptr || debug->int3 || (debug->dr6 & bit) == 0) return wrong(exit);
  return expect_rip(vcpu, rip);
}

Result<void> open_device() {
  RS_TRY(kvm::System::open());
  return {};
}

Result<void> create_vm() {
  const kvm::System system = RS_TRY(kvm::System::open());
  RS_TRY(TinyGuest::create(system, {.mode = Mode::kReal, .chips = Chips::kIrqchip}));
  return {};
}

Result<void> long_mode() {
  const kvm::System system = RS_TRY(kvm::System::open());
  // mov rax,0x1122334455667788; mov [rbx],rax; shr rax,56; out 0x10,al; hlt
  const Code code{0x48, 0xb8, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
                  0x48, 0x89, 0x03, 0x48, 0xc1, 0xe8, 0x38, 0xe6, 0x10, 0xf4};
  const auto guest = RS_TRY(long_mode_guest(system, code));
  const kvm::Exit exit = guest->vcpu().run();
  const auto* io = std::get_if<kvm::PortIo>(&exit);
  if (io == nullptr || io->port != 0x10 || io->direction != kvm::Direction::kOut) return wrong(exit);
  const bool right =
      io->data.front() == 0x11 && guest->load_at<std::uint64_t>(Gpa{TinyGuest::kData}) == 0x1122334455667788;
  if (!right) return fail(Errc::kUnsupported, "the guest computed in 64 bits and got it wrong");
  return {};
}

Result<void> int3_exit() {
  const kvm::System system = RS_TRY(kvm::System::open());
  const auto guest = RS_TRY(long_mode_guest(system, {0x90, 0xcc, 0x90, 0xf4}));  // nop; int3; nop; hlt
  api::DebugWish wish;
  wish.trap_int3 = true;
  guest->vcpu().set_debug(wish);
  const kvm::Exit exit = guest->vcpu().run();
  const auto* debug = std::get_if<api::DebugExit>(&exit);
  if (debug == nullptr || !debug->int3) return wrong(exit);
  return expect_rip(guest->vcpu(), kCode + 1);
}

Result<void> single_step() {
  const kvm::System system = RS_TRY(kvm::System::open());
  const auto guest = RS_TRY(long_mode_guest(system, {0x90, 0x90, 0x90, 0xf4}));
  guest->vcpu().set_debug(step_wish(false));
  for (std::uint64_t i = 1; i <= 3; ++i) RS_TRY(expect_trap(guest->vcpu(), x86::dr6::kBs, kCode + i));
  return {};
}

// The guest switches its local APIC to x2APIC mode and sends itself an interrupt that it does not take,
// because IF is 0 (SDM 3A 11.12.1, 11.6.1).  Its `out` tells that it is pending.
constexpr std::uint8_t kVector = 0x40;
constexpr std::array<std::uint8_t, 43> kInterruptItself{
    0xb9, 0x1b,    0x00, 0x00, 0x00,  // mov ecx,0x1b: APIC_BASE
    0x0f, 0x32,                       // rdmsr
    0x0d, 0x00,    0x0c, 0x00, 0x00,  // or eax,0xc00: enabled, x2APIC
    0x0f, 0x30,                       // wrmsr
    0xb9, 0x0f,    0x08, 0x00, 0x00,  // mov ecx,0x80f: spurious vector register
    0xb8, 0xff,    0x01, 0x00, 0x00,  // mov eax,0x1ff: APIC on
    0x31, 0xd2,                       // xor edx,edx
    0x0f, 0x30,                       // wrmsr
    0xb9, 0x3f,    0x08, 0x00, 0x00,  // mov ecx,0x83f: SELF IPI
    0xb8, kVector, 0x00, 0x00, 0x00,  // mov eax,kVector
    0x0f, 0x30,                       // wrmsr
    0xe6, 0x10,                       // out 0x10,al
    0x90};
constexpr Code::value_type kNop = 0x90;

// Three steps with the interrupt held; then one without, which proves that there was one to hold.  That one
// may come out inside the handler, or after it: interrupt delivery clears TF, so the handler can run free.
Result<void> step_beside_interrupt(TinyGuest& guest, std::uint64_t at) {
  kvm::VcpuFd& vcpu = guest.vcpu();
  x86::CoreRegs core = vcpu.core();
  core.rip = at;
  core.rflags |= x86::rflags::kIf;
  vcpu.set_core(core);
  vcpu.set_debug(step_wish(true));
  for (std::uint64_t i = 1; i <= 3; ++i) RS_TRY(expect_trap(vcpu, x86::dr6::kBs, at + i));
  vcpu.set_debug(step_wish(false));
  if (const kvm::Exit exit = vcpu.run(); !std::holds_alternative<api::DebugExit>(exit)) return wrong(exit);
  const std::uint64_t rip = vcpu.core().rip;
  const std::uint64_t handler = TinyGuest::handler(kVector);
  const bool inside = handler <= rip && rip < handler + 16;
  if (inside || guest.load_at<std::uint8_t>(Gpa{TinyGuest::kData}) == kVector) return {};
  return fail(Errc::kUnsupported, fmt::format("no interrupt came at all: the guest stands at {:#x}", rip));
}

Result<void> step_with_interrupts_held() {
  const kvm::System system = RS_TRY(kvm::System::open());
  if (!system.capabilities().step_blocks_irq) {
    return fail(Errc::kUnsupported, "KVM_GUESTDBG_BLOCKIRQ is not offered (Linux before 5.15)");
  }
  const auto guest = RS_TRY(TinyGuest::create(system, {.mode = Mode::kLong, .chips = Chips::kIrqchip}));
  guest->handle(kVector, Code{0xc6, 0x03, kVector, 0x48, 0xcf});  // mov byte [rbx],kVector; iretq
  guest->load(kInterruptItself);
  kvm::VcpuFd& vcpu = guest->vcpu();
  if (const kvm::Exit exit = vcpu.run(); !std::holds_alternative<kvm::PortIo>(exit)) return wrong(exit);
  vcpu.run_page().immediate_exit = 1;  // only completes the `out`
  static_cast<void>(vcpu.run());
  vcpu.run_page().immediate_exit = 0;
  constexpr std::uint64_t kNops = kCode + 0x100;
  const bool written = guest->write(Gpa{kNops}, Code(8, kNop));
  RS_CHECK(written);
  return step_beside_interrupt(*guest, kNops);
}

Result<void> watch(const Code& code, const x86::DebugSlot& slot, std::uint64_t rip) {
  const kvm::System system = RS_TRY(kvm::System::open());
  const auto guest = RS_TRY(long_mode_guest(system, code));
  api::DebugWish wish;
  wish.slots[2] = slot;  // any of the four would do
  guest->vcpu().set_debug(wish);
  return expect_trap(guest->vcpu(), x86::dr6::kB2, rip);
}

Result<void> execute_breakpoint() {
  return watch({0x90, 0x90, 0x90, 0xf4}, {.at = Gva{kCode + 2}, .kind = x86::WatchKind::kExecute}, kCode + 2);
}

Result<void> write_breakpoint() {
  return watch({0x90, 0x89, 0x03, 0x90, 0xf4},  // nop; mov [rbx],eax; nop; hlt
               {.at = Gva{TinyGuest::kData}, .length = 4, .kind = x86::WatchKind::kWrite}, kCode + 3);
}

Result<void> access_breakpoint() {
  return watch({0x90, 0x8b, 0x03, 0x90, 0xf4},  // nop; mov eax,[rbx]; nop; hlt
               {.at = Gva{TinyGuest::kData}, .length = 4, .kind = x86::WatchKind::kReadWrite}, kCode + 3);
}

Result<void> readonly_memory() {
  const kvm::System system = RS_TRY(kvm::System::open());
  if (!system.capabilities().readonly_mem)
    return fail(Errc::kUnsupported, "KVM_CAP_READONLY_MEM is not offered");
  // mov eax,[spare]; mov byte [spare],0x77; hlt
  const auto guest = RS_TRY(
      long_mode_guest(system, {0x8b, 0x04, 0x25, 0, 0, 1, 0, 0xc6, 0x04, 0x25, 0, 0, 1, 0, 0x77, 0xf4}));
  const bool written = guest->write(Gpa{TinyGuest::kSpare}, Code{0x12});
  RS_CHECK(written);
  RS_TRY(guest->map_spare(KVM_MEM_READONLY));
  const kvm::Exit exit = guest->vcpu().run();
  const auto* access = std::get_if<kvm::Mmio>(&exit);
  if (access == nullptr) return wrong(exit);
  const bool right = access->direction == kvm::Direction::kOut && access->at == Gpa{TinyGuest::kSpare} &&
                     access->data.size() == 1 && access->data.front() == 0x77;
  if (!right) return fail(Errc::kUnsupported, "the write came out with wrong data");
  if (guest->load_at<std::uint8_t>(Gpa{TinyGuest::kSpare}) != 0x12) {
    return fail(Errc::kUnsupported, "the write went through");
  }
  return {};
}

Result<void> register_sync() {
  const kvm::System system = RS_TRY(kvm::System::open());
  if (!system.capabilities().sync_regs) return fail(Errc::kUnsupported, "KVM_CAP_SYNC_REGS is not offered");
  const auto guest =
      RS_TRY(long_mode_guest(system, {0x90, 0xb8, 0x39, 0x05, 0, 0, 0xf4}));  // nop; mov eax,1337
  guest->vcpu().set_debug(step_wish(false));
  RS_TRY(expect_trap(guest->vcpu(), x86::dr6::kBs, kCode + 1));
  RS_TRY(expect_trap(guest->vcpu(), x86::dr6::kBs, kCode + 6));
  const kvm_sync_regs& synced = guest->vcpu().run_page().s.regs;
  if (synced.regs.rip == kCode + 6 && synced.regs.rax == 1337 && synced.sregs.efer != 0) return {};
  return fail(Errc::kUnsupported, "the registers that came with the exit are wrong");
}

Result<void> dirty_log() {
  const kvm::System system = RS_TRY(kvm::System::open());
  // mov byte [spare],0x77; hlt
  const auto guest = RS_TRY(long_mode_guest(system, {0xc6, 0x04, 0x25, 0, 0, 1, 0, 0x77, 0xf4}));
  RS_TRY(guest->map_spare(KVM_MEM_LOG_DIRTY_PAGES));
  const auto dirty = [&]() -> Result<bool> {
    std::uint64_t bitmap = 0;  // one bit a page, in words of 64
    kvm_dirty_log log{};
    log.slot = TinyGuest::kSpareSlot;
    log.dirty_bitmap = &bitmap;
    RS_TRY(guest->vm().fd().call("KVM_GET_DIRTY_LOG", KVM_GET_DIRTY_LOG, &log));
    return (bitmap & 1) != 0;
  };
  if (RS_TRY(dirty())) return fail(Errc::kUnsupported, "a page is dirty that nobody wrote");
  const kvm::Exit exit = guest->vcpu().run();
  if (!std::holds_alternative<kvm::Halted>(exit)) return wrong(exit);
  if (!RS_TRY(dirty())) return fail(Errc::kUnsupported, "the write went unnoticed");
  return {};
}

constexpr std::array kProbes{
    Probe{"open /dev/kvm", true, true, open_device},
    Probe{"create a VM with interrupt controllers", true, true, create_vm},
    Probe{"long mode", true, false, long_mode},
    Probe{"int3 exit", true, false, int3_exit},
    Probe{"single-step", true, false, single_step},
    Probe{"single-step with interrupts held", false, false, step_with_interrupts_held},
    Probe{"hardware execute breakpoint", true, false, execute_breakpoint},
    Probe{"hardware write breakpoint", false, false, write_breakpoint},
    Probe{"hardware read/write breakpoint", false, false, access_breakpoint},
    Probe{"read-only memory slots", false, false, readonly_memory},
    Probe{"register sync", false, false, register_sync},
    Probe{"dirty log", false, false, dirty_log},
};

}  // namespace

std::span<const Probe> probes() { return kProbes; }

}  // namespace ringside::run
