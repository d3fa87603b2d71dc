// What a tracer is told: stops that concern it, and the end of the guest.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "arch/addr.hpp"
#include "arch/ids.hpp"
#include "arch/x86/cpu.hpp"

namespace ringside::tracer {

enum class StopReason : std::uint8_t {
  kNone,           // stopped because it was asked to (^C, attach), or with another vCPU's event
  kStep,           // the step it ordered is done
  kSoftwareBreak,  // its own Z0 point
  kHardwareBreak,  // its own Z1 point
  kProbe,          // its own probe; `mark` is what the watcher said
  kWriteWatch,     // its own Z2, Z3, Z4 point; `at` is the watched address
  kReadWatch,
  kAccessWatch,
  kTripleFault,
  kFailure,  // KVM cannot go on with this vCPU
  kEvent,    // the monitor stops everybody here, or its breakpoint that has moved with the kernel; see detail
};

struct StopEvent {
  VcpuId vcpu;
  StopReason reason = StopReason::kNone;
  Gva at;  // watched address with the watch reasons
  x86::CpuContext context;
  std::uint64_t mark = 0;  // with kProbe
  // For people: with kTripleFault, kFailure, kEvent, and with a breakpoint whose condition could not be evaluated.
  std::string detail;
};

}  // namespace ringside::tracer
