// A packet's body and the agreed features to a Request.  Pure: no reply, no machine, no log; it never throws
// on input, and lengths are bounded before anything is allocated.  The table is packets.def.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "arch/result.hpp"
#include "stub/rsp/features.hpp"
#include "stub/rsp/request.hpp"

namespace ringside::rsp {

inline constexpr std::uint32_t kMaxRead = 1u << 20;      // bytes of one m or x; longer is clamped
inline constexpr std::size_t kMaxPointCode = 64 * 1024;  // bytes of bytecode in one Z, all items together
inline constexpr std::size_t kMaxPointItems = 1000;      // conditions and commands of one Z
inline constexpr std::size_t kMaxResumeActions = 4096;   // of one vCont
inline constexpr std::size_t kMaxListItems = 4096;       // signals, syscalls, vRun arguments

// Unknown packets and packets whose feature is not offered are a Request (Unknown), not an error.
// Errors: kMalformed, what breaks the packet's own grammar; kNotFound, a process other than 1; kExhausted, a
// limit above.
Result<Request> parse(std::string_view body, const Features& agreed);

// `p1.2`, `p1.-1`, `p1`, `2`, `0002`, `0`, `-1`, with or without multiprocess agreed: LLDB omits `p1.`
// anyway.
Result<ThreadRef> parse_thread(std::string_view text);

// For documentation and `ringside packets`: each prefix once, longest first.
struct PacketRow {
  std::string_view prefix;
  std::optional<ServerFeature> need;  // Unknown unless offered
  std::string_view request;           // name of the struct in request.hpp
};
std::span<const PacketRow> packet_table();

}  // namespace ringside::rsp
