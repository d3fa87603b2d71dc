// Typed answers to the bodies of packets; append_packet() of framer.hpp frames them.  Pure.
//
// Nothing here asks the machine: what a reply holds is given, and the agreed features decide its spelling
// (thread ids, error texts, swbreak).  A body is a std::string because binary replies hold any byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "arch/addr.hpp"
#include "arch/bytes.hpp"
#include "arch/ids.hpp"
#include "arch/result.hpp"
#include "arch/x86/regs.hpp"
#include "stub/rsp/features.hpp"

namespace ringside::rsp {

inline std::string ok_reply() { return "OK"; }
inline std::string empty_reply() { return {}; }

// Where an error may be a sentence (`E.text`): for packets whose good reply is hex or binary data, only when
// error-message+ is agreed; the rest too, to be safe with clients that print what they get.
std::string error_reply(const Error& error, const Features& agreed);
// `E nn` with the decimal errno most stubs use: 22 is "E22".
std::string error_reply(unsigned number);
unsigned errno_of(Errc code);

// -- Threads

std::string thread_id(VcpuId vcpu, const Features& agreed);             // "p1.1" or "1"
std::string current_thread_reply(VcpuId vcpu, const Features& agreed);  // "QCp1.1"
// "mp1.1,p1.2"; "l" for none.
std::string thread_list_reply(std::span<const VcpuId> vcpus, const Features& agreed);

struct ThreadRow {
  VcpuId vcpu;
  std::string name;   // empty: no attribute
  std::string extra;  // what the vCPU is doing; empty: nothing
};
// The document of qXfer:threads, to be sent through xfer_reply().
std::string threads_xml(std::span<const ThreadRow> rows, const Features& agreed);

// -- Stops

struct StoppedBySwBreak {};  // only where this client has a point: gdb resumes silently otherwise
struct StoppedByHwBreak {};
struct StoppedByWatch {
  enum class Kind : std::uint8_t { kWrite, kRead, kAccess };
  Kind kind = Kind::kWrite;
  Gva at;  // the address accessed
};
struct StoppedBySyscall {
  enum class Side : std::uint8_t { kEntry, kReturn };
  Side side = Side::kEntry;
  std::uint32_t number = 0;
};
struct StoppedByLibrary {};
struct StoppedByHistoryEnd {
  enum class Edge : std::uint8_t { kBegin, kEnd };
  Edge edge = Edge::kBegin;
};
using StopCause = std::variant<std::monostate, StoppedBySwBreak, StoppedByHwBreak, StoppedByWatch,
                               StoppedBySyscall, StoppedByLibrary, StoppedByHistoryEnd>;

// gdb's signal numbers (include/gdb/signals.def), which are not the host's.
inline constexpr std::uint8_t kSignalNone = 0, kSignalInt = 2, kSignalIll = 4, kSignalTrap = 5,
                              kSignalAbrt = 6, kSignalFpe = 8, kSignalSegv = 11;

struct StopReply {
  std::uint8_t signal = kSignalTrap;
  VcpuId vcpu;
  bool with_core = true;  // core:n, the vCPU's number
  StopCause cause;
};
// "T05thread:p1.1;core:0;swbreak:;10:…;": with the given registers expedited, those available.
std::string stop_reply(const StopReply& stop, const Features& agreed,
                       const x86::RegisterFile* registers = nullptr, std::span<const x86::Reg> expedite = {});

std::string exited_reply(std::uint8_t status, const Features& agreed);  // "W00" or "W00;process:1"
std::string killed_reply(std::uint8_t signal, const Features& agreed);  // "X09" or "X09;process:1"
inline std::string no_resumed_reply() { return "N"; }                   // only when no_resumed is agreed
inline std::string vcont_reply() { return "vCont;c;C;s;S;t;r"; }

// -- Data

std::string hex_reply(ByteView bytes);     // m
std::string binary_reply(ByteView bytes);  // x: `b` and escaped bytes
// Records of a strace: `m` when more may come, else `l`, and escaped bytes.
enum class More : std::uint8_t { kMayCome, kNever };
std::string records_reply(ByteView records, More more);
// The window of a document that one qXfer read asks for: `m` or `l` and escaped bytes.  At the end `l`,
// beyond it E22.
std::string xfer_reply(std::string_view document, std::uint64_t offset, std::uint64_t length);
std::string hex_text_reply(std::string_view text);  // qThreadExtraInfo, the whole answer of qRcmd
// `O` packets of at most max_body bytes each; none for an empty text.
std::vector<std::string> console_replies(std::string_view text, std::size_t max_body = kPacketSize / 4);
std::string search_reply(std::optional<Gva> found);      // "0" or "1,<addr>"
std::string text_segment_reply(Gva text);                // qOffsets for gdb: the runtime address of _text
std::string section_offsets_reply(std::uint64_t delta);  // qOffsets for LLDB: how far each section moved
std::string symbol_lookup(std::string_view name);  // "qSymbol:<hex name>": asks the client for an address

// -- Registers

// The registers of the `g` packet; `x` digits where not available.
std::string g_packet(const x86::RegisterFile& registers);
std::string register_reply(const x86::RegisterFile& registers, x86::Reg reg);
// Reads the hex of G into `into`: from the first register on, whole registers, at most the `g` packet's.  A
// register of `x` digits is left alone.  All or nothing; gives the groups written.
Result<x86::RegGroups> read_g_packet(std::string_view hex, x86::RegisterFile& into);

}  // namespace ringside::rsp
