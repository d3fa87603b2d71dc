// One struct a packet: what a client can ask, as values.  The wire form stands above each.
//
// Numbers are hex on the wire without 0x; <thread> is `p1.2`, `p1.-1`, `2`, `0`, `-1`.  Addresses are guest
// virtual in the context of the selected vCPU unless said otherwise.  A Request owns its bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "arch/addr.hpp"
#include "arch/bytes.hpp"
#include "stub/rsp/features.hpp"
#include "stub/rsp/request_run.hpp"

namespace ringside::rsp {

// -- Getting to know each other

// qSupported[:name+;…]
struct QuerySupported {
  ClientFeatures client;
};
// vMustReplyEmpty: answer empty, always
struct MustReplyEmpty {};
// QStartNoAckMode
struct StartNoAckMode {};
// !
struct ExtendedMode {};
// QNonStop:0|1
struct SetNonStop {
  bool on = false;
};
// qAttached[:pid]
struct QueryAttached {
  std::optional<std::uint64_t> pid;
};
// qOffsets
struct QueryOffsets {};
// qSymbol:: offers symbols (name empty); qSymbol:[value]:<hex name> answers a lookup of ours.
struct OfferSymbol {
  std::optional<Gva> value;
  std::string name;
};
enum class XferObject : std::uint8_t { kFeatures, kThreads, kExecFile, kLibraries };
// qXfer:object:read:annex:offset,length; other objects are Unknown.  length is not clamped: the window is.
struct ReadXfer {
  XferObject object = XferObject::kFeatures;
  std::string annex;
  std::uint64_t offset = 0, length = 0;
};

// -- Threads

// Hg<thread> for registers and memory, Hc<thread> for c and s
struct SelectThread {
  enum class For : std::uint8_t { kAccess, kResume };
  For use = For::kAccess;
  ThreadRef who;
};
// qC
struct QueryCurrentThread {};
// qfThreadInfo, qsThreadInfo
struct ListThreads {
  bool first = true;
};
// qThreadExtraInfo,<thread>
struct QueryThreadInfo {
  ThreadRef who;
};
// T<thread>
struct ThreadAlive {
  ThreadRef who;
};
// QThreadEvents:0|1
struct SetThreadEvents {
  bool on = false;
};

// -- Registers

// g
struct ReadRegisters {};
// G<hex>; see read_g_packet() in reply.hpp
struct WriteRegisters {
  std::string hex;
};
// p<n>
struct ReadRegister {
  std::uint64_t number = 0;
};
// P<n>=<hex>, guest byte order
struct WriteRegister {
  std::uint64_t number = 0;
  Bytes value;
};

// -- Memory

// m<addr>,<len> is answered in hex; x<addr>,<len> with `b` and escaped bytes.  len is clamped to kMaxRead: a
// shorter answer is legal, and the client asks for the rest.
struct ReadMemory {
  enum class Form : std::uint8_t { kHex, kBinary };
  Gva at;
  std::uint32_t length = 0;  // bytes
  Form form = Form::kHex;
};
// M<addr>,<len>:<hex> and X<addr>,<len>:<escaped>; data may be empty
struct WriteMemory {
  Gva at;
  Bytes data;
};
// qSearch:memory:<addr>;<len>;<escaped>
struct SearchMemory {
  Gva at;
  std::uint64_t length = 0;
  Bytes pattern;
};
// qCRC:<addr>,<len>
struct QueryCrc {
  Gva at;
  std::uint64_t length = 0;
};

// -- Tracing: asked at attach whatever we offer

// qTStatus
struct QueryTraceStatus {};
// qTfV, qTsV
struct ListTraceVariables {
  bool first = true;
};
// qTfP, qTsP
struct ListTracepoints {
  bool first = true;
};
// qTV:n
struct ReadTraceVariable {
  std::uint64_t number = 0;
};

// -- Extensions

// qRcmd,<hex>
struct Monitor {
  std::string command;
};
// qqemu.PhyMemMode asks, Qqemu.PhyMemMode:0|1 sets: m and M take guest physical addresses.
struct PhysicalMode {
  std::optional<bool> set;
};
// qqemu.sstepbits
struct QueryStepBits {};
// qqemu.sstep asks, Qqemu.sstep=<hex, 0x allowed> sets
struct StepFlags {
  std::optional<std::uint64_t> set;
};

// QRingside.Strace:<hex of lines key=value>
struct StartStrace {
  std::string options;
};
// QRingside.Halt: no more is recorded
struct HaltStrace {};
// qRingside.Records:<most bytes>
struct ReadRecords {
  std::uint64_t most = 0;
};

// Anything else, or a packet whose feature is not offered: answered with an empty packet, always.
struct Unknown {};

using Request =
    std::variant<QuerySupported, MustReplyEmpty, StartNoAckMode, ExtendedMode, SetNonStop, QueryAttached,
                 QueryOffsets, OfferSymbol, ReadXfer, SelectThread, QueryCurrentThread, ListThreads,
                 QueryThreadInfo, ThreadAlive, SetThreadEvents, ReadRegisters, WriteRegisters, ReadRegister,
                 WriteRegister, ReadMemory, WriteMemory, SearchMemory, QueryCrc, InsertPoint, RemovePoint,
                 QueryStopReason, QueryVCont, ResumeMany, ResumeLegacy, ResumeReverse, InterruptAll, NextStop,
                 Detach, Kill, Restart, Run, AttachTo, SetPassSignals, SetProgramSignals, CatchSyscalls,
                 QueryTraceStatus, ListTraceVariables, ListTracepoints, ReadTraceVariable, Monitor,
                 PhysicalMode, QueryStepBits, StepFlags, StartStrace, HaltStrace, ReadRecords, Unknown>;

}  // namespace ringside::rsp
