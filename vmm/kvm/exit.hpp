// What KVM_RUN came back with: kvm_run's union decoded once, to values (KVM api 5).
//
// Spans point into the run page: good until the next KVM_RUN on the same vCPU.
#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include <linux/kvm.h>

#include "arch/addr.hpp"
#include "arch/bytes.hpp"
#include "vmm/api/stop.hpp"

namespace ringside::kvm {

enum class Direction : std::uint8_t { kIn, kOut };

struct PortIo {
  std::uint16_t port;
  std::uint8_t size;    // bytes of one element
  std::uint32_t count;  // elements: more than one with rep ins/outs, all to the same port
  Direction direction;
  MutableByteView data;  // size * count bytes, to be filled with kIn
};

struct Mmio {
  Gpa at;
  Direction direction;
  MutableByteView data;
};

// An MSR that is watched (Vm::watch_msrs): nothing has been done yet.  VcpuFd::serve() does it.
struct MsrAccess {
  std::uint32_t index;
  Direction direction;
  std::uint64_t value;  // with kOut
};

struct Interrupted {};  // a signal, or immediate_exit: nothing happened in the guest
struct Shutdown {};     // triple fault
struct Halted {};       // hlt without an in-kernel irqchip
struct SystemEvent {
  std::uint32_t type;
};
// KVM cannot go on; the text has KVM's reason and what is known of the instruction.
struct Failure {
  std::string text;
  bool emulation = false;  // of the instruction at RIP, which has not been executed
};

using Exit = std::variant<Interrupted, PortIo, Mmio, MsrAccess, api::DebugExit, Shutdown, Halted, SystemEvent,
                          Failure>;

Exit decode_exit(kvm_run& run);

}  // namespace ringside::kvm
