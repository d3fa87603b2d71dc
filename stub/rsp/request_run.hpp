// The requests that make the guest run and stop: points, resumes, catches.  Part of request.hpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "arch/addr.hpp"
#include "arch/bytes.hpp"
#include "arch/ids.hpp"

namespace ringside::rsp {

// Thread n + 1 of process 1 is vCPU n; whether that vCPU exists is not decided here.
struct ThreadRef {
  enum class Kind : std::uint8_t { kAny, kAll, kOne };
  Kind kind = Kind::kAny;
  VcpuId vcpu;  // for kOne
  bool operator==(const ThreadRef&) const = default;
};

// -- Points

enum class PointType : std::uint8_t { kSoftware = 0, kHardware, kWriteWatch, kReadWatch, kAccessWatch };
// Z<type>,<addr>,<kind>[;X<len>,<code>…][;cmds:<persist>,X<len>,<code>…].  kind is a length in bytes for
// watches and 1 for breakpoints.  Stop if any condition holds; with commands, run them and do not stop.  The
// code is raw, unverified agent bytecode.  A repeated Z replaces conditions and commands.
struct InsertPoint {
  PointType type = PointType::kSoftware;
  Gva at;
  std::uint64_t kind = 1;
  std::vector<Bytes> conditions;
  std::vector<Bytes> commands;
  bool persist = false;  // commands outlive the connection
};
// z<type>,…
struct RemovePoint {
  PointType type = PointType::kSoftware;
  Gva at;
  std::uint64_t kind = 1;
};

// -- Running

// ?
struct QueryStopReason {};
// vCont?
struct QueryVCont {};
struct ResumeAction {
  enum class Kind : std::uint8_t { kContinue, kStep, kStop, kRangeStep };
  Kind kind = Kind::kContinue;
  std::uint8_t signal = 0;  // C, S: gdb's number; 0 for c and s
  GvaRange range;           // r: step until pc leaves it
  ThreadRef who{ThreadRef::Kind::kAll, {}};
};
// vCont;action[:thread]…  In order: the first that names a thread is its; a thread that none names keeps its
// state.  Never empty.
struct ResumeMany {
  std::vector<ResumeAction> actions;
};
// c[addr] s[addr] C<sig>[;addr] S<sig>[;addr]: kContinue or kStep for the thread of Hc, others continue.
struct ResumeLegacy {
  ResumeAction::Kind kind = ResumeAction::Kind::kContinue;
  std::uint8_t signal = 0;
  std::optional<Gva> at;  // continue from here instead of pc
};
// bc, bs
struct ResumeReverse {
  ResumeAction::Kind kind = ResumeAction::Kind::kContinue;
};
// vCtrlC
struct InterruptAll {};
// vStopped
struct NextStop {};
// D[;pid]
struct Detach {
  std::optional<std::uint64_t> pid;
};
// k (no reply), vKill;pid
struct Kill {
  std::optional<std::uint64_t> pid;
};
// R<xx>, no reply
struct Restart {};
// vRun;<hex>…
struct Run {
  std::vector<std::string> arguments;
};
// vAttach;pid
struct AttachTo {
  std::uint64_t pid = 0;
};

// -- What to stop for

// QPassSignals:e;10;…
struct SetPassSignals {
  std::vector<std::uint8_t> signals;
};
// QProgramSignals:…
struct SetProgramSignals {
  std::vector<std::uint8_t> signals;
};
// QCatchSyscalls:0, QCatchSyscalls:1 (all), QCatchSyscalls:1;n;… : replaces the whole set.
struct CatchSyscalls {
  bool on = false;
  std::vector<std::uint32_t> numbers;
};

}  // namespace ringside::rsp
