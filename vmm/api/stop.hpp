// Why a vCPU came out of the guest, in values: what travels from a vCPU's thread to the hub.
#pragma once

#include <cstdint>
#include <string>

#include "arch/ids.hpp"
#include "arch/x86/cpu.hpp"

namespace ringside::api {

// A debug exit as KVM reports it (KVM api 5, KVM_EXIT_DEBUG).
struct DebugExit {
  bool int3 = false;      // #BP: the vCPU stands at an int3 (RIP at it, nothing executed)
  std::uint64_t dr6 = 0;  // #DB: which slots fired (B0-B3), BS for a single step (SDM 3B 17.2.3)
  bool write = false;     // the guest has written to watched memory: no exit of KVM's
};

// Something that a vCPU has just done and that tells where the guest is.  It stands behind the instruction.
struct GuestEvent {
  enum class Kind : std::uint8_t {
    kReadEfer,
    kWroteEfer,
    kMark,  // `out` to the mark port
  };
  Kind kind = Kind::kMark;
  std::uint64_t value = 0;   // read or written
  std::uint64_t before = 0;  // with kWroteEfer
};

enum class StopCause : std::uint8_t {
  kPaused,         // asked for by pause(); the vCPU is between two instructions
  kDebug,          // the debug policy wants this debug exit reported
  kStepAlone,      // the debug policy wants the instruction at RIP stepped while nobody else runs
  kStepUnwatched,  // and no memory is watched
  kReview,         // the debug policy wants what is inserted looked at
  kTripleFault,    // the guest's CPU shut down (SDM 3A 6.15 "Interrupt 8"); registers as far as KVM has them
  kFailure,        // KVM cannot go on with this vCPU: entry failure, internal error; `detail` says which
};

struct StopReport {
  VcpuId vcpu;
  StopCause cause = StopCause::kPaused;
  DebugExit debug;          // with kDebug
  x86::CpuContext context;  // state of the vCPU at the stop
  std::string detail;       // for people; empty with kPaused and kDebug
};

// How a guest ends of itself, or is ended.
enum class GuestEnd : std::uint8_t { kPowerOff, kReboot, kHalt, kTripleFault, kFailure, kQuit };

}  // namespace ringside::api
