// What a strace client asks for: sent once, as lines of text `key=value`.
//
// A key that this monitor does not know is not an error: it is named in the answer, so that a newer client
// can tell its user.  Thread: any; immutable once made.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "arch/result.hpp"
#include "stub/strace/call.hpp"
#include "stub/strace/filter.hpp"
#include "stub/strace/ring.hpp"

namespace ringside::strace {

// Of the protocol; told to the client, and raised when something is added that it may want to know.
inline constexpr unsigned kProtocolVersion = 1;

struct Options {
  Filter filter;                                  // trace=, signal=, status=, path=
  std::set<std::int32_t> pids;                    // pid=, and all their descendants; empty: everybody
  std::string comm;                               // comm=
  std::optional<std::uint32_t> cpu;               // cpu=
  Style style;                                    // string=, hex=, paths=
  Overflow overflow = Overflow::kDrop;            // overflow=drop|overwrite|block
  std::size_t ring_bytes = std::size_t{8} << 20;  // ring=
  bool count = false;                             // mode=count
  bool stack = false;                             // stack=1
  std::string trigger;                            // trigger=SYMBOL: freezes the ring when it is reached

  std::vector<std::string> unknown;  // keys that have not been understood
};

Result<Options> parse_options(std::string_view lines);

}  // namespace ringside::strace
