#include "vmm/kvm/exit.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace ringside::kvm {
namespace {

constexpr std::uint32_t kBreakpointVector = 3;  // SDM 3A table 6-1

PortIo port_io(kvm_run& run) {
  auto* data = reinterpret_cast<std::uint8_t*>(&run) + run.io.data_offset;
  return {.port = run.io.port,
          .size = run.io.size,
          .count = run.io.count,
          .direction = run.io.direction == KVM_EXIT_IO_OUT ? Direction::kOut : Direction::kIn,
          .data = {data, std::size_t{run.io.size} * run.io.count}};
}

Mmio mmio(kvm_run& run) {
  const std::size_t length = std::min<std::size_t>(run.mmio.len, sizeof run.mmio.data);
  return {.at = Gpa{run.mmio.phys_addr},
          .direction = run.mmio.is_write != 0 ? Direction::kOut : Direction::kIn,
          .data = {run.mmio.data, length}};
}

api::DebugExit debug_exit(const kvm_run& run) {
  return {.int3 = run.debug.arch.exception == kBreakpointVector, .dr6 = run.debug.arch.dr6};
}

std::string internal_error(const kvm_run& run) {
  const auto& error = run.internal;
  if (error.suberror != KVM_INTERNAL_ERROR_EMULATION) {
    return fmt::format("KVM internal error {} (KVM api 5, KVM_EXIT_INTERNAL_ERROR)", error.suberror);
  }
  std::string text = "KVM could not emulate an instruction";
  const auto& failure = run.emulation_failure;
  if (failure.ndata >= 3 && (failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) != 0) {
    text += ", bytes:";
    const std::size_t size = std::min<std::size_t>(failure.insn_size, sizeof failure.insn_bytes);
    for (std::size_t i = 0; i < size; ++i) text += fmt::format(" {:02x}", failure.insn_bytes[i]);
  }
  return text;
}

}  // namespace

Exit decode_exit(kvm_run& run) {
  switch (run.exit_reason) {
    case KVM_EXIT_IO:
      return port_io(run);
    case KVM_EXIT_MMIO:
      return mmio(run);
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
      return MsrAccess{.index = run.msr.index,
                       .direction = run.exit_reason == KVM_EXIT_X86_WRMSR ? Direction::kOut : Direction::kIn,
                       .value = run.msr.data};
    case KVM_EXIT_DEBUG:
      return debug_exit(run);
    case KVM_EXIT_INTR:
      return Interrupted{};
    case KVM_EXIT_SHUTDOWN:
      return Shutdown{};
    case KVM_EXIT_HLT:
      return Halted{};
    case KVM_EXIT_SYSTEM_EVENT:
      return SystemEvent{run.system_event.type};
    case KVM_EXIT_FAIL_ENTRY:
      return Failure{fmt::format("the CPU refused to enter the guest (reason {:#x})",
                                 static_cast<std::uint64_t>(run.fail_entry.hardware_entry_failure_reason))};
    case KVM_EXIT_INTERNAL_ERROR:
      return Failure{internal_error(run), run.internal.suberror == KVM_INTERNAL_ERROR_EMULATION};
    default:
      return Failure{fmt::format("unexpected KVM exit reason {}", run.exit_reason)};
  }
}

}  // namespace ringside::kvm
